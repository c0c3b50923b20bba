//! What `skew init` can tell from tags and build files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use skew_spec::BLANK;

/// A build that a repository's files suggest.
pub(super) struct Build {
    /// The program's name in the image.
    pub program: String,
    /// The keys of the recipe after `kind`.
    pub recipe: String,
}

/// The `versions` line: the newest of each minor version, by the pattern that most tags have.
pub(super) fn propose_tags<'a>(tags: impl Iterator<Item = &'a str>) -> String {
    static NUMBERED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^(.*?)\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$").expect("a literal"));
    let mut prefixes: BTreeMap<&str, usize> = BTreeMap::new();
    for prefix in tags.filter_map(|tag| NUMBERED.captures(tag)?.get(1)) {
        *prefixes.entry(prefix.as_str()).or_default() += 1;
    }
    // Of equally frequent prefixes the shortest: it is the least special.
    let best = prefixes.iter().max_by_key(|(prefix, count)| (**count, std::cmp::Reverse(prefix.len())));
    match best {
        Some((prefix, count)) => format!(
            "# The newest of each minor version, of the {count} tags that look like this. Also: range = \">=1.2, <3\",\n\
             # or revisions = [\"v1.0.0\", \"main\", \"a1b2c3d\"].\n\
             versions = {{ tags = {}, newest = 1, per = \"minor\" }}",
            toml::Value::from(format!("{prefix}{{version}}"))
        ),
        None => "# No tag looks like a version: name revisions, or a pattern: { tags = \"v{version}\", newest = 1, per = \"minor\" }\n\
                 versions = { revisions = [\"HEAD~1\", \"HEAD\"] }"
            .to_owned(),
    }
}

/// A build by the first build file that is there.
pub(super) fn propose_build(top: &Path) -> Build {
    let read = |name: &str| std::fs::read_to_string(top.join(name)).ok();
    if let Some(manifest) = read("Cargo.toml") {
        return cargo(&manifest);
    }
    if let Some(module) = read("go.mod") {
        return go(&module, top);
    }
    if let Some(package) = read("package.json") {
        return node(&package);
    }
    if let Some(project) = read("pyproject.toml") {
        return python(&project);
    }
    if top.join("Makefile").exists() {
        let recipe = format!(
            "run   = [\"sh\", \"-c\", \"make && cp '{BLANK}: the program that make built' $OUT/server\"]\ntools = [\"make\", \"cc\"]\n"
        );
        return Build { program: "server".to_owned(), recipe };
    }
    if let Some(program) = main_script(top) {
        return scripts(program);
    }
    let recipe =
        format!("run   = [\"sh\", \"-c\", \"{BLANK}: build, then put the program into $OUT/server\"]\ntools = []\n");
    Build { program: "server".to_owned(), recipe }
}

/// A name that needs no quoting in a shell or in TOML.
fn plain(name: &str) -> Option<String> {
    let good = !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    good.then(|| name.to_owned())
}

fn cargo(manifest: &str) -> Build {
    let table: toml::Table = manifest.parse().unwrap_or_default();
    let name = |table: &toml::Value| table.get("name").and_then(|name| plain(name.as_str()?));
    let bin = table.get("bin").and_then(|bins| bins.as_array()?.first().and_then(name));
    let program = bin.or_else(|| table.get("package").and_then(name)).unwrap_or_else(|| "server".to_owned());
    let recipe = format!(
        "run   = [\"sh\", \"-c\", \"cargo build --release --locked --bin {program} && cp $CARGO_TARGET_DIR/release/{program} $OUT/\"]\n\
         tools = [\"cargo\", \"rustc\", \"cc\"]\n\
         pass_env = [\"CARGO_HOME\", \"RUSTUP_HOME\", \"RUSTUP_TOOLCHAIN\"]\n\
         caches = {{ CARGO_TARGET_DIR = \"target\" }}  # kept between versions\n\
         inputs = [[\"rustc\", \"--version\"]]  # another compiler, another image\n"
    );
    Build { program, recipe }
}

fn go(module: &str, top: &Path) -> Build {
    let path = module.lines().find_map(|line| line.strip_prefix("module ")).unwrap_or_default();
    let program = path.trim().rsplit('/').next().and_then(plain).unwrap_or_else(|| "server".to_owned());
    let package = if top.join("cmd").join(&program).is_dir() { format!("./cmd/{program}") } else { ".".to_owned() };
    let recipe = format!(
        "run   = [\"sh\", \"-c\", \"CGO_ENABLED=0 go build -trimpath -o $OUT/{program} {package}\"]\n\
         tools = [\"go\"]\n\
         caches = {{ GOMODCACHE = \"go-modules\", GOCACHE = \"go-build\" }}  # kept between versions\n\
         inputs = [[\"go\", \"version\"]]  # another compiler, another image\n"
    );
    Build { program, recipe }
}

fn node(package: &str) -> Build {
    let json: serde_json::Value = serde_json::from_str(package).unwrap_or_default();
    let name = json["name"].as_str().and_then(|name| plain(name.rsplit('/').next().unwrap_or(name)));
    let program = name.unwrap_or_else(|| "server".to_owned());
    let recipe = format!(
        "run   = [\"sh\", \"-c\", \"npm ci && npm run build --if-present && cp -R . $OUT/app && printf '%s\\\\n' '#!/bin/sh' 'exec node \\\"${{0%/*}}/app\\\" \\\"$@\\\"' > $OUT/{program} && chmod +x $OUT/{program}\"]\n\
         tools = [\"node\", \"npm\"]\n\
         caches = {{ npm_config_cache = \"npm\" }}  # kept between versions\n\
         inputs = [[\"node\", \"--version\"]]\n"
    );
    Build { program, recipe }
}

fn python(project: &str) -> Build {
    let table: toml::Table = project.parse().unwrap_or_default();
    let scripts = table.get("project").and_then(|project| project.get("scripts")?.as_table()?.keys().next().cloned());
    let program = scripts.as_deref().and_then(plain).unwrap_or_else(|| "server".to_owned());
    let recipe = format!(
        "run   = [\"sh\", \"-c\", \"python3 -m pip install --no-compile --target $OUT/lib . && printf '%s\\\\n' '#!/bin/sh' 'PYTHONPATH=${{0%/*}}/lib exec \\\"${{0%/*}}/lib/bin/{program}\\\" \\\"$@\\\"' > $OUT/{program} && chmod +x $OUT/{program}\"]\n\
         tools = [\"python3\"]\n\
         caches = {{ PIP_CACHE_DIR = \"pip\" }}  # kept between versions\n\
         inputs = [[\"python3\", \"--version\"]]\n"
    );
    Build { program, recipe }
}

/// Of the Python programs at the top the one that most likely serves.
fn main_script(top: &Path) -> Option<String> {
    let names = std::fs::read_dir(top).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let scripts: BTreeSet<String> =
        names.filter_map(|name| plain(&name)).filter(|name| name.ends_with(".py")).collect();
    let usual = ["server.py", "node.py", "main.py", "app.py"].into_iter().find(|name| scripts.contains(*name));
    usual.map(str::to_owned).or_else(|| scripts.into_iter().find(|name| name != "setup.py"))
}

fn scripts(program: String) -> Build {
    let recipe = "# The programs have to begin with `#!/usr/bin/env python3`.\n\
         run   = [\"sh\", \"-c\", \"cp *.py $OUT/ && chmod 755 $OUT/*.py\"]\n\
         tools = [\"python3\"]\n\
         inputs = [[\"python3\", \"--version\"]]  # another Python, another image\n"
        .to_owned();
    Build { program, recipe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_suggest_their_pattern() {
        for (tags, expect) in [
            ("v1.0.0\nv1.1.0\n2.0.0\nnightly", "tags = \"v{version}\""),
            ("release-V4.1.0\nrelease-V4.2.0-RC1", "tags = \"release-V{version}\""),
            ("1.0.0", "tags = \"{version}\""),
            ("nightly", "revisions ="),
            ("", "revisions ="),
        ] {
            let line = propose_tags(tags.lines());
            assert!(line.lines().last().unwrap().contains(expect), "{tags:?}: {line}");
        }
    }

    #[test]
    fn build_files_suggest_a_build() {
        for (file, text, program, tool) in [
            ("Cargo.toml", "[package]\nname = \"ledger\"", "ledger", "cargo"),
            ("Cargo.toml", "[[bin]]\nname = \"ledgerd\"\n[package]\nname = \"ledger\"", "ledgerd", "cargo"),
            ("Cargo.toml", "not toml", "server", "cargo"),
            ("go.mod", "module example.org/x/chain\n", "chain", "\"go\""),
            ("package.json", r#"{"name":"@x/peer"}"#, "peer", "npm"),
            ("package.json", r#"{"name":"$(rm -rf)"}"#, "server", "npm"),
            ("pyproject.toml", "[project.scripts]\npeerd = 'a:b'", "peerd", "python3"),
            ("Makefile", "all:", "server", "make"),
            ("server.py", "", "server.py", "python3"),
            ("peer.py", "", "peer.py", "cp *.py"),
            ("setup.py", "", "server", "FILL IN"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(file), text).unwrap();
            let build = propose_build(dir.path());
            assert_eq!(build.program, program, "{file}");
            assert!(build.recipe.contains(tool), "{file}: {}", build.recipe);
            build.recipe.parse::<toml::Table>().unwrap_or_else(|e| panic!("{e}\n{}", build.recipe));
        }
    }
}

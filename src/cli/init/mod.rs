//! `skew init`: a commented spec for the repository it stands in.

mod proposal;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use skew_core::text::count;
use skew_spec::BLANK;

use super::Globals;
use super::error::CliError;
use super::globals::SPEC_NAME;
use proposal::{Build, propose_build, propose_tags};

/// Write a commented spec for the repository it stands in
///
/// Proposes the versions from the repository's tags and the build from its build files. What cannot be known is marked
/// `FILL IN`; `skew validate` says what is left.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The file to write [default: `skew.toml` here]
    path: Option<PathBuf>,
}

pub(super) fn run(globals: &Globals, args: &InitArgs) -> Result<(), CliError> {
    let path = args.path.clone().unwrap_or_else(|| SPEC_NAME.into());
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let text = spec_for(&dir)?;
    std::fs::File::create_new(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => CliError::Usage {
                message: format!("{} exists already", path.display()),
                hint: "name another file, or remove that one first".to_owned(),
            },
            _ => CliError::File { action: "write", path: path.clone(), source },
        })?;
    let blanks = text.lines().filter(|line| line.contains(BLANK) && !line.starts_with('#')).count();
    if globals.json() {
        return globals.print_json(&serde_json::json!({ "spec": path, "blanks": blanks }));
    }
    globals.print(&format!(
        "wrote {}: fill in the {} marked `{BLANK}`, then `skew validate` and `skew plan`\n",
        path.display(),
        count(blanks as u64, "line")
    ))
}

fn spec_for(dir: &Path) -> Result<String, CliError> {
    let dir = std::path::absolute(dir).map_err(|source| CliError::Here { source })?;
    let root = git(&dir, &["rev-parse", "--show-toplevel"]).map(PathBuf::from);
    let top = root.clone().unwrap_or_else(|| dir.clone());
    let name = system_name(&top);
    let repository = match &root {
        Some(root) => relative(root, &dir),
        None => BLANK.to_owned(),
    };
    let tags = git(&dir, &["tag", "--list"]).unwrap_or_default();
    Ok(spec(&name, &repository, &propose_tags(tags.lines()), &propose_build(&top)))
}

/// The repository as seen from the spec's directory; the spec's directory is the repository's or one below it.
fn relative(root: &Path, dir: &Path) -> String {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match real(dir).strip_prefix(real(root)).map(|below| below.components().count()) {
        Ok(0) => ".".to_owned(),
        Ok(depth) => vec![".."; depth].join("/"),
        Err(_) => root.display().to_string(),
    }
}

fn system_name(top: &Path) -> String {
    let name = top.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() { "system".to_owned() } else { name }
}

/// What git says; none when it fails, or when there is no repository.
fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // Variables of a surrounding hook or rebase would make git speak of another repository.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    let output = command.arg("-C").arg(dir).args(args).stderr(std::process::Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn spec(name: &str, repository: &str, versions: &str, build: &Build) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        r#"# Which versions of {name} work together? `skew sweep` answers. The reference of this file: `skew schema`.

[system]
name = "{name}"

# Where versions come from: a path or a URL.
[sources.{name}]
repository = "{repository}"
{versions}

# A role is a part that a process can play: server, node, primary, client, …
[roles.node]
# What is run. `root` is where the image's files are, `self.bind` what to listen on; peers dial `address`.
run   = ["{{{{ root }}}}/{program}", "--listen", "{{{{ self.bind }}}}:{{{{ self.ports.main }}}}", "--data", "{{{{ self.data }}}}"]  # {BLANK}: its real arguments
ports = {{ main = "{BLANK}" }}  # the port's number
# When it is ready; also `log = "regex"`, `http = "port"`, `command = [..]`.
ready = {{ tcp = "main", within = "30s" }}

# How an image of the role is built, in a temporary worktree of each version. What the command puts into $OUT is the image.
[roles.node.recipe]
kind  = "command"
{recipe}
# How many nodes: `count` is exactly so many, `seats` at most so many: as many versions at once.
[topology]
node = {{ seats = 4 }}

[matrix]
strategy = "packed"  # pairs | candidate | adjacent | per-role | packed

# What must work, once for each ordered pair of nodes in these roles. Exit status 0 is ok, 77 unsupported, else failed.
[[check]]
name  = "talks"
from  = "node"
to    = "node"
steps = [
  {{ in = "from", run = ["{{{{ from.root }}}}/{program}", "{BLANK}", "{{{{ to.address }}}}:{{{{ to.ports.main }}}}"], within = "10s" }},
]

# What no log may ever hold.
[[expect]]
log = {{ role = "*", never = "(?i)panicked|assertion failed" }}
"#,
        program = build.program,
        recipe = build.recipe,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_has_a_name() {
        for (path, expect) in [("/a/My_Ledger.git", "my-ledger-git"), ("/", "system"), ("/x/--", "system")] {
            assert_eq!(system_name(Path::new(path)), expect);
        }
    }

    #[test]
    fn what_is_written_is_toml_whatever_the_repository_holds() {
        for (files, tags) in [(&[][..], ""), (&["Cargo.toml"], "v1.0.0"), (&["go.mod"], "x"), (&["Makefile"], "")] {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                std::fs::write(dir.path().join(file), "").unwrap();
            }
            let text = spec("a", ".", &propose_tags(tags.lines()), &propose_build(dir.path()));
            let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert!(table.contains_key("check"));
            assert!(text.contains(BLANK));
        }
    }
}

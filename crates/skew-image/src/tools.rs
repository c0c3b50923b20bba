//! The programs that recipes need: where they are, and what of this machine's environment builds see.

use skew_core::text::shorten;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use skew_host::{Cancel, Guard};
use skew_spec::{CommandRecipe, Recipe, RecipeKind};

use super::error::{ImageError, MissingTool, MissingTools};

/// Where every system keeps its programs.
const STANDARD: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin"];

/// How long one of a recipe's `inputs` may take.
const INPUT: Duration = Duration::from_secs(60);

/// How much of what one of them prints counts.
const INPUT_BYTES: usize = 1 << 20;

/// Variables that name a directory which their tool finds below `HOME` when they are not set. A build's `HOME` is
/// empty, so a recipe that passes one of these gets the directory that its user's shell would have used.
const BELOW_HOME: &[(&str, &str)] =
    &[("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("GOPATH", "go"), ("GRADLE_USER_HOME", ".gradle")];

/// What of this machine builds depend on.
#[derive(Debug)]
pub(crate) struct Machine {
    env: BTreeMap<String, String>,
    outputs: Mutex<HashMap<Asked, Vec<u8>>>,
}

/// A command and its environment.
type Asked = (Vec<String>, BTreeMap<String, OsString>);

impl Machine {
    /// A machine with this environment: `PATH`, `HOME`, and what recipes pass through.
    pub(crate) fn new(env: BTreeMap<String, String>) -> Self {
        Self { env, outputs: Mutex::default() }
    }

    /// A program on this machine's `PATH`, or at a path.
    fn find(&self, tool: &str) -> Option<PathBuf> {
        if tool.contains('/') {
            return Some(PathBuf::from(tool)).filter(|path| executable(path));
        }
        let path = self.env.get("PATH")?;
        find_in(tool, std::env::split_paths(path))
    }

    /// A program on this machine's `PATH`.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        self.find(name)
    }

    /// Where this machine's programs and the person's files are, and the variables with this prefix.
    pub(crate) fn settings<'m>(&'m self, prefix: &'m str) -> impl Iterator<Item = (&'m String, &'m String)> {
        let wanted =
            move |name: &str| name.starts_with(prefix) || matches!(name, "PATH" | "HOME" | "USER" | "SSL_CERT_FILE");
        self.env.iter().filter(move |(name, _)| wanted(name))
    }

    /// The directories of a build's `PATH`: those of the declared tools as this machine's `PATH` orders them, then the
    /// system's.
    pub(crate) fn path(&self, recipe: &CommandRecipe) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for tool in &recipe.tools {
            dirs.extend(self.find(tool).and_then(|tool| Some(tool.parent()?.to_owned())));
        }
        if let Some(path) = self.env.get("PATH") {
            let order: Vec<PathBuf> = std::env::split_paths(path).collect();
            dirs.sort_by_key(|dir| order.iter().position(|other| other == dir));
        }
        dirs.extend(STANDARD.iter().map(PathBuf::from));
        let mut seen = Vec::new();
        dirs.retain(|dir| {
            dir.is_absolute() && !seen.contains(dir) && {
                seen.push(dir.clone());
                true
            }
        });
        dirs
    }

    /// What a recipe's commands see in every build of every version.
    pub(crate) fn environment(&self, recipe: &CommandRecipe) -> BTreeMap<String, OsString> {
        let mut env: BTreeMap<String, OsString> = BTreeMap::new();
        // A path with a colon in it cannot be on PATH at all, and was split from one.
        let path = std::env::join_paths(self.path(recipe)).unwrap_or_default();
        env.insert("PATH".to_owned(), path);
        env.insert("LC_ALL".to_owned(), "C".into());
        env.insert("TZ".to_owned(), "UTC".into());
        for name in &recipe.pass_env {
            if let Some(value) = self.passed(name) {
                env.insert(name.clone(), value.into());
            }
        }
        for (name, value) in &recipe.env {
            env.insert(name.clone(), value.into());
        }
        env
    }

    fn passed(&self, name: &str) -> Option<String> {
        if let Some(value) = self.env.get(name) {
            return Some(value.clone());
        }
        let (_, below) = BELOW_HOME.iter().find(|(known, _)| *known == name)?;
        let dir = Path::new(self.env.get("HOME")?).join(below);
        dir.is_dir().then(|| dir.to_string_lossy().into_owned())
    }

    /// What one of a recipe's `inputs` prints. Asked once for each environment.
    pub(crate) fn output(&self, command: &[String], recipe: &CommandRecipe) -> Result<Vec<u8>, ImageError> {
        let key = (command.to_vec(), self.environment(recipe));
        let remembered = || self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(output) = remembered().get(&key) {
            return Ok(output.clone());
        }
        let failed = |why: String| ImageError::Command { command: command.join(" "), why };
        let [program, arguments @ ..] = command else {
            return Err(failed("it is empty".to_owned()));
        };
        let program = find_in(program, self.path(recipe))
            .ok_or_else(|| failed(format!("{program} is neither one of the recipe's `tools` nor in /usr/bin")))?;
        let mut asking = Command::new(program);
        asking.args(arguments).env_clear().envs(&key.1).env("HOME", "/nonexistent").current_dir("/");
        let guard = Guard { within: INPUT, grace: Duration::ZERO, cancel: &Cancel::new() };
        let finished = skew_host::run(asking, None, INPUT_BYTES, &guard).map_err(|error| failed(error.to_string()))?;
        if !finished.ended.success() {
            let said = String::from_utf8_lossy(&finished.stderr);
            let said: String = shorten(said.trim(), 200).chars().filter(|c| !c.is_control()).collect();
            return Err(failed(format!("it {}: {said}", finished.ended)));
        }
        let output = [finished.stdout, finished.stderr].concat();
        remembered().insert(key, output.clone());
        Ok(output)
    }

    /// The programs that a recipe needs, and where they are.
    pub(crate) fn programs<'r>(&self, recipe: &'r Recipe) -> Vec<(&'r str, Option<PathBuf>)> {
        let command = match &recipe.kind {
            RecipeKind::Command(command) => command,
            RecipeKind::Nix(_) => return vec![("nix", self.find("nix"))],
            RecipeKind::Prebuilt(_) | RecipeKind::Image(_) | RecipeKind::Dockerfile(_) => return Vec::new(),
        };
        let path = self.path(command);
        // A program with a slash in it comes with the checkout.
        let run = command.run.first().filter(|program| !program.contains('/'));
        let inputs = command.inputs.iter().filter_map(|input| input.first());
        let tools = command.tools.iter().map(|tool| (tool.as_str(), self.find(tool)));
        let seen = |program: &'r String| (program.as_str(), find_in(program, path.iter().cloned()));
        tools.chain(run.into_iter().chain(inputs).map(seen)).collect()
    }

    /// Names every program that some recipe needs and this machine does not have.
    pub(crate) fn check<'a>(&self, recipes: impl IntoIterator<Item = &'a Recipe>) -> Result<(), MissingTools> {
        let mut missing: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for recipe in recipes {
            for (tool, _) in self.programs(recipe).into_iter().filter(|(_, found)| found.is_none()) {
                let recipes = missing.entry(tool.to_owned()).or_default();
                if !recipes.contains(&recipe.path) {
                    recipes.push(recipe.path.clone());
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(MissingTools(missing.into_iter().map(|(tool, recipes)| MissingTool { tool, recipes }).collect()))
    }
}

/// A program in one of these directories; a path is itself.
pub(crate) fn find_in(program: &str, dirs: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    dirs.into_iter().filter(|dir| dir.is_absolute()).map(|dir| dir.join(program)).find(|path| executable(path))
}

fn executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(dir: &Path) -> Machine {
        for tool in ["tools/bin/mycc", "other/bin/mymake"] {
            let path = dir.join(tool);
            std::fs::create_dir_all(path.parent().expect("one")).expect("made");
            // By another process: what this one has open for writing, a child of another test may still hold.
            let script = r#"printf '#!/bin/sh\necho "$0 $MINE $HOME"\n' >"$1"; chmod 755 "$1""#;
            let written = std::process::Command::new("sh").args(["-euc", script, "sh"]).arg(&path).status();
            assert!(written.expect("sh starts").success());
        }
        std::fs::create_dir_all(dir.join("home/.cargo")).expect("made");
        let path = format!("{0}/other/bin:{0}/tools/bin:/usr/bin:/bin", dir.display());
        Machine::new(BTreeMap::from([
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), dir.join("home").display().to_string()),
            ("MINE".to_owned(), "mine".to_owned()),
        ]))
    }

    fn recipe(tools: &[&str], run: &str, inputs: &[&str]) -> CommandRecipe {
        CommandRecipe {
            run: vec![run.to_owned()],
            env: BTreeMap::new(),
            pass_env: ["MINE", "NOT_SET", "CARGO_HOME", "RUSTUP_HOME"].map(str::to_owned).to_vec(),
            tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
            inputs: inputs.iter().map(|input| vec![(*input).to_owned()]).collect(),
            caches: BTreeMap::new(),
            patches: Vec::new(),
            files: BTreeMap::new(),
            within: Duration::from_secs(60),
            submodules: false,
        }
    }

    #[test]
    fn builds_see_declared_tools_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let machine = machine(dir.path());
        let env = machine.environment(&recipe(&["mycc"], "mycc", &[]));
        let path = env["PATH"].to_string_lossy().into_owned();
        assert_eq!(path, format!("{}/tools/bin:/usr/local/bin:/usr/bin:/bin", dir.path().display()));
        let names: Vec<&str> = env.keys().map(String::as_str).collect();
        assert_eq!(names, ["CARGO_HOME", "LC_ALL", "MINE", "PATH", "TZ"]);
        assert_eq!(env["CARGO_HOME"], dir.path().join("home/.cargo"));
    }

    #[test]
    fn missing_tools_are_all_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let machine = machine(dir.path());
        let check = |recipe: CommandRecipe, expect: &[&str]| {
            let recipe = Recipe {
                path: "r.toml".into(),
                kind: RecipeKind::Command(recipe),
                paths: Vec::new(),
                entrypoint: Vec::new(),
            };
            let missing = match machine.check([&recipe, &recipe]) {
                Ok(()) => Vec::new(),
                Err(missing) => missing.0,
            };
            let names: Vec<&str> = missing.iter().map(|m| m.tool.as_str()).collect();
            assert_eq!(names, expect);
            assert!(missing.iter().all(|m| m.recipes.len() == 1));
        };
        check(recipe(&["mycc", "mymake", "sh"], "mycc", &["mymake"]), &[]);
        check(recipe(&["no-such-a", "no-such-b"], "./configure", &[]), &["no-such-a", "no-such-b"]);
        // On this machine's PATH but not declared: the build would not find it.
        check(recipe(&["mycc"], "mymake", &["no-such-c"]), &["mymake", "no-such-c"]);
    }

    #[test]
    fn inputs_are_asked_once_in_the_builds_environment() {
        let dir = tempfile::tempdir().expect("a directory");
        let machine = machine(dir.path());
        let recipe = recipe(&["mycc"], "mycc", &[]);
        let ask = || machine.output(&["mycc".to_owned()], &recipe);
        let first = String::from_utf8(ask().expect("printed")).expect("text");
        assert!(first.ends_with("mycc mine /nonexistent\n"), "{first}");
        std::fs::write(dir.path().join("tools/bin/mycc"), "#!/bin/sh\nexit 1\n").expect("written");
        assert_eq!(ask().expect("remembered"), first.as_bytes());
        for command in [&["no-such"][..], &["false"], &[]] {
            let command: Vec<String> = command.iter().map(|c| (*c).to_owned()).collect();
            assert!(machine.output(&command, &recipe).is_err(), "{command:?}");
        }
    }
}

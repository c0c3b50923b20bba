//! Options that every verb takes, and what they say about the spec, the state directory and the output.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use skew_spec::{BackendKind, BackendSpec, Overrides, Spec, SpecSnapshot};

use super::error::CliError;
use super::parse;
use crate::record::Notice;
use crate::sweep::{Host, State};
use crate::ui;

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The directory for the store, images, caches and logs [default: `.skew` beside the spec]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// How data is written to standard output
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,

    /// When colour is used; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,

    /// Override a value of the spec, such as `topology.node.seats=6`; may be repeated
    #[arg(long, global = true, value_name = "PATH=VALUE")]
    pub set: Vec<String>,

    /// Take a source from another repository, such as `redis=../redis`; may be repeated
    #[arg(long, global = true, value_name = "SOURCE=PATH")]
    pub repository: Vec<String>,

    /// Push images to this registry and take them from it, instead of the one in the spec: `HOST[:PORT]/PREFIX`
    #[arg(long, global = true, value_name = "URL")]
    pub registry: Option<String>,

    /// Where networks run.
    #[command(flatten)]
    pub place: PlaceArgs,

    /// Show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = HEADING)]
    pub quiet: bool,

    /// Show every event, and list what is counted otherwise
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub verbose: bool,
}

/// The heading of what every verb takes.
const HEADING: &str = "Global options";

/// Where networks run, instead of what the spec's `[backend]` says.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where networks run")]
pub struct PlaceArgs {
    /// Processes of this machine, containers or pods; the same spec runs on each
    #[arg(long, global = true, value_name = "BACKEND", value_parser = parse::backend)]
    pub backend: Option<BackendKind>,

    /// On Kubernetes: the kubeconfig [default: `$KUBECONFIG`, `~/.kube/config`, or the pod's own account]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// On Kubernetes: the kubeconfig's context [default: its current one]
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub context: Option<String>,

    /// On Kubernetes: a namespace that exists, for all networks [default: one for each network]
    #[arg(long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// On Kubernetes: the storage class of nodes' volumes [default: the cluster's]
    #[arg(long, global = true, value_name = "CLASS")]
    pub storage_class: Option<String>,

    /// On Kubernetes: the pull secret that pods name, such as `regsecret`
    #[arg(long, global = true, value_name = "SECRET")]
    pub pull_secret: Option<String>,
}

impl PlaceArgs {
    /// As a spec without `[backend]` would have it.
    pub fn spec(&self) -> BackendSpec {
        let mut spec = BackendSpec { kind: self.backend.unwrap_or_default(), ..BackendSpec::default() };
        spec.kubernetes.kubeconfig.clone_from(&self.kubeconfig);
        spec.kubernetes.context.clone_from(&self.context);
        spec.kubernetes.namespace.clone_from(&self.namespace);
        spec
    }

    /// What was given of it, as on a command line.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let kubeconfig = self.kubeconfig.as_ref().map(|path| path.to_string_lossy().into_owned());
        let all = [
            ("--backend", self.backend.map(|kind| kind.word().to_owned())),
            ("--kubeconfig", kubeconfig),
            ("--context", self.context.clone()),
            ("--namespace", self.namespace.clone()),
            ("--storage-class", self.storage_class.clone()),
            ("--pull-secret", self.pull_secret.clone()),
        ];
        all.into_iter().filter_map(|(option, value)| Some((option, value?))).collect()
    }

    /// As values of the spec.
    fn overrides(&self) -> Result<Vec<String>, CliError> {
        let kubeconfig = match &self.kubeconfig {
            // The spec may lie elsewhere.
            Some(path) => Some(std::path::absolute(path).map_err(|source| CliError::Here { source })?),
            None => None,
        };
        let values = [
            ("kind", self.backend.map(|kind| kind.word().to_owned())),
            ("kubernetes.kubeconfig", kubeconfig.map(|path| path.to_string_lossy().into_owned())),
            ("kubernetes.context", self.context.clone()),
            ("kubernetes.namespace", self.namespace.clone()),
            ("kubernetes.storage_class", self.storage_class.clone()),
            ("kubernetes.pull_secret", self.pull_secret.clone()),
        ];
        let given = values.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(given.map(|(key, value)| format!("backend.{key}={}", toml::Value::String(value))).collect())
    }
}

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people on a terminal.
    Human,
    /// One JSON document.
    Json,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// Where a terminal shows it.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The most that revisions on standard input may have, in bytes.
const STDIN_LIMIT: u64 = 16 << 20;

/// The directory beside a spec where its state is.
const STATE_NAME: &str = ".skew";

/// The environment; what is no text in it is nothing that a spec or a recipe can name.
fn variables() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Where a repository is: a URL as it is, a path made absolute, since the spec may lie elsewhere.
fn repository(text: &str) -> Result<String, CliError> {
    let is_path = |text: &str| !text.contains("://") && (Path::new(text).exists() || !text.contains(':'));
    if !is_path(text) {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(text).map_err(|source| CliError::Here { source })?;
    Ok(path.to_string_lossy().into_owned())
}

/// The name of a spec that is found without being named.
pub(super) const SPEC_NAME: &str = "skew.toml";

impl Globals {
    /// Makes the choice of colour hold for everything written by `anstream`.
    pub fn apply_colour(&self) {
        match self.color {
            Colour::Auto => {}
            Colour::Always => anstream::ColorChoice::Always.write_global(),
            Colour::Never => anstream::ColorChoice::Never.write_global(),
        }
    }

    /// How events are shown.
    pub fn ui(&self) -> ui::Mode {
        if self.quiet {
            ui::Mode::Quiet
        } else if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb") {
            ui::Mode::Progress { verbose: self.verbose }
        } else {
            ui::Mode::Plain { verbose: self.verbose }
        }
    }

    /// Whether colour is used on standard output.
    pub fn colour(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
    }

    /// How many columns standard output has; enough for a wide table where it is no terminal.
    pub fn width(&self) -> usize {
        match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col > 20 => size.ws_col.into(),
            Ok(_) | Err(_) => 160,
        }
    }

    /// What standard input says, when a source of the spec reads revisions from it.
    pub fn stdin(&self, spec: &Spec) -> Result<Option<String>, CliError> {
        if !spec.sources.values().any(|source| source.versions.stdin) {
            return Ok(None);
        }
        let read = std::io::read_to_string(std::io::stdin().take(STDIN_LIMIT));
        read.map(Some).map_err(|source| CliError::File { action: "read", path: "standard input".into(), source })
    }

    /// Whether JSON is wanted.
    pub fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Says something to the person, beside the data.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            anstream::eprintln!("{text}");
        }
    }

    /// Says what the store found and mended.
    pub fn notes(&self, notices: Vec<Notice>) {
        for notice in notices {
            self.say(&format!("note: {notice}"));
        }
    }

    /// The spec that was named, else the nearest, with this command line's and the environment's overrides.
    pub fn load(&self, named: Option<&Path>) -> Result<Spec, CliError> {
        let path = find_spec(named)?;
        let overrides = self.overrides()?;
        Ok(skew_spec::load(&path, &overrides)?)
    }

    /// The spec that was named, else the nearest, with everything that it names.
    pub fn snapshot(&self, named: Option<&Path>) -> Result<(Spec, SpecSnapshot), CliError> {
        Ok(skew_spec::snapshot(&find_spec(named)?, &self.overrides()?)?)
    }

    /// This command line's and the environment's values instead of the spec's.
    pub fn overrides(&self) -> Result<Overrides, CliError> {
        let repositories = self.repository.iter().map(|text| match text.split_once('=') {
            Some((source, path)) => Ok((source.to_owned(), repository(path)?)),
            None => Err(CliError::Usage {
                message: format!("--repository {text:?} names no source"),
                hint: "write `--repository SOURCE=PATH`".to_owned(),
            }),
        });
        // A table of its own: what the spec says about its registry does not hold for another.
        let registry = self.registry.iter().map(|url| format!("registry={{ url = {url:?} }}"));
        Ok(Overrides {
            set: self.place.overrides()?.into_iter().chain(registry).chain(self.set.iter().cloned()).collect(),
            env: variables(),
            repositories: repositories.collect::<Result<_, _>>()?,
        })
    }

    /// The state directory of a spec, which need not be there.
    pub fn state_dir(&self, spec: &Path) -> PathBuf {
        self.state.clone().unwrap_or_else(|| match spec.parent() {
            Some(dir) => dir.join(STATE_NAME),
            None => STATE_NAME.into(),
        })
    }

    /// The state directory of the spec that was named, else of the nearest; the spec itself is not read.
    pub fn state_of(&self, named: Option<&Path>) -> Result<State, CliError> {
        let dir = match (&self.state, named) {
            // A state directory that was named needs no spec.
            (Some(dir), None) => dir.clone(),
            (_, _) => self.state_dir(&find_spec(named)?),
        };
        self.state_at(&dir)
    }

    /// Makes a state directory.
    pub fn state_at(&self, dir: &Path) -> Result<State, CliError> {
        State::create(dir).map_err(|source| CliError::File { action: "make", path: dir.to_owned(), source })
    }

    /// What of this machine and this person the backend needs.
    pub fn host(&self) -> Host {
        let runtime = match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_absolute()) {
            Some(dir) => Path::new(&dir).join("skew"),
            None => std::env::temp_dir().join(format!("skew-{}", rustix::process::getuid().as_raw())),
        };
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let cache_home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let cache_home = cache_home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        Host { runtime, path, cache_home, variables: variables(), site: None }
    }

    /// Writes bytes to standard output as they are.
    pub fn print_bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        written(std::io::stdout().write_all(bytes))
    }

    /// Writes text to standard output as it is wanted; somebody who stopped reading has read enough.
    pub fn print(&self, text: &str) -> Result<(), CliError> {
        written(anstream::stdout().write_all(text.as_bytes()))
    }

    /// Writes one JSON document to standard output.
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value).map_err(|e| CliError::Write(e.into()))?;
        text.push('\n');
        written(std::io::stdout().write_all(text.as_bytes()))
    }
}

fn written(result: std::io::Result<()>) -> Result<(), CliError> {
    match result {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CliError::Write),
    }
}

/// The spec that was named, else the nearest `skew.toml` here or above.
pub(super) fn find_spec(named: Option<&Path>) -> Result<PathBuf, CliError> {
    if let Some(path) = named {
        // A directory means the spec in it.
        return Ok(if path.is_dir() { path.join(SPEC_NAME) } else { path.to_owned() });
    }
    let here = std::env::current_dir().map_err(|source| CliError::Here { source })?;
    here.ancestors().map(|dir| dir.join(SPEC_NAME)).find(|path| path.is_file()).ok_or(CliError::NoSpec)
}

/// Splits arguments that may hold a spec's path at any place: it ends in `.toml`, names of roles, cells and nodes do not.
pub(super) fn split_spec(args: &[String]) -> Result<(Option<PathBuf>, Vec<String>), CliError> {
    let (specs, others): (Vec<_>, Vec<_>) = args.iter().cloned().partition(|arg| arg.ends_with(".toml"));
    match specs.as_slice() {
        [] => Ok((None, others)),
        [one] => Ok((Some(one.into()), others)),
        [first, second, ..] => Err(CliError::Usage {
            message: format!("two specs were named: {first} and {second}"),
            hint: "name one".to_owned(),
        }),
    }
}

//! `skew doctor`: what this machine offers.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use serde::Serialize;
use skew_image::{Builder, Need, Remedy};
use skew_spec::{BackendKind, BackendSpec, Spec};

use super::error::{Class, CliError};
use super::runtime::block_on;
use super::{Globals, globals};
use crate::sweep;

/// Say what this machine offers, and what is missing
///
/// With a spec, what its recipes need is looked for too: programs, a Nix that builds flakes, a Docker that answers. Exits
/// with 3 when something that is needed is missing.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The spec
    spec: Option<PathBuf>,
}

/// Less free disk than this is worth a word, in bytes.
const LITTLE_DISK: u64 = 2 << 30;

/// Less free memory than this is worth a word, in bytes.
const LITTLE_MEMORY: u64 = 512 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    Poor,
    Missing,
}

#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Ok, detail: detail.into(), hint: None }
    }

    fn not(name: &str, state: State, detail: impl Into<String>, hint: &str) -> Self {
        Self { name: name.to_owned(), state, detail: detail.into(), hint: Some(hint.to_owned()) }
    }
}

pub(super) fn run(globals: &Globals, args: &DoctorArgs) -> Result<ExitCode, CliError> {
    // Without a spec the machine is still worth a look; a spec that was named must be there.
    let spec = match (&args.spec, globals::find_spec(args.spec.as_deref())) {
        (None, Err(_)) => None,
        (_, path) => Some(globals.load(Some(&path?))?),
    };
    let dir = match &spec {
        Some(spec) => globals.state_dir(&spec.path),
        None => PathBuf::from("."),
    };
    let mut findings = vec![git(), cores(), memory(), disk(&dir), loopback(), cgroups()];
    let place = spec.as_ref().map_or_else(|| globals.place.spec(), |spec| spec.backend.clone());
    findings.extend(spec.iter().flat_map(|spec| needs(globals, spec)));
    if place.kind != BackendKind::Process {
        findings.push(backend(globals, &place));
    }
    if globals.json() {
        globals.print_json(&findings)?;
    } else {
        globals.print(&render(&findings))?;
    }
    let missing = findings.iter().any(|finding| finding.state == State::Missing);
    Ok(if missing { ExitCode::from(Class::Infrastructure.code()) } else { ExitCode::SUCCESS })
}

fn render(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let word = match finding.state {
            State::Ok => "ok",
            State::Poor => "poor",
            State::Missing => "missing",
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{word:<8} {:<width$}  {}", finding.name, finding.detail);
        if let Some(hint) = &finding.hint {
            let _ = write!(text, "; {hint}");
        }
        text.push('\n');
    }
    text
}

fn git() -> Finding {
    let output = Command::new("git").arg("--version").stdin(Stdio::null()).output();
    let hint = "install git 2.25 or newer";
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.trim().trim_start_matches("git version ").to_owned();
            if old_git(&version) {
                Finding::not("git", State::Missing, format!("{version} is too old"), hint)
            } else {
                Finding::ok("git", version)
            }
        }
        Ok(output) => Finding::not("git", State::Missing, format!("it ends with {}", output.status), hint),
        Err(error) => Finding::not("git", State::Missing, error.to_string(), hint),
    }
}

/// Partial clones and `worktree add --detach` as they are used came together in 2.25.
fn old_git(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < (2, 25),
        _ => false,
    }
}

fn cores() -> Finding {
    match std::thread::available_parallelism() {
        Ok(cores) => Finding::ok("cores", cores.to_string()),
        Err(error) => Finding::not("cores", State::Poor, error.to_string(), "give --jobs yourself"),
    }
}

fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match available_memory(&info) {
        Some(bytes) if bytes < LITTLE_MEMORY => {
            Finding::not("memory", State::Poor, format!("{} free", size(bytes)), "networks will run one after another")
        }
        Some(bytes) => Finding::ok("memory", format!("{} free", size(bytes))),
        None => Finding::not("memory", State::Poor, "not known here", "give --jobs yourself"),
    }
}

fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn disk(dir: &Path) -> Finding {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    // The state directory may still have to be made.
    let existing = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let detail = format!("{} free in {}", size(free), existing.display());
            if free < LITTLE_DISK {
                Finding::not(
                    "disk",
                    State::Poor,
                    detail,
                    "builds may fail; try another --state directory, or `skew gc`",
                )
            } else {
                Finding::ok("disk", detail)
            }
        }
        Err(error) => Finding::not("disk", State::Poor, error.to_string(), "try another --state directory"),
    }
}

fn loopback() -> Finding {
    match TcpListener::bind((Ipv4Addr::new(127, 83, 107, 119), 0)) {
        Ok(_) => Finding::ok("loopback", "every node can have an address of its own"),
        Err(error) => Finding::not(
            "loopback",
            State::Poor,
            error.to_string(),
            "nodes will share 127.0.0.1 with ports of their own",
        ),
    }
}

fn cgroups() -> Finding {
    let root = Path::new("/sys/fs/cgroup");
    let version = if root.join("cgroup.controllers").exists() {
        "version 2"
    } else if root.join("memory").exists() {
        "version 1"
    } else {
        return Finding::not("cgroups", State::Poor, "none", "memory limits are watched instead of enforced");
    };
    let writable = [root.to_owned(), root.join("memory")]
        .iter()
        .any(|dir| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok());
    if writable {
        Finding::ok("cgroups", format!("{version}, writable"))
    } else {
        let hint = "memory limits are watched instead of enforced";
        Finding::not("cgroups", State::Poor, format!("{version}, not writable"), hint)
    }
}

/// Whether the backend that networks would run on answers.
fn backend(globals: &Globals, place: &BackendSpec) -> Finding {
    let name = place.kind.word();
    let hint = match place.kind {
        BackendKind::Process => "",
        BackendKind::Docker => "start the Docker Engine, or say where it is with DOCKER_HOST",
        BackendKind::Kubernetes => {
            "choose another cluster with --kubeconfig or --context, or ask for the rights in docs/kubernetes-role.yaml"
        }
    };
    match block_on(async { Ok(sweep::probe(place, &globals.host()).await) }) {
        Ok(Ok(capacity)) => {
            Finding::ok(name, format!("answers; {} cores, {} for networks", capacity.cores, size(capacity.memory)))
        }
        Ok(Err(error)) => Finding::not(name, State::Missing, crate::ui::escape(&error.chain(), 500), hint),
        Err(error) => Finding::not(name, State::Missing, error.to_string(), hint),
    }
}

/// What every recipe of the spec needs.
fn needs(globals: &Globals, spec: &Spec) -> Vec<Finding> {
    let recipes = spec.roles.values().flat_map(|role| {
        let parts = role.parts.values().map(|part| &part.recipe);
        role.recipe.iter().chain(parts)
    });
    Builder::new(globals.host().variables).needs(recipes).into_iter().map(finding).collect()
}

fn finding(need: Need) -> Finding {
    match need.state {
        Ok(detail) => Finding::ok(&need.name, crate::ui::escape(&detail, 500)),
        Err((why, remedy)) => {
            let hint = match remedy {
                Remedy::Install => "a recipe needs it: install it, or correct the recipe",
                Remedy::Nix => "a recipe needs Nix 2.4 or newer that can build: see what `nix build` of any flake says",
                Remedy::Docker => "a recipe needs it: start the Docker Engine, or say where it is with DOCKER_HOST",
            };
            Finding::not(&need.name, State::Missing, crate::ui::escape(&why, 500), hint)
        }
    }
}

fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // shown to one digit
    let gibibytes = bytes as f64 / f64::from(1u32 << 30);
    format!("{gibibytes:.1} GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_read() {
        for (version, old) in [("2.47.3", false), ("2.25", false), ("2.9.1", true), ("1.8", true), ("weird", false)] {
            assert_eq!(old_git(version), old, "{version}");
        }
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(available_memory("nothing"), None);
        assert_eq!(size(3 << 29), "1.5 GiB");
    }
}

//! `skew render`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Globals;
use super::error::CliError;
use super::freeze::built;
use super::globals::split_spec;
use crate::sweep::{Rendering, Setting, parse_seats, platform, random_seed, render_kubernetes};

/// Write a network down for those who run it without skew
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Kubernetes(KubernetesArgs),
}

/// Write a network as YAML, a directory for each version, for `kubectl apply` and `kubectl scale`
///
/// Roles with seats get a node of every version, the others one of the newest; `--seats` chooses. Images are those of the
/// registry (`skew push` brings them there), and there is nothing of skew in what is written: drivers are left out.
#[derive(Debug, Args)]
struct KubernetesArgs {
    /// Which versions sit where: `node=v1,v2 notary=v1`; and the spec
    #[arg(value_name = "ROLE=VERSIONS")]
    args: Vec<String>,

    /// The directory to write to; it must be empty or not be there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Pods of each node: 0, to be scaled up by hand, or 1
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=1))]
    replicas: i32,

    /// Give Services these addresses, one after the other, from the cluster's range; without it nodes reach each other by
    /// name, which needs a cluster DNS
    #[arg(long, value_name = "FIRST")]
    addresses: Option<Ipv4Addr>,

    /// The seed that templates may name [default: random]
    #[arg(long)]
    seed: Option<u64>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(globals: &Globals, args: &RenderArgs) -> Result<(), CliError> {
    let What::Kubernetes(args) = &args.what;
    let (spec, seats) = split_spec(&args.args)?;
    let seats = seats.iter().map(|seat| parse_seats(seat)).collect::<Result<_, _>>()?;
    empty(&args.output)?;
    let (_, spec, survey, builded) = built(globals, spec.as_deref(), None, args.offline)?;
    let setting =
        Setting { backend: spec.backend.kind.word().to_owned(), platform: platform(), strategy: spec.matrix.strategy };
    let rendering = Rendering {
        namespace: spec.backend.kubernetes.namespace.clone().unwrap_or_else(|| format!("skew-{}", spec.system)),
        seats,
        replicas: args.replicas,
        addresses: args.addresses,
        seed: args.seed.unwrap_or_else(random_seed),
    };
    let files = render_kubernetes(&spec, &survey.resolved, &builded.images, &setting, &rendering)?;
    for (path, text) in &files {
        let path = args.output.join(path);
        let write = |source| CliError::File { action: "write", path: path.clone(), source };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(write)?;
        std::fs::write(&path, text).map_err(write)?;
        globals.say(&format!("wrote {}", path.display()));
    }
    if globals.json() {
        globals.print_json(&files.iter().map(|(path, _)| path).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Files of somebody else must not be among those that are applied.
fn empty(dir: &Path) -> Result<(), CliError> {
    match std::fs::read_dir(dir).map(|entries| entries.count()) {
        Ok(0) => Ok(()),
        Ok(_) => Err(CliError::Usage {
            message: format!("{} is not empty", dir.display()),
            hint: "everything in it would be applied: give a directory of its own".to_owned(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CliError::File { action: "read", path: dir.to_owned(), source }),
    }
}

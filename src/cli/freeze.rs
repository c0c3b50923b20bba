//! `skew freeze`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use skew_image::registry::{Access, Patience, Registry};
use skew_spec::{Spec, SpecSnapshot};

use super::error::CliError;
use super::runtime::block_on;
use super::{Globals, parse};
use crate::record::Store;
use crate::sweep::{self, BuildRequest, Builded, FileOrTag, Frozen, Look, Stop, Survey, by_key};
use crate::ui::Ui;

/// Settle a sweep beforehand: write down its spec, versions and images
///
/// Resolves every version and builds what is missing. `skew sweep --frozen FILE` then needs neither the repositories
/// nor the tools that build: only the images, from the layout here or from the registry they were pushed to.
#[derive(Debug, Args)]
pub(super) struct FreezeArgs {
    /// The spec
    spec: Option<PathBuf>,

    /// The file to write, or `oci://HOST/REPOSITORY:TAG` [default: standard output]
    #[arg(short, long, value_name = "PLACE")]
    output: Option<FileOrTag>,

    /// Builds at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    build_jobs: Option<usize>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(globals: &Globals, args: &FreezeArgs) -> Result<ExitCode, CliError> {
    let (snapshot, spec, survey, builded) = built(globals, args.spec.as_deref(), args.build_jobs, args.offline)?;
    let frozen = Frozen::new(snapshot, &survey.resolved, &builded.images, &builded.builds);
    match &args.output {
        Some(FileOrTag::File(path)) => skew_host::write_atomically(path, &frozen.to_bytes()?)
            .map_err(|source| CliError::File { action: "write", path: path.clone(), source })?,
        Some(FileOrTag::Remote { image, .. }) => {
            let insecure = spec.registry.is_some_and(|named| named.insecure && named.url.host == image.host);
            let (registry, scratch) = reach(globals, &image.host, insecure)?;
            block_on(async { Ok(frozen.put(&registry, image, scratch.path()).await?) })?;
        }
        None => globals.print_bytes(&frozen.to_bytes()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a frozen sweep.
pub(super) fn thawed(globals: &Globals, place: &FileOrTag) -> Result<Frozen, CliError> {
    let image = match place {
        FileOrTag::File(path) => return Ok(Frozen::open(path)?),
        FileOrTag::Remote { image, .. } => image,
    };
    // There is no spec yet that could say how its registry is spoken to.
    let (registry, scratch) = reach(globals, &image.host, globals.overrides()?.insecure(&image.host))?;
    block_on(async { Ok(Frozen::fetch(&registry, image, scratch.path()).await?) })
}

/// A registry, and a directory for what comes from it or goes there.
fn reach(globals: &Globals, host: &str, insecure: bool) -> Result<(Registry, tempfile::TempDir), CliError> {
    let temporary = |source| CliError::File { action: "make a directory in", path: std::env::temp_dir(), source };
    let scratch = tempfile::tempdir().map_err(temporary)?;
    let access = Access { docker_config: globals.host().docker_config(), insecure, patience: Patience::LONG };
    Ok((Registry::new(host, access)?, scratch))
}

/// Resolves a spec's versions and builds its images.
pub(super) fn built(
    globals: &Globals,
    spec: Option<&Path>,
    jobs: Option<usize>,
    offline: bool,
) -> Result<(SpecSnapshot, Spec, Survey, Builded), CliError> {
    let (spec, snapshot): (Spec, SpecSnapshot) = globals.snapshot(spec)?;
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let host = globals.host();
    let stdin = globals.stdin(&spec)?;
    let ui = Ui::start(globals.ui());
    let built = block_on(async {
        let (mut store, notices) = Store::open(state.dir())?;
        globals.notes(notices);
        let look = Look { spec: &spec, state: &state, host: &host, offline, stdin };
        let survey = sweep::survey(&look, &by_key(store.builds()?))?;
        let request = BuildRequest {
            spec: &spec,
            state: &state,
            host: &host,
            jobs,
            keep_failed: false,
            again: false,
            stop: Stop::new(),
            events: ui.sender(),
        };
        let builded = sweep::build(&request, &survey, &mut store).await?;
        Ok((survey, builded))
    });
    ui.finish();
    let (survey, builded) = built?;
    Ok((snapshot, spec, survey, builded))
}

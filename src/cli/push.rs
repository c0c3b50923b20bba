//! `skew push`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use skew_image::registry::Patience;

use super::build::chosen;
use super::error::{Class, CliError};
use super::globals::split_spec;
use super::runtime::block_on;
use super::{Globals, parse};
use crate::record::Store;
use crate::sweep::{self, BuildRequest, Look, Publisher, Stop, by_key};
use crate::ui::Ui;

/// Push images to the registry: all that a spec needs, or those that are named
///
/// The registry is that of the spec's `[registry]`, or of `--registry`. What is missing is built first, what is there
/// already is not sent again. Exits with 1 when a version does not build, with 3 when the registry does not take an
/// image.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// Images as `ROLE@VERSION`, and the spec
    #[arg(value_name = "ROLE@VERSION")]
    args: Vec<String>,

    /// Builds at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    build_jobs: Option<usize>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(globals: &Globals, args: &PushArgs) -> Result<ExitCode, CliError> {
    let (spec, named) = split_spec(&args.args)?;
    let spec = Arc::new(globals.load(spec.as_deref())?);
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let host = globals.host();
    let Some(publisher) = Publisher::of(&spec, &host, Patience::LONG)? else {
        return Err(no_registry());
    };
    let stdin = globals.stdin(&spec)?;
    let ui = Ui::start(globals.ui());
    let result = block_on(async {
        let (mut store, notices) = Store::open(state.dir())?;
        globals.notes(notices);
        let look = Look { spec: &spec, state: &state, host: &host, offline: args.offline, stdin };
        let recorded = by_key(store.builds()?);
        let surveying = || sweep::survey_chosen(&look, &recorded, |wanted| chosen(wanted, &named));
        let surveyed = tokio::task::block_in_place(surveying)?;
        let request = BuildRequest {
            spec: &spec,
            state: &state,
            host: &host,
            jobs: args.build_jobs,
            keep_failed: false,
            again: false,
            stop: Stop::new(),
            events: ui.sender(),
        };
        let builded = sweep::build(&request, &surveyed, &mut store).await?;
        let pushed = publisher.push(&surveyed, &builded.images, &request.events).await;
        Ok((builded, pushed))
    });
    ui.finish();
    let (builded, pushed) = result?;
    let mut text = String::new();
    let mut shown = Vec::new();
    let (mut unbuilt, mut failed) = (false, None);
    for (of, image) in &builded.images {
        let Err(why) = image else { continue };
        unbuilt |= !why.infrastructure;
        globals.say(&format!("not pushed: {of}: {}", crate::ui::escape(&why.detail, 300)));
        if why.infrastructure {
            failed = failed.or(Some(None));
        }
    }
    for (_, published) in pushed {
        match published {
            Ok(published) => {
                text.push_str(&format!("{} {}\n", published.of, published.reference));
                shown.push(serde_json::json!({
                    "image": published.of.to_string(),
                    "reference": published.reference,
                    "tags": published.tags.map(|tag| tag.to_string()),
                    "unchanged": published.pushed.unchanged,
                    "blobs": published.pushed.blobs,
                    "bytes": published.pushed.bytes,
                }));
            }
            Err(error) => failed = Some(Some(error)),
        }
    }
    if globals.json() {
        globals.print_json(&shown)?;
    } else {
        globals.print(&text)?;
    }
    match failed {
        Some(Some(error)) => Err(error.into()),
        _ if unbuilt => Ok(ExitCode::from(1)),
        Some(None) => Ok(ExitCode::from(Class::Infrastructure.code())),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn no_registry() -> CliError {
    CliError::Usage {
        message: "no registry was named".to_owned(),
        hint: "add `[registry]` with `url = \"HOST:PORT/PREFIX\"` to the spec, or give `--registry HOST:PORT/PREFIX`"
            .to_owned(),
    }
}

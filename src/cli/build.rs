//! `skew build` and `skew images`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use skew_core::model::Digest;
use skew_image::registry::Patience;
use skew_spec::RecipeKind;

use super::error::{Class, CliError};
use super::globals::split_spec;
use super::prepare::{self, Evidence};
use super::runtime::block_on;
use super::{Globals, parse};
use crate::record::Store;
use crate::sweep::{self, BuildRequest, Image, ImageOf, Look, Options, Publisher, Stop, Survey, Wanted, closest_name};
use crate::ui::Ui;

/// Build images: all that a spec needs, or those that are named
///
/// An image whose build key is there already is not built again. Exits with 1 when a version does not build.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Images as `ROLE@VERSION`, and the spec
    #[arg(value_name = "ROLE@VERSION")]
    args: Vec<String>,

    /// Build each twice, in different directories, without regard to build keys, and compare the digests
    #[arg(long)]
    twice: bool,

    /// Builds at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    build_jobs: Option<usize>,

    /// Do not fetch: versions are as they were when last seen
    #[arg(long)]
    offline: bool,

    /// Keep the worktrees of builds that failed
    #[arg(long)]
    keep_failed: bool,
}

/// List the images that are in the registry, or else in the layout, one reference a line
#[derive(Debug, Args)]
pub(super) struct ImagesArgs {
    /// The spec
    spec: Option<PathBuf>,
}

pub(super) fn run(globals: &Globals, args: &BuildArgs) -> Result<ExitCode, CliError> {
    let (spec, named) = split_spec(&args.args)?;
    let spec = Arc::new(globals.load(spec.as_deref())?);
    let state = globals.state_at(&globals.state_dir(&spec.path))?;
    let host = globals.host();
    let stdin = globals.stdin(&spec)?;
    let ui = Ui::start(globals.ui());
    let result = block_on(async {
        let (mut store, notices) = Store::open(state.dir())?;
        globals.notes(notices);
        // Whoever asks for a build by hand wants what failed before to be tried again.
        let look = Look { spec: &spec, state: &state, host: &host, offline: args.offline, stdin };
        let surveyed = sweep::survey_chosen(&look, &BTreeMap::new(), |wanted| chosen(wanted, &named))?;
        let request = BuildRequest {
            spec: &spec,
            state: &state,
            host: &host,
            jobs: args.build_jobs,
            keep_failed: args.keep_failed,
            again: args.twice,
            stop: Stop::new(),
            events: ui.sender(),
        };
        Ok((sweep::build(&request, &surveyed, &mut store).await?, surveyed))
    });
    ui.finish();
    let (builded, surveyed) = result?;
    let mut shown = Vec::new();
    let mut text = String::new();
    let (mut unbuilt, mut broken) = (false, false);
    for (of, image) in &builded.images {
        let mut notes = Vec::new();
        let (word, detail) = match image {
            Ok(image) => {
                let again = builded.again.get(of);
                match again {
                    Some(again) if *again != image.manifest => {
                        unbuilt = true;
                        notes = difference(&surveyed, of, image.manifest, *again);
                        ("differs", format!("{} then {again}", image.manifest))
                    }
                    Some(_) => {
                        notes.extend(kind(&surveyed, of).and_then(vouched));
                        ("same", image.manifest.to_string())
                    }
                    None => ("built", image.manifest.to_string()),
                }
            }
            Err(why) if why.infrastructure => {
                broken = true;
                ("error", crate::ui::escape(&why.detail, 300))
            }
            Err(why) => {
                unbuilt = true;
                ("unbuilt", crate::ui::escape(&why.detail, 300))
            }
        };
        text.push_str(&format!("{word:<8} {of}  {detail}\n"));
        notes.iter().for_each(|note| text.push_str(&format!("         {note}\n")));
        shown.push(serde_json::json!({ "image": of.to_string(), "state": word, "detail": detail, "notes": notes }));
    }
    drop(surveyed);
    if globals.json() {
        globals.print_json(&shown)?;
    } else {
        globals.print(&text)?;
    }
    Ok(match (unbuilt, broken) {
        (true, _) => ExitCode::from(1),
        (false, true) => ExitCode::from(Class::Infrastructure.code()),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// How an image is built.
fn kind<'a>(surveyed: &'a Survey, of: &ImageOf) -> Option<&'a RecipeKind> {
    surveyed.plans.iter().find(|plan| plan.wanted.of == *of).map(|plan| &plan.wanted.recipe.kind)
}

/// Where two builds differ first, and what to do about it.
fn difference(surveyed: &Survey, of: &ImageOf, one: Digest, two: Digest) -> Vec<String> {
    let first = match surveyed.layout.difference(&one, &two) {
        Ok(Some(first)) => format!("they differ first in {}: {}", crate::ui::escape(&first.place, 300), first.what),
        Ok(None) => "they hold the same, and are packed differently".to_owned(),
        Err(error) => format!("what differs cannot be told: failed to {}", sweep::chain(&error)),
    };
    std::iter::once(first).chain(kind(surveyed, of).map(|kind| remedy(kind).to_owned())).collect()
}

/// What makes a build come out differently, and what helps.
fn remedy(kind: &RecipeKind) -> &'static str {
    match kind {
        RecipeKind::Command(_) => {
            "a command that writes the time, its directory or a random number makes another image each time: take the time \
             from $SOURCE_DATE_EPOCH, and have the compiler leave $SOURCE out (--remap-path-prefix, -ffile-prefix-map)"
        }
        RecipeKind::Dockerfile(_) => {
            "a RUN that installs what is newest, or leaves logs, caches or the time in files, makes another image each time: \
             name versions, remove what is left in the same RUN, begin FROM a digest"
        }
        RecipeKind::Nix(_) => {
            "the derivation is not deterministic: `nix build --rebuild --keep-failed` keeps both outputs"
        }
        RecipeKind::Prebuilt(_) => "the files at its path changed between the two",
        RecipeKind::Image(_) => "the reference moved between the two: name a digest",
    }
}

/// What a build that came out the same does not say.
fn vouched(kind: &RecipeKind) -> Option<String> {
    match kind {
        RecipeKind::Nix(_) => Some(
            "Nix built it once: the second time it was in its store. `nix build --rebuild` says whether the derivation is \
             deterministic"
                .to_owned(),
        ),
        RecipeKind::Command(_) | RecipeKind::Dockerfile(_) | RecipeKind::Prebuilt(_) | RecipeKind::Image(_) => None,
    }
}

/// The images that were named: `ROLE@VERSION`, a role alone or a version alone; all when none was.
pub(super) fn chosen(images: Vec<Wanted>, named: &[String]) -> Result<Vec<Wanted>, CliError> {
    let is = |of: &ImageOf, name: &str| of.to_string() == name || of.reference() == name || of.version.as_str() == name;
    for name in named {
        if !images.iter().any(|image| is(&image.of, name)) {
            let names = images.iter().map(|image| image.of.to_string());
            return Err(CliError::Usage {
                message: format!("no image is called {name:?}"),
                hint: match closest_name(name, names) {
                    Some(closest) => format!("did you mean {closest}?"),
                    None => "write `ROLE@VERSION`, a role, or a version".to_owned(),
                },
            });
        }
    }
    let wanted = |image: &Wanted| named.is_empty() || named.iter().any(|name| is(&image.of, name));
    Ok(images.into_iter().filter(wanted).collect())
}

pub(super) fn images(globals: &Globals, args: &ImagesArgs) -> Result<(), CliError> {
    let options = Options { offline: true, ..Options::default() };
    let prepared = prepare::prepare(globals, args.spec.as_deref(), &options, Evidence::OfLastSweep)?;
    let publisher = Publisher::of(&prepared.spec, &globals.host(), Patience::SHORT)?;
    let mut shown = Vec::new();
    let mut text = String::new();
    let there = prepared.survey.plans.iter().filter_map(|plan| Some((&plan.wanted.of, plan.known.as_ref()?)));
    let there = there.filter_map(|(of, image)| Some((of, image.as_ref().ok()?)));
    let asked: Vec<(&ImageOf, &Image, Option<bool>)> = block_on(async {
        let mut asked = Vec::new();
        for (of, image) in there {
            let pushed = match &publisher {
                Some(publisher) => Some(publisher.has(of, image.manifest).await?),
                None => None,
            };
            asked.push((of, image, pushed));
        }
        Ok(asked)
    })?;
    for (of, image, pushed) in asked {
        let reference = match (&publisher, pushed) {
            (Some(publisher), Some(true)) => publisher.reference(of, image.manifest).to_string(),
            (Some(_), _) => {
                globals.say(&format!("note: {of} is not in the registry; `skew push` sends it"));
                continue;
            }
            (None, _) => format!("oci:{}@{}", prepared.survey.layout.root().display(), image.manifest),
        };
        text.push_str(&format!("{of} {reference}\n"));
        shown.push(serde_json::json!({
            "image": of.to_string(), "reference": reference, "manifest": image.manifest, "content": image.content,
        }));
    }
    if globals.json() {
        return globals.print_json(&shown);
    }
    globals.print(&text)
}

//! Recipes of kind `command`: a command in a worktree, shut off from this machine as far as a process can be.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use globset::GlobBuilder;
use skew_core::model::Fault;
use skew_host::{BUILD_MARK, Guard, Lock, end_marked};
use skew_spec::CommandRecipe;

use super::beside::{Beside, told};
use super::ending::{GRACE, judge, unfit, unstartable};
use super::error::{BuildError, ImageError};
use super::input::{Input, Site};
use super::log::follow;
use super::tools::{Machine, find_in};
use super::tree::Tree;
use crate::source::{GitError, apply_patch};

/// How long a build waits for its turn at a cache that another one uses.
const TURN: Duration = Duration::from_secs(6 * 3600);

/// Runs a recipe's command and collects the files of the image.
pub(crate) fn collect(
    machine: &Machine,
    input: &Input<'_>,
    recipe: &CommandRecipe,
    site: &Site<'_>,
) -> Result<Tree, BuildError> {
    let checkout = site.checkout;
    let (out, home, tmp) = (site.scratch.join("out"), site.scratch.join("home"), site.scratch.join("tmp"));
    for dir in [&out, &home, &tmp] {
        skew_host::remove_tree(dir).map_err(ImageError::write(dir))?;
        fs::create_dir_all(dir).map_err(ImageError::write(dir))?;
    }
    for patch in &recipe.patches {
        apply(patch, checkout)?;
    }
    let (_locks, caches) = caches(input, recipe, site)?;
    let mut env = machine.environment(recipe);
    env.extend(caches);
    let own: [(&str, &OsStr); 5] = [
        ("OUT", out.as_os_str()),
        ("SOURCE", checkout.as_os_str()),
        ("HOME", home.as_os_str()),
        ("TMPDIR", tmp.as_os_str()),
        (BUILD_MARK, site.scratch.as_os_str()),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env.insert("SOURCE_DATE_EPOCH".to_owned(), input.facts.epoch.to_string().into());
    // Of a bare file name the parent is empty, and means here.
    let beside = std::path::absolute(&input.recipe.path).map_err(ImageError::read(&input.recipe.path))?;
    let beside = beside.parent().unwrap_or(Path::new("/"));
    env.insert("SKEW_RECIPE".to_owned(), beside.into());
    if told(recipe, &input.recipe.paths, &Beside::of(recipe, &input.recipe.path)?) {
        env.insert("SKEW_VERSION".to_owned(), input.version.label.clone().into());
        env.insert("SKEW_COMMIT".to_owned(), input.version.commit.as_str().into());
    }
    run(recipe, &machine.path(recipe), env, site)?;
    let mut tree = Tree::default();
    let private = [site.scratch, checkout];
    tree.add_directory(&out, Path::new(""), &private).map_err(unfit)?;
    for (pattern, into) in &recipe.files {
        pick(&mut tree, checkout, pattern, into, &private)?;
    }
    if tree.entries.is_empty() {
        return Err(BuildError::unbuilt("the build put nothing into $OUT, and the recipe names no `files`"));
    }
    Ok(tree)
}

fn apply(patch: &Path, checkout: &Path) -> Result<(), BuildError> {
    // Read here, so that a patch that is not there is no fault of the version's.
    let text = fs::read(patch).map_err(ImageError::read(patch))?;
    match apply_patch(&text, checkout) {
        Ok(()) => Ok(()),
        Err(GitError::Refused { message, .. }) => {
            Err(BuildError::unbuilt(format!("the patch {} does not apply: {message}", patch.display())))
        }
        Err(error) => Err(BuildError::infrastructure(Fault::Image, error.to_string())),
    }
}

/// The locks of a recipe's caches, and their variables.
type Caches = (Vec<Lock>, Vec<(String, std::ffi::OsString)>);

fn caches(input: &Input<'_>, recipe: &CommandRecipe, site: &Site<'_>) -> Result<Caches, ImageError> {
    let mut names: Vec<&String> = recipe.caches.values().collect();
    // Always in the same order: no two builds wait for each other.
    names.sort();
    names.dedup();
    let mut locks = Vec::new();
    for name in names {
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
        if !plain {
            return Err(ImageError::Recipe {
                recipe: input.recipe.path.clone(),
                why: format!("the cache {name:?} must be named with letters, digits, `.`, `_` and `-`"),
            });
        }
        let lock = site.caches.join(format!("{name}.lock"));
        locks.push(Lock::acquire(&lock, TURN, site.cancel).map_err(ImageError::Cache)?);
        let dir = site.caches.join(name);
        fs::create_dir_all(&dir).map_err(ImageError::write(&dir))?;
    }
    let variables = recipe
        .caches
        .iter()
        .map(|(variable, name)| (variable.clone(), site.caches.join(name).into_os_string()))
        .collect();
    Ok((locks, variables))
}

fn run(
    recipe: &CommandRecipe,
    path: &[PathBuf],
    env: impl IntoIterator<Item = (String, std::ffi::OsString)>,
    site: &Site<'_>,
) -> Result<(), BuildError> {
    let missing = |program: &str| {
        BuildError::infrastructure(
            Fault::Image,
            format!("{program:?} is not on the build's PATH; declare it in the recipe's `tools`, and install it"),
        )
    };
    let [program, arguments @ ..] = &recipe.run[..] else {
        return Err(missing(""));
    };
    let found = find_in(program, path.iter().cloned()).ok_or_else(|| missing(program))?;
    let (reader, writer) = io::pipe().map_err(|error| unstartable(program, &error))?;
    let twin = writer.try_clone().map_err(|error| unstartable(program, &error))?;
    if let Some(dir) = site.log.parent() {
        fs::create_dir_all(dir).map_err(ImageError::write(dir))?;
    }
    let said = follow(reader, site.log, site.log_bytes).map_err(ImageError::write(site.log))?;
    let mut command = Command::new(site.checkout.join(found));
    command
        .args(arguments)
        .env_clear()
        .envs(env)
        .current_dir(site.checkout)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(twin);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let started = command.spawn();
    // It holds the writing end of the pipe, which must close for the log to end.
    drop(command);
    let mut child = match started {
        Ok(child) => child,
        // It would have come with the checkout.
        Err(_) if program.contains('/') && !site.checkout.join(program).exists() => {
            return Err(BuildError::unbuilt(format!("there is no {program} at this version")));
        }
        Err(error) if program.contains('/') && error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(BuildError::unbuilt(format!("{program} is not executable at this version")));
        }
        Err(error) => return Err(unstartable(program, &error)),
    };
    let guard = Guard { within: recipe.within, grace: GRACE, cancel: site.cancel };
    let ended = skew_host::wait(&mut child, &guard).map_err(|error| unstartable(program, &error))?;
    // Whoever left the build's process group carries its mark still.
    end_marked(BUILD_MARK, site.scratch);
    judge(recipe.within, ended, &said, site)
}

/// Puts files of the checkout into the image.
///
/// A pattern without wildcards is a file, which goes to `into` (below it when `into` ends with `/`), or a directory,
/// whose content goes below `into`. What a pattern with wildcards matches goes below `into`, by its path below the
/// directories that the pattern names.
fn pick(tree: &mut Tree, checkout: &Path, pattern: &str, into: &str, private: &[&Path]) -> Result<(), BuildError> {
    let nothing = || {
        BuildError::unbuilt(format!(
            "the recipe's `files` name {pattern:?}, which matches nothing in the checkout after the build"
        ))
    };
    let wild = |text: &str| text.contains(['*', '?', '[', '{']);
    if !wild(pattern) {
        let below = super::tree::inside(Path::new(pattern)).ok_or_else(nothing)?;
        let from = checkout.join(&below);
        let meta = fs::symlink_metadata(&from).map_err(|_| nothing())?;
        if meta.is_dir() {
            return tree.add_directory(&from, Path::new(into), private).map_err(unfit);
        }
        let name = below.file_name().unwrap_or_default();
        let at = match into.is_empty() || into.ends_with('/') {
            true => Path::new(into).join(name),
            false => PathBuf::from(into),
        };
        return tree.add(&from, checkout, &at, private).map_err(unfit);
    }
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| BuildError::infrastructure(Fault::Image, format!("the recipe's `files`: {error}")))?
        .compile_matcher();
    let fixed: PathBuf =
        Path::new(pattern).components().take_while(|part| !wild(&part.as_os_str().to_string_lossy())).collect();
    let root = super::tree::inside(&fixed).ok_or_else(nothing)?;
    let mut matched = false;
    for entry in walkdir::WalkDir::new(checkout.join(&root))
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.file_name() != OsStr::new(".git"))
        .filter_map(Result::ok)
    {
        let Ok(below) = entry.path().strip_prefix(checkout) else {
            continue;
        };
        if entry.file_type().is_dir() || !glob.is_match(below) {
            continue;
        }
        matched = true;
        let at = Path::new(into).join(below.strip_prefix(&root).unwrap_or(below));
        tree.add(entry.path(), checkout, &at, private).map_err(unfit)?;
    }
    if matched { Ok(()) } else { Err(nothing()) }
}

//! Recipes of kind `nix`: an output of the checkout's flake with everything it refers to, store path by store path.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use skew_core::model::{Digest, Fault};
use skew_host::{BUILD_MARK, Cancel, Guard, end_marked, remove_tree};
use skew_spec::NixRecipe;

use super::ending::{GRACE, judge, unfit, unstartable};
use super::error::{BuildError, ImageError, unwritten};
use super::gzip::Written;
use super::input::{Input, Site};
use super::layer;
use super::log::follow;
use super::needs::{Need, Remedy};
use super::oci::Runtime;
use super::tools::Machine;
use super::tree::{Entry, Tree};

/// What recipes of this kind are built with.
pub(super) const PROGRAM: &str = "nix";
/// What the commands need that Nix calls experimental.
const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];
/// How long Nix may think about what an output refers to.
const QUERY: Duration = Duration::from_secs(120);
/// How much it may say about that.
const REFERENCES: usize = 16 << 20;
/// How much of what it says about a build is read.
const SAID: usize = 64 << 10;
/// A flake that needs nothing from anywhere, not even a shell: there is none in every sandbox.
const PROBE: &str = r#"{
  outputs = { self }: {
    packages = builtins.listToAttrs (map (system: {
      name = system;
      value.probe = derivation {
        inherit system;
        name = "skew-doctor";
        builder = "builtin:buildenv";
        derivations = "";
        manifest = "/dev/null";
        preferLocalBuild = true;
        allowSubstitutes = false;
      };
    }) [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ]);
  };
}
"#;

/// Builds the image of a recipe: its config and its layers, which are in the layout then.
pub(crate) fn build(
    machine: &Machine,
    input: &Input<'_>,
    recipe: &NixRecipe,
    site: &Site<'_>,
) -> Result<(Value, Vec<Written>), BuildError> {
    let scratch = site.scratch;
    remove_tree(scratch).map_err(ImageError::write(scratch))?;
    fs::create_dir_all(scratch).map_err(ImageError::write(scratch))?;
    let nix = machine.program(PROGRAM).ok_or_else(|| {
        BuildError::infrastructure(Fault::Image, "`nix` is not on PATH; install it to use recipes of kind `nix`")
    })?;
    let flake = site.checkout.join(&recipe.flake);
    if !flake.join("flake.nix").is_file() {
        let place = Path::new(&recipe.flake).join("flake.nix");
        return Err(BuildError::unbuilt(format!("there is no {} at this version", place.display())));
    }
    let output = realise(machine, &nix, &flake, recipe, site)?;
    let closure = closure(machine, &nix, &output, site)?;
    let epoch = input.facts.epoch;
    let mut layers = Vec::new();
    for paths in stacked(&closure, recipe.layers - 1).map_err(ImageError::read(&output))? {
        if site.cancel.is_cancelled() {
            return Err(BuildError::infrastructure(Fault::Deadline, "the build was cancelled"));
        }
        let mut tree = Tree::default();
        for path in paths {
            let into = path.strip_prefix("/").unwrap_or(&path);
            let added = match fs::symlink_metadata(&path).map_err(ImageError::read(&path))?.is_dir() {
                true => tree.add_directory(&path, into, &[]),
                false => tree.add(&path, Path::new("/"), into, &[]),
            };
            added.map_err(unfit)?;
        }
        layers.push(layer::write(&tree, epoch, &site.layout.blobs).map_err(unwritten)?);
    }
    let links = links(&output).map_err(ImageError::read(&output))?;
    layers.push(layer::write(&links, epoch, &site.layout.blobs).map_err(unwritten)?);
    let diffs: Vec<Digest> = layers.iter().map(|layer| layer.diff).collect();
    let runtime = Runtime { entrypoint: &input.recipe.entrypoint, diffs: &diffs };
    Ok((runtime.config(epoch), layers))
}

/// Nix with the person's settings for it, and nothing else of their environment.
fn command(machine: &Machine, nix: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(nix);
    command.args(FEATURES).env_clear().envs(machine.settings("NIX_")).env(BUILD_MARK, scratch);
    command.env("LC_ALL", "C").current_dir(scratch).stdin(Stdio::null());
    command
}

/// Nix itself, and whether it builds flakes. Builds nothing that anybody asked for.
pub(super) fn need(machine: &Machine, nix: &Path) -> Need {
    Need { name: PROGRAM.to_owned(), state: probe(machine, nix).map_err(|why| (why, Remedy::Nix)) }
}

/// Whether this Nix builds flakes: its name for itself, or why it does not.
fn probe(machine: &Machine, nix: &Path) -> Result<String, String> {
    let scratch = tempfile::tempdir().map_err(|error| format!("cannot be tried: {error}"))?;
    let flake = scratch.path().join("flake");
    fs::create_dir(&flake)
        .and_then(|()| fs::write(flake.join("flake.nix"), PROBE))
        .map_err(|error| format!("cannot be tried: {error}"))?;
    let target = format!("path:{}#probe", flake.display());
    let ask = |arguments: &[&str]| {
        let mut asking = command(machine, nix, scratch.path());
        asking.args(arguments);
        let guard = Guard { within: QUERY, grace: GRACE, cancel: &Cancel::new() };
        let told = skew_host::run(asking, None, SAID, &guard).map_err(|error| error.to_string())?;
        if told.ended.success() {
            return Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&told.stderr);
        let line = said.lines().find_map(|line| line.trim().strip_prefix("error: "));
        let line = line.or_else(|| said.lines().find(|line| !line.trim().is_empty()));
        Err(line.map_or_else(|| format!("it {}", told.ended), str::to_owned))
    };
    let name = ask(&["--version"])?;
    let version = name.strip_prefix("nix (Nix) ").unwrap_or(&name);
    // What the store has from the last time says nothing about today, so that it is built once more.
    for again in [&[][..], &["--rebuild"]] {
        ask(&[&["build", "--no-link", &target], again].concat())?;
    }
    Ok(format!("{version}, builds flakes"))
}

/// Builds the output; where it is.
fn realise(
    machine: &Machine,
    nix: &Path,
    flake: &Path,
    recipe: &NixRecipe,
    site: &Site<'_>,
) -> Result<PathBuf, BuildError> {
    let answer = site.scratch.join("answer.json");
    if let Some(dir) = site.log.parent() {
        fs::create_dir_all(dir).map_err(ImageError::write(dir))?;
    }
    let (reader, writer) = io::pipe().map_err(|error| unstartable("nix", &error))?;
    let said = follow(reader, site.log, site.log_bytes).map_err(ImageError::write(site.log))?;
    let mut building = command(machine, nix, site.scratch);
    // As a path, not as a git repository: the worktree is what was checked out and nothing else.
    let target = match recipe.attr.as_str() {
        "" => format!("path:{}", flake.display()),
        attr => format!("path:{}#{attr}", flake.display()),
    };
    building.args(["build", "--no-link", "--json", "--print-build-logs", &target]);
    building.stdout(File::create(&answer).map_err(ImageError::write(&answer))?).stderr(writer).process_group(0);
    let started = building.spawn();
    drop(building);
    let mut child = started.map_err(|error| unstartable("nix", &error))?;
    let guard = Guard { within: recipe.within, grace: GRACE, cancel: site.cancel };
    let ended = skew_host::wait(&mut child, &guard).map_err(|error| unstartable("nix", &error))?;
    end_marked(BUILD_MARK, site.scratch);
    judge(recipe.within, ended, &said, site)?;
    let text = fs::read(&answer).map_err(ImageError::read(&answer))?;
    let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
    let outputs = &answer[0]["outputs"];
    let output = outputs["out"].as_str().or_else(|| outputs.as_object()?.values().next()?.as_str());
    output.map(PathBuf::from).ok_or_else(|| BuildError::unbuilt(format!("`nix build {target}` gave no output")))
}

/// The output and everything it refers to, in order.
fn closure(machine: &Machine, nix: &Path, output: &Path, site: &Site<'_>) -> Result<Vec<PathBuf>, BuildError> {
    let mut asking = command(machine, nix, site.scratch);
    asking.args(["path-info", "--recursive"]).arg(output);
    let guard = Guard { within: QUERY, grace: GRACE, cancel: site.cancel };
    let told = skew_host::run(asking, None, REFERENCES, &guard).map_err(|error| unstartable("nix", &error))?;
    let paths = String::from_utf8_lossy(&told.stdout);
    let mut paths: Vec<PathBuf> = paths.lines().map(PathBuf::from).filter(|path| path.is_absolute()).collect();
    if !told.ended.success() || told.truncated || paths.is_empty() {
        let said = String::from_utf8_lossy(&told.stderr);
        let detail = format!("nix does not say what {} needs: {}", output.display(), said.trim());
        return Err(BuildError::infrastructure(Fault::Image, detail));
    }
    paths.sort();
    Ok(paths)
}

/// Which store paths share a layer: the largest have one of their own, the others the last one together.
fn stacked(closure: &[PathBuf], layers: usize) -> io::Result<Vec<Vec<PathBuf>>> {
    let mut sized = Vec::new();
    for path in closure {
        let mut bytes = 0;
        for entry in walkdir::WalkDir::new(path) {
            bytes += entry?.metadata()?.len();
        }
        sized.push((std::cmp::Reverse(bytes), path.clone()));
    }
    sized.sort();
    let all = sized.into_iter().map(|(_, path)| path);
    let own = if closure.len() <= layers { layers } else { layers - 1 };
    let (own, mut rest): (Vec<_>, Vec<_>) = all.enumerate().partition(|(n, _)| *n < own);
    let mut stacks: Vec<Vec<PathBuf>> = own.into_iter().map(|(_, path)| vec![path]).collect();
    if !rest.is_empty() {
        rest.sort_by(|(_, a), (_, b)| a.cmp(b));
        stacks.push(rest.into_iter().map(|(_, path)| path).collect());
    }
    Ok(stacks)
}

/// What is in the output, at the image's root.
fn links(output: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    let below = output.strip_prefix("/").unwrap_or(output);
    if !fs::symlink_metadata(output)?.is_dir() {
        let name = below.file_name().unwrap_or_default();
        tree.entries.insert(name.as_encoded_bytes().to_vec(), Entry::Link(below.to_owned()));
        return Ok(tree);
    }
    for entry in fs::read_dir(output)? {
        let name = entry?.file_name();
        if name != "nix" && name != "nix-support" {
            tree.entries.insert(name.as_encoded_bytes().to_vec(), Entry::Link(below.join(&name)));
        }
    }
    Ok(tree)
}

/// What of a recipe is in its key.
pub(crate) fn described(recipe: &NixRecipe) -> Value {
    json!({ "attr": recipe.attr, "flake": recipe.flake, "layers": recipe.layers, "submodules": recipe.submodules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_have_layers_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let sizes = [("a", 10), ("b", 3000), ("c", 20_000), ("d", 5)];
        let paths: Vec<PathBuf> = sizes.iter().map(|(name, _)| dir.path().join(name)).collect();
        for (path, (_, size)) in paths.iter().zip(sizes) {
            fs::write(path, vec![0; size]).unwrap();
        }
        let names = |layers| -> Vec<String> {
            let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            let stacks = stacked(&paths, layers).unwrap();
            stacks.iter().map(|stack| stack.iter().map(name).collect::<String>()).collect()
        };
        assert_eq!(names(9), ["c", "b", "a", "d"]);
        assert_eq!(names(4), ["c", "b", "a", "d"]);
        assert_eq!(names(3), ["c", "b", "ad"]);
        assert_eq!(names(1), ["abcd"]);
    }

    #[test]
    fn the_output_is_found_at_the_root() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "lib", "nix-support"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let tree = links(dir.path()).unwrap();
        let names: Vec<_> = tree.entries.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(names, ["bin", "lib"]);
        let below = dir.path().strip_prefix("/").unwrap().join("bin");
        assert_eq!(tree.entries[b"bin".as_slice()], Entry::Link(below));
    }
}

//! Build keys: the same key, the same image. Everything that can change an image is in its key, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::ImageError;
use super::foreign::References;
use super::input::Input;
use super::nix;
use super::oci::{architecture, os};
use super::prebuilt::{self, Place};
use super::tools::Machine;
use crate::model::{Digest, DigestBuilder};
use crate::source::Facts;
use crate::spec::{CommandRecipe, RecipeKind};

/// How builds are done and layers are made. Counted up when a new skew would make another image of the same input.
const BUILDER_EPOCH: &str = "2";

/// The most that all files beside a recipe may have, in bytes.
const BESIDE: u64 = 64 << 20;

/// The key of an image.
pub(crate) fn key(machine: &Machine, references: &References, input: &Input<'_>) -> Result<Digest, ImageError> {
    let mut builder = DigestBuilder::new("build");
    builder.text(BUILDER_EPOCH).text(os()).text(architecture());
    list(&mut builder, &input.recipe.entrypoint);
    builder.text(&input.facts.epoch.to_string());
    match &input.recipe.kind {
        RecipeKind::Command(recipe) => command(&mut builder, machine, input, recipe)?,
        RecipeKind::Prebuilt(recipe) => {
            builder.text("prebuilt").text(&recipe.strip.to_string());
            match prebuilt::place(input, recipe)? {
                Place::Directory(dir) => builder.text("directory").digest(&digest_tree(&dir, u64::MAX, &|_| true)?),
                Place::Tarball { sha256, .. } => builder.text("tarball").digest(&sha256),
            };
        }
        RecipeKind::Image(recipe) => {
            // The image itself, whatever it is called and wherever it is.
            builder.text("image").digest(&references.resolve(input, recipe)?.1);
        }
        RecipeKind::Dockerfile(recipe) => {
            // What the Dockerfile fetches is its own matter, as with every build: pin it by digest.
            builder.text("dockerfile").text(&recipe.dockerfile).text(&recipe.context);
            builder.text(recipe.target.as_deref().unwrap_or_default());
            map(&mut builder, "args", &recipe.args);
            builder.text(if recipe.submodules { "submodules" } else { "" });
            trees(&mut builder, input.facts);
        }
        RecipeKind::Nix(recipe) => {
            builder.text("nix").digest(&Digest::of_json(&nix::described(recipe)));
            trees(&mut builder, input.facts);
        }
    }
    Ok(builder.finish())
}

fn command(
    builder: &mut DigestBuilder,
    machine: &Machine,
    input: &Input<'_>,
    recipe: &CommandRecipe,
) -> Result<(), ImageError> {
    builder.text("command");
    list(builder, &recipe.run);
    for (name, value) in machine.environment(recipe) {
        // Where this machine keeps the tools says nothing about them: `tools` and `inputs` do.
        if name != "PATH" {
            builder.text(&name).bytes(value.as_encoded_bytes());
        }
    }
    list(builder, &recipe.tools);
    for command in &recipe.inputs {
        list(builder, command);
        builder.bytes(&machine.output(command, recipe)?);
    }
    map(builder, "caches", &recipe.caches);
    map(builder, "files", &recipe.files);
    for patch in &recipe.patches {
        builder.bytes(&std::fs::read(patch).map_err(ImageError::read(patch))?);
    }
    builder.text(if recipe.submodules { "submodules" } else { "" });
    trees(builder, input.facts);
    let beside = Beside::of(recipe, &input.recipe.path)?;
    for (name, digest) in &beside.files {
        builder.text(name).digest(digest);
    }
    // A build that is told its version makes another image for each.
    if told(recipe, &input.recipe.paths, &beside) {
        builder.text(&input.version.label).text(input.version.commit.as_str());
    }
    Ok(())
}

/// Whether a build is told its version and commit.
///
/// Without `paths` everything of a commit is in the key anyway. With them, a commit that touches none of the paths must
/// cost no build; so only a recipe that names the variables gets them, and then builds each commit.
pub(crate) fn told(recipe: &CommandRecipe, paths: &[String], beside: &Beside) -> bool {
    let names = ["SKEW_VERSION", "SKEW_COMMIT"];
    let mentions = |text: &String| names.iter().any(|name| text.contains(name));
    paths.is_empty() || recipe.run.iter().any(mentions) || recipe.env.values().any(mentions) || beside.told
}

/// The files beside a recipe that its command uses: those it names as `$SKEW_RECIPE/…`, and those that these name.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// By the path as named.
    files: BTreeMap<String, Digest>,
    /// Whether one of them names the version's variables.
    told: bool,
}

impl Beside {
    /// Finds and reads them.
    pub fn of(recipe: &CommandRecipe, path: &Path) -> Result<Self, ImageError> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut beside = Self::default();
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for text in recipe.run.iter().chain(recipe.env.values()) {
            wanted.extend(named(text));
        }
        let mut bytes = 0;
        while let Some(name) = wanted.pop_first() {
            if beside.files.contains_key(&name) {
                continue;
            }
            let file = dir.join(&name);
            let digest = if file.is_dir() {
                // The recipes themselves are in the key as what they mean, not as their text.
                digest_tree(&file, BESIDE, &|path| {
                    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                    !hidden && path.extension().is_none_or(|extension| extension != "toml")
                })?
            } else if file.exists() {
                let text = std::fs::read(&file).map_err(ImageError::read(&file))?;
                bytes += text.len() as u64;
                if let Ok(text) = std::str::from_utf8(&text) {
                    wanted.extend(named(text));
                    beside.told |= text.contains("SKEW_VERSION") || text.contains("SKEW_COMMIT");
                }
                Digest::of(&text)
            } else {
                // Perhaps the command makes do without it.
                Digest::of(b"")
            };
            beside.files.insert(name, digest);
            if bytes > BESIDE {
                return Err(ImageError::Recipe {
                    recipe: path.to_owned(),
                    why: format!(
                        "the files beside it that its command uses have more than {BESIDE} bytes; name those that it \
                         needs as $SKEW_RECIPE/FILE"
                    ),
                });
            }
        }
        Ok(beside)
    }
}

/// The paths that a text names below `$SKEW_RECIPE`; `.` for the directory itself.
fn named(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("SKEW_RECIPE") {
        rest = &rest[at + "SKEW_RECIPE".len()..];
        // `${SKEW_RECIPE}/x`, `"$SKEW_RECIPE"/x`
        let after = rest.trim_start_matches(['}', '"']);
        let name: String = match after.strip_prefix('/') {
            Some(path) => path.chars().take_while(|c| c.is_alphanumeric() || "._-+/".contains(*c)).collect(),
            None => String::new(),
        };
        let name = name.trim_end_matches(['/', '.']);
        names.push(if name.is_empty() { "." } else { name }.to_owned());
    }
    names
}

fn trees(builder: &mut DigestBuilder, facts: &Facts) {
    for (path, tree) in &facts.trees {
        builder.text(path).text(tree.as_deref().unwrap_or("absent"));
    }
}

fn list(builder: &mut DigestBuilder, items: &[String]) {
    builder.text(&items.len().to_string());
    for item in items {
        builder.text(item);
    }
}

fn map(builder: &mut DigestBuilder, what: &str, items: &BTreeMap<String, String>) {
    builder.text(what).text(&items.len().to_string());
    for (name, value) in items {
        builder.text(name).text(value);
    }
}

/// The digest of the files of a directory: their paths, whether they may be executed, what is in them.
fn digest_tree(dir: &Path, bound: u64, wanted: &dyn Fn(&Path) -> bool) -> Result<Digest, ImageError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut builder = DigestBuilder::new("tree");
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(dir)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".git" && (entry.depth() == 0 || wanted(entry.path())))
    {
        let entry = entry.map_err(|error| {
            let path: PathBuf = error.path().unwrap_or(dir).to_owned();
            ImageError::read(&path)(error.into())
        })?;
        let path = entry.path();
        let below = path.strip_prefix(dir).unwrap_or(path);
        builder.bytes(below.as_os_str().as_encoded_bytes());
        if entry.file_type().is_symlink() {
            let target = std::fs::read_link(path).map_err(ImageError::read(path))?;
            builder.text("link").bytes(target.as_os_str().as_encoded_bytes());
        } else if entry.file_type().is_dir() {
            builder.text("directory");
        } else {
            let meta = entry.metadata().map_err(|error| ImageError::read(path)(error.into()))?;
            bytes += meta.len();
            if bytes > bound {
                return Err(ImageError::Recipe {
                    recipe: dir.to_owned(),
                    why: format!(
                        "its files have more than {bound} bytes; a recipe that uses some of them names them as \
                         $SKEW_RECIPE/FILE"
                    ),
                });
            }
            let executable = meta.permissions().mode() & 0o111 != 0;
            builder.text(if executable { "program" } else { "file" });
            builder.digest(&digest_file(path)?);
        }
    }
    Ok(builder.finish())
}

/// The digest of a file of any size.
pub(crate) fn digest_file(path: &Path) -> Result<Digest, ImageError> {
    let file = std::fs::File::open(path).map_err(ImageError::read(path))?;
    let mut hashing = super::store::Hashing::new(file);
    std::io::copy(&mut hashing, &mut std::io::sink()).map_err(ImageError::read(path))?;
    Ok(hashing.finish().1)
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn files_beside_a_recipe_are_found() {
        for (text, expect) in [
            ("make", &[][..]),
            ("exec sh $SKEW_RECIPE/build.sh", &["build.sh"]),
            ("cp ${SKEW_RECIPE}/a/b.c \"$SKEW_RECIPE\"/d.h .", &["a/b.c", "d.h"]),
            ("cd \"$SKEW_RECIPE/sub\" && ls $SKEW_RECIPE", &["sub", "."]),
            ("source $SKEW_RECIPE/x.", &["x"]),
        ] {
            assert_eq!(named(text), expect, "{text}");
        }
    }
}

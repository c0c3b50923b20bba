//! Recipes of kind `dockerfile`: Docker builds an image from the checkout, and the image is taken over into the layout.
//!
//! Nothing of it stays with Docker, neither a name nor its cache: two builds are two builds, and their comparison says
//! something. What versions share belongs into a base image.

use skew_core::text::duration;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::BuildInfo;
use bollard::query_parameters::{BuildImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions};
use bollard::{API_DEFAULT_VERSION, Docker, body_try_stream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use globset::GlobBuilder;
use serde_json::Value;
use skew_core::model::Fault;
use skew_host::remove_tree;
use skew_spec::DockerfileRecipe;
use tar::{EntryType, Header};

use super::apart::{apart, cancelled};
use super::ending::{FULL, MEMORY, UNREACHABLE};
use super::error::{BuildError, ImageError};
use super::gzip::Written;
use super::input::{Input, Site};
use super::log::{Said, follow};
use super::needs::{Need, Remedy};
use super::save;

/// Where Docker listens when the environment does not say.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// How long Docker may take to begin an answer, in seconds.
const ANSWER: u64 = 120;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// How long the log's end may take to arrive.
const DRAIN: Duration = Duration::from_secs(10);

/// What Docker says when it could not have the image that a build begins with.
const NO_BASE: &[&str] = &[
    "pull access denied",
    "manifest unknown",
    "no such host",
    "i/o timeout",
    "connection refused",
    "toomanyrequests",
    "tls handshake timeout",
    "request canceled while waiting for connection",
];

/// Builds the image of a recipe: its config and its layers, which are in the layout then.
pub(crate) fn build(
    socket: Option<&str>,
    input: &Input<'_>,
    recipe: &DockerfileRecipe,
    site: &Site<'_>,
) -> Result<(Value, Vec<Written>), BuildError> {
    let scratch = site.scratch;
    remove_tree(scratch).map_err(ImageError::write(scratch))?;
    fs::create_dir_all(scratch).map_err(ImageError::write(scratch))?;
    let context = site.checkout.join(&recipe.context);
    if !context.join(&recipe.dockerfile).is_file() {
        let place = Path::new(&recipe.context).join(&recipe.dockerfile);
        return Err(BuildError::unbuilt(format!("there is no {} at this version", place.display())));
    }
    let archive = scratch.join("context.tar");
    pack(&context, &recipe.dockerfile, input.facts.epoch, &archive).map_err(ImageError::read(&context))?;
    if let Some(dir) = site.log.parent() {
        fs::create_dir_all(dir).map_err(ImageError::write(dir))?;
    }
    let saved = scratch.join("image.tar");
    apart(async || run(socket.unwrap_or(SOCKET), recipe, site, &archive, &saved).await)??;
    save::import(&saved, input, site)
}

/// Docker, and whether it answers.
pub(super) fn need(socket: Option<&str>) -> Need {
    Need { name: "docker engine".to_owned(), state: probe(socket).map_err(|why| (why, Remedy::Docker)) }
}

/// Whether Docker answers: which one it is, or why not.
fn probe(socket: Option<&str>) -> Result<String, String> {
    let answer = apart(async || connect(socket.unwrap_or(SOCKET)).await?.version().await);
    let version = answer.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok(format!("Docker Engine {}", version.version.unwrap_or_default()))
}

/// Has Docker build the archive's Dockerfile and save the image.
async fn run(
    socket: &str,
    recipe: &DockerfileRecipe,
    site: &Site<'_>,
    context: &Path,
    saved: &Path,
) -> Result<(), BuildError> {
    let unreachable = |error: Error| {
        let hint = "is Docker running, and may you use its socket?";
        BuildError::infrastructure(Fault::Image, format!("cannot reach Docker at {socket} ({hint}): {error}"))
    };
    let docker = connect(socket).await.map_err(unreachable)?;
    let tag = format!("skew.local/build:{:016x}", rand::random::<u64>());
    let before = images(&docker).await;
    let made = Mutex::new(Vec::new());
    let work = async {
        build_image(&docker, recipe, site, context, &tag, &made).await?;
        save_image(&docker, &tag, saved).await
    };
    let ended = tokio::select! {
        done = work => done,
        () = cancelled(site.cancel) => Err(BuildError::infrastructure(Fault::Deadline, "the build was cancelled")),
        () = tokio::time::sleep(recipe.within) => {
            let limit = duration(recipe.within);
            let detail = format!("the build did not end within {limit}; the recipe's `within` can be raised");
            Err(BuildError::unbuilt(detail))
        }
    };
    // The image's own layers go with its name; those of what it was built on stay. None was made when it failed.
    let _ = docker.remove_image(&tag, None::<RemoveImageOptions>, None).await;
    let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Ok(before) = before {
        forget(&docker, &made, &before).await;
    }
    ended
}

async fn connect(socket: &str) -> Result<Docker, Error> {
    Docker::connect_with_unix(socket, ANSWER, API_DEFAULT_VERSION)?.negotiate_version().await
}

/// The ids of all images.
async fn images(docker: &Docker) -> Result<BTreeSet<String>, Error> {
    let all = docker.list_images(Some(ListImagesOptionsBuilder::new().all(true).build())).await?;
    Ok(all.into_iter().map(|image| image.id).collect())
}

/// Removes what a build made on its way: the stages that are not the image, and what a failed build had so far. What was
/// there before, or has a name, is somebody's.
async fn forget(docker: &Docker, made: &[String], before: &BTreeSet<String>) {
    for id in made.iter().rev() {
        let Ok(image) = docker.inspect_image(id).await else { continue };
        let named = image.repo_tags.is_some_and(|tags| !tags.is_empty())
            || image.repo_digests.is_some_and(|digests| !digests.is_empty());
        let new = image.id.is_some_and(|id| !before.contains(&id));
        if new && !named {
            // One that is still in use goes with what uses it.
            let _ = docker.remove_image(id, None::<RemoveImageOptions>, None).await;
        }
    }
}

/// The image that a line of a build's log tells of.
fn image_of(line: &str) -> Option<&str> {
    let id = line.trim().strip_prefix("---> ").or_else(|| line.trim().strip_prefix("Successfully built "))?;
    (id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

async fn build_image(
    docker: &Docker,
    recipe: &DockerfileRecipe,
    site: &Site<'_>,
    context: &Path,
    tag: &str,
    made: &Mutex<Vec<String>>,
) -> Result<(), BuildError> {
    let args: HashMap<&str, &str> = recipe.args.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut options = BuildImageOptionsBuilder::new()
        .dockerfile(&recipe.dockerfile)
        .t(tag)
        .nocache(true)
        .rm(true)
        .forcerm(true)
        .buildargs(&args);
    if let Some(target) = &recipe.target {
        options = options.target(target);
    }
    let (reader, mut writer) = io::pipe().map_err(ImageError::write(site.log))?;
    let said = follow(reader, site.log, site.log_bytes).map_err(ImageError::write(site.log))?;
    let body = body_try_stream(chunks(File::open(context).map_err(ImageError::read(context))?));
    let mut progress = Box::pin(docker.build_image(options.build(), None, Some(body)));
    let mut refused = None;
    while let Some(step) = progress.next().await {
        let text = match step {
            Ok(step) => {
                let (text, error) = words(step);
                refused = refused.or(error);
                text
            }
            Err(error) => {
                let text = match error {
                    Error::DockerStreamError { error } => error,
                    Error::DockerResponseServerError { message, .. } => message,
                    error => format!("the connection to Docker broke: {error}"),
                };
                refused = refused.or(Some(text));
                String::new()
            }
        };
        made.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(text.lines().filter_map(image_of).map(str::to_owned));
        // The reader keeps reading whatever it can write.
        let _ = writer.write_all(text.as_bytes());
    }
    if let Some(why) = &refused {
        let _ = writeln!(writer, "{why}");
    }
    drop(writer);
    let said = said.recv_timeout(DRAIN).unwrap_or_default();
    match refused {
        None => Ok(()),
        Some(why) => Err(judge(&why, &said)),
    }
}

/// What a step of a build says, and what it says against the build.
fn words(step: BuildInfo) -> (String, Option<String>) {
    let status =
        step.status.map(|status| format!("{}{status}\n", step.id.map(|id| format!("{id}: ")).unwrap_or_default()));
    // Of a download's progress its beginning and its end are enough.
    let status = status.filter(|_| step.progress_detail.is_none_or(|detail| detail.current.is_none()));
    let text = step.stream.or(status).unwrap_or_default();
    (text, step.error_detail.and_then(|detail| detail.message))
}

/// Whose fault it is that a build failed.
fn judge(why: &str, said: &Said) -> BuildError {
    let lower = why.to_lowercase();
    let tells = |words: &[&str]| words.iter().any(|word| lower.contains(word)) || said.mentions(words);
    if tells(FULL) {
        return BuildError::infrastructure(Fault::Disk, format!("Docker's disk is full: {why}"));
    }
    if tells(MEMORY) {
        return BuildError::infrastructure(Fault::Memory, format!("the machine ran out of memory: {why}"));
    }
    // Its base cannot be had: of the version nothing was tried. What a command of the Dockerfile says is its own.
    let of_command = lower.contains("returned a non-zero code");
    if (!of_command && NO_BASE.iter().any(|word| lower.contains(word))) || tells(UNREACHABLE) {
        return BuildError::infrastructure(Fault::Image, format!("the build could not fetch what it needs: {why}"));
    }
    if lower.starts_with("the connection to docker broke") {
        return BuildError::infrastructure(Fault::Image, why.to_owned());
    }
    BuildError::Unbuilt { detail: format!("Docker did not build it: {}", why.trim()), tail: said.tail() }
}

async fn save_image(docker: &Docker, tag: &str, to: &Path) -> Result<(), BuildError> {
    let mut file = File::create(to).map_err(ImageError::write(to))?;
    let mut stream = Box::pin(docker.export_image(tag));
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            BuildError::infrastructure(Fault::Image, format!("cannot take the image over from Docker: {error}"))
        })?;
        file.write_all(&piece).map_err(ImageError::write(to))?;
    }
    Ok(())
}

fn chunks(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold(file, |mut file| async move {
        let mut buffer = vec![0; CHUNK];
        match file.read(&mut buffer) {
            Ok(0) => None,
            Ok(read) => {
                buffer.truncate(read);
                Some((Ok(buffer.into()), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    })
}

/// Writes a build's context: what `.dockerignore` does not leave out, in order, with the commit's time, without owners.
/// git's own files are none of it.
fn pack(context: &Path, dockerfile: &str, epoch: i64, to: &Path) -> io::Result<()> {
    let ignored = Ignored::read(context)?;
    let mut archive = tar::Builder::new(io::BufWriter::new(File::create(to)?));
    let walk = walkdir::WalkDir::new(context).min_depth(1).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.file_name() != ".git") {
        let entry = entry?;
        let below = entry.path().strip_prefix(context).unwrap_or(entry.path());
        let wanted = below == Path::new(dockerfile) || below == Path::new(".dockerignore");
        if ignored.has(below) && !wanted {
            continue;
        }
        let mut header = Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(epoch).unwrap_or(0));
        header.set_size(0);
        let kind = entry.file_type();
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            let mut name = below.as_os_str().to_owned();
            name.push("/");
            archive.append_data(&mut header, PathBuf::from(name), io::empty())?;
        } else if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            archive.append_link(&mut header, below, fs::read_link(entry.path())?)?;
        } else if kind.is_file() {
            use std::os::unix::fs::PermissionsExt as _;
            let meta = entry.metadata()?;
            header.set_entry_type(EntryType::Regular);
            header.set_mode(if meta.permissions().mode() & 0o111 != 0 { 0o755 } else { 0o644 });
            header.set_size(meta.len());
            archive.append_data(&mut header, below, File::open(entry.path())?.take(meta.len()))?;
        }
    }
    archive.into_inner()?.flush()
}

/// What a `.dockerignore` leaves out: of the patterns that match, the last holds, and `!` takes in again.
struct Ignored(VecDeque<(globset::GlobMatcher, bool)>);

impl Ignored {
    fn read(context: &Path) -> io::Result<Self> {
        match fs::read_to_string(context.join(".dockerignore")) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(VecDeque::new())),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> io::Result<Self> {
        let mut patterns = VecDeque::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (pattern, leaves_out) = match line.strip_prefix('!') {
                Some(rest) => (rest.trim(), false),
                None => (line, true),
            };
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            if pattern.is_empty() || pattern == "." {
                continue;
            }
            let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(io::Error::other)?;
            patterns.push_front((glob.compile_matcher(), leaves_out));
        }
        Ok(Self(patterns))
    }

    /// A pattern that matches a directory means everything in it.
    fn has(&self, path: &Path) -> bool {
        let matches = |glob: &globset::GlobMatcher| {
            path.ancestors().filter(|above| !above.as_os_str().is_empty()).any(|above| glob.is_match(above))
        };
        self.0.iter().find(|(glob, _)| matches(glob)).is_some_and(|(_, leaves_out)| *leaves_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_what_docker_ignores() {
        let ignored = Ignored::parse("# a comment\n\ntarget\n*.log\n**/cache\n!keep.log\n/docs/\n!docs/man\n").unwrap();
        for (path, want) in [
            ("target", true),
            ("target/deep/file", true),
            ("src/target", false),
            ("a.log", true),
            ("src/a.log", false),
            ("keep.log", false),
            ("x/y/cache/z", true),
            ("docs/a", true),
            ("docs/man/a", false),
            ("src/main.rs", false),
        ] {
            assert_eq!(ignored.has(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn the_same_checkout_is_the_same_context() {
        let dir = tempfile::tempdir().unwrap();
        let pack_one = |name: &str| {
            let root = dir.path().join(name);
            fs::create_dir_all(root.join("src")).unwrap();
            fs::create_dir_all(root.join(".git")).unwrap();
            for (path, text) in [
                ("Dockerfile", "FROM scratch"),
                ("src/a", "a"),
                ("b.log", name),
                (".dockerignore", "*.log\nDockerfile"),
            ] {
                fs::write(root.join(path), text).unwrap();
            }
            fs::write(root.join(".git/HEAD"), name).unwrap();
            let to = dir.path().join(format!("{name}.tar"));
            pack(&root, "Dockerfile", 1000, &to).unwrap();
            fs::read(to).unwrap()
        };
        let (one, two) = (pack_one("one"), pack_one("two"));
        assert_eq!(one, two);
        let names: Vec<_> = tar::Archive::new(&*one)
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "src/", "src/a"]);
    }

    #[test]
    fn images_are_told_from_words() {
        for (line, want) in [
            (" ---> c8dc897ea769", Some("c8dc897ea769")),
            ("Successfully built c8dc897ea769", Some("c8dc897ea769")),
            (" ---> Running in c8dc897ea769", None),
            (" ---> Using cache", None),
            ("Step 1/2 : FROM scratch", None),
        ] {
            assert_eq!(image_of(line), want, "{line}");
        }
    }

    #[test]
    fn a_base_that_cannot_be_had_is_nobodys_fault() {
        let said = Said::default();
        for (why, version) in [
            ("The command '/bin/sh -c make' returned a non-zero code: 2", true),
            ("COPY failed: file not found in build context", true),
            ("dockerfile parse error line 1: unknown instruction: FRM", true),
            ("pull access denied for nothing, repository does not exist", false),
            ("Get https://registry/v2/: dial tcp: lookup registry: no such host", false),
            ("write /x: no space left on device", false),
            ("the connection to Docker broke: x", false),
        ] {
            assert_eq!(matches!(judge(why, &said), BuildError::Unbuilt { .. }), version, "{why}");
        }
    }
}

//! Images under names of skew's own: loaded from the layout without a registry, or pulled from one by digest.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder,
    RemoveImageOptions, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use skew_core::model::{Digest, DigestBuilder};
use skew_host::{done, lock};
use tokio::sync::{OnceCell, mpsc};

use super::archive::Owner;
use super::container::DIR;
use super::engine::{Engine, failed, status, told};
use crate::{DeployError, ImageRef};

/// Bytes that are given to Docker at once.
const CHUNK: usize = 256 << 10;
/// How many links lead to a program at most.
const LINKS: usize = 8;
/// Where programs are looked for when an image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image that Docker is to load.
#[derive(Debug, Clone, Copy)]
pub struct ImageArchive<'a> {
    /// Its manifest's digest.
    pub manifest: &'a Digest,
    /// The manifests of images mounted into it, each with the directory below the image's root.
    pub parts: &'a [(Digest, String)],
    /// The name it gets.
    pub name: &'a str,
}

/// Writes an image as the archive that `docker load` reads.
pub type Load = Arc<
    dyn Fn(&ImageArchive<'_>, &mut dyn Write) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + Sync,
>;

/// Where an image is pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// `registry/repository@sha256:…`.
    pub reference: String,
    /// A user and a password.
    pub credentials: Option<(String, String)>,
}

/// Where images come from.
#[derive(Clone)]
pub enum ImageSource {
    /// The layout on the disk; no registry is needed.
    Layout(Load),
    /// A registry. Parts cannot be mounted then.
    Registry(Arc<dyn Fn(&ImageRef) -> Pulled + Send + Sync>),
}

/// What an image says about the processes that run in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Docker's name of it.
    pub name: String,
    /// Who its processes are.
    pub owner: Owner,
    /// Where its programs are looked for.
    pub path: String,
}

/// Why a program cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What a shell's status would be.
    pub status: i32,
    /// In words.
    pub why: &'static str,
}

/// The images of one state directory.
pub(super) struct Images {
    engine: Engine,
    source: ImageSource,
    repository: String,
    /// Networks that open together want the same images: one of them loads, the others wait.
    one: tokio::sync::Mutex<()>,
    /// What is known about images that Docker had when they were last asked for, by their names, which tell their content.
    known: Mutex<BTreeMap<String, Facts>>,
    /// What is known about programs of images, which never change. Nodes that start together ask once.
    programs: Mutex<BTreeMap<(String, String), Answer>>,
}

/// Whether a program can be executed, once somebody has looked.
type Answer = Arc<OnceCell<Result<(), Refusal>>>;

impl Images {
    /// The images of the state directory with that id.
    pub(super) fn new(engine: Engine, source: ImageSource, state: &str) -> Self {
        let repository = format!("skew.local/{state}");
        let one = tokio::sync::Mutex::default();
        Self { engine, source, repository, one, known: Mutex::default(), programs: Mutex::default() }
    }

    /// Docker's name of an image with its parts.
    fn name(&self, image: &ImageRef, parts: &[(ImageRef, String)]) -> String {
        if parts.is_empty() {
            return format!("{}:sha256-{}", self.repository, image.manifest.hex());
        }
        let mut builder = DigestBuilder::new("docker image with parts");
        builder.digest(&image.manifest);
        for (part, path) in parts {
            builder.digest(&part.manifest).text(path);
        }
        format!("{}:parts-{}", self.repository, builder.finish().hex())
    }

    /// Has Docker know an image; one that it knew before costs nothing. Who finds that it does not know it any more says so
    /// with [`Self::again`].
    pub(super) async fn ensure(&self, image: &ImageRef, parts: &[(ImageRef, String)]) -> Result<Facts, DeployError> {
        let name = self.name(image, parts);
        let known = self.known().get(&name).cloned();
        match known {
            Some(facts) => Ok(facts),
            None => {
                let facts = self.fetch(image, parts, name.clone()).await?;
                self.known().insert(name, facts.clone());
                Ok(facts)
            }
        }
    }

    /// Has Docker know an image that somebody took away from it.
    pub(super) async fn again(&self, image: &ImageRef, parts: &[(ImageRef, String)]) -> Result<Facts, DeployError> {
        self.known().remove(&self.name(image, parts));
        self.ensure(image, parts).await
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Facts>> {
        lock(&self.known)
    }

    async fn fetch(&self, image: &ImageRef, parts: &[(ImageRef, String)], name: String) -> Result<Facts, DeployError> {
        let docker = self.engine.docker().await?;
        let failed = |error: Error| DeployError::Image { image: image.name.clone(), source: told(error).into() };
        let _one = self.one.lock().await;
        if let Some(facts) = facts(docker, &name).await.map_err(failed)? {
            return Ok(facts);
        }
        match &self.source {
            ImageSource::Layout(load) => {
                let parts: Vec<_> = parts.iter().map(|(part, path)| (part.manifest, path.clone())).collect();
                self.load(docker, Arc::clone(load), image, parts, &name).await?;
            }
            ImageSource::Registry(_) if !parts.is_empty() => {
                let why = "images from a registry cannot have parts; use those of the layout";
                return Err(DeployError::Image { image: image.name.clone(), source: why.into() });
            }
            ImageSource::Registry(of) => self.pull(docker, &of(image), &name).await.map_err(failed)?,
        }
        let missing = || "Docker did not keep it".into();
        let found = facts(docker, &name).await.map_err(failed)?;
        found.ok_or_else(|| DeployError::Image { image: image.name.clone(), source: missing() })
    }

    async fn load(
        &self,
        docker: &Docker,
        load: Load,
        image: &ImageRef,
        parts: Vec<(Digest, String)>,
        name: &str,
    ) -> Result<(), DeployError> {
        let (manifest, owned) = (image.manifest, name.to_owned());
        let (stream, written) =
            piped(move |out| load(&ImageArchive { manifest: &manifest, parts: &parts, name: &owned }, out));
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let loaded = docker.import_image_stream(options, stream, None);
        let loaded = Box::pin(loaded).try_for_each(|_| std::future::ready(Ok(()))).await;
        let failed = |source| DeployError::Image { image: image.name.clone(), source };
        match (written.await, loaded) {
            // Docker hung up: what it said is the reason.
            (Err(error), Err(said)) if broken(&*error) => Err(failed(told(said).into())),
            (Err(error), _) => Err(failed(error)),
            (Ok(()), Err(said)) => Err(failed(told(said).into())),
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    /// Pulls an image and gives it a name of ours; the registry's name goes again when it was not there before.
    async fn pull(&self, docker: &Docker, from: &Pulled, name: &str) -> Result<(), Error> {
        let known = match docker.inspect_image(&from.reference).await {
            Ok(_) => true,
            Err(error) if status(&error) == Some(404) => false,
            Err(error) => return Err(error),
        };
        if !known {
            let options = CreateImageOptionsBuilder::new().from_image(&from.reference).build();
            let credentials = from.credentials.clone().map(|(username, password)| DockerCredentials {
                username: Some(username),
                password: Some(password),
                ..DockerCredentials::default()
            });
            let pulled = docker.create_image(Some(options), None, credentials);
            Box::pin(pulled).try_for_each(|_| std::future::ready(Ok(()))).await?;
        }
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        docker.tag_image(&from.reference, Some(options)).await?;
        if !known {
            // Only the name goes: the image has ours now.
            let _ = docker.remove_image(&from.reference, None::<RemoveImageOptions>, None).await;
        }
        Ok(())
    }

    /// Takes away every name that this state directory gave; images without another name go with it.
    pub(super) async fn forget(&self) -> Result<(), DeployError> {
        let _one = self.one.lock().await;
        self.known().clear();
        let docker = self.engine.docker().await?;
        let filters = std::collections::HashMap::from([("reference", vec![self.repository.as_str()])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = docker.list_images(Some(options)).await.map_err(failed("list Docker's images"))?;
        let prefix = format!("{}:", self.repository);
        for name in images.iter().flat_map(|image| &image.repo_tags).filter(|name| name.starts_with(&prefix)) {
            match docker.remove_image(name, None::<RemoveImageOptions>, None).await {
                Ok(_) => {}
                // Gone already, or a network uses it.
                Err(error) if matches!(status(&error), Some(404 | 409)) => {}
                Err(error) => return Err(failed(format!("remove the image {name}"))(error)),
            }
        }
        Ok(())
    }

    /// Whether a container's program can be executed: an answer about a file of an image holds for every container of it.
    pub(super) async fn runnable(
        &self,
        container: &str,
        image: &Facts,
        program: &str,
        path: Option<&String>,
    ) -> Result<Result<(), Refusal>, DeployError> {
        let candidates: Vec<String> = if program.starts_with('/') {
            vec![program.to_owned()]
        } else if program.contains('/') {
            vec![format!("{DIR}/{program}")]
        } else {
            path.unwrap_or(&image.path).split(':').map(|dir| format!("{dir}/{program}")).collect()
        };
        let mut refusal = Refusal { status: 127, why: "no such file or directory" };
        for candidate in candidates {
            // What is in the node's own directory is not the image's.
            let answer = if candidate.starts_with(&format!("{DIR}/")) {
                Answer::default()
            } else {
                let mut programs = lock(&self.programs);
                Arc::clone(programs.entry((image.name.clone(), candidate.clone())).or_default())
            };
            match answer.get_or_try_init(|| self.look(container, &candidate)).await? {
                Ok(()) => return Ok(Ok(())),
                Err(why) if why.status == 126 => refusal = why.clone(),
                Err(_) => {}
            }
        }
        Ok(Err(refusal))
    }

    async fn look(&self, container: &str, program: &str) -> Result<Result<(), Refusal>, DeployError> {
        // As Go numbers them.
        const DIRECTORY: u32 = 1 << 31;
        const LINK: u32 = 1 << 27;
        let docker = self.engine.docker().await?;
        let mut path = program.to_owned();
        for _ in 0..LINKS {
            let options = ContainerArchiveInfoOptionsBuilder::new().path(&path).build();
            let found = match docker.get_container_archive_info(container, Some(options)).await {
                Ok(found) => found,
                Err(error) if matches!(status(&error), Some(400 | 404)) => break,
                Err(error) => return Err(failed(format!("look for {program}"))(error)),
            };
            if found.file_mode & LINK != 0 && found.link_target != path {
                path = found.link_target;
                continue;
            }
            return Ok(if found.file_mode & DIRECTORY != 0 {
                Err(Refusal { status: 126, why: "it is a directory" })
            } else if found.file_mode & 0o111 == 0 {
                Err(Refusal { status: 126, why: "permission denied" })
            } else {
                Ok(())
            });
        }
        Ok(Err(Refusal { status: 127, why: "no such file or directory" }))
    }
}

/// What Docker knows about an image; none when it knows none of that name.
async fn facts(docker: &Docker, name: &str) -> Result<Option<Facts>, Error> {
    let image = match docker.inspect_image(name).await {
        Ok(image) => image,
        Err(error) if status(&error) == Some(404) => return Ok(None),
        Err(error) => return Err(error),
    };
    let config = image.config.unwrap_or_default();
    let env = config.env.unwrap_or_default();
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(PATH).to_owned();
    Ok(Some(Facts { name: name.to_owned(), owner: owner(&config.user.unwrap_or_default()), path }))
}

/// The numbers of a user; a name is left to Docker, and its files belong to root.
fn owner(user: &str) -> Owner {
    let (user, group) = user.split_once(':').unwrap_or((user, "0"));
    match (user.parse(), group.parse()) {
        (Ok(uid), Ok(gid)) => Owner { uid, gid },
        _ => Owner::default(),
    }
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Bytes on their way from a thread that writes them to a request that sends them; nothing waits in memory but some
/// chunks.
fn piped(
    write: impl FnOnce(&mut dyn Write) -> Result<(), Boxed> + Send + 'static,
) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, impl Future<Output = Result<(), Boxed>>) {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    let written = tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(CHUNK, Pipe(sender));
        let done = write(&mut out).and_then(|()| out.flush().map_err(Into::into));
        let (pipe, _) = out.into_parts();
        if done.is_err() {
            // A request that breaks off is no image.
            let _ = pipe.0.blocking_send(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        done
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    });
    (stream.boxed(), async move { done(written.await) })
}

fn broken(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    false
}

struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_or_dockers_matter() {
        assert_eq!(owner(""), Owner::default());
        assert_eq!(owner("1000"), Owner { uid: 1000, gid: 0 });
        assert_eq!(owner("1000:100"), Owner { uid: 1000, gid: 100 });
        assert_eq!(owner("postgres"), Owner::default());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_pipe_is_as_fast_as_its_reader_and_ends_with_its_writer() {
        let (stream, written) = piped(|out| {
            (0..100).try_for_each(|_| out.write_all(&[7; 100_000]))?;
            Ok(())
        });
        let bytes: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(bytes.iter().map(Bytes::len).sum::<usize>(), 10_000_000);
        written.await.unwrap();
        let (stream, written) = piped(|_| Err("no".into()));
        assert!(stream.try_collect::<Vec<Bytes>>().await.is_err());
        assert_eq!(written.await.unwrap_err().to_string(), "no");
        let (stream, written) = piped(|out| Ok((0..100).try_for_each(|_| out.write_all(&[7; 1 << 20]))?));
        drop(stream);
        assert!(broken(&*written.await.unwrap_err()));
    }
}

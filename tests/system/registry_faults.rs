//! What networks and registries do to a push and a pull: a proxy of our own before Debian's `docker-registry`.

use crate::common;

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use common::faults::{Fault, Proxy};
use common::registry::{Registry, USER, docker_config, missing};
use common::tiny::Tiny;
use skew_core::model::{Digest, RemoteAt};
use skew_host::http::RetryPolicy;
use skew_image::Layout;
use skew_image::registry::{Access, Patience, Pushed, Registry as Client, RegistryError};
use skew_testing::wait::wait;

/// Enough to see what happens, and to be seen to end.
const PATIENCE: Patience = Patience {
    retry: RetryPolicy { tries: 3, first: Duration::from_millis(20), longest: Duration::from_secs(3) },
    answer: Duration::from_secs(300),
};

/// The same, where somebody is silent.
const IMPATIENCE: Patience = Patience { answer: Duration::from_secs(5), ..PATIENCE };

/// A registry, a proxy before it, and a layout with one image whose layer is large enough to be cut.
struct Stage {
    registry: Registry,
    proxy: Proxy,
    tiny: Tiny,
    image: Digest,
    patience: Cell<Patience>,
}

impl Stage {
    fn new(registry: Registry) -> Self {
        let tiny = Tiny::with(&[("v1.0.0", "")]);
        // What does not compress.
        tiny.edit("sh ./build", "sh ./build; head -c 4000000 /dev/urandom > $OUT/data");
        tiny.skew(&["build"]).expect(0);
        let image = Self::layout_at(&tiny.place.join(".skew/layout")).references().expect("an index")[0].manifest;
        let proxy = Proxy::before(&registry.host());
        Self { registry, proxy, tiny, image, patience: Cell::new(PATIENCE) }
    }

    fn layout_at(path: &Path) -> Layout {
        Layout::open(path).expect("a layout")
    }

    fn layout(&self) -> Layout {
        Self::layout_at(&self.tiny.place.join(".skew/layout"))
    }

    /// From now on, this happens to requests that are like that.
    fn rule(&self, method: &'static str, path: &str, times: usize, fault: Fault) {
        self.patience.set(if matches!(fault, Fault::Silence) { IMPATIENCE } else { PATIENCE });
        self.proxy.rule(method, path, times, fault);
    }

    /// From now on, nothing happens to any.
    fn heal(&self) {
        self.patience.set(PATIENCE);
        self.proxy.heal();
    }

    fn client(&self) -> Client {
        let docker_config = Some(self.tiny.place.join("home/.docker/config.json"));
        Client::new(&self.proxy.host(), Access { docker_config, insecure: false, patience: self.patience.get() })
            .expect("a client")
    }

    fn push(&self) -> Result<Pushed, RegistryError> {
        let (label, key) = (RemoteAt::Tag("v1.0.0".to_owned()), Digest::of(b"a key"));
        let (client, layout) = (self.client(), self.layout());
        run(client.push(&layout, &self.image, "faults/node", &label, &key))
    }

    /// Whether the registry itself has the image under a tag.
    fn is_there(&self) -> bool {
        let access = Access {
            docker_config: Some(self.tiny.place.join("home/.docker/config.json")),
            insecure: false,
            patience: PATIENCE,
        };
        let direct = Client::new(&self.registry.host(), access).expect("a client");
        run(direct.resolve("faults/node", &RemoteAt::Tag("v1.0.0".to_owned()))).expect("answered") == Some(self.image)
    }

    /// Fetches the image into an empty layout: what is there of it afterwards, in blobs.
    fn pull(&self) -> (Result<(), RegistryError>, usize) {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Self::layout_at(dir.path());
        let (client, label) = (self.client(), RemoteAt::Tag("v1.0.0".to_owned()));
        let pulled = run(client.pull(&layout, "faults/node", &label));
        let blobs = std::fs::read_dir(dir.path().join("blobs/sha256")).expect("blobs").count();
        let done = pulled.map(|built| {
            let built = built.expect("it is there");
            assert_eq!(built.manifest, self.image);
            layout.unpack(&built.manifest, &dir.path().join("unpacked")).expect("unpacked");
        });
        (done, blobs)
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn said(error: &RegistryError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

#[test]
fn what_passes_is_tried_again() {
    if missing("what_passes_is_tried_again") {
        return;
    }
    for (method, path, fault) in [
        ("PUT", "/blobs/uploads/", Fault::DropBody(1_000_000)),
        ("PUT", "/blobs/uploads/", Fault::OtherBody),
        ("PUT", "/blobs/uploads/", Fault::Status(503, 0)),
        ("POST", "/blobs/uploads/", Fault::DropAnswer(10)),
        ("PUT", "/manifests/", Fault::Status(429, 1)),
        ("HEAD", "/manifests/", Fault::Status(500, 0)),
        ("HEAD", "/blobs/", Fault::Silence),
        ("GET", "/v2/", Fault::DropAnswer(0)),
    ] {
        let stage = Stage::new(Registry::open());
        let times = if matches!(fault, Fault::Silence) { 1 } else { 2 };
        stage.rule(method, path, times, fault);
        let began = Instant::now();
        let pushed = stage.push().unwrap_or_else(|error| panic!("{method} {fault:?}: {error}"));
        assert_eq!(stage.proxy.hit().len(), times, "{method} {fault:?}");
        assert!(!pushed.unchanged && stage.is_there(), "{method} {fault:?}");
        if let Fault::Status(429, _) = fault {
            // It was asked to wait a second, twice.
            assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
        }
    }
    let stage = Stage::new(Registry::open());
    stage.push().expect("pushed");
    for (path, fault) in [
        ("/blobs/", Fault::OtherAnswer),
        ("/blobs/", Fault::DropAnswer(1_000_000)),
        ("/manifests/", Fault::OtherAnswer),
        ("/blobs/", Fault::Silence),
    ] {
        let before = stage.proxy.hit().len();
        stage.rule("GET", path, 1, fault);
        let (pulled, blobs) = stage.pull();
        pulled.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!((stage.proxy.hit().len() - before, blobs), (1, 3), "{fault:?}");
    }
}

#[test]
fn what_does_not_pass_is_told_and_nothing_half_done_is_whole() {
    if missing("what_does_not_pass_is_told_and_nothing_half_done_is_whole") {
        return;
    }
    let stage = Stage::new(Registry::open());
    for (method, path, fault, words) in [
        ("POST", "/blobs/uploads/", Fault::Status(403, 0), &["refuses it", "docker login 127.0.0.1"][..]),
        ("PUT", "/blobs/uploads/", Fault::DropBody(1_000_000), &["push the blob sha256:", "cannot be reached"]),
        ("PUT", "/blobs/uploads/", Fault::OtherBody, &["push the blob sha256:", "400: DIGEST_INVALID"]),
        (
            "PUT",
            "/manifests/key-",
            Fault::Status(503, 0),
            &["push the manifest key-", "answers 503", "try again later"],
        ),
        ("PUT", "/manifests/v1", Fault::Status(429, 3600), &["answers 429", "try again in 1 h"]),
        ("HEAD", "/manifests/", Fault::Silence, &["did not answer within 5 s"]),
    ] {
        stage.rule(method, path, usize::MAX, fault);
        let began = Instant::now();
        let error = stage.push().err().unwrap_or_else(|| panic!("{fault:?} was not noticed"));
        said(&error, words);
        said(&error, &["faults/node"]);
        assert!(began.elapsed() < Duration::from_secs(300), "{fault:?}: {:?}", began.elapsed());
        assert!(!stage.is_there(), "{method} {fault:?}");
        stage.heal();
    }
    // The same again goes on with what was sent.
    let before = stage.registry.requests_since(0).len();
    assert!(!stage.push().expect("pushed").unchanged && stage.is_there());
    let uploads = stage.registry.requests_since(before);
    assert!(uploads.iter().all(|(request, _)| !request.contains("/uploads/")), "{uploads:?}");
    for (path, fault, words) in [
        ("/blobs/", Fault::OtherAnswer, &["pull the blob sha256:", "has the digest sha256:", "and not sha256:"][..]),
        ("/manifests/", Fault::OtherAnswer, &["pull the manifest v1.0.0", "has the digest sha256:"]),
        ("/blobs/", Fault::Status(404, 0), &["the blob is not there"]),
        ("/blobs/", Fault::Silence, &["did not answer within"]),
    ] {
        stage.rule("GET", path, usize::MAX, fault);
        let (pulled, blobs) = stage.pull();
        said(&pulled.err().unwrap_or_else(|| panic!("{fault:?} was not noticed")), words);
        assert_eq!(blobs, 0, "{fault:?}");
        stage.heal();
    }
}

#[test]
fn a_push_that_was_killed_is_repeated() {
    if missing("a_push_that_was_killed_is_repeated") {
        return;
    }
    let stage = Stage::new(Registry::locked());
    docker_config(&stage.tiny.place.join("home/.docker"), &stage.proxy.host(), USER);
    let url = format!("{}/test", stage.proxy.host());
    stage.rule("PUT", "/manifests/", usize::MAX, Fault::Silence);
    let mut child = stage.tiny.place.command(&["push", "--registry", &url]).spawn().expect("skew starts");
    let at_its_manifest = || (!stage.proxy.hit().is_empty()).then_some(());
    wait("the push comes to its manifest", at_its_manifest, || format!("{:?}", stage.registry.requests()));
    child.kill().expect("killed");
    child.wait().expect("ended");
    stage.heal();
    let before = stage.registry.requests_since(0).len();
    let pushed = stage.tiny.skew(&["push", "--registry", &url]).expect(0);
    assert!(pushed.stdout.contains("node@v1.0.0"), "{pushed:?}");
    let since = stage.registry.requests_since(before);
    assert!(since.iter().all(|(request, _)| !request.contains("/uploads/")), "{since:?}");
    assert!(since.iter().any(|(request, _)| request.contains("/manifests/v1.0.0")), "{since:?}");
}

#[test]
fn a_blob_that_is_damaged_here_is_never_sent_as_whole() {
    if missing("a_blob_that_is_damaged_here_is_never_sent_as_whole") {
        return;
    }
    let stage = Stage::new(Registry::open());
    let blobs = stage.tiny.place.join(".skew/layout/blobs/sha256");
    let largest = std::fs::read_dir(&blobs)
        .expect("blobs")
        .map(|entry| entry.expect("an entry").path())
        .max_by_key(|path| path.metadata().expect("a file").len())
        .expect("a layer");
    let mut bytes = std::fs::read(&largest).expect("read");
    bytes[1000] ^= 1;
    std::fs::write(&largest, &bytes).expect("written");
    said(&stage.push().expect_err("it is damaged"), &["is missing or damaged", "build the image again"]);
    assert!(!stage.is_there() && !largest.exists());
}

#[test]
fn layers_that_images_share_are_sent_once() {
    if missing("layers_that_images_share_are_sent_once") {
        return;
    }
    let stage = Stage::new(Registry::open());
    let (client, layout, key) = (stage.client(), stage.layout(), Digest::of(b"a key"));
    let labels: Vec<RemoteAt> = (0..12).map(|n| RemoteAt::Tag(format!("v{n}"))).collect();
    // Half of them in another repository: the registry takes the layers from the first.
    let pushes = labels.iter().enumerate().map(|(n, label)| {
        let repository = if n % 2 == 0 { "faults/a" } else { "faults/b" };
        client.push(&layout, &stage.image, repository, label, &key)
    });
    let pushed = run(futures_util::future::join_all(pushes));
    let sent: usize = pushed.into_iter().map(|pushed| pushed.expect("pushed").blobs).sum();
    assert_eq!(sent, 2, "a layer and a config");
    let requests = stage.registry.requests_since(0);
    let count = |method: &str, part: &str, status: u16| {
        let counted =
            |(request, got): &&(String, u16)| request.starts_with(method) && request.contains(part) && *got == status;
        requests.iter().filter(counted).count()
    };
    assert_eq!(count("PUT", "/blobs/uploads/", 201), 2, "{requests:?}");
    assert_eq!(count("POST", "mount=sha256", 201), 2, "{requests:?}");
    assert_eq!(count("PUT", "/manifests/v", 201), 12, "{requests:?}");
}

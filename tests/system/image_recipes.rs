//! Recipes whose images others build: a Dockerfile by a real Docker, a flake by a real Nix.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use repo::{Repo, spec, tagged};
use skew_core::model::{AttemptId, Digest, NodeName, RemoteAt, RoleName, SweepId};
use skew_deploy::{
    Backend, DockerBackend, DockerConfig, ImageRef, ImageSource, KubernetesBackend, KubernetesConfig, Launch,
    LaunchFile, NodeEvent, Reach, Subnet,
};
use skew_host::Cancel;
use skew_image::registry::{Access, Patience, Registry};
use skew_image::source::{Options, Resolved, resolve};
use skew_image::{BuildError, Builder, Built, Input, Layout, Need, Site, checkout};
use skew_spec::{DockerfileRecipe, NixRecipe, Recipe, RecipeKind, Resources, Stop};
use skew_testing::needs::{is_long, lacks, lacks_docker, site};
use skew_testing::wait::wait;

use crate::fake_node;
use crate::repo;

/// What Nix needs where there is no daemon and nothing can be fetched.
const NIX: &str = "experimental-features = nix-command flakes\nsandbox = false\nbuild-users-group =\nsubstituters =\n";

const DOCKERFILE: &str = "FROM scratch AS first\nCOPY fake_node /elsewhere\n\nFROM scratch AS program\nARG NAME=nobody\n\
    COPY fake_node /bin/\nCOPY notes/ /notes/\nENV ANSWER=42 WHO=$NAME\nENTRYPOINT [\"/bin/fake_node\"]\n\n\
    FROM scratch AS nobody\nCOPY fake_node /bin/\nUSER 1234:5678\n\nFROM scratch\nCOPY fake_node /last\n";

const FLAKE: &str = r#"{
  outputs = { self }: {
    packages.x86_64-linux.default = self.packages.x86_64-linux.node;
    packages.x86_64-linux.node = derivation {
      name = "node";
      system = "x86_64-linux";
      builder = "/bin/sh";
      library = derivation {
        name = "library";
        system = "x86_64-linux";
        builder = "/bin/sh";
        args = [ "-c" "PATH=/usr/bin:/bin; mkdir $out; echo shared > $out/text" ];
      };
      source = ./fake_node;
      args = [ "-c" "PATH=/usr/bin:/bin; mkdir -p $out/bin; cp $source $out/bin/fake_node; chmod 755 $out/bin/fake_node; ln -s $library/text $out/text" ];
    };
    packages.x86_64-linux.broken = derivation {
      name = "broken";
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ "-c" "echo no rule to make it >&2; exit 3" ];
    };
  };
}
"#;

/// A repository at one version of a program, and a layout for its images.
struct Stage {
    dir: tempfile::TempDir,
    resolved: Resolved,
    layout: Arc<Layout>,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repo::new(dir.path().join("repo"));
    fs::copy(fake_node::static_binary(), repo.dir.join("fake_node")).unwrap();
    for (path, text) in [
        ("Dockerfile", DOCKERFILE),
        ("bad/Dockerfile", "FROM scratch\nCOPY nothing /\n"),
        ("base/Dockerfile", "FROM localhost:9/no/such:image\n"),
        ("flake.nix", FLAKE),
        ("notes/kept", "kept\n"),
        ("notes/left-out", "left out\n"),
        (".dockerignore", "**/left-out\n.git\n"),
    ] {
        repo.write(path, text);
    }
    repo.commit("README", "a program");
    repo.tag("v1.0.0");
    let options = Options { cache: &dir.path().join("git"), offline: false, stdin: None };
    let resolved = resolve(&spec(&[("app", &repo.dir, tagged("v{version}"))]), &options).unwrap();
    let layout = Arc::new(Layout::open(&dir.path().join("layout")).unwrap());
    Stage { dir, resolved, layout }
}

fn recipe(kind: RecipeKind) -> Recipe {
    Recipe { path: "recipe.toml".into(), kind, paths: Vec::new(), entrypoint: Vec::new() }
}

fn dockerfile(dockerfile: &str, target: Option<&str>) -> Recipe {
    recipe(RecipeKind::Dockerfile(DockerfileRecipe {
        dockerfile: dockerfile.to_owned(),
        context: String::new(),
        target: target.map(str::to_owned),
        args: BTreeMap::from([("NAME".to_owned(), "somebody".to_owned())]),
        within: Duration::from_secs(120),
        submodules: false,
    }))
}

fn nix(attr: &str, layers: usize) -> Recipe {
    let (attr, flake, within) = (attr.to_owned(), String::new(), Duration::from_secs(120));
    recipe(RecipeKind::Nix(NixRecipe { attr, flake, layers, within, submodules: false }))
}

fn command() -> Recipe {
    recipe(RecipeKind::Command(repo::command("mkdir $OUT/bin; cp fake_node $OUT/bin/")))
}

fn builder() -> Builder {
    let mut env: BTreeMap<String, String> = std::env::vars().collect();
    env.insert("NIX_CONFIG".to_owned(), NIX.to_owned());
    Builder::new(env)
}

/// What the only thing is that a recipe needs.
fn needed(recipe: &Recipe) -> String {
    let needs = builder().needs([recipe, recipe]);
    let [Need { name, state: Ok(detail) }] = needs.as_slice() else { panic!("{needs:?}") };
    format!("{name}: {detail}")
}

impl Stage {
    /// Builds in a worktree of its own.
    fn build(&self, recipe: &Recipe, place: &str) -> Result<Built, BuildError> {
        self.build_later(recipe, place, 0)
    }

    /// The same as if the commit had been made so many seconds later.
    fn build_later(&self, recipe: &Recipe, place: &str, seconds: i64) -> Result<Built, BuildError> {
        let (version, repository) = (&self.resolved.versions[0], &self.resolved.repositories["app"]);
        let trees = self.dir.path().join(place);
        let worktree = repository.worktree(&version.commit, checkout(recipe), &trees, "x").unwrap();
        let mut facts = repository.facts(&version.commit, &recipe.paths).unwrap();
        facts.epoch += seconds;
        let site = Site {
            checkout: &worktree.checkout(),
            scratch: &worktree.scratch().join("build"),
            caches: &self.dir.path().join("caches"),
            log: &self.log(),
            log_bytes: 1 << 20,
            layout: &self.layout,
            cancel: &Cancel::new(),
        };
        let (builder, input) = (builder(), Input { recipe, version, facts: &facts });
        builder.build(&input, &builder.key(&input)?, &site)
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    fn unpack(&self, built: &Built, name: &str) -> std::path::PathBuf {
        let into = self.dir.path().join(format!("unpacked-{name}"));
        self.layout.unpack(&built.manifest, &into).unwrap();
        into
    }

    /// What an image's config says.
    fn config(&self, built: &Built) -> serde_json::Value {
        let read = |digest: &str| -> serde_json::Value {
            serde_json::from_slice(&fs::read(self.layout.blob(&digest.parse().unwrap())).unwrap()).unwrap()
        };
        read(read(&built.manifest.to_string())["config"]["digest"].as_str().unwrap())
    }
}

/// Nothing of a build stays with Docker; the tests beside this one have their builds in it for a moment.
fn nothing_is_left_in_docker(before: &BTreeSet<String>) {
    let left = || of_builds().difference(before).cloned().collect::<Vec<String>>();
    wait("nothing of a build is left", || left().is_empty().then_some(()), || format!("{:?}", left()));
}

/// The images that Docker has of builds, and of anybody who gave no name to theirs.
fn of_builds() -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let docker = bollard::Docker::connect_with_unix("/var/run/docker.sock", 60, bollard::API_DEFAULT_VERSION);
        let docker = docker.unwrap().negotiate_version().await.unwrap();
        // Docker's own cache has no names.
        let options = bollard::query_parameters::ListImagesOptionsBuilder::new().all(true).build();
        let images = docker.list_images(Some(options)).await.unwrap();
        let of_builds = images.into_iter().filter(|image| {
            image.repo_tags.is_empty() || image.repo_tags.iter().any(|tag| tag.starts_with("skew.local/build:"))
        });
        of_builds.map(|image| format!("{} {:?}", image.id, image.repo_tags)).collect()
    })
}

#[test]
fn a_dockerfile_is_built_by_docker() {
    if lacks_docker("a_dockerfile_is_built_by_docker") {
        return;
    }
    let (before, stage) = (of_builds(), stage());
    let program = dockerfile("Dockerfile", Some("program"));
    assert!(needed(&program).starts_with("docker engine: Docker Engine "));
    let one = stage.build(&program, "one").unwrap();
    let log = fs::read_to_string(stage.log()).unwrap();
    assert!(log.contains("COPY fake_node /bin/"), "{log}");
    let two = stage.build(&program, "a/longer/two").unwrap();
    assert_eq!(one, two, "the same files are the same image");
    let later = stage.build_later(&program, "later", 3600).unwrap();
    assert_ne!(one.layers, later.layers, "its files are those of another commit");
    assert_eq!(one.content, later.content, "the same files are the same program");
    assert_eq!(one.layers.len(), 2);
    let root = stage.unpack(&one, "program");
    assert!(root.join("bin/fake_node").is_file() && !root.join("elsewhere").exists());
    assert!(root.join("notes/kept").is_file() && !root.join("notes/left-out").exists());
    let config = stage.config(&one);
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/bin/fake_node"]));
    let env = config["config"]["Env"].as_array().unwrap();
    assert!(env.contains(&"ANSWER=42".into()) && env.contains(&"WHO=somebody".into()), "{env:?}");
    assert!(config.get("container").is_none() && config.get("docker_version").is_none(), "{config}");
    let last = stage.build(&dockerfile("Dockerfile", None), "last").unwrap();
    assert!(stage.unpack(&last, "last").join("last").is_file());
    assert_ne!(last.content, one.content);
    nothing_is_left_in_docker(&before);
}

#[test]
fn a_dockerfile_that_fails_says_why_and_whose_fault_it_is() {
    if lacks_docker("a_dockerfile_that_fails_says_why_and_whose_fault_it_is") {
        return;
    }
    let (before, stage) = (of_builds(), stage());
    for (path, unbuilt, why) in [
        ("bad/Dockerfile", true, "nothing"),
        ("no/Dockerfile", true, "there is no no/Dockerfile"),
        ("base/Dockerfile", false, "could not fetch"),
    ] {
        let error = stage.build(&dockerfile(path, None), "failing").unwrap_err();
        assert_eq!(matches!(error, BuildError::Unbuilt { .. }), unbuilt, "{path}: {error}");
        assert!(error.to_string().contains(why), "{path}: {error}");
    }
    nothing_is_left_in_docker(&before);
}

#[test]
fn a_flake_is_built_by_nix() {
    if lacks("a_flake_is_built_by_nix", "nix") {
        return;
    }
    let needed = needed(&nix("node", 64));
    assert!(needed.starts_with("nix: ") && needed.ends_with(", builds flakes"), "{needed}");
    let stage = stage();
    let one = stage.build(&nix("node", 64), "one").unwrap();
    let two = stage.build(&nix("packages.x86_64-linux.node", 64), "a/longer/two").unwrap();
    assert_eq!(one.layers, two.layers, "the same closure is the same image");
    assert_eq!(one.content, two.content);
    let later = stage.build_later(&nix("node", 64), "later", 3600).unwrap();
    assert_ne!(one.layers, later.layers, "its files have the time of another commit");
    assert_eq!(one.content, later.content, "the same closure is the same program");
    let root = stage.unpack(&one, "nix");
    let output = Command::new(root.join("bin/fake_node")).args(["log", "from nix", "exit", "0"]).output().unwrap();
    assert_eq!(output.stdout, b"from nix\n");
    assert_eq!(fs::read_to_string(root.join("text")).unwrap(), "shared\n", "what it refers to is there");
    let few = stage.build(&nix("", 2), "few").unwrap();
    assert_eq!((one.layers.len() > 2, few.layers.len()), (true, 2));
    assert!(stage.unpack(&few, "few").join("bin/fake_node").is_file());
    let error = stage.build(&nix("broken", 64), "broken").unwrap_err();
    let BuildError::Unbuilt { tail, .. } = &error else { panic!("{error}") };
    assert!(tail.iter().any(|line| line.contains("no rule to make it")), "{tail:?}");
    assert!(matches!(stage.build(&nix("nothing", 64), "nothing"), Err(BuildError::Unbuilt { .. })));
}

/// The same program by a Dockerfile, by one for a user who is not root, by a flake and by a command: of these kinds.
fn of_kinds(stage: &Stage, wanted: &[&str]) -> Vec<ImageRef> {
    let kinds = [
        ("dockerfile", dockerfile("Dockerfile", Some("program"))),
        ("nobody", dockerfile("Dockerfile", Some("nobody"))),
        ("nix", nix("node", 64)),
        ("command", command()),
    ];
    let image = |(name, recipe): &(&str, Recipe)| ImageRef {
        manifest: stage.build(recipe, name).unwrap().manifest,
        name: (*name).to_owned(),
    };
    kinds.iter().filter(|(name, _)| wanted.contains(name)).map(image).collect()
}

const KINDS: [&str; 4] = ["dockerfile", "nobody", "nix", "command"];

#[test]
fn whoever_built_a_program_it_runs_on_docker() {
    let test = "whoever_built_a_program_it_runs_on_docker";
    if lacks_docker(test) || lacks(test, "nix") {
        return;
    }
    let stage = stage();
    let images = of_kinds(&stage, &KINDS);
    let layout = Arc::clone(&stage.layout);
    let source = ImageSource::Layout(Arc::new(move |image, out| {
        Ok(layout.docker_archive(image.manifest, image.parts, image.name, out)?)
    }));
    let dir = stage.dir.path().join("docker");
    let config = DockerConfig { dir, socket: None, range: Subnet::default(), images: source };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let backend = DockerBackend::new(config).unwrap();
        run(&backend, &images).await;
        backend.forget_images().await.unwrap();
    });
}

#[test]
fn whoever_built_a_program_it_runs_on_kubernetes() {
    let test = "whoever_built_a_program_it_runs_on_kubernetes";
    let Some(cluster) = site(test) else { return };
    // What each kind makes is tried on Docker; here are the two that a cluster may see otherwise.
    let kinds: &[&str] = if is_long() { &KINDS } else { &["nobody", "command"] };
    if lacks_docker(test) || kinds.contains(&"nix") && lacks(test, "nix") {
        return;
    }
    let stage = stage();
    let images = of_kinds(&stage, kinds);
    let repository = "skew-tests/recipes";
    let at = format!("{}/{repository}", cluster.registry);
    let config = KubernetesConfig {
        dir: stage.dir.path().join("kubernetes"),
        site: None,
        kubeconfig: Some(cluster.kubeconfig.clone()),
        context: None,
        namespace: None,
        storage_class: None,
        storage_bytes: 64 << 20,
        pull_secret: None,
        pull_config: None,
        labels: BTreeMap::new(),
        reach: Reach::Forward,
        patience: Duration::from_secs(60),
        publish: Arc::new(move |image: &ImageRef| Ok(format!("{at}@{}", image.manifest))),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let access = Access { docker_config: None, insecure: true, patience: Patience::SHORT };
        let client = Registry::new(&cluster.registry, access).unwrap();
        for image in &images {
            let (label, key) = (RemoteAt::Tag(image.name.clone()), Digest::of(image.name.as_bytes()));
            client.push(&stage.layout, &image.manifest, repository, &label, &key).await.unwrap();
        }
        run(&KubernetesBackend::connect(config).await.unwrap(), &images).await;
    });
}

/// Every image is a node that is whoever its image says, reads its config, and keeps what it wrote.
async fn run(backend: &dyn Backend, images: &[ImageRef]) {
    backend.ensure_images(images).await.unwrap();
    let (events, mut heard) = tokio::sync::mpsc::channel(64);
    let role = RoleName::new("a").unwrap();
    let node = |(n, image): (usize, &ImageRef)| skew_deploy::NodeRequest {
        name: NodeName::of(&role, n),
        role: role.clone(),
        version: skew_core::model::VersionId::new("v1"),
        image: Some(image.clone()),
        parts: Vec::new(),
        ports: BTreeMap::new(),
        resources: Resources::default(),
        stop: Stop { signal: 15, grace: Duration::from_secs(5) },
    };
    let request = skew_deploy::OpenRequest {
        id: AttemptId(format!("recipes-{}", std::process::id())),
        sweep: SweepId("sweep".to_owned()),
        nodes: images.iter().enumerate().map(node).collect(),
        log_bytes: 64 * 1024,
        events,
        redactor: Arc::default(),
        keep: false,
    };
    let network = backend.open(request).await.unwrap();
    let places = network.places();
    for (image, place) in images.iter().zip(&places) {
        let kept = format!("{}/kept", place.data);
        // `cat` prints no line's end: what it printed and the word after it are one line.
        for args in [
            &["write", &kept, &image.name, "write", "own", "x", "cat", "etc/config", "log", "!", "hang"][..],
            &["cat", &kept, "log", "!", "hang"],
        ] {
            let argv = std::iter::once("/bin/fake_node").chain(args.iter().copied()).map(str::to_owned).collect();
            let config = LaunchFile {
                path: "etc/config".to_owned(),
                bytes: image.name.clone().into_bytes(),
                mode: 0o600,
                secret: false,
            };
            let launch = Launch { argv, files: vec![config], ..Launch::default() };
            network.start(&place.node, &launch).await.unwrap();
            let event = tokio::time::timeout(Duration::from_secs(300), heard.recv()).await.unwrap().unwrap();
            let said = format!("{}!", image.name);
            assert!(matches!(&event, NodeEvent::Log { line, .. } if *line == said), "{}: {event:?}", image.name);
            network.stop(&place.node, Duration::ZERO).await.unwrap();
        }
    }
    network.close().await.unwrap();
}

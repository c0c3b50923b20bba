//! Where networks run: the backends of a state directory, and what of this machine and this person they need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skew_core::model::RegistryUrl;
use skew_deploy::{
    Addressing, Backend, Capacity, DeployError, DockerBackend, DockerConfig, ImageRef, ImageSource, KubernetesBackend,
    KubernetesConfig, ProcessBackend, ProcessConfig, Publish, Reach, Subnet,
};
use skew_image::{Layout, registry};
use skew_spec::{BackendKind, BackendSpec, DockerSpec, KubernetesSpec, Spec};

use super::state::State;

/// What of this machine and this person the backend needs; the command line reads it from its environment.
#[derive(Debug, Clone)]
pub struct Host {
    /// The person's runtime directory, shared by all of their skews.
    pub runtime: PathBuf,
    /// The `PATH` that nodes get.
    pub path: String,
    /// Where the person's caches are.
    pub cache_home: Option<PathBuf>,
    /// The environment that recipes may take variables from.
    pub variables: Vec<(String, String)>,
    /// The name of who runs networks in a cluster, where that is not this machine but a job that may be on any.
    pub site: Option<String>,
}

impl Host {
    /// The Docker config, where this person's credentials for registries are.
    pub fn docker_config(&self) -> Option<PathBuf> {
        let dir = |name| self.variable(name).map(PathBuf::from);
        dir("DOCKER_CONFIG").or_else(|| Some(dir("HOME")?.join(".docker"))).map(|dir| dir.join("config.json"))
    }

    /// A variable that is set to something.
    fn variable(&self, wanted: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(name, value)| name == wanted && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }
}

/// The backend that networks run on, with its images from the layout. The state directory remembers it, so that what a
/// killed sweep left there is found without being told where to look.
///
/// # Errors
/// When it cannot be reached, or its directory cannot be made.
pub async fn backend(
    spec: &Spec,
    state: &State,
    host: &Host,
    layout: &Arc<Layout>,
) -> Result<Arc<dyn Backend>, DeployError> {
    if spec.backend.kind != BackendKind::Process {
        remember(&state.backends(), &spec.backend)
            .map_err(|source| DeployError::Io { action: format!("write {}", state.backends().display()), source })?;
    }
    connect(&spec.backend, Pulls::of(spec), state, host, layout).await
}

/// Every backend that networks of a state directory ran on, the processes of this machine first.
///
/// # Errors
/// When the processes' directory cannot be made. A backend that cannot be reached is in the list with the reason.
pub async fn backends(
    state: &State,
    host: &Host,
    layout: &Arc<Layout>,
) -> Result<Vec<(BackendSpec, Result<Arc<dyn Backend>, DeployError>)>, DeployError> {
    let process = BackendSpec::default();
    let mut all = vec![(process.clone(), Ok(connect(&process, None, state, host, layout).await?))];
    for spec in remembered(&state.backends()) {
        let connected = connect(&spec, None, state, host, layout).await;
        all.push((spec, connected));
    }
    Ok(all)
}

/// Whether a backend answers: how many networks' leftovers it knows, and how much it takes at once. Nothing is
/// remembered of it.
///
/// # Errors
/// Why it does not answer.
pub async fn probe(spec: &BackendSpec, host: &Host) -> Result<Capacity, DeployError> {
    let temporary = tempfile::tempdir().map_err(DeployError::io("make a temporary directory"))?;
    let nowhere = DeployError::io(format!("use {}", temporary.path().display()));
    let state = State::create(temporary.path()).map_err(nowhere)?;
    let layout = Layout::open(&state.layout()).map_err(|error| DeployError::Io {
        action: "open an image layout".to_owned(),
        source: std::io::Error::other(error),
    })?;
    let backend = connect(spec, None, &state, host, &Arc::new(layout)).await?;
    backend.leftovers().await?;
    Ok(backend.capacity())
}

/// Where a cluster pulls a system's images.
pub(super) struct Pulls {
    url: RegistryUrl,
    system: String,
}

impl Pulls {
    /// Those of a spec that names a registry.
    pub(super) fn of(spec: &Spec) -> Option<Self> {
        spec.registry.as_ref().map(|registry| Self { url: registry.url.clone(), system: spec.system.clone() })
    }

    /// The reference of an image that was pushed; its name is `ROLE@VERSION`.
    pub(super) fn reference(&self, image: &ImageRef) -> String {
        let role = image.name.split_once('@').map_or(image.name.as_str(), |(role, _)| role);
        self.url.image(&self.url.repository(&self.system, role), image.manifest).to_string()
    }
}

async fn connect(
    spec: &BackendSpec,
    pulls: Option<Pulls>,
    state: &State,
    host: &Host,
    layout: &Arc<Layout>,
) -> Result<Arc<dyn Backend>, DeployError> {
    match spec.kind {
        BackendKind::Process => process(state, host, layout),
        BackendKind::Docker => docker(&spec.docker, state, host, layout),
        BackendKind::Kubernetes => kubernetes(&spec.kubernetes, pulls, state, host).await,
    }
}

fn process(state: &State, host: &Host, layout: &Arc<Layout>) -> Result<Arc<dyn Backend>, DeployError> {
    let layout = Arc::clone(layout);
    let backend = ProcessBackend::new(ProcessConfig {
        dir: state.run(),
        runtime: host.runtime.clone(),
        path: host.path.clone(),
        addressing: Addressing::detect(),
        unpack: Arc::new(move |manifest, into| {
            // The layout makes the directory itself, whole or not at all.
            std::fs::remove_dir(into)?;
            Ok(layout.unpack(manifest, into)?)
        }),
    })?;
    Ok(Arc::new(backend))
}

fn docker(
    spec: &DockerSpec,
    state: &State,
    host: &Host,
    layout: &Arc<Layout>,
) -> Result<Arc<dyn Backend>, DeployError> {
    let layout = Arc::clone(layout);
    let range = spec.addresses.parse::<Subnet>().map_err(|error| DeployError::Io {
        action: format!("take addresses from {}", spec.addresses),
        source: std::io::Error::other(error),
    })?;
    let backend = DockerBackend::new(DockerConfig {
        dir: state.run().join("docker"),
        socket: host.variable("DOCKER_HOST").map(str::to_owned),
        range,
        images: ImageSource::Layout(Arc::new(move |image, out| {
            Ok(layout.docker_archive(image.manifest, image.parts, image.name, out)?)
        })),
    })?;
    Ok(Arc::new(backend))
}

/// How long a pod may wait for a machine, or for a registry that hiccups.
const PATIENCE: Duration = Duration::from_secs(120);

/// How large a node's volume is when nobody says, in bytes.
pub(super) const VOLUME: u64 = 1 << 30;

async fn kubernetes(
    spec: &KubernetesSpec,
    pulls: Option<Pulls>,
    state: &State,
    host: &Host,
) -> Result<Arc<dyn Backend>, DeployError> {
    let pull_config = match (&pulls, host.docker_config()) {
        (Some(pulls), Some(config)) if spec.create_pull_secret => registry::pull_config(&pulls.url.host, &config)
            .map_err(|error| DeployError::Io {
                action: "make the pull secret".to_owned(),
                source: std::io::Error::other(error),
            })?,
        _ => None,
    };
    let publish: Publish = Arc::new(move |image| match &pulls {
        Some(pulls) => Ok(pulls.reference(image)),
        None => Err("a cluster pulls images from a registry: give `--registry HOST:PORT/PREFIX`".into()),
    });
    // Within the cluster peers' addresses are skew's too.
    let inside = spec.kubeconfig.is_none() && host.variable("KUBERNETES_SERVICE_HOST").is_some();
    let backend = KubernetesBackend::connect(KubernetesConfig {
        dir: state.run().join("kubernetes"),
        site: host.site.clone(),
        kubeconfig: spec.kubeconfig.clone(),
        context: spec.context.clone(),
        namespace: spec.namespace.clone(),
        storage_class: spec.storage_class.clone(),
        storage_bytes: VOLUME,
        pull_secret: spec.pull_secret.clone(),
        pull_config,
        labels: BTreeMap::new(),
        reach: if inside { Reach::Direct } else { Reach::Forward },
        patience: PATIENCE,
        publish,
    })
    .await?;
    Ok(Arc::new(backend))
}

/// The networks in a cluster of somebody with a name of their own.
///
/// # Errors
/// When the cluster does not answer.
pub(super) async fn cluster_of(
    spec: &KubernetesSpec,
    site: &str,
    state: &State,
    host: &Host,
) -> Result<Arc<dyn Backend>, DeployError> {
    let host = Host { site: Some(site.to_owned()), ..host.clone() };
    kubernetes(spec, None, state, &host).await
}

/// The backends that a state directory remembers; what cannot be read was not written by skew and says nothing.
fn remembered(path: &Path) -> Vec<BackendSpec> {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn remember(path: &Path, spec: &BackendSpec) -> std::io::Result<()> {
    let mut all = remembered(path);
    if all.contains(spec) {
        return Ok(());
    }
    all.push(spec.clone());
    skew_host::write_atomically(path, serde_json::to_string_pretty(&all)?.as_bytes())
}

/// `linux/amd64`, as images name it.
pub fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_remembered_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backends.json");
        let docker = BackendSpec { kind: BackendKind::Docker, ..BackendSpec::default() };
        let mut cluster = BackendSpec { kind: BackendKind::Kubernetes, ..BackendSpec::default() };
        cluster.kubernetes.context = Some("lab".to_owned());
        assert_eq!(remembered(&path), []);
        for spec in [&docker, &cluster, &docker] {
            remember(&path, spec).unwrap();
        }
        assert_eq!(remembered(&path), [docker, cluster]);
    }
}

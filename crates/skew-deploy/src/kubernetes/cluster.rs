//! The cluster itself: how it is reached, what it said, and the few things that are asked of it in several places.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skew_host::blocking;

use super::names::Names;
use crate::{Capacity, DeployError, ImageRef};

/// Gives the reference by which the cluster pulls an image, and makes sure that it is there: `registry/name@sha256:…`.
pub type Publish = Arc<dyn Fn(&ImageRef) -> Result<String, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// How skew itself reaches the ports of nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// Through the API server, from anywhere.
    #[default]
    Forward,
    /// As peers do: skew runs in the cluster, or routes lead there.
    Direct,
}

/// Where the cluster is, and how networks are made in it.
#[derive(Clone)]
pub struct KubernetesConfig {
    /// For logs; `run/kubernetes` in the state directory.
    pub dir: PathBuf,
    /// The file; none means `$KUBECONFIG`, `~/.kube/config`, or, in a pod, its service account.
    pub kubeconfig: Option<PathBuf>,
    /// The name of who runs the networks, the same wherever that is; none means this machine and `dir`.
    pub site: Option<String>,
    /// Which of its contexts; none means the current one.
    pub context: Option<String>,
    /// A namespace that exists, for all networks; none means a new one for each.
    pub namespace: Option<String>,
    /// The storage class of nodes' volumes; none means the cluster's default.
    pub storage_class: Option<String>,
    /// How large they are, in bytes.
    pub storage_bytes: u64,
    /// The secret that pulls images, such as `regsecret`.
    pub pull_secret: Option<String>,
    /// What that secret is made of in every new namespace: a Docker `config.json` with the registry's credentials.
    /// Without it the secret must be there.
    pub pull_config: Option<Vec<u8>>,
    /// Labels for everything that is made.
    pub labels: BTreeMap<String, String>,
    /// How skew reaches nodes.
    pub reach: Reach,
    /// How long a pod may stay unschedulable, or a registry hiccup, until that is an error.
    pub patience: Duration,
    /// How images get to where the cluster pulls them.
    pub publish: Publish,
}

/// What an API server said, without the noise around it.
pub(super) fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// An action that the cluster refused or could not do.
pub(super) fn failed(action: impl Into<String>) -> impl FnOnce(kube::Error) -> DeployError {
    let action = action.into();
    move |error| {
        let words = said(&error);
        match error {
            kube::Error::Api(status) if status.code == 403 && is_quota(&words) => {
                DeployError::Room { action, why: words }
            }
            _ => DeployError::Io { action, source: io::Error::other(words) },
        }
    }
}

/// Whether a refusal is for a quota that is used up.
pub(super) fn is_quota(words: &str) -> bool {
    words.contains("exceeded quota")
}

/// An action that failed in words.
pub(super) fn trouble(action: impl Into<String>, words: impl Into<String>) -> DeployError {
    DeployError::Io { action: action.into(), source: io::Error::other(words.into()) }
}

/// Whether the thing was not there.
pub(super) fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the thing was there already.
pub(super) fn is_present(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Takes what is not there for removed.
pub(super) fn or_absent<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(error) if !is_absent(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Ends a pod without waiting for the machine that it is on.
pub(super) fn at_once() -> DeleteParams {
    DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() }
}

/// References by which the cluster pulls an image and its parts.
pub(super) async fn published(
    publish: &Publish,
    image: Option<&ImageRef>,
    parts: &[(ImageRef, String)],
) -> Result<(String, Vec<(String, String)>), DeployError> {
    let (publish, image, parts) = (Arc::clone(publish), image.cloned(), parts.to_vec());
    let publish = move || {
        let reference = |image: &ImageRef| {
            publish(image).map_err(|source| DeployError::Image { image: image.name.clone(), source })
        };
        let image = match &image {
            Some(image) => reference(image)?,
            None => {
                let words = "a pod needs an image; give the role a recipe";
                return Err(DeployError::Image { image: "none".to_owned(), source: words.into() });
            }
        };
        let parts = parts.iter().map(|(part, path)| Ok((reference(part)?, path.clone())));
        Ok((image, parts.collect::<Result<Vec<_>, DeployError>>()?))
    };
    blocking(publish).await
}

/// A cluster that answers.
pub(super) struct Cluster {
    /// The way to it.
    pub client: Client,
    /// What the user wants.
    pub config: KubernetesConfig,
    /// What it holds.
    pub capacity: Capacity,
}

impl Cluster {
    /// Connects, and asks what the cluster holds.
    pub(super) async fn connect(config: KubernetesConfig) -> Result<Self, DeployError> {
        let client = client(config.kubeconfig.as_deref(), config.context.as_deref()).await?;
        let capacity = capacity(&client).await;
        Ok(Self { client, config, capacity })
    }

    /// The objects of one kind in a namespace.
    pub(super) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// All namespaces.
    pub(super) fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    /// Makes an object; one that is there already stays.
    pub(super) async fn create<K>(&self, namespace: &str, object: &K) -> Result<(), DeployError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Serialize,
        K::DynamicType: Default,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let kind = K::kind(&K::DynamicType::default()).to_lowercase();
        match self.api::<K>(namespace).create(&PostParams::default(), object).await {
            Err(error) if is_present(&error) => Ok(()),
            other => other.map(|_| ()).map_err(failed(format!("make the {kind} {name}"))),
        }
    }

    /// The secret that pulls images, where it is skew that makes it.
    pub(super) fn pull_secret(&self, names: &Names) -> Option<Secret> {
        let name = self.config.pull_secret.clone()?;
        let content = self.config.pull_config.clone()?;
        let metadata = kube::api::ObjectMeta {
            name: Some(name),
            labels: Some(names.labels()),
            ..kube::api::ObjectMeta::default()
        };
        let data = BTreeMap::from([(".dockerconfigjson".to_owned(), ByteString(content))]);
        let type_ = Some("kubernetes.io/dockerconfigjson".to_owned());
        Some(Secret { metadata, data: Some(data), type_, ..Secret::default() })
    }

    /// Removes everything of a network; what is not there is removed.
    pub(super) async fn remove(&self, names: &Names, own_namespace: bool) -> Result<(), DeployError> {
        let action = || failed(format!("remove what is in the namespace {}", names.namespace));
        let (background, selected) = (DeleteParams::background(), ListParams::default().labels(&names.selector()));
        // First who would make pods again, then the pods, then the rest.
        let sets = self.api::<StatefulSet>(&names.namespace);
        or_absent(sets.delete_collection(&background, &selected).await).map_err(action())?;
        let pods = self.api::<Pod>(&names.namespace);
        or_absent(pods.delete_collection(&at_once(), &selected).await).map_err(action())?;
        if own_namespace {
            let namespace = self.namespaces().delete(&names.namespace, &background).await;
            // One that is being removed is refused with a conflict.
            return match namespace {
                Err(error) if !is_absent(&error) && !is_present(&error) => {
                    Err(failed(format!("remove the namespace {}", names.namespace))(error))
                }
                Ok(_) | Err(_) => Ok(()),
            };
        }
        // Not every version deletes services as a collection.
        let services = self.api::<Service>(&names.namespace);
        for service in services.list(&selected).await.map_err(action())? {
            let name = service.metadata.name.unwrap_or_default();
            or_absent(services.delete(&name, &background).await).map_err(action())?;
        }
        let claims = self.api::<PersistentVolumeClaim>(&names.namespace);
        or_absent(claims.delete_collection(&background, &selected).await).map_err(action())?;
        let secrets = self.api::<Secret>(&names.namespace);
        or_absent(secrets.delete_collection(&background, &selected).await).map_err(action())?;
        // Last: it is by this that others find the rest.
        let configs = self.api::<ConfigMap>(&names.namespace);
        or_absent(configs.delete_collection(&background, &selected).await).map_err(action())
    }
}

/// The way to a cluster that answers.
pub(super) async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, DeployError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let read = |error: &dyn std::error::Error| trouble("read the kubeconfig", error.to_string());
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| read(&error))?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| read(&error))?
        }
        None if context.is_some() => Config::from_kubeconfig(&options).await.map_err(|error| read(&error))?,
        None => Config::infer().await.map_err(|error| read(&error))?,
    };
    // Streams of logs are silent for as long as their nodes are.
    config.read_timeout = None;
    let at = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(failed("use the kubeconfig"))?;
    let version = client.apiserver_version();
    let answered = tokio::time::timeout(Duration::from_secs(20), version).await;
    let late = |_| trouble(format!("reach the cluster at {at}"), "no answer within 20 s");
    answered.map_err(late)?.map_err(failed(format!("reach the cluster at {at}")))?;
    Ok(client)
}

/// What the machines hold; as much as one machine does where that may not be asked.
async fn capacity(client: &Client) -> Capacity {
    let unknown = Capacity { cores: 4, memory: 8 << 30 };
    let Ok(nodes) = Api::<Node>::all(client.clone()).list(&ListParams::default()).await else { return unknown };
    let (mut millis, mut memory) = (0, 0);
    for node in nodes {
        if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
            continue;
        }
        let allocatable = node.status.and_then(|status| status.allocatable).unwrap_or_default();
        millis += allocatable.get("cpu").map_or(0, |cpu| quantity(&cpu.0, 1000));
        memory += allocatable.get("memory").map_or(0, |memory| quantity(&memory.0, 1));
    }
    if millis == 0 { unknown } else { Capacity { cores: usize::try_from(millis / 1000).unwrap_or(1).max(1), memory } }
}

/// A quantity, such as `500m`, `2` or `4041604Ki`, in parts of one `unit`th.
fn quantity(text: &str, unit: u64) -> u64 {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().unwrap_or(0);
    let factor = match suffix {
        "m" => return number.saturating_mul(unit) / 1000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => 1,
    };
    number.saturating_mul(factor).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_no_other_refusal() {
        let refused = |words: &str| {
            let status = kube::core::Status::failure(words, "Forbidden").with_code(403);
            failed("make the pod a-0")(kube::Error::Api(status.boxed())).fault()
        };
        let quota = "pods \"a-0\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=4, limited: pods=4";
        assert_eq!(refused(quota), Some(skew_core::model::Fault::Room));
        assert_eq!(refused("pods is forbidden: User \"x\" cannot create"), Some(skew_core::model::Fault::Backend));
    }

    #[test]
    fn quantities_are_read() {
        for (text, unit, number) in [
            ("2", 1000, 2000),
            ("1500m", 1000, 1500),
            ("4041604Ki", 1, 4_041_604 << 10),
            ("1Gi", 1, 1 << 30),
            ("", 1, 0),
        ] {
            assert_eq!(quantity(text, unit), number, "{text}");
        }
    }
}

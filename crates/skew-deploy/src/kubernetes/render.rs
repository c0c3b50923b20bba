//! A network as files for `kubectl`: the same objects, without skew in them.
//!
//! What skew adds to run a network by itself (its agent, the record of who owns it) is left out: a rendered node is its
//! own program with its config mounted, and the cluster starts it again when it ends.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ObjectMeta;
use serde::Serialize;
use skew_core::model::{NodeName, PortName, VersionId};
use skew_spec::Resources;

use super::agent::PROGRAM;
use super::names::{Names, dns};
use super::objects::{self, Files, NodeObjects};
use crate::Launch;

/// A network to be written down.
#[derive(Debug, Clone)]
pub struct RenderRequest {
    /// The namespace that everything is in.
    pub namespace: String,
    /// The storage class of nodes' volumes; none means the cluster's default.
    pub storage_class: Option<String>,
    /// How large they are, in bytes.
    pub storage_bytes: u64,
    /// The secret that pulls images.
    pub pull_secret: Option<String>,
    /// Labels for everything.
    pub labels: BTreeMap<String, String>,
    /// How many pods each node has: 0, to be scaled up by hand, or 1.
    pub replicas: i32,
    /// The nodes.
    pub nodes: Vec<RenderNode>,
}

/// A node to be written down.
#[derive(Debug, Clone)]
pub struct RenderNode {
    /// Its name.
    pub name: NodeName,
    /// Its version: its directory.
    pub version: VersionId,
    /// Its image, as the cluster pulls it.
    pub image: String,
    /// Images mounted into it, each with its directory.
    pub parts: Vec<(String, String)>,
    /// Its ports.
    pub ports: BTreeMap<PortName, u16>,
    /// Its limits.
    pub resources: Resources,
    /// Its Service's address, when it is to have a certain one of the cluster's range.
    pub address: Option<IpAddr>,
    /// What runs in it before, until it works, in order.
    pub init: Vec<Vec<String>>,
    /// How it is started, its templates filled in.
    pub launch: Launch,
}

/// A file: its path, with `/` between directories, and its text.
pub type Rendered = (String, String);

/// The name by which peers reach a node where the cluster has a DNS and its address is not a certain one.
pub fn service_name(node: &NodeName) -> String {
    dns(node.as_str())
}

/// Writes a network down: `namespace.yaml`, and a directory for each version with a file for each node.
///
/// # Errors
/// When something cannot be written as YAML, in words.
pub fn render(request: &RenderRequest) -> Result<Vec<Rendered>, String> {
    let key = Names::key(&request.namespace);
    let names = Names {
        namespace: request.namespace.clone(),
        prefix: String::new(),
        site: "rendered".to_owned(),
        key,
        extra: request.labels.clone(),
    };
    let metadata =
        ObjectMeta { name: Some(names.namespace.clone()), labels: Some(names.labels()), ..ObjectMeta::default() };
    let mut first = vec![yaml(Namespace { metadata, ..Namespace::default() })?];
    if request.nodes.iter().any(|node| !node.parts.is_empty()) {
        first.push(yaml(placed(objects::agent(&names, PROGRAM), &names))?);
    }
    let mut files = vec![("namespace.yaml".to_owned(), first.join("---\n"))];
    for node in &request.nodes {
        let path = format!("{}/{}.yaml", dir(&node.version), names.node(&node.name));
        files.push((path, node_file(request, &names, node)?));
    }
    Ok(files)
}

/// A version's directory: `/` and what file systems do not like is escaped.
fn dir(version: &VersionId) -> String {
    let text = version.to_string();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.chars().all(good) && !text.starts_with('.') { text } else { dns(&text) }
}

fn node_file(request: &RenderRequest, names: &Names, node: &RenderNode) -> Result<String, String> {
    let env = [("HOME", objects::DIR), ("TMPDIR", "/skew/tmp"), ("TZ", "UTC")];
    let objects = NodeObjects {
        names,
        node: &node.name,
        image: &node.image,
        parts: &node.parts,
        ports: &node.ports,
        address: None,
        resources: &node.resources,
        env: env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        pull_secret: request.pull_secret.as_deref(),
        run: 1,
        files: Files::default(),
    };
    let mut service = objects::service(names, &node.name, &node.ports);
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = node.address.map(|address| address.to_string());
    }
    let claim = objects::claim(names, &node.name, request.storage_class.as_deref(), request.storage_bytes);
    let (config, secret) = objects::files(names, &node.name, 1, &node.launch.files);
    let set = objects.plain(&node.init, &node.launch, request.replicas);
    let mut documents = vec![yaml(placed(service, names))?, yaml(placed(claim, names))?];
    if let Some(config) = config {
        documents.push(yaml(placed(config, names))?);
    }
    if let Some(secret) = secret {
        documents.push(yaml(placed(secret, names))?);
    }
    documents.push(yaml(placed(set, names))?);
    Ok(documents.join("---\n"))
}

fn placed<K: kube::Resource>(mut object: K, names: &Names) -> K {
    object.meta_mut().namespace = Some(names.namespace.clone());
    object
}

fn yaml(object: impl Serialize) -> Result<String, String> {
    serde_saphyr::to_string(&object).map_err(|error| format!("write an object as YAML: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LaunchFile;

    fn request() -> RenderRequest {
        let file =
            |path: &str, secret| LaunchFile { path: path.into(), bytes: b"x: 1\n".to_vec(), mode: 0o644, secret };
        let node = |name: &str, version: &str| RenderNode {
            name: NodeName::new(name).unwrap(),
            version: VersionId::new(version),
            image: "registry.example/a@sha256:0".to_owned(),
            parts: Vec::new(),
            ports: BTreeMap::from([(PortName::new("api").unwrap(), 7001)]),
            resources: Resources::default(),
            address: Some(IpAddr::from([198, 19, 200, 1])),
            init: vec![vec!["/node".to_owned(), "register".to_owned()]],
            launch: Launch {
                argv: vec!["/node".to_owned(), "yes".to_owned(), "0755".to_owned()],
                env: BTreeMap::from([("ON".to_owned(), "true".to_owned())]),
                files: vec![file("etc/a.conf", false), file("key", true)],
            },
        };
        RenderRequest {
            namespace: "trial".to_owned(),
            storage_class: Some("fast".to_owned()),
            storage_bytes: 1 << 30,
            pull_secret: Some("regsecret".to_owned()),
            labels: BTreeMap::new(),
            replicas: 0,
            nodes: vec![node("a-0", "v1"), node("a-1", "feature/x")],
        }
    }

    #[test]
    fn every_version_has_a_directory() {
        let files = render(&request()).unwrap();
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths[..2], ["namespace.yaml", "v1/a-0.yaml"]);
        assert!(paths[2].starts_with("feature-x-") && paths[2].ends_with("/a-1.yaml"), "{paths:?}");
        let (_, node) = &files[1];
        for wanted in [
            "kind: Service",
            "198.19.200.1",
            "kind: PersistentVolumeClaim",
            "storageClassName: fast",
            "kind: ConfigMap",
            "kind: Secret",
            "kind: StatefulSet",
            "initContainers",
            "replicas: 0",
            "namespace: trial",
            "name: regsecret",
        ] {
            assert!(node.contains(wanted), "{wanted}:\n{node}");
        }
        assert!(!node.contains("agent"), "{node}");
    }

    #[test]
    fn texts_that_look_like_other_things_stay_texts() {
        let (_, node) = render(&request()).unwrap().remove(1);
        for text in ["yes", "0755", "true"] {
            let quoted = [format!("\"{text}\""), format!("'{text}'")];
            assert!(quoted.iter().any(|quoted| node.contains(quoted)), "{text}:\n{node}");
        }
    }
}

//! The objects that a network is, as pure functions: what skew sends to a cluster, and what `render` writes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, KeyToPath, LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Pod, PodSpec, PodTemplateSpec, ProjectedVolumeSource,
    ResourceRequirements, Secret, SecretProjection, SecretVolumeSource, SecurityContext, Service, ServicePort,
    ServiceSpec, Volume, VolumeMount, VolumeProjection, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use skew_core::model::{NodeName, PortName};
use skew_spec::Resources;

use super::names::{NODE, Names, RUN};
use crate::{Launch, LaunchFile};

/// Where a node's volume is mounted: its directory.
pub(super) const DIR: &str = "/skew";
/// Where it keeps its data.
pub(super) const DATA: &str = "/skew/data";
/// Where the agent is.
pub(super) const AGENT: &str = "/.skew/files/agent";
/// The container that is the node.
pub(super) const CONTAINER: &str = "node";
/// The Service's port of skew's own: by it the agent sees that the address leads to the pod. A Service without ports has
/// no address either.
const OWN_PORT: (&str, i32) = ("skew", 65_535);
/// A ConfigMap or Secret holds at most so many bytes; larger files go another way.
pub(super) const OBJECT_BYTES: usize = 900_000;

/// What a node's pods are made of.
#[derive(Debug, Clone)]
pub(super) struct NodeObjects<'a> {
    /// Names and labels.
    pub names: &'a Names,
    /// The node.
    pub node: &'a NodeName,
    /// The image, as the cluster pulls it.
    pub image: &'a str,
    /// Images mounted into it, each with its directory.
    pub parts: &'a [(String, String)],
    /// Its ports.
    pub ports: &'a BTreeMap<PortName, u16>,
    /// Its Service's address, once it is known.
    pub address: Option<IpAddr>,
    /// Its limits.
    pub resources: &'a Resources,
    /// Its environment, before the launch's own.
    pub env: BTreeMap<String, String>,
    /// The secret that pulls images.
    pub pull_secret: Option<&'a str>,
    /// Which start it is; the names of its config follow from it.
    pub run: u64,
    /// Whether it has config files in a ConfigMap, in a Secret.
    pub files: Files,
}

/// Where a node's config files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Some are in a ConfigMap: all, and the index, unless there are none.
    pub config: bool,
    /// Some are in a Secret.
    pub secret: bool,
}

fn meta(name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta { name: Some(name), labels: Some(labels), ..ObjectMeta::default() }
}

/// The agent's name.
pub(super) fn agent_name(names: &Names) -> String {
    names.object("skew-agent")
}

/// The ConfigMap that brings the agent.
pub(super) fn agent(names: &Names, program: &[u8]) -> ConfigMap {
    ConfigMap {
        metadata: meta(agent_name(names), names.labels()),
        binary_data: Some(BTreeMap::from([("agent".to_owned(), ByteString(program.to_vec()))])),
        ..ConfigMap::default()
    }
}

/// What is behind a node's address: nothing changes it while the network is there, whatever becomes of its pods.
pub(super) fn service(names: &Names, node: &NodeName, ports: &BTreeMap<PortName, u16>) -> Service {
    let port = |(number, port): (usize, u16)| ServicePort {
        name: Some(format!("p{number}")),
        port: i32::from(port),
        target_port: Some(IntOrString::Int(i32::from(port))),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let mut numbers: Vec<u16> = ports.values().copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut ports: Vec<ServicePort> = numbers.into_iter().enumerate().map(port).collect();
    if ports.iter().all(|port| port.port != OWN_PORT.1) {
        ports.push(ServicePort { name: Some(OWN_PORT.0.to_owned()), port: OWN_PORT.1, ..ServicePort::default() });
    }
    let spec = ServiceSpec {
        selector: Some(BTreeMap::from([(NODE.to_owned(), names.node(node))])),
        ports: Some(ports),
        // Peers dial it while it starts, and a check dials it when it is not ready: that is what they are to see.
        publish_not_ready_addresses: Some(true),
        ..ServiceSpec::default()
    };
    Service { metadata: meta(names.node(node), names.of_node(node)), spec: Some(spec), ..Service::default() }
}

/// Where a node's directory is kept while it does not run.
pub(super) fn claim(names: &Names, node: &NodeName, class: Option<&str>, bytes: u64) -> PersistentVolumeClaim {
    let size = BTreeMap::from([("storage".to_owned(), Quantity(bytes.to_string()))]);
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        storage_class_name: class.map(str::to_owned),
        resources: Some(VolumeResourceRequirements { requests: Some(size), ..VolumeResourceRequirements::default() }),
        ..PersistentVolumeClaimSpec::default()
    };
    PersistentVolumeClaim {
        metadata: meta(names.node(node), names.of_node(node)),
        spec: Some(spec),
        ..PersistentVolumeClaim::default()
    }
}

/// The name of one start's config.
pub(super) fn files_name(names: &Names, node: &NodeName, run: u64) -> String {
    format!("{}-{run}", names.node(node))
}

/// The key of a launch's file.
fn file_key(number: usize, file: &LaunchFile) -> String {
    format!("{}{number}", if file.secret { 's' } else { 'c' })
}

/// A node's config files: those that hold secrets, and the others with the index that says where all of them go.
pub(super) fn files(
    names: &Names,
    node: &NodeName,
    run: u64,
    files: &[LaunchFile],
) -> (Option<ConfigMap>, Option<Secret>) {
    let (mut texts, mut bytes, mut secret) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut index = String::new();
    for (number, file) in files.iter().enumerate() {
        let key = file_key(number, file);
        index.push_str(&format!("{} {key} {}\n", file.permissions() & 0o777, file.path));
        match std::str::from_utf8(&file.bytes) {
            _ if file.secret => drop(secret.insert(key, ByteString(file.bytes.clone()))),
            // For people who look at it.
            Ok(text) => drop(texts.insert(key, text.to_owned())),
            Err(_) => drop(bytes.insert(key, ByteString(file.bytes.clone()))),
        }
    }
    let metadata = meta(files_name(names, node, run), names.of_node(node));
    let config = (!files.is_empty()).then(|| {
        texts.insert("index".to_owned(), index);
        let binary_data = (!bytes.is_empty()).then_some(bytes);
        ConfigMap { metadata: metadata.clone(), data: Some(texts), binary_data, ..ConfigMap::default() }
    });
    let secret = (!secret.is_empty()).then(|| Secret { metadata, data: Some(secret), ..Secret::default() });
    (config, secret)
}

/// Kubernetes fills `$(NAME)` in; what comes from skew is meant as it is.
pub(super) fn literal(text: &str) -> String {
    text.replace("$(", "$$(")
}

fn env(pairs: &BTreeMap<String, String>) -> Vec<EnvVar> {
    let var = |(name, value): (&String, &String)| EnvVar {
        name: name.clone(),
        value: Some(literal(value)),
        ..EnvVar::default()
    };
    pairs.iter().map(var).collect()
}

/// Tells the agent which pod it is in; it keeps that from the node's program.
fn own_id() -> EnvVar {
    let uid = ObjectFieldSelector { field_path: "metadata.uid".to_owned(), api_version: None };
    let source = EnvVarSource { field_ref: Some(uid), ..EnvVarSource::default() };
    EnvVar { name: "SKEW_POD".to_owned(), value: None, value_from: Some(source) }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn requirements(resources: &Resources) -> Option<ResourceRequirements> {
    let mut limits = BTreeMap::new();
    if let Some(bytes) = resources.memory {
        limits.insert("memory".to_owned(), Quantity(bytes.to_string()));
    }
    if let Some(millis) = resources.cpu_millis {
        limits.insert("cpu".to_owned(), Quantity(format!("{millis}m")));
    }
    // Requests equal limits, so that the scheduler seats only what the machine can hold.
    let both = Some(limits.clone());
    (!limits.is_empty()).then(|| ResourceRequirements { limits: both.clone(), requests: both, claims: None })
}

impl NodeObjects<'_> {
    /// What a pod needs beside its node's own program, from one volume: the agent, the config.
    fn files_volume(&self) -> Volume {
        let item = |key: &str, mode| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: Some(mode) };
        let config = |name: String, items| VolumeProjection {
            config_map: Some(ConfigMapProjection { name, items, optional: None }),
            ..VolumeProjection::default()
        };
        let mut sources = vec![config(agent_name(self.names), Some(vec![item("agent", 0o555)]))];
        let name = files_name(self.names, self.node, self.run);
        if self.files.config {
            sources.push(config(name.clone(), None));
        }
        if self.files.secret {
            let secret = SecretProjection { name, ..SecretProjection::default() };
            sources.push(VolumeProjection { secret: Some(secret), ..VolumeProjection::default() });
        }
        let projected = ProjectedVolumeSource { sources: Some(sources), default_mode: Some(0o444) };
        Volume { name: "files".to_owned(), projected: Some(projected), ..Volume::default() }
    }

    fn volumes(&self) -> Vec<Volume> {
        let empty =
            |name: String| Volume { name, empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
        let claim = PersistentVolumeClaimVolumeSource { claim_name: self.names.node(self.node), read_only: None };
        let home = Volume { name: "home".to_owned(), persistent_volume_claim: Some(claim), ..Volume::default() };
        let mut volumes = vec![self.files_volume(), home, empty("run".to_owned())];
        volumes.extend((0..self.parts.len()).map(|number| empty(format!("part-{number}"))));
        volumes
    }

    /// The pod of the node, or of a command beside it.
    fn pod(&self, command: Vec<String>, launch_env: &BTreeMap<String, String>) -> PodSpec {
        let mut mounts = vec![mount("files", "/.skew/files", true), mount("run", "/.skew/run", false)];
        let mut copies = Vec::new();
        for (number, (image, path)) in self.parts.iter().enumerate() {
            let name = format!("part-{number}");
            mounts.push(mount(&name, &format!("/{}", path.trim_matches('/')), false));
            copies.push(Container {
                name: name.clone(),
                image: Some(image.clone()),
                command: Some([AGENT, "copy", "/", "/.skew/part"].map(str::to_owned).to_vec()),
                volume_mounts: Some(vec![mount("files", "/.skew/files", true), mount(&name, "/.skew/part", false)]),
                ..Container::default()
            });
        }
        mounts.push(mount("home", DIR, false));
        let mut vars = self.env.clone();
        vars.extend(launch_env.clone());
        let port = |port: &u16| ContainerPort { container_port: i32::from(*port), ..ContainerPort::default() };
        let mut ports: Vec<u16> = self.ports.values().copied().collect();
        ports.sort_unstable();
        ports.dedup();
        let container = Container {
            name: CONTAINER.to_owned(),
            image: Some(self.image.to_owned()),
            command: Some(command.iter().map(|arg| literal(arg)).collect()),
            env: Some([vec![own_id()], env(&vars)].concat()),
            ports: Some(ports.iter().map(port).collect()),
            resources: requirements(self.resources),
            volume_mounts: Some(mounts),
            working_dir: Some(DIR.to_owned()),
            ..Container::default()
        };
        PodSpec {
            containers: vec![container],
            init_containers: (!copies.is_empty()).then_some(copies),
            volumes: Some(self.volumes()),
            image_pull_secrets: self.pull_secret.map(|name| vec![LocalObjectReference { name: name.to_owned() }]),
            // Neither the node nor what runs in it has business with the cluster.
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            // The node's process is not the first of its namespace: signals end it as they would anywhere else.
            share_process_namespace: Some(true),
            termination_grace_period_seconds: Some(10),
            ..PodSpec::default()
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.names.of_node(self.node);
        labels.insert(RUN.to_owned(), self.run.to_string());
        labels
    }

    /// The node: a StatefulSet of one pod, or of none while it is stopped.
    pub(super) fn stateful_set(
        &self,
        argv: &[String],
        launch_env: &BTreeMap<String, String>,
        replicas: i32,
    ) -> StatefulSet {
        let mut command = vec![AGENT.to_owned(), "run".to_owned()];
        if let Some(files) = self.resources.files {
            command.extend(["-n".to_owned(), files.to_string()]);
        }
        if let Some(IpAddr::V4(address)) = self.address {
            command.extend(["-a".to_owned(), address.to_string()]);
        }
        command.push("--".to_owned());
        command.extend_from_slice(argv);
        let name = self.names.node(self.node);
        let spec = StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(name.clone()),
            selector: LabelSelector {
                match_labels: Some(BTreeMap::from([(NODE.to_owned(), name.clone())])),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(self.labels()), ..ObjectMeta::default() }),
                spec: Some(self.pod(command, launch_env)),
            },
            // A pod is of the newest template, and one that runs is never replaced by the cluster.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            revision_history_limit: Some(0),
            ..StatefulSetSpec::default()
        };
        StatefulSet { metadata: meta(name, self.names.of_node(self.node)), spec: Some(spec), ..StatefulSet::default() }
    }

    /// A pod beside a stopped node: its image and its volume, in which commands run and files come and go.
    pub(super) fn beside(&self, name: &str) -> Pod {
        let mut labels = self.labels();
        // Not the node's own: its Service must not lead here.
        labels.remove(NODE);
        let mut spec = self.pod([AGENT, "hold"].map(str::to_owned).to_vec(), &BTreeMap::new());
        spec.restart_policy = Some("Never".to_owned());
        Pod { metadata: meta(name.to_owned(), labels), spec: Some(spec), ..Pod::default() }
    }

    /// A pod that lets everybody write in the node's directory, as root, and ends.
    pub(super) fn opener(&self, name: &str) -> Pod {
        let mut pod = self.beside(name);
        let containers = pod.spec.iter_mut().flat_map(|spec| &mut spec.containers);
        for container in containers {
            container.command = Some([AGENT, "open"].map(str::to_owned).to_vec());
            let root = SecurityContext { run_as_user: Some(0), ..SecurityContext::default() };
            container.security_context = Some(root);
        }
        pod
    }

    /// The node as somebody runs it without skew: its own program, its config mounted where it belongs.
    pub(super) fn plain(&self, init: &[Vec<String>], launch: &Launch, replicas: i32) -> StatefulSet {
        let mut set = self.stateful_set(&launch.argv, &launch.env, replicas);
        let Some(pod) = set.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) else { return set };
        let Some(container) = pod.containers.first_mut() else { return set };
        container.command = Some(launch.argv.iter().map(|arg| literal(arg)).collect());
        // The directories are there before the program is.
        let below =
            |dir: &str, path: &str| VolumeMount { sub_path: Some(dir.to_owned()), ..mount("home", path, false) };
        let mut mounts = vec![below("dir", DIR), below("data", DATA), below("tmp", &format!("{DIR}/tmp"))];
        let (mut keep, name) = (vec!["home".to_owned()], files_name(self.names, self.node, self.run));
        for (number, (_, path)) in self.parts.iter().enumerate() {
            let part = format!("part-{number}");
            mounts.push(mount(&part, &format!("/{}", path.trim_matches('/')), false));
            keep.extend([part, "files".to_owned()]);
        }
        let mut volumes = self.volumes();
        volumes.retain(|volume| keep.contains(&volume.name));
        let (mut config, mut secret) = (Vec::new(), Vec::new());
        for (number, file) in launch.files.iter().enumerate() {
            let (source, items) = if file.secret { ("secret", &mut secret) } else { ("config", &mut config) };
            let key = file_key(number, file);
            items.push(KeyToPath {
                key: key.clone(),
                path: key.clone(),
                mode: i32::try_from(file.permissions() & 0o777).ok(),
            });
            let path = format!("{DIR}/{}", file.path.trim_start_matches("./"));
            mounts.push(VolumeMount { sub_path: Some(key), ..mount(source, &path, true) });
        }
        if !config.is_empty() {
            let (name, items) = (name.clone(), Some(config));
            let source = ConfigMapVolumeSource { name, items, ..ConfigMapVolumeSource::default() };
            volumes.push(Volume { name: "config".to_owned(), config_map: Some(source), ..Volume::default() });
        }
        if !secret.is_empty() {
            let (secret_name, items) = (Some(name), Some(secret));
            let source = SecretVolumeSource { secret_name, items, ..SecretVolumeSource::default() };
            volumes.push(Volume { name: "secret".to_owned(), secret: Some(source), ..Volume::default() });
        }
        container.volume_mounts = Some(mounts);
        // Each is done again until it works: nothing else says when those that it speaks to are ready.
        let steps = init.iter().enumerate().map(|(number, argv)| Container {
            name: format!("init-{number}"),
            command: Some(argv.iter().map(|arg| literal(arg)).collect()),
            ports: None,
            ..container.clone()
        });
        let steps: Vec<Container> = steps.collect();
        if !steps.is_empty() {
            pod.init_containers.get_or_insert_default().extend(steps);
        }
        pod.volumes = Some(volumes);
        set
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names() -> Names {
        Names {
            namespace: "n".into(),
            prefix: String::new(),
            key: "k".into(),
            site: "s".into(),
            extra: BTreeMap::new(),
        }
    }

    fn with<T>(parts: &[(String, String)], then: impl FnOnce(&NodeObjects) -> T) -> T {
        let node = NodeName::new("a-0").unwrap();
        let ports = BTreeMap::from([(PortName::new("api").unwrap(), 7001), (PortName::new("same").unwrap(), 7001)]);
        let resources = Resources { memory: Some(64 << 20), cpu_millis: Some(500), files: Some(99) };
        then(&NodeObjects {
            names: &names(),
            node: &node,
            image: "registry/a@sha256:0",
            parts,
            ports: &ports,
            address: Some(IpAddr::from([198, 19, 200, 1])),
            resources: &resources,
            env: BTreeMap::from([("HOME".to_owned(), DIR.to_owned())]),
            pull_secret: Some("regsecret"),
            run: 3,
            files: Files { config: true, secret: false },
        })
    }

    fn file(path: &str, secret: bool) -> LaunchFile {
        LaunchFile { path: path.into(), bytes: b"x".to_vec(), mode: 0o644, secret }
    }

    #[test]
    fn a_node_is_a_set_of_one_pod() {
        let env = BTreeMap::from([("A".to_owned(), "$(B) $C".to_owned())]);
        let set = with(&[], |node| node.stateful_set(&["/node".into(), "--x=$(Y)".into()], &env, 1));
        let set = serde_json::to_value(set).unwrap();
        assert_eq!(set["spec"]["replicas"], 1);
        assert_eq!(set["spec"]["updateStrategy"]["type"], "OnDelete");
        assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"skew/node": "a-0"}));
        let pod = &set["spec"]["template"]["spec"];
        assert_eq!(pod["shareProcessNamespace"], true);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "regsecret"}]));
        let container = &pod["containers"][0];
        assert_eq!(
            container["command"],
            json!([AGENT, "run", "-n", "99", "-a", "198.19.200.1", "--", "/node", "--x=$$(Y)"])
        );
        let own = json!({"name": "SKEW_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}});
        let env = json!([own, {"name": "A", "value": "$$(B) $C"}, {"name": "HOME", "value": "/skew"}]);
        assert_eq!(container["env"], env);
        assert_eq!(container["ports"], json!([{"containerPort": 7001}]));
        assert_eq!(container["resources"]["limits"], json!({"cpu": "500m", "memory": "67108864"}));
        assert_eq!(container["resources"]["limits"], container["resources"]["requests"]);
        assert_eq!(pod["volumes"][1]["persistentVolumeClaim"]["claimName"], "a-0");
        assert_eq!(pod["volumes"][0]["projected"]["sources"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_service_leads_to_the_node_and_not_to_pods_beside_it() {
        let node = NodeName::new("a-0").unwrap();
        let service = service(&names(), &node, &BTreeMap::new());
        let spec = serde_json::to_value(service.spec).unwrap();
        assert_eq!(spec["ports"][0]["port"], 65_535, "a Service needs a port");
        assert_eq!(spec["publishNotReadyAddresses"], true);
        let selector = spec["selector"].as_object().unwrap().clone();
        let beside = with(&[], |node| node.beside("a-0-beside"));
        let labels = beside.metadata.labels.unwrap();
        assert!(selector.iter().any(|(key, value)| labels.get(key).map(String::as_str) != value.as_str()));
        assert_eq!(beside.spec.unwrap().restart_policy.as_deref(), Some("Never"));
    }

    #[test]
    fn secrets_are_kept_apart_from_config() {
        let node = NodeName::new("a-0").unwrap();
        let wanted = [file("etc/a.conf", false), file("etc/key", true)];
        let (config, secret) = files(&names(), &node, 3, &wanted);
        let config = config.unwrap().data.unwrap();
        assert_eq!(config.keys().map(String::as_str).collect::<Vec<_>>(), ["c0", "index"]);
        assert_eq!(config["index"], "420 c0 etc/a.conf\n384 s1 etc/key\n");
        assert_eq!(secret.unwrap().data.unwrap().keys().map(String::as_str).collect::<Vec<_>>(), ["s1"]);
        assert_eq!(files(&names(), &node, 3, &[]), (None, None));
    }

    #[test]
    fn parts_are_copied_into_place() {
        let parts = [("registry/p@sha256:1".to_owned(), "/opt/apps/".to_owned())];
        let set = with(&parts, |node| node.stateful_set(&["/node".into()], &BTreeMap::new(), 0));
        let pod = serde_json::to_value(set.spec.unwrap().template.spec).unwrap();
        assert_eq!(pod["initContainers"][0]["image"], "registry/p@sha256:1");
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
        assert!(mounts.iter().any(|mount| mount["mountPath"] == "/opt/apps" && mount["name"] == "part-0"));
    }

    #[test]
    fn a_rendered_node_needs_nothing_of_skew() {
        let files = vec![file("etc/a.conf", false), file("etc/key", true)];
        let launch = Launch { argv: vec!["/node".into()], files, ..Launch::default() };
        let set = with(&[], |node| node.plain(&[], &launch, 0));
        let text = serde_json::to_string(&set).unwrap();
        assert!(!text.contains("agent"), "{text}");
        let pod = serde_json::to_value(set.spec.unwrap().template.spec).unwrap();
        assert_eq!(pod["containers"][0]["command"], json!(["/node"]));
        assert_eq!(pod["containers"][0]["volumeMounts"][3]["mountPath"], "/skew/etc/a.conf");
        assert_eq!(pod["volumes"][2]["secret"]["items"][0]["mode"], 0o600);
        assert_eq!(pod["volumes"].as_array().unwrap().len(), 3);
    }
}

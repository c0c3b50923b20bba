//! What is asked of a cluster for a program, and the Job that it is then, as a pure function.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, KeyToPath, LocalObjectReference, PodSpec, PodTemplateSpec,
    SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::names::MANAGED_BY;
use super::objects::literal;

/// What a Job belongs to.
const GROUP: &str = "skew/submission";

/// What the cluster calls a pod's Job.
pub(super) const JOB_NAME: &str = "job-name";

/// The program's container.
pub(super) const CONTAINER: &str = "skew";

/// Where the program may write; it goes with the pod.
const WORK: &str = "/skew";

/// Where the Docker config is.
const DOCKER: &str = "/docker";

/// How often a program that failed is tried again.
const TRIES: i32 = 3;

/// How long a program has to finish what runs when it is asked to end, in seconds.
const GRACE: i64 = 60;

/// How long what has ended stays for who comes back, in seconds; older clusters do not know it.
const KEPT: i32 = 7 * 24 * 3600;

/// A program that is to run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// Its name, of at most 52 lower-case letters, digits and dashes.
    pub name: String,
    /// What it belongs to.
    pub group: String,
    /// Its image, whose entrypoint is the program.
    pub image: String,
    /// The program's arguments.
    pub args: Vec<String>,
    /// The account that it has in the cluster.
    pub account: String,
    /// A secret of type `kubernetes.io/dockerconfigjson`: pulls the image, and is the program's Docker config.
    pub secret: Option<String>,
    /// Whether it has its machine's network, loopback included.
    pub host_network: bool,
}

/// What everything of a group has.
pub(super) fn labels(group: &str) -> BTreeMap<String, String> {
    let (by, skew) = MANAGED_BY;
    BTreeMap::from([(by.to_owned(), skew.to_owned()), (GROUP.to_owned(), group.to_owned())])
}

/// Selects it.
pub(super) fn selector(group: &str) -> String {
    let (by, skew) = MANAGED_BY;
    format!("{by}={skew},{GROUP}={group}")
}

/// The Job.
pub(super) fn job(request: &JobRequest) -> Job {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let var =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() };
    let mut env = vec![var("HOME", WORK), var("TMPDIR", WORK)];
    let mut mounts = vec![mount("work", WORK, None)];
    let work = EmptyDirVolumeSource::default();
    let mut volumes = vec![Volume { name: "work".to_owned(), empty_dir: Some(work), ..Volume::default() }];
    if let Some(secret) = &request.secret {
        let key = KeyToPath { key: ".dockerconfigjson".to_owned(), path: "config.json".to_owned(), mode: None };
        let source = SecretVolumeSource {
            secret_name: Some(secret.clone()),
            items: Some(vec![key]),
            ..SecretVolumeSource::default()
        };
        volumes.push(Volume { name: "docker".to_owned(), secret: Some(source), ..Volume::default() });
        mounts.push(mount("docker", DOCKER, Some(true)));
        env.push(var("DOCKER_CONFIG", DOCKER));
    }
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(request.image.clone()),
        args: Some(request.args.iter().map(|arg| literal(arg)).collect()),
        env: Some(env),
        volume_mounts: Some(mounts),
        working_dir: Some(WORK.to_owned()),
        ..Container::default()
    };
    let pod = PodSpec {
        containers: vec![container],
        // A pod that failed stays, with its log; the Job makes another.
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(request.account.clone()),
        host_network: request.host_network.then_some(true),
        dns_policy: request.host_network.then(|| "ClusterFirstWithHostNet".to_owned()),
        image_pull_secrets: request.secret.clone().map(|name| vec![LocalObjectReference { name }]),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE),
        volumes: Some(volumes),
        ..PodSpec::default()
    };
    let meta = |name| ObjectMeta { name, labels: Some(labels(&request.group)), ..ObjectMeta::default() };
    let spec = JobSpec {
        backoff_limit: Some(TRIES),
        ttl_seconds_after_finished: Some(KEPT),
        template: PodTemplateSpec { metadata: Some(meta(None)), spec: Some(pod) },
        ..JobSpec::default()
    };
    Job { metadata: meta(Some(request.name.clone())), spec: Some(spec), ..Job::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_tried_again_and_has_its_credentials() {
        let mut request = JobRequest {
            name: "skew-1-2".to_owned(),
            group: "1".to_owned(),
            image: "registry/skew@sha256:0".to_owned(),
            args: vec!["--set".to_owned(), "a=$(b)".to_owned()],
            account: "skew".to_owned(),
            secret: None,
            host_network: false,
        };
        let text = serde_json::to_string(&job(&request)).expect("JSON");
        assert!(!text.contains("imagePullSecrets") && !text.contains("DOCKER_CONFIG") && !text.contains("hostNetwork"));
        assert!(text.contains("\"a=$$(b)\""), "nothing is filled in: {text}");
        request.secret = Some("regsecret".to_owned());
        request.host_network = true;
        let spec = job(&request).spec.expect("a spec");
        assert_eq!(spec.backoff_limit, Some(TRIES));
        let pod = spec.template.spec.expect("a pod");
        assert_eq!((pod.restart_policy.as_deref(), pod.host_network), (Some("Never"), Some(true)));
        assert_eq!(pod.image_pull_secrets.expect("secrets")[0].name, "regsecret");
        let env = pod.containers[0].env.clone().expect("variables");
        assert!(env.iter().any(|var| var.name == "DOCKER_CONFIG"), "{env:?}");
    }
}

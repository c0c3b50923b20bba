//! What a node is as a container.
//!
//! Docker's `init` is process 1: it hands signals on and buries orphans, so that a program need not know that it is in
//! a container. A process 1 of its own would ignore SIGTERM, and its `abort` would look like something else.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkingConfig, ResourcesUlimits,
};

/// A node's directory in its container.
pub(super) const DIR: &str = "/skew";
/// Where it keeps its data.
pub(super) const DATA: &str = "/skew/data";
/// For how long Docker counts what a node may use of its cores, in microseconds.
const PERIOD: i64 = 100_000;

/// Everything that a container of a node is made of.
pub(super) struct Plan<'a> {
    /// The image, as Docker knows it.
    pub image: &'a str,
    /// The program and its arguments.
    pub argv: &'a [String],
    /// Its environment beside the image's.
    pub env: &'a BTreeMap<String, String>,
    /// Labels of the container and its volume.
    pub labels: HashMap<String, String>,
    /// The node's name, and its host's.
    pub node: &'a str,
    /// Docker's network.
    pub network: &'a str,
    /// Its address there.
    pub address: IpAddr,
    /// The volume that is its directory; its data is in another one, so that it can be wiped alone.
    pub volume: &'a str,
    /// In bytes.
    pub memory: Option<u64>,
    /// In thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Open files.
    pub files: Option<u64>,
    /// The signal that asks it to stop.
    pub stop: i32,
    /// Whether it reads something.
    pub stdin: bool,
    /// Whether Docker keeps its log too, for whoever adopts it.
    pub keep_log: bool,
}

/// Docker's words for a plan.
pub(super) fn body(plan: &Plan<'_>) -> ContainerCreateBody {
    let limit = |name: &str, n: i64| ResourcesUlimits { name: Some(name.to_owned()), soft: Some(n), hard: Some(n) };
    let mut ulimits = vec![limit("core", 0)];
    ulimits.extend(plan.files.map(|files| limit("nofile", bounded(files))));
    let log = if plan.keep_log {
        let options = [("max-size", "16m"), ("max-file", "4")];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(options.into()) }
    } else {
        HostConfigLogConfig { typ: Some("none".to_owned()), config: None }
    };
    let volume = |source: String, target: &str| Mount {
        target: Some(target.to_owned()),
        source: Some(source),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(plan.labels.clone()),
            driver_config: Some(MountVolumeOptionsDriverConfig { name: Some("local".to_owned()), options: None }),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let volumes = vec![volume(plan.volume.to_owned(), DIR), volume(data_volume(plan.volume), DATA)];
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(plan.address.to_string()),
            ..EndpointIpamConfig::default()
        }),
        aliases: Some(vec![plan.node.to_owned()]),
        ..EndpointSettings::default()
    };
    let memory = plan.memory.map(bounded);
    ContainerCreateBody {
        hostname: Some(plan.node.to_owned()),
        image: Some(plan.image.to_owned()),
        entrypoint: Some(plan.argv.to_vec()),
        cmd: Some(Vec::new()),
        env: Some(plan.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        labels: Some(plan.labels.clone()),
        working_dir: Some(DIR.to_owned()),
        attach_stdin: Some(plan.stdin),
        open_stdin: Some(plan.stdin),
        stdin_once: Some(plan.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        stop_signal: Some(plan.stop.to_string()),
        host_config: Some(HostConfig {
            init: Some(true),
            memory,
            // What does not fit must not move to swap either.
            memory_swap: memory,
            cpu_period: plan.cpu_millis.map(|_| PERIOD),
            cpu_quota: plan.cpu_millis.map(|millis| (i64::from(millis) * PERIOD / 1000).max(1000)),
            ulimits: Some(ulimits),
            log_config: Some(log),
            network_mode: Some(plan.network.to_owned()),
            mounts: Some(volumes),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(plan.network.to_owned(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    }
}

/// The volume of a node's data, beside that of its directory.
pub(super) fn data_volume(volume: &str) -> String {
    format!("{volume}.data")
}

fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The environment that every node has beside the image's. No `LANG`: an image with only a program in it has no locales,
/// and programs that are told to use one and cannot refuse to start.
pub(super) fn environment(label: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("HOME", DIR),
        // The one directory beside its data that is there in every image.
        ("TMPDIR", DIR),
        ("TZ", "UTC"),
        ("SKEW_LABEL", label),
        // A signal is meant for all of a node's processes, not for a shell in front of them.
        ("TINI_KILL_PROCESS_GROUP", "1"),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The exit status or the signal that a container's status tells of. A shell's convention: 128 and the signal.
pub(super) fn ended(status: i64) -> (Option<i32>, Option<i32>) {
    match i32::try_from(status) {
        Ok(status @ 129..=192) => (None, Some(status - 128)),
        Ok(status) => (Some(status), None),
        Err(_) => (None, None),
    }
}

/// How a shell numbers the refusal to execute a program, from Docker's words.
pub(super) fn not_executable(message: &str) -> Option<i32> {
    let refused = message.contains("exec failed") || message.contains("unable to start container process");
    let missing = message.contains("no such file or directory") || message.contains("not found in $PATH");
    refused.then_some(if missing { 127 } else { 126 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_exits_or_signals() {
        for (status, want) in [
            (0, (Some(0), None)),
            (127, (Some(127), None)),
            (128, (Some(128), None)),
            (134, (None, Some(6))),
            (137, (None, Some(9))),
            (255, (Some(255), None)),
        ] {
            assert_eq!(ended(status), want, "{status}");
        }
    }

    #[test]
    fn refusals_have_the_status_of_a_shell() {
        let runc = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/x\": ";
        assert_eq!(not_executable(&format!("{runc}stat /x: no such file or directory: unknown")), Some(127));
        assert_eq!(not_executable(&format!("{runc}executable file not found in $PATH: unknown")), Some(127));
        assert_eq!(not_executable(&format!("{runc}permission denied: unknown")), Some(126));
        assert_eq!(not_executable("container x is not running"), None);
    }

    #[test]
    fn limits_are_dockers() {
        let argv = ["/bin/node".to_owned()];
        let env = BTreeMap::new();
        let plan = Plan {
            image: "i",
            argv: &argv,
            env: &env,
            labels: HashMap::new(),
            node: "a-0",
            network: "n",
            address: IpAddr::from([198, 18, 0, 2]),
            volume: "v",
            memory: Some(64 << 20),
            cpu_millis: Some(1500),
            files: Some(50),
            stop: 2,
            stdin: false,
            keep_log: false,
        };
        let body = body(&plan);
        let host = body.host_config.unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
        assert_eq!((host.cpu_period, host.cpu_quota), (Some(100_000), Some(150_000)));
        assert_eq!(host.ulimits.unwrap()[1].soft, Some(50));
        assert_eq!(body.stop_signal.as_deref(), Some("2"));
    }
}

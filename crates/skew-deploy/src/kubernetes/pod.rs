//! What a pod's status says about its node, as a pure function.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::objects::CONTAINER;

/// What a node's pod is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PodState {
    /// It does not run yet, and nothing says that it will not.
    Waiting,
    /// It does not run, and why.
    Stuck(Trouble),
    /// Its process runs.
    Running,
    /// Its process ran and ended.
    Ended(Ended),
    /// The cluster took it away, and why: the node's process had no part in it.
    Removed(String),
}

/// Why a pod does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What.
    pub kind: TroubleKind,
    /// In the cluster's words.
    pub words: String,
    /// Whether waiting is of no use.
    pub lasting: bool,
}

/// What keeps a pod from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// Its image cannot be pulled.
    Image,
    /// No machine has room for it.
    Room,
    /// No machine may take it, or its volume is not there.
    Unschedulable,
    /// The machine cannot make it.
    Container,
}

/// How a node's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its exit status, when it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it. The runtime says 128 and the signal; a program that exits so by itself is not told
    /// apart.
    pub signal: Option<i32>,
    /// Whether its memory limit ended it.
    pub out_of_memory: bool,
    /// What it left in its termination log.
    pub message: String,
}

/// Reads a node's pod.
pub(super) fn state(pod: &Pod) -> PodState {
    state_of(pod, CONTAINER)
}

/// Reads a pod by the container that it is there for.
pub(super) fn state_of(pod: &Pod, name: &str) -> PodState {
    let status = pod.status.clone().unwrap_or_default();
    let reason = status.reason.as_deref().unwrap_or_default();
    let container = status.container_statuses.iter().flatten().find(|status| status.name == name);
    if matches!(reason, "Evicted" | "NodeLost" | "Shutdown" | "Terminated" | "NodeShutdown" | "Preempting") {
        return PodState::Removed(format!("{reason}: {}", status.message.unwrap_or_default()));
    }
    // The machine that it was sent to has given its room to another.
    if reason.starts_with("OutOf") {
        let words = format!("{reason}: {}", status.message.unwrap_or_default());
        return PodState::Stuck(Trouble { kind: TroubleKind::Room, words, lasting: false });
    }
    if let Some(ended) = container.and_then(terminated) {
        return ended_or_refused(ended);
    }
    if container.is_some_and(|c| c.state.as_ref().is_some_and(|state| state.running.is_some())) {
        return PodState::Running;
    }
    let init = status.init_container_statuses.iter().flatten();
    for container in container.into_iter().chain(init) {
        if let Some(trouble) = waiting(container, name) {
            return PodState::Stuck(trouble);
        }
    }
    let conditions = status.conditions.iter().flatten();
    for condition in conditions {
        if condition.type_ == "PodScheduled" && condition.status == "False" {
            let words = condition.message.clone().unwrap_or_default();
            let full = ["Insufficient ", "Too many pods", "max volume count"].iter().any(|word| words.contains(word));
            let kind = if full { TroubleKind::Room } else { TroubleKind::Unschedulable };
            return PodState::Stuck(Trouble { kind, words, lasting: false });
        }
    }
    if status.phase.as_deref() == Some("Failed") {
        return PodState::Removed(format!("{reason} {}", status.message.unwrap_or_default()).trim().to_owned());
    }
    PodState::Waiting
}

/// The end of the first process that the container was: what came after it is the agent, waiting.
fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    last.or(now)
}

fn ended_or_refused(ended: &ContainerStateTerminated) -> PodState {
    let message = ended.message.clone().unwrap_or_default();
    // The runtime never got as far as the program.
    if matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun" | "ContainerStatusUnknown")) {
        return PodState::Stuck(Trouble { kind: TroubleKind::Container, words: message, lasting: true });
    }
    let out_of_memory = ended.reason.as_deref() == Some("OOMKilled");
    let told = ended.signal.filter(|signal| *signal > 0);
    let signal = told.or((129..=192).contains(&ended.exit_code).then_some(ended.exit_code - 128));
    let code = if signal.is_some() { None } else { Some(ended.exit_code) };
    PodState::Ended(Ended { code, signal, out_of_memory, message })
}

fn waiting(container: &ContainerStatus, own: &str) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let words = waiting.message.clone().unwrap_or_default();
    let trouble = |kind, lasting| Some(Trouble { kind, words: words.clone(), lasting });
    match waiting.reason.as_deref()? {
        // The first refusal may be a hiccup of the registry's, unless it says what it is.
        "ErrImagePull" => {
            let final_words = ["not found", "nauthorized", "denied", "authorization failed", "403", "404"];
            trouble(TroubleKind::Image, final_words.iter().any(|word| words.contains(word)))
        }
        "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => {
            trouble(TroubleKind::Image, true)
        }
        "CreateContainerConfigError" => trouble(TroubleKind::Container, false),
        "CreateContainerError" | "RunContainerError" => trouble(TroubleKind::Container, true),
        "CrashLoopBackOff" if container.name != own => trouble(TroubleKind::Container, true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: serde_json::Value) -> PodState {
        state(&serde_json::from_value(json!({ "status": status })).unwrap())
    }

    fn container(state: serde_json::Value, last: serde_json::Value, restarts: i32) -> serde_json::Value {
        json!({ "name": "node", "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
                "state": state, "lastState": last })
    }

    #[test]
    fn processes_run_and_end() {
        let none = json!({});
        let running = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
        let ended = |code: i32, reason: &str| json!({ "terminated": { "exitCode": code, "reason": reason } });
        let check = |state: serde_json::Value, last: serde_json::Value, restarts| {
            of(json!({ "phase": "Running", "containerStatuses": [container(state, last, restarts)] }))
        };
        assert_eq!(of(json!({ "phase": "Pending" })), PodState::Waiting);
        assert_eq!(check(running.clone(), none.clone(), 0), PodState::Running);
        let exit = |code, signal, out_of_memory| {
            PodState::Ended(Ended { code, signal, out_of_memory, message: String::new() })
        };
        assert_eq!(check(ended(3, "Error"), none.clone(), 0), exit(Some(3), None, false));
        assert_eq!(check(ended(134, "Error"), none.clone(), 0), exit(None, Some(6), false));
        assert_eq!(check(ended(137, "OOMKilled"), none.clone(), 0), exit(None, Some(9), true));
        // Restarted by the kubelet: the exit is not hidden.
        assert_eq!(check(running, ended(0, "Completed"), 1), exit(Some(0), None, false));
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        assert_eq!(check(waiting, ended(1, "Error"), 2), exit(Some(1), None, false));
        let refused = check(ended(128, "StartError"), none, 0);
        assert!(matches!(refused, PodState::Stuck(Trouble { kind: TroubleKind::Container, .. })));
    }

    #[test]
    fn what_keeps_a_pod_from_starting_is_told() {
        let waits = |reason: &str, message: &str| {
            let state = json!({ "waiting": { "reason": reason, "message": message } });
            of(json!({ "phase": "Pending", "containerStatuses": [container(state, json!({}), 0)] }))
        };
        assert_eq!(waits("ContainerCreating", ""), PodState::Waiting);
        for (reason, message, kind, lasting) in [
            ("ErrImagePull", "dial tcp: timeout", TroubleKind::Image, false),
            ("ErrImagePull", "manifest not found", TroubleKind::Image, true),
            ("ImagePullBackOff", "Back-off pulling", TroubleKind::Image, true),
            ("CreateContainerConfigError", "secret missing", TroubleKind::Container, false),
            ("RunContainerError", "no such file", TroubleKind::Container, true),
        ] {
            let trouble = Trouble { kind, words: message.to_owned(), lasting };
            assert_eq!(waits(reason, message), PodState::Stuck(trouble), "{reason}");
        }
        for (message, kind) in [
            ("0/1 nodes are available: 1 node(s) had taint {x: y}", TroubleKind::Unschedulable),
            ("0/2 nodes are available: 1 Insufficient memory, 1 node(s) had taint {x: y}", TroubleKind::Room),
            ("0/1 nodes are available: 1 Too many pods.", TroubleKind::Room),
        ] {
            let condition = json!({ "type": "PodScheduled", "status": "False", "message": message });
            let PodState::Stuck(trouble) = of(json!({ "phase": "Pending", "conditions": [condition] })) else {
                panic!()
            };
            assert_eq!((trouble.kind, trouble.lasting), (kind, false), "{message}");
        }
        let outrun = of(json!({ "phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected" }));
        assert!(matches!(outrun, PodState::Stuck(Trouble { kind: TroubleKind::Room, .. })), "{outrun:?}");
        let evicted = of(json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory" }));
        assert_eq!(evicted, PodState::Removed("Evicted: low on memory".to_owned()));
    }
}

//! Programs that run to their end in a cluster, whoever started them: plain Jobs, their logs, and what became of them.
//!
//! All that belongs together has one label, the group's. Whoever comes later finds it by that label and follows it from
//! there. A pod that is lost is made again by the cluster, so a program must be one that may begin anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use futures_util::AsyncReadExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use kube::api::{Api, ListParams, LogParams, ObjectMeta, PostParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cluster::{at_once, client, failed, is_present, or_absent, trouble};
use super::inner::{Watched, watch_objects};
use super::job_objects::{CONTAINER, JOB_NAME, JobRequest, job, labels, selector};
use super::log_body::LogBody;
use super::pod::{PodState, TroubleKind, state_of};
use crate::DeployError;
use crate::log::Lines;

/// How long the cluster may take to answer, and to remove what was asked to go.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a log that broke off is left alone.
const AGAIN: Duration = Duration::from_millis(500);

/// How long the last lines of a program may take to arrive.
const LAST_LINES: Duration = Duration::from_secs(10);

/// How long a Job may be without a pod until that is told.
const NO_POD: Duration = Duration::from_secs(30);

/// How long a pod may be stuck for a reason that does not pass by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// With exit status 0.
    Complete,
    /// It did not, however often it was tried; or it is not there any more. In words.
    Failed(String),
}

/// What happens to a program meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// A line that it wrote.
    Line {
        /// The Job's name.
        job: String,
        /// The line.
        line: String,
    },
    /// What the cluster says about its pod: why it does not run, or that it is gone.
    Pod {
        /// The Job's name.
        job: String,
        /// In words.
        words: String,
    },
    /// It ended.
    Ended {
        /// The Job's name.
        job: String,
        /// How.
        how: JobEnd,
    },
}

/// The Jobs of one namespace.
#[derive(Clone)]
pub struct Jobs {
    client: Client,
    namespace: String,
}

impl Jobs {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// When there is no kubeconfig, or the cluster does not answer.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
        namespace: &str,
    ) -> Result<Self, DeployError> {
        Ok(Self { client: client(kubeconfig, context).await?, namespace: namespace.to_owned() })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Sees that an account is there, where it may look: without it a Job never gets a pod.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn check_account(&self, name: &str) -> Result<(), DeployError> {
        let hint = "apply docs/kubernetes-submit.yaml, or name others with `--service-account` and `--job-namespace`";
        self.check::<ServiceAccount>("account", name, hint).await
    }

    /// Sees that a secret is there, where it may look: without it a pod never starts.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn check_secret(&self, name: &str) -> Result<(), DeployError> {
        let hint = "make it with `kubectl create secret docker-registry`";
        self.check::<Secret>("secret", name, hint).await
    }

    async fn check<K>(&self, kind: &str, name: &str, hint: &str) -> Result<(), DeployError>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        match self.api::<K>().get_metadata_opt(name).await {
            Ok(None) => {
                let words = format!("there is none in the namespace {}; {hint}", self.namespace);
                Err(trouble(format!("find the {kind} {name}"), words))
            }
            // Who may not look finds out later.
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    /// Makes a secret of a Docker config; one that is there already is made anew, as passwords change.
    ///
    /// # Errors
    /// When the cluster refuses it.
    pub async fn put_secret(&self, name: &str, group: &str, docker_config: Vec<u8>) -> Result<(), DeployError> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels(group)), ..ObjectMeta::default() };
        let secret = Secret {
            metadata,
            data: Some(BTreeMap::from([(".dockerconfigjson".to_owned(), ByteString(docker_config))])),
            type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
            ..Secret::default()
        };
        let action = || failed(format!("make the secret {name} in {}", self.namespace));
        let secrets = self.api::<Secret>();
        or_absent(secrets.delete(name, &at_once()).await).map_err(action())?;
        secrets.create(&PostParams::default(), &secret).await.map(drop).map_err(action())
    }

    /// Starts a program; one that was started already goes on.
    ///
    /// # Errors
    /// When the cluster refuses it.
    pub async fn start(&self, request: &JobRequest) -> Result<(), DeployError> {
        match self.api::<Job>().create(&PostParams::default(), &job(request)).await {
            Err(error) if is_present(&error) => Ok(()),
            other => other.map(drop).map_err(failed(format!("make the job {} in {}", request.name, self.namespace))),
        }
    }

    /// The programs of a group that were started: how each ended, or that it has not.
    ///
    /// # Errors
    /// When the cluster does not answer, or not to us.
    pub async fn ends(&self, group: &str) -> Result<BTreeMap<String, Option<JobEnd>>, DeployError> {
        let listed = self.api::<Job>().list(&ListParams::default().labels(&selector(group))).await;
        let listed = listed.map_err(failed(format!("look at the jobs in {}", self.namespace)))?;
        let named = |job: Job| Some((job.metadata.name.clone()?, end(&job)));
        Ok(listed.into_iter().filter_map(named).collect())
    }

    /// Follows programs of a group until all have ended, and tells what happens meanwhile.
    ///
    /// # Errors
    /// When the cluster does not answer at first. Later it is waited for.
    pub async fn follow(
        &self,
        group: &str,
        names: &[String],
        events: &mpsc::UnboundedSender<JobEvent>,
    ) -> Result<BTreeMap<String, JobEnd>, DeployError> {
        let (mut jobs, watching_jobs) = watch_objects::<Job>(self.api(), &selector(group));
        let (mut pods, watching_pods) = watch_objects::<Pod>(self.api(), &selector(group));
        let _watching = Aborts(vec![watching_jobs, watching_pods]);
        let late = |_| trouble(format!("look at the jobs in {}", self.namespace), "no answer within 60 s");
        tokio::time::timeout(ANSWER, jobs.changed()).await.map_err(late)?.ok();
        let mut following = Following {
            jobs: self,
            names: names.iter().cloned().collect(),
            events,
            tails: JoinSet::new(),
            seen: BTreeSet::new(),
            told: BTreeSet::new(),
            stuck: BTreeMap::new(),
            alone: BTreeMap::new(),
            ended: BTreeMap::new(),
        };
        loop {
            let (now, there) = (jobs.borrow_and_update().clone(), pods.borrow_and_update().clone());
            following.look(&now, &there, &pods);
            if following.ended.len() == following.names.len() {
                break;
            }
            let given_up = following.stuck.values().map(|(since, _)| *since + PATIENCE);
            let alone = following.alone.values().map(|since| *since + NO_POD);
            let next = given_up.chain(alone).filter(|due| *due > Instant::now()).min();
            tokio::select! {
                Ok(()) = jobs.changed() => {}
                Ok(()) = pods.changed() => {}
                () = until(next) => {}
            }
        }
        let last = async { while following.tails.join_next().await.is_some() {} };
        // What is missing of a log then is nothing that results depend on.
        let _ = tokio::time::timeout(LAST_LINES, last).await;
        Ok(following.ended)
    }

    /// Removes everything of a group, and waits until none of its programs runs.
    ///
    /// # Errors
    /// When the cluster refuses it, or a pod stays.
    pub async fn remove(&self, group: &str) -> Result<(), DeployError> {
        let action = || failed(format!("remove the jobs in {}", self.namespace));
        let selected = ListParams::default().labels(&selector(group));
        // First who would make pods again, then the pods.
        let background = kube::api::DeleteParams::background();
        or_absent(self.api::<Job>().delete_collection(&background, &selected).await).map_err(action())?;
        or_absent(self.api::<Pod>().delete_collection(&at_once(), &selected).await).map_err(action())?;
        let (mut pods, watching) = watch_objects::<Pod>(self.api(), &selector(group));
        let _watching = Aborts(vec![watching]);
        let gone = async {
            let _ = pods.changed().await; // the first list
            let _ = pods.wait_for(BTreeMap::is_empty).await;
        };
        let late = |_| trouble(format!("remove the pods in {}", self.namespace), "some are there after 60 s");
        tokio::time::timeout(ANSWER, gone).await.map_err(late)?;
        or_absent(self.api::<Secret>().delete_collection(&background, &selected).await).map_err(action())
    }
}

/// Ends tasks when it is dropped.
struct Aborts(Vec<tokio::task::AbortHandle>);

impl Drop for Aborts {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// How a Job ended, if it has.
fn end(job: &Job) -> Option<JobEnd> {
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    conditions.filter(|condition| condition.status == "True").find_map(|condition| match condition.type_.as_str() {
        "Complete" => Some(JobEnd::Complete),
        "Failed" => {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            Some(JobEnd::Failed(format!("{}: {}", text(&condition.reason), text(&condition.message))))
        }
        _ => None,
    })
}

struct Following<'a> {
    jobs: &'a Jobs,
    names: BTreeSet<String>,
    events: &'a mpsc::UnboundedSender<JobEvent>,
    tails: JoinSet<()>,
    /// Pods whose logs are followed.
    seen: BTreeSet<String>,
    /// What was told about a Job or a pod: the cluster repeats itself.
    told: BTreeSet<(String, String)>,
    /// Since when a Job's pod is stuck for good, and what the cluster said first: later it only says that it waits.
    stuck: BTreeMap<String, (Instant, String)>,
    /// Since when a Job has no pod.
    alone: BTreeMap<String, Instant>,
    ended: BTreeMap<String, JobEnd>,
}

impl Following<'_> {
    fn look(&mut self, jobs: &Watched<Job>, pods: &Watched<Pod>, watching: &watch::Receiver<Watched<Pod>>) {
        let mut stuck = BTreeMap::new();
        for (name, pod) in pods {
            let Some(job) = pod.metadata.labels.as_ref().and_then(|labels| labels.get(JOB_NAME)).cloned() else {
                continue;
            };
            if !self.names.contains(&job) {
                continue;
            }
            let words = match state_of(pod, CONTAINER) {
                PodState::Waiting => None,
                PodState::Running => {
                    self.tail(name, &job, watching);
                    None
                }
                PodState::Stuck(trouble) => {
                    if trouble.lasting || trouble.kind == TroubleKind::Image {
                        let now = || (Instant::now(), trouble.words.clone());
                        stuck.insert(job.clone(), self.stuck.get(&job).cloned().unwrap_or_else(now));
                    }
                    Some(format!("does not start: {}", trouble.words))
                }
                PodState::Ended(ended) => {
                    self.tail(name, &job, watching);
                    match (ended.code, ended.signal) {
                        (Some(0), _) => None,
                        _ if ended.out_of_memory => Some("ended: it needed more memory than there is".to_owned()),
                        (Some(code), _) => Some(format!("ended with exit status {code}")),
                        (None, Some(signal)) => Some(format!("was ended by signal {signal}")),
                        (None, None) => Some("ended".to_owned()),
                    }
                }
                PodState::Removed(words) => Some(format!("was taken away: {words}")),
            };
            if let Some(words) = words {
                self.tell(job, format!("pod {name} {words}"));
            }
        }
        self.stuck = stuck;
        self.look_for_pods(pods);
        for name in &self.names {
            let how = match jobs.get(name) {
                Some(job) => end(job),
                None => Some(JobEnd::Failed("somebody removed it".to_owned())),
            };
            let late = self.stuck.get(name).filter(|(since, _)| since.elapsed() >= PATIENCE);
            let given_up = || late.map(|(_, words)| JobEnd::Failed(format!("its pod does not start: {words}")));
            if let Some(how) = how.or_else(given_up)
                && self.ended.insert(name.clone(), how.clone()).is_none()
            {
                // Whoever listened is gone: nobody is to be told.
                let _ = self.events.send(JobEvent::Ended { job: name.clone(), how });
            }
        }
    }

    /// Tells of programs that have no pod at all: the cluster says why only to those who may see its events.
    fn look_for_pods(&mut self, pods: &Watched<Pod>) {
        let of = |pod: &Pod| pod.metadata.labels.as_ref().and_then(|labels| labels.get(JOB_NAME)).cloned();
        let with: BTreeSet<String> = pods.values().filter_map(|pod| of(pod)).collect();
        let now = Instant::now();
        let alone = self.names.iter().filter(|name| !with.contains(*name) && !self.ended.contains_key(*name));
        self.alone = alone.map(|name| (name.clone(), self.alone.get(name).copied().unwrap_or(now))).collect();
        let late = self.alone.iter().filter(|(_, since)| since.elapsed() >= NO_POD);
        for job in late.map(|(job, _)| job.clone()).collect::<Vec<_>>() {
            let words = format!("has no pod yet: `kubectl describe job {job}` may say why");
            self.tell(job, words);
        }
    }

    /// Tells what the cluster says, once.
    fn tell(&mut self, job: String, words: String) {
        if self.told.insert((job.clone(), words.clone())) {
            // Whoever listened is gone: nobody is to be told.
            let _ = self.events.send(JobEvent::Pod { job, words });
        }
    }

    /// Follows a pod's log, once.
    fn tail(&mut self, pod: &str, job: &str, pods: &watch::Receiver<Watched<Pod>>) {
        if self.seen.insert(pod.to_owned()) {
            let tail = Tail {
                api: self.jobs.api(),
                pod: pod.to_owned(),
                job: job.to_owned(),
                pods: pods.clone(),
                events: self.events.clone(),
                lines: Lines::default(),
                read: 0,
            };
            self.tails.spawn(tail.run());
        }
    }
}

/// One pod's log.
struct Tail {
    api: Api<Pod>,
    pod: String,
    job: String,
    pods: watch::Receiver<Watched<Pod>>,
    events: mpsc::UnboundedSender<JobEvent>,
    lines: Lines,
    read: u64,
}

impl Tail {
    async fn run(mut self) {
        loop {
            let running = {
                let pods = self.pods.borrow();
                pods.get(&self.pod).is_some_and(|pod| state_of(pod, CONTAINER) == PodState::Running)
            };
            let before = self.read;
            let is_read = self.stream().await;
            // The log of one that had ended before it was read is whole now.
            if !running && (is_read || self.read == before) {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
        if let Some(line) = self.lines.finish() {
            let _ = self.events.send(JobEvent::Line { job: self.job.clone(), line });
        }
    }

    /// Reads what one connection gives; whether it gave the log.
    async fn stream(&mut self) -> bool {
        let params = LogParams { container: Some(CONTAINER.to_owned()), follow: true, ..LogParams::default() };
        let Ok(stream) = self.api.log_stream(&self.pod, &params).await else { return false };
        let mut stream = Box::pin(stream);
        let mut body = LogBody::after(self.read);
        let mut buffer = vec![0; 32 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.take(&body.push(&buffer[..count]));
        }
        let rest = body.finish();
        self.take(rest.as_deref().unwrap_or_default());
        rest.is_some()
    }

    fn take(&mut self, new: &[u8]) {
        self.read += new.len() as u64;
        let (events, job) = (&self.events, &self.job);
        self.lines.push(new, |line| {
            // Whoever listened is gone: nobody is to be told.
            let _ = events.send(JobEvent::Line { job: job.clone(), line });
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_end_when_they_say_so() {
        let of = |status: serde_json::Value| end(&serde_json::from_value(json!({ "status": status })).expect("a job"));
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({ "active": 1, "failed": 1 })), None);
        let condition = |kind: &str, status: &str| json!({ "conditions": [{ "type": kind, "status": status, "reason": "R", "message": "m" }] });
        assert_eq!(of(condition("Complete", "True")), Some(JobEnd::Complete));
        assert_eq!(of(condition("Failed", "False")), None);
        assert_eq!(of(condition("Failed", "True")), Some(JobEnd::Failed("R: m".to_owned())));
    }
}

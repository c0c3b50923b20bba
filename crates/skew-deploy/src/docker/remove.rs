//! Removes networks by their labels, whoever made them: what a skew that was killed has left.

use std::collections::BTreeMap;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder};
use skew_host::done;

use super::engine::{Engine, failed, label, labelled};
use crate::DeployError;

/// How many things are removed at once.
const AT_ONCE: usize = 16;
/// How many containers leave a network at once. Docker before 28 loses count of a network's ends when three leave it at
/// the same moment, and then never removes it (moby/moby#42119): seen here once in 200 containers with more.
pub(super) const LEAVE_AT_ONCE: usize = 2;

/// What Docker has of a state directory, or of one network in it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Containers' ids, with their labels and whether they run.
    pub containers: Vec<(String, BTreeMap<String, String>, bool)>,
    /// Volumes' names, with their labels.
    pub volumes: Vec<(String, BTreeMap<String, String>)>,
    /// Networks' ids, with their labels.
    pub networks: Vec<(String, BTreeMap<String, String>)>,
}

impl Found {
    /// Everything of a state directory, of one attempt of it when that is given.
    pub(super) async fn look(engine: &Engine, state: &str, attempt: Option<&str>) -> Result<Self, DeployError> {
        let docker = engine.docker().await?;
        let mut wanted = vec![(label::STATE, state)];
        wanted.extend(attempt.map(|attempt| (label::ATTEMPT, attempt)));
        let filters = labelled(&wanted);
        let containers = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let volumes = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let (containers, volumes, networks) = tokio::join!(
            docker.list_containers(Some(containers)),
            docker.list_volumes(Some(volumes)),
            docker.list_networks(Some(networks)),
        );
        let containers = containers.map_err(failed("list Docker's containers"))?;
        let volumes = volumes.map_err(failed("list Docker's volumes"))?.volumes.unwrap_or_default();
        let networks = networks.map_err(failed("list Docker's networks"))?;
        let running = |state: &Option<bollard::models::ContainerSummaryStateEnum>| {
            use bollard::models::ContainerSummaryStateEnum::{PAUSED, RESTARTING, RUNNING};
            matches!(state, Some(RUNNING | PAUSED | RESTARTING))
        };
        let sorted = |labels: Option<std::collections::HashMap<String, String>>| -> BTreeMap<String, String> {
            labels.unwrap_or_default().into_iter().collect()
        };
        Ok(Self {
            containers: containers
                .into_iter()
                .filter_map(|found| Some((found.id?, sorted(found.labels), running(&found.state))))
                .collect(),
            volumes: volumes.into_iter().map(|found| (found.name, found.labels.into_iter().collect())).collect(),
            networks: networks.into_iter().filter_map(|found| Some((found.id?, sorted(found.labels)))).collect(),
        })
    }

    /// The labels of everything.
    pub(super) fn labels(&self) -> impl Iterator<Item = &BTreeMap<String, String>> {
        let containers = self.containers.iter().map(|(_, labels, _)| labels);
        let volumes = self.volumes.iter().map(|(_, labels)| labels);
        containers.chain(volumes).chain(self.networks.iter().map(|(_, labels)| labels))
    }

    /// Removes all of it: containers first, as they hold the rest.
    pub(super) async fn remove(&self, engine: &Engine) -> Result<(), DeployError> {
        let containers: Vec<String> = self.containers.iter().map(|(id, _, _)| id.clone()).collect();
        at_once(LEAVE_AT_ONCE, containers, |id| {
            let engine = engine.clone();
            async move { engine.remove_container(&id).await }
        })
        .await?;
        let volumes: Vec<String> = self.volumes.iter().map(|(name, _)| name.clone()).collect();
        at_once(AT_ONCE, volumes, |name| {
            let engine = engine.clone();
            async move { engine.remove_volume(&name).await }
        })
        .await?;
        let networks: Vec<String> = self.networks.iter().map(|(id, _)| id.clone()).collect();
        at_once(AT_ONCE, networks, |id| {
            let engine = engine.clone();
            async move { engine.remove_network(&id).await }
        })
        .await
    }
}

/// Does this to some of these at once, `limit` at most, until it is done to all; the first failure is the one to tell.
pub(super) async fn at_once<T: Send + 'static, F: Future<Output = Result<(), DeployError>> + Send + 'static>(
    limit: usize,
    all: Vec<T>,
    does: impl Fn(T) -> F,
) -> Result<(), DeployError> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut result = Ok(());
    let mut keep = |ended: Result<Result<(), DeployError>, tokio::task::JoinError>| {
        let ended = done(ended);
        if result.is_ok() {
            result = ended;
        }
    };
    for item in all {
        if tasks.len() >= limit
            && let Some(done) = tasks.join_next().await
        {
            keep(done);
        }
        tasks.spawn(does(item));
    }
    while let Some(done) = tasks.join_next().await {
        keep(done);
    }
    result
}

//! Drivers: how they end, and what of their reports counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use skew_core::model::{CheckName, NodeName, Observation, Outcome};
use skew_core::text::duration;
use skew_spec::{Driver, ExpectKind};

use super::parties::Tuple;
use super::scene::{Actor, Scene};
use super::stopped::Stopped;
use super::together::together;

impl Scene<'_> {
    /// Starts the drivers, waits until they are done, and takes in what they reported.
    pub(super) async fn drive(&self) -> Result<(), Stopped> {
        if !self.actors.iter().any(|actor| actor.drives) {
            return Ok(());
        }
        // Who was of no use before they began cannot have been made so by them.
        let before: BTreeMap<NodeName, CheckName> = self
            .actors
            .iter()
            .filter(|actor| !actor.drives)
            .filter_map(|actor| Some((actor.name().clone(), self.unusable(actor.name())?)))
            .collect();
        let driven = async {
            self.bring_up(|actor| actor.drives).await?;
            let drivers = self.actors.iter().filter(|actor| actor.drives);
            let done = together(usize::MAX, drivers.map(|actor| self.finish(actor))).await;
            done.into_iter().collect::<Result<(), Stopped>>()
        };
        let driven = driven.await;
        self.take_reports(&before);
        driven
    }

    /// Waits until a driver is done, and ends it when its time is over.
    async fn finish(&self, actor: &Actor) -> Result<(), Stopped> {
        let node = actor.name();
        if !self.notes().ready.contains(node) {
            return Ok(());
        }
        let within = self.driver(actor).map_or(Duration::ZERO, |driver| driver.within);
        let begun = Instant::now();
        if tokio::time::timeout(within, self.ear.watch.exited(node)).await.is_err() {
            let within = duration(within);
            self.overloaded(begun, &format!("{node} was not done within {within}"))?;
            self.moment(Some(node), format!("not done within {within}: stopped"));
            self.network.stop(node, actor.role.stop.grace).await?;
        }
        Ok(())
    }

    /// The `[[driver]]` of a node.
    pub(super) fn driver(&self, actor: &Actor) -> Option<&Driver> {
        self.spec.drivers.iter().find(|driver| driver.role == actor.seat.party.role)
    }

    /// Takes in what drivers reported. A failure between nodes of which one was of no use before, or for which a
    /// prerequisite did not work, is no evidence.
    pub(super) fn take_reports(&self, before: &BTreeMap<NodeName, CheckName>) {
        let mut reported = self.ear.reported();
        tolerate(&mut reported, &self.spec.expects);
        let order = |o: &Observation| self.spec.checks.iter().position(|check| check.name == o.check);
        reported.sort_by_key(order); // prerequisites first; the sort is stable
        for mut observation in reported {
            let tuple =
                Tuple { from: observation.from.clone(), to: observation.to.clone(), via: observation.via.clone() };
            let check = self.check_between(&observation.check, &tuple);
            if observation.result == Outcome::Failed {
                let dead = tuple.nodes().into_iter().find_map(|node| before.get(node).cloned());
                if let Some(by) = dead.or_else(|| self.unmet(&check, &tuple)) {
                    observation.result = Outcome::Blocked;
                    observation.detail = by.to_string();
                } else if let Some(since) = self.missing_at(&check, &tuple) {
                    observation.result = Outcome::Unsupported;
                    observation.detail = since;
                }
            }
            observation.detail = self.shown(&observation.detail);
            self.notes().observations.push(observation);
        }
    }
}

/// Failures within the rate that is accepted count as working; what was seen is told.
fn tolerate(observations: &mut [Observation], expects: &[skew_spec::Expect]) {
    for expect in expects {
        let ExpectKind::ErrorRate { check, at_most } = &expect.kind else { continue };
        let parties = |o: &Observation| (o.from.clone(), o.to.clone(), o.via.clone(), o.reporter.clone());
        let failed: Vec<usize> = (0..observations.len())
            .filter(|n| observations[*n].check == *check && observations[*n].result == Outcome::Failed)
            .collect();
        for n in failed {
            let all = observations.iter().filter(|o| o.check == *check && parties(o) == parties(&observations[n]));
            let decided = all.filter(|o| matches!(o.result, Outcome::Ok | Outcome::Failed));
            let total: u64 = decided.map(|o| u64::from(o.count)).sum();
            let bad = u64::from(observations[n].count);
            if bad as f64 <= at_most * total as f64 {
                let seen = format!("{bad} of {total} failed, at most {} % may", at_most * 100.0);
                let observation = &mut observations[n];
                observation.detail = format!("{seen}: {}", observation.detail);
                observation.result = Outcome::Ok;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::about;
    use super::*;

    #[test]
    fn rare_failures_are_tolerated() {
        let check = CheckName::new("pay").unwrap();
        let node = |name: &str| NodeName::new(name).unwrap();
        for (oks, failures, at_most, want) in
            [(99, 1, 0.01, true), (98, 2, 0.01, false), (0, 1, 0.5, false), (1, 1, 0.5, true), (0, 3, 1.0, true)]
        {
            let seen = |result, count| {
                let mut o = about(&check, Some(&node("a-0")), Some(&node("a-1")), &[], result);
                o.count = count;
                o
            };
            let mut observations = vec![seen(Outcome::Ok, oks), seen(Outcome::Failed, failures)];
            let kind = ExpectKind::ErrorRate { check: check.clone(), at_most };
            let expect = skew_spec::Expect { name: check.clone(), role: None, kind };
            tolerate(&mut observations, &[expect]);
            assert_eq!(observations[1].result == Outcome::Ok, want, "{oks} {failures} {at_most}");
            assert_eq!(observations[1].detail.contains("failed, at most"), want);
        }
    }
}

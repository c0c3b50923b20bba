//! The checks that skew itself does, prerequisites first, between every tuple of their nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use skew_core::model::{CheckName, NodeName, Observation, Outcome, RoleName};
use skew_core::text::duration;
use skew_spec::{Check, CheckHow, Step};

use super::parties::Tuple;
use super::scene::{Scene, about, built_in};
use super::stopped::Stopped;
use super::together::together;

/// Tuples of one check at once.
const AT_ONCE: usize = 16;
/// How long a backend may take to end a step whose time is over.
const SLACK: Duration = Duration::from_secs(30);

/// The checks that must be run so that these are settled: they and what comes before them.
pub(super) fn closure<'c>(checks: &'c [Check], asked: &dyn Fn(&CheckName) -> bool) -> BTreeSet<&'c CheckName> {
    let mut wanted = BTreeSet::new();
    // Prerequisites stand first, so one pass from the end meets every check after all that need it.
    for check in checks.iter().rev() {
        let needed = |later: &&Check| wanted.contains(&later.name) && later.after.contains(&check.name);
        if asked(&check.name) || checks.iter().any(|later| needed(&later)) {
            wanted.insert(&check.name);
        }
    }
    wanted
}

/// Checks that wait for drivers, because a driver reports something that they come after.
pub(super) fn after_drivers(checks: &[Check]) -> BTreeSet<&CheckName> {
    let mut later: BTreeSet<&CheckName> = BTreeSet::new();
    for check in checks {
        if matches!(check.how, CheckHow::Driver(_)) || check.after.iter().any(|name| later.contains(name)) {
            later.insert(&check.name);
        }
    }
    later
}

/// The prerequisite that did not work for a tuple's nodes. Observations between them count, and those of one of them
/// towards a role that the tuple does not name, when none of these worked.
pub(super) fn unmet<'c>(
    after: &'c [CheckName],
    observations: &[Observation],
    tuple: &Tuple,
    role: &dyn Fn(&NodeName) -> Option<RoleName>,
) -> Option<&'c CheckName> {
    let nodes = tuple.nodes();
    let roles: Vec<Option<RoleName>> = nodes.iter().map(|node| role(node)).collect();
    after.iter().find(|name| {
        let named = |o: &Observation| o.from.iter().chain(&o.to).chain(&o.via).cloned().collect::<Vec<_>>();
        let of_check: Vec<&Observation> = observations.iter().filter(|o| o.check == **name).collect();
        let between = of_check.iter().any(|o| o.result != Outcome::Ok && named(o).iter().all(|n| nodes.contains(&n)));
        let outwards = nodes.iter().any(|node| {
            let mut outward = of_check.iter().filter(|o| {
                let named = named(o);
                named.contains(node) && named.iter().any(|other| !roles.contains(&role(other)))
            });
            let first = outward.next();
            first.is_some_and(|o| o.result != Outcome::Ok) && outward.all(|o| o.result != Outcome::Ok)
        });
        between || outwards
    })
}

impl Scene<'_> {
    /// Does the checks that are wanted.
    pub(super) async fn checks(&self, wanted: impl Fn(&Check) -> bool) -> Result<(), Stopped> {
        for check in self.spec.checks.iter().filter(|check| wanted(check)) {
            if !matches!(check.how, CheckHow::Steps(_)) {
                continue;
            }
            let tuples = self.tuples(&check.scope);
            if !tuples.is_empty() {
                self.moment(None, format!("check {}", check.name));
            }
            let done = together(AT_ONCE, tuples.iter().map(|tuple| self.check(&check.name, tuple))).await;
            done.into_iter().collect::<Result<(), Stopped>>()?;
        }
        Ok(())
    }

    async fn check(&self, name: &CheckName, tuple: &Tuple) -> Result<(), Stopped> {
        let check = self.check_between(name, tuple);
        let CheckHow::Steps(steps) = &check.how else { return Ok(()) };
        let begun = Instant::now();
        let mut observation = about(name, tuple.from.as_ref(), tuple.to.as_ref(), &tuple.via, Outcome::Ok);
        if let Some(since) = self.missing_at(&check, tuple) {
            observation.result = Outcome::Unsupported;
            observation.detail = since;
        } else if let Some(by) = self.blocker(&check, tuple) {
            observation.result = Outcome::Blocked;
            observation.detail = by.to_string();
        } else {
            (observation.result, observation.detail) = self.check_steps(&check, steps, tuple).await?;
            observation.ms = Some(begun.elapsed().as_secs_f64() * 1000.0);
            if observation.result == Outcome::Failed {
                for node in tuple.nodes() {
                    self.excused(node).await?;
                }
            }
        }
        self.observe(observation);
        Ok(())
    }

    /// Runs the steps, within the check's time and while its nodes are there.
    async fn check_steps(&self, check: &Check, steps: &[Step], tuple: &Tuple) -> Result<(Outcome, String), Stopped> {
        let nodes = tuple.nodes();
        tokio::select! {
            biased;
            result = self.steps(check, steps, tuple) => result,
            // The crash is the failure, and not what its neighbours see of it.
            _ = self.ear.watch.any_exited(&nodes, |exit| !self.may_exit(exit)), if !nodes.is_empty() => {
                Ok((Outcome::Blocked, built_in("exit").to_string()))
            }
            // Each step ends by itself in the check's time, and tells what it saw.
            () = tokio::time::sleep(check.within + SLACK) => {
                let late = duration(SLACK);
                Ok((Outcome::Error, format!("the backend did not end its steps {late} after their time was over")))
            }
        }
    }

    /// Why the check does not exist between these nodes, when it does not.
    pub(super) fn missing_at(&self, check: &Check, tuple: &Tuple) -> Option<String> {
        let since = check.since.as_ref()?;
        let nodes = tuple.nodes();
        let node = nodes.iter().find(|node| self.actor(node).is_some_and(|a| !since.matches(&a.version)))?;
        let version = self.actor(node).map(|actor| actor.version.id.to_string()).unwrap_or_default();
        Some(format!("it exists at {}, and {node} is {version}", since.text))
    }

    /// The check because of which another cannot be done between these nodes.
    pub(super) fn blocker(&self, check: &Check, tuple: &Tuple) -> Option<CheckName> {
        let dead = tuple.nodes().into_iter().find_map(|node| self.unusable(node));
        dead.or_else(|| self.unmet(check, tuple))
    }

    /// The check that says why a node cannot take part.
    pub(super) fn unusable(&self, node: &NodeName) -> Option<CheckName> {
        let never = || (!self.notes().ready.contains(node)).then(|| built_in("ready"));
        self.trouble(node).or_else(never)
    }

    /// The prerequisite that did not work for these nodes.
    pub(super) fn unmet(&self, check: &Check, tuple: &Tuple) -> Option<CheckName> {
        let role = |node: &NodeName| self.actor(node).map(|actor| actor.seat.party.role.clone());
        unmet(&check.after, &self.notes().observations, tuple, &role).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::Scope;

    fn check(name: &str, after: &[&str], how: CheckHow) -> Check {
        Check {
            name: CheckName::new(name).unwrap(),
            scope: Scope::Network,
            direct: true,
            after: after.iter().map(|name| CheckName::new(name).unwrap()).collect(),
            since: None,
            how,
            within: Duration::from_secs(1),
        }
    }

    fn names(set: &BTreeSet<&CheckName>) -> String {
        set.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_asked_brings_its_prerequisites() {
        let steps = || CheckHow::Steps(Vec::new());
        let driver = || CheckHow::Driver(RoleName::new("driver").unwrap());
        let checks = [
            check("a", &[], steps()),
            check("b", &["a"], driver()),
            check("c", &["b"], steps()),
            check("d", &["a"], steps()),
        ];
        for (asked, want) in [("a", "a"), ("c", "a b c"), ("d", "a d"), ("x", "")] {
            assert_eq!(names(&closure(&checks, &|name| name.as_str() == asked)), want);
        }
        assert_eq!(names(&after_drivers(&checks)), "b c");
    }

    #[test]
    fn prerequisites_block_those_they_name() {
        let node = |name: &str| NodeName::new(name).unwrap();
        let role = |node: &NodeName| RoleName::new(node.as_str().rsplit_once('-')?.0).ok();
        let after = [CheckName::new("registers").unwrap()];
        let seen = |from: &str, to: &str, result| about(&after[0], Some(&node(from)), Some(&node(to)), &[], result);
        let tuple = |from: &str, to: &str| Tuple { from: Some(node(from)), to: Some(node(to)), via: vec![] };
        let observations = [
            seen("node-0", "doorman-0", Outcome::Failed),
            seen("node-1", "doorman-0", Outcome::Ok),
            seen("node-2", "doorman-0", Outcome::Ok),
            seen("node-2", "doorman-1", Outcome::Failed),
            seen("node-1", "node-2", Outcome::Failed),
        ];
        for (tuple, blocked) in [
            (tuple("node-0", "node-1"), true),
            (tuple("node-1", "node-0"), true),
            (tuple("node-1", "node-2"), true),
            (tuple("node-1", "notary-0"), false),
            (tuple("node-2", "notary-0"), false),
            (tuple("node-1", "doorman-0"), false),
            (tuple("node-0", "doorman-0"), true),
        ] {
            assert_eq!(unmet(&after, &observations, &tuple, &role).is_some(), blocked, "{tuple:?}");
        }
    }
}

//! What is concluded when a scenario is over: exits, expectations, and what was asked and never observed.

use std::time::Duration;

use skew_core::model::{Cell, CheckName, Exit, NodeName, Observation, Outcome, Party, RoleName, Scope, Subject};
use skew_core::text::{duration, duration_ms};
use skew_spec::{CheckHow, ExpectKind};

use super::commands::unseen;
use super::parties::{Tuple, tuples};
use super::scene::{Actor, Scene, about, built_in};
use super::stopped::{Stopped, regex};
use super::together::together;

/// How long the news of an exit may take to arrive.
const NEWS: Duration = Duration::from_secs(1);

impl Scene<'_> {
    /// Waits for lines that must appear in time.
    pub(super) async fn expected_lines(&self) -> Result<(), Stopped> {
        let pairs = self.actors.iter().flat_map(|actor| self.expects_of(actor).map(move |expect| (actor, expect)));
        let waits = pairs.filter_map(|(actor, expect)| match &expect.kind {
            ExpectKind::LogWithin { matches, within } => {
                Some(self.expected_line(actor.name(), &expect.name, matches, *within))
            }
            ExpectKind::LogNever(_) | ExpectKind::Exit(_) | ExpectKind::ErrorRate { .. } => None,
        });
        together(usize::MAX, waits).await.into_iter().collect()
    }

    async fn expected_line(
        &self,
        node: &NodeName,
        check: &CheckName,
        pattern: &str,
        within: Duration,
    ) -> Result<(), Stopped> {
        let started = self.notes().started.get(node).copied();
        let Some(started) = started else {
            self.observe_blocked(check, node);
            return Ok(());
        };
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let deadline = started.saturating_add(within_ms);
        let left = Duration::from_millis(deadline.saturating_sub(self.now_ms()));
        let pattern = regex(pattern)?;
        if self.ear.uttered(check, node).is_none() {
            let mut unseen = 0;
            tokio::select! {
                _ = self.ear.watch.line(node, &pattern, &mut unseen) => {}
                _ = self.ear.watch.exited(node) => {}
                () = tokio::time::sleep(left) => {}
            }
        }
        let said = self.ear.uttered(check, node);
        let expected = format!("expected a line of its log that matches /{pattern}/ within {}", duration(within));
        let detail = match said {
            Some(said) if said.at_ms <= deadline => {
                self.observe_node(check.as_str(), node, Outcome::Ok, "");
                return Ok(());
            }
            Some(said) => format!("{expected}, found it after {}\n{}", duration_ms(said.at_ms - started), said.line),
            None if self.trouble(node).is_some() => {
                self.observe_blocked(check, node);
                return Ok(());
            }
            None if self.ear.cut(node) > 0 => {
                let detail = format!("{expected}, found none; {}", unseen(self.ear.cut(node)));
                self.observe_node(check.as_str(), node, Outcome::Error, &detail);
                return Ok(());
            }
            None => format!("{expected}, found none"),
        };
        let since = self.opened + Duration::from_millis(started);
        self.overloaded(since, &format!("{node}: {expected}"))?;
        self.observe_node(check.as_str(), node, Outcome::Failed, &detail);
        Ok(())
    }

    fn observe_blocked(&self, check: &CheckName, node: &NodeName) {
        let by = self.trouble(node).unwrap_or_else(|| built_in("starts"));
        self.observe_node(check.as_str(), node, Outcome::Blocked, by.as_str());
    }

    /// Who is alive, and who exited although nobody asked. Before anything is stopped.
    pub(super) async fn exits(&self) -> Result<Vec<Exit>, Stopped> {
        let mut unasked = Vec::new();
        for actor in &self.actors {
            let (node, notes_ready) = (actor.name(), self.notes().ready.contains(actor.name()));
            let started = self.notes().started.contains_key(node);
            let mut exit = self.ear.watch.exit(node);
            if exit.is_none() && started && !self.network.is_running(node) {
                // Either skew stopped it, or the news of its exit is on its way.
                exit = tokio::time::timeout(NEWS, self.ear.watch.exited(node)).await.ok();
            }
            let (result, detail) = match &exit {
                Some(exit) if self.may_exit(exit) => (Outcome::Ok, exit.to_string()),
                Some(exit) => {
                    unasked.push(exit.clone());
                    self.excused(node).await?;
                    // A node that never was ready failed that; it did not fail twice.
                    let by = self.notes().trouble.get(node).cloned();
                    match by.filter(|_| !notes_ready) {
                        Some(by) => (Outcome::Blocked, by.to_string()),
                        None => (Outcome::Failed, exit.to_string()),
                    }
                }
                None if started && self.network.is_running(node) => (Outcome::Ok, String::new()),
                None if started => (Outcome::Ok, "it was stopped when its time was over".to_owned()),
                None => match self.trouble(node) {
                    Some(by) => (Outcome::Blocked, by.to_string()),
                    None => continue, // the scenario ended before its turn
                },
            };
            self.observe_node("exit", node, result, &detail);
        }
        Ok(unasked)
    }

    /// Lines that must not have appeared. After everything has stopped: last words count.
    pub(super) fn unwanted_lines(&self) {
        for actor in &self.actors {
            for expect in self.expects_of(actor) {
                if !matches!(expect.kind, ExpectKind::LogNever(_)) {
                    continue;
                }
                let node = actor.name();
                match self.ear.uttered(&expect.name, node) {
                    Some(said) => {
                        let mut observation = about(&expect.name, Some(node), None, &[], Outcome::Failed);
                        observation.detail = self.shown(&said.line);
                        observation.count = said.count;
                        observation.at_ms = said.at_ms;
                        self.notes().observations.push(observation);
                    }
                    None if self.notes().started.contains_key(node) => {
                        self.observe_node(expect.name.as_str(), node, Outcome::Ok, "");
                    }
                    None => self.observe_blocked(&expect.name, node),
                }
            }
        }
    }

    /// What was asked and never observed: blocked when its reporter or its parties were of no use, an error when a limit
    /// of skew's own may be why (`cut_short` names it), else missing.
    pub(super) fn missing(&self, cut_short: Option<&str>) {
        let of = |role: &RoleName| self.of_role(role).map(|actor| actor.name().clone()).collect();
        for (name, scope, reporter) in self.askable() {
            let asked: Vec<&Cell> = self.plan.asks.iter().filter(|cell| cell.check == name).collect();
            if asked.is_empty() {
                continue;
            }
            for tuple in tuples(&scope, &of) {
                let relevant = asked.iter().any(|cell| self.is_about(cell, &tuple));
                if !relevant || self.is_observed(&name, &scope, &tuple) {
                    continue;
                }
                let (result, detail) = self.why_missing(&name, &tuple, reporter.as_ref(), cut_short);
                let mut observation = about(&name, tuple.from.as_ref(), tuple.to.as_ref(), &tuple.via, result);
                observation.detail = detail;
                self.observe(observation);
            }
        }
    }

    fn why_missing(
        &self,
        name: &CheckName,
        tuple: &Tuple,
        reporter: Option<&RoleName>,
        cut_short: Option<&str>,
    ) -> (Outcome, String) {
        let check = self.spec.checks.iter().any(|check| check.name == *name).then(|| self.check_between(name, tuple));
        if let Some(since) = check.as_ref().and_then(|check| self.missing_at(check, tuple)) {
            return (Outcome::Unsupported, since);
        }
        let by = match &check {
            Some(check) => self.blocker_at_end(check, tuple),
            None => tuple.nodes().into_iter().find_map(|node| self.trouble(node)).filter(|by| by != name),
        };
        let reporters: Vec<&Actor> = reporter.into_iter().flat_map(|role| self.of_role(role)).collect();
        let silent = reporters.iter().map(|actor| self.trouble(actor.name())).collect::<Option<Vec<_>>>();
        let by = by.or_else(|| silent.and_then(|checks| checks.first().cloned()));
        let dropped = || reporters.iter().find_map(|actor| self.ear.dropped(actor.name()));
        match (by, cut_short) {
            (Some(by), _) => (Outcome::Blocked, by.to_string()),
            (None, Some(why)) => (Outcome::Error, why.to_owned()),
            (None, None) => match dropped() {
                Some(dropped) => (Outcome::Error, format!("it is not known whether it was reported: {dropped}")),
                None => (Outcome::Missing, "its reporter ended without reporting it".to_owned()),
            },
        }
    }

    fn blocker_at_end(&self, check: &skew_spec::Check, tuple: &Tuple) -> Option<CheckName> {
        let dead = tuple.nodes().into_iter().find_map(|node| self.trouble(node));
        dead.or_else(|| self.unmet(check, tuple))
    }

    /// Every check that may be asked of a network, with whom it is about and who reports it.
    fn askable(&self) -> Vec<(CheckName, Scope, Option<RoleName>)> {
        let all: Vec<RoleName> = self.spec.topology.keys().cloned().collect();
        let on = |roles: &[RoleName]| Scope::Node { roles: roles.to_vec() };
        let mut checks: Vec<_> = ["starts", "ready", "exit"].map(|name| (built_in(name), on(&all), None)).into();
        checks.extend(self.spec.checks.iter().map(|check| {
            let reporter = match &check.how {
                CheckHow::Driver(role) => Some(role.clone()),
                CheckHow::Steps(_) | CheckHow::Init => None,
            };
            (check.name.clone(), check.scope.clone(), reporter)
        }));
        checks.extend(self.spec.expects.iter().filter_map(|expect| match expect.kind {
            ExpectKind::LogNever(_) | ExpectKind::LogWithin { .. } => {
                let roles = expect.role.as_ref().map_or(all.clone(), |role| vec![role.clone()]);
                Some((expect.name.clone(), on(&roles), None))
            }
            ExpectKind::Exit(_) | ExpectKind::ErrorRate { .. } => None,
        }));
        checks
    }

    /// Whether there is an observation between these nodes, whoever took part.
    fn is_observed(&self, check: &CheckName, scope: &Scope, tuple: &Tuple) -> bool {
        let symmetric = matches!(scope, Scope::Pair { symmetric: true, .. });
        let same = |a: &Option<NodeName>, b: &Option<NodeName>| *a == tuple.from && *b == tuple.to;
        let observed = |o: &Observation| same(&o.from, &o.to) || (symmetric && same(&o.to, &o.from));
        self.notes().observations.iter().any(|o| o.check == *check && observed(o))
    }

    fn party(&self, node: &NodeName) -> Option<&Party> {
        self.actor(node).map(|actor| &actor.seat.party)
    }

    fn is_about(&self, cell: &Cell, tuple: &Tuple) -> bool {
        let (from, to) = (tuple.from.as_ref(), tuple.to.as_ref());
        let (from, to) = (from.and_then(|node| self.party(node)), to.and_then(|node| self.party(node)));
        let via: Vec<&Party> = tuple.via.iter().filter_map(|node| self.party(node)).collect();
        is_about(&cell.subject, from, to, &via)
    }
}

/// Whether a tuple of these parties is one that the subject asks about: its parties towards each other, or one of them
/// with one that takes part.
fn is_about(subject: &Subject, from: Option<&Party>, to: Option<&Party>, via: &[&Party]) -> bool {
    let ordered = |a: &Party, b: &Party| {
        (from == Some(a) && to == Some(b))
            || (from == Some(a) && via.contains(&b))
            || (via.contains(&a) && to == Some(b))
            || (from == Some(b) && via.contains(&a))
            || (via.contains(&b) && to == Some(a))
    };
    match subject {
        Subject::Alone(party) => from == Some(party) || to == Some(party) || via.contains(&party),
        Subject::Ordered(a, b) => ordered(a, b),
        Subject::Symmetric(a, b) => ordered(a, b) || ordered(b, a),
        Subject::Set(parties) => {
            let named: Vec<&Party> = from.into_iter().chain(to).chain(via.iter().copied()).collect();
            named.is_empty() || parties.iter().all(|party| named.contains(&party))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_ask_about_tuples() {
        let party = |text: &str| {
            let Subject::Alone(party) = format!("x: {text}").parse::<Cell>().unwrap().subject else { panic!() };
            party
        };
        let (a1, a2, n1, n2) = (party("a@1"), party("a@2"), party("n@1"), party("n@2"));
        for (cell, want) in [
            ("x: a@1 -> a@2", true),
            ("x: a@2 -> a@1", false),
            ("x: a@1 <-> a@2", true),
            ("x: a@1 -> n@1", true),
            ("x: n@1 -> a@2", true),
            ("x: a@1 -> n@2", false),
            ("x: a@1", true),
            ("x: n@2", false),
            ("x: {a@1, a@2, n@1}", true),
            ("x: {a@1, a@2, n@2}", false),
        ] {
            let cell: Cell = cell.parse().unwrap();
            assert_eq!(is_about(&cell.subject, Some(&a1), Some(&a2), &[&n1]), want, "{cell}");
        }
        assert!(!is_about(&Subject::Ordered(a1.clone(), n2), Some(&a1), None, &[]));
    }
}

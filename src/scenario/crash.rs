//! A node that crashes is one failure: what fails because of it is blocked by it, and is no failure of its own.

use std::time::Duration;

use skew_core::model::{CheckName, NodeName, Observation, Outcome};
use skew_spec::ExpectKind;

use super::scene::{Scene, built_in};

/// How long before its end a node that crashes may already be at it: what fails then belongs to the crash.
const SHADOW: Duration = Duration::from_secs(5);

/// A node that was ready and exited although nobody asked.
struct Crash {
    node: NodeName,
    /// In milliseconds since the network was opened.
    at_ms: u64,
}

impl Scene<'_> {
    /// Blocks the failures that a crash explains: of checks on a node that crashed, or on one whose role depends on it.
    pub(super) fn blame_crashes(&self) {
        let ready = self.notes().ready.clone();
        let exits = self.actors.iter().filter_map(|actor| self.ear.watch.exit(actor.name()));
        let crashes: Vec<Crash> = exits
            .filter(|exit| ready.contains(&exit.node) && !self.may_exit(exit))
            .map(|exit| Crash { node: exit.node, at_ms: exit.at_ms })
            .collect();
        // What a line says is known for itself.
        let lines = self.spec.expects.iter().filter(|expect| matches!(expect.kind, ExpectKind::LogNever(_)));
        let lines: Vec<&CheckName> = lines.map(|expect| &expect.name).collect();
        for observation in &mut self.notes().observations {
            if !lines.contains(&&observation.check) {
                blame(observation, &crashes, &|node| self.stands_on(node));
            }
        }
    }

    /// The nodes of every role that a node's role depends on, and those that these depend on.
    fn stands_on(&self, node: &NodeName) -> Vec<NodeName> {
        let mut roles = self.actor(node).map(|actor| actor.role.depends.clone()).unwrap_or_default();
        let mut next = 0;
        while let Some(role) = roles.get(next).cloned() {
            let below = self.of_role(&role).flat_map(|actor| &actor.role.depends);
            let new: Vec<_> = below.filter(|role| !roles.contains(role)).cloned().collect();
            roles.extend(new);
            next += 1;
        }
        roles.iter().flat_map(|role| self.of_role(role)).map(|actor| actor.name().clone()).collect()
    }
}

/// Blocks a failure that one of the crashes explains.
fn blame(observation: &mut Observation, crashes: &[Crash], stands_on: &dyn Fn(&NodeName) -> Vec<NodeName>) {
    if observation.result != Outcome::Failed {
        return;
    }
    let exit = built_in("exit");
    let named: Vec<&NodeName> = observation.from.iter().chain(&observation.to).chain(&observation.via).collect();
    let below: Vec<NodeName> = named.iter().flat_map(|node| stands_on(node)).collect();
    // An exit is seen when the network is over; when it was is the crash's time.
    let own = crashes.iter().find(|crash| observation.check == exit && named.contains(&&crash.node));
    let failed_ms = own.map_or(observation.at_ms, |crash| crash.at_ms);
    let shadow = u64::try_from(SHADOW.as_millis()).unwrap_or(u64::MAX);
    let explains = |crash: &&Crash| {
        let concerns = named.is_empty() || named.contains(&&crash.node) || below.contains(&crash.node);
        match own {
            Some(_) => below.contains(&crash.node) && crash.at_ms <= failed_ms,
            None => concerns && crash.at_ms <= failed_ms.saturating_add(shadow),
        }
    };
    if crashes.iter().any(|crash| explains(&crash)) {
        observation.result = Outcome::Blocked;
        observation.detail = exit.to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::about;
    use super::*;

    #[test]
    fn a_crash_explains_what_fails_because_of_it_and_nothing_else() {
        let node = |name: &str| NodeName::new(name).unwrap();
        let crashes = [
            Crash { node: node("server-0"), at_ms: 20_000 },
            Crash { node: node("client-0"), at_ms: 21_000 },
            Crash { node: node("other-0"), at_ms: 60_000 },
        ];
        let stands_on = |node: &NodeName| {
            if node.as_str().starts_with("client") { vec![NodeName::new("server-0").unwrap()] } else { vec![] }
        };
        let seen = |check: &str, from: &str, to: &str, at_ms: u64| {
            let name = |name: &str| NodeName::new(name).ok();
            let check = CheckName::new(check).unwrap();
            let mut seen = about(&check, name(from).as_ref(), name(to).as_ref(), &[], Outcome::Failed);
            seen.at_ms = at_ms;
            blame(&mut seen, &crashes, &stands_on);
            seen.result == Outcome::Blocked && seen.detail == "exit"
        };
        for (check, from, to, at_ms, blocked) in [
            ("talks", "server-0", "peer-0", 30_000, true),
            ("talks", "peer-0", "server-0", 15_001, true),
            ("talks", "peer-0", "server-0", 14_999, false),
            ("talks", "peer-0", "peer-1", 30_000, false),
            ("talks", "client-1", "peer-1", 30_000, true),
            ("whole", "", "", 30_000, true),
            ("whole", "", "", 1_000, false),
            ("exit", "server-0", "", 90_000, false),
            ("exit", "client-0", "", 90_000, true),
            ("exit", "other-0", "", 90_000, false),
        ] {
            assert_eq!(seen(check, from, to, at_ms), blocked, "{check} {from} {to} {at_ms}");
        }
    }
}

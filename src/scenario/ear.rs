//! Hears what nodes say: remembers it for whoever waits, collects drivers' observations, and holds every line against
//! what must never be said.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use regex::Regex;
use skew_core::model::{CheckName, NodeName, Observation};
use skew_core::text::count;
use skew_deploy::{NodeEvent, Stream, Watch, is_cut};

use super::observe::{self, Casting, Heard, Line};

/// Remarks about malformed observations, of each node.
const REMARKS: usize = 20;

/// A line that must not appear.
pub(super) struct Never {
    /// The expectation's name.
    pub check: CheckName,
    /// The nodes that it holds for.
    pub nodes: Vec<NodeName>,
    /// The line.
    pub pattern: Regex,
}

/// A line that appeared although it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uttered {
    /// The line.
    pub line: String,
    /// When, in milliseconds since the network was opened.
    pub at_ms: u64,
    /// How many such lines there were.
    pub count: u32,
}

/// Hears everything that a network's nodes say.
pub(super) struct Ear {
    /// What they said and whether they are alive.
    pub watch: Watch,
    drivers: Vec<NodeName>,
    casting: Casting,
    nevers: Vec<Never>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    heard: Heard,
    uttered: BTreeMap<(CheckName, NodeName), Uttered>,
    dropped: BTreeMap<NodeName, Dropped>,
    /// Lines that were longer than what is read of a line.
    cut: BTreeMap<NodeName, u64>,
}

/// Observations of a driver that could not be used.
#[derive(Default)]
struct Dropped {
    count: usize,
    /// Why the first could not.
    first: String,
}

impl Ear {
    /// An ear for the network of that casting.
    pub(super) fn new(casting: Casting, drivers: Vec<NodeName>, nevers: Vec<Never>) -> Self {
        Self { watch: Watch::default(), drivers, casting, nevers, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event; a remark is given back when a driver said something that cannot be used.
    pub(super) fn hear<'e>(&self, event: &'e NodeEvent) -> Option<(&'e NodeName, String)> {
        if let NodeEvent::Log { node, stream, line, at_ms } = event {
            if *stream == Stream::Stdout && self.drivers.contains(node) {
                match observe::read(line.as_bytes()) {
                    Line::Log => {}
                    Line::Said(said) => {
                        let why = match self.casting.accept(&said, node) {
                            Ok(observation) => self.collect(observation, *at_ms),
                            Err(why) => Some(why),
                        };
                        return self.remark(node, why?);
                    }
                    Line::Malformed(why) => {
                        self.watch.feed(event);
                        return self.remark(node, why);
                    }
                }
            }
            self.hold_against(node, line, *at_ms);
        }
        self.watch.feed(event);
        None
    }

    fn collect(&self, mut observation: Observation, at_ms: u64) -> Option<String> {
        observation.at_ms = at_ms;
        let added = self.state().heard.add(observation);
        (!added).then(|| format!("skew keeps {} MiB of different results of one network", observe::BYTES_MAX >> 20))
    }

    fn remark<'e>(&self, node: &'e NodeName, why: String) -> Option<(&'e NodeName, String)> {
        let mut state = self.state();
        let dropped = state.dropped.entry(node.clone()).or_default();
        dropped.count += 1;
        if dropped.count == 1 {
            dropped.first.clone_from(&why);
        }
        match dropped.count {
            ..REMARKS => Some((node, format!("observation dropped: {why}"))),
            REMARKS => Some((node, "more observations dropped".to_owned())),
            _ => None,
        }
    }

    fn hold_against(&self, node: &NodeName, line: &str, at_ms: u64) {
        if is_cut(line) {
            *self.state().cut.entry(node.clone()).or_default() += 1;
        }
        for never in self.nevers.iter().filter(|never| never.nodes.contains(node)) {
            if never.pattern.is_match(line) {
                let mut state = self.state();
                let key = (never.check.clone(), node.clone());
                let first = || Uttered { line: line.to_owned(), at_ms, count: 0 };
                let uttered = state.uttered.entry(key).or_insert_with(first);
                uttered.count = uttered.count.saturating_add(1);
            }
        }
    }

    /// What drivers reported so far; it is given once.
    pub(super) fn reported(&self) -> Vec<Observation> {
        self.state().heard.take()
    }

    /// How many observations of a driver were dropped, and why the first was; none when none was.
    pub(super) fn dropped(&self, driver: &NodeName) -> Option<String> {
        let state = self.state();
        let dropped = state.dropped.get(driver)?;
        let observations = count(dropped.count as u64, "observation");
        Some(format!("{observations} of {driver} could not be used: {}", dropped.first))
    }

    /// Lines of a node of which the end could not be looked at.
    pub(super) fn cut(&self, node: &NodeName) -> u64 {
        self.state().cut.get(node).copied().unwrap_or(0)
    }

    /// The line that a node must not have said, if it did.
    pub(super) fn uttered(&self, check: &CheckName, node: &NodeName) -> Option<Uttered> {
        self.state().uttered.get(&(check.clone(), node.clone())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::{RoleName, Scope};

    fn say(ear: &Ear, node: &str, line: &str) -> Option<String> {
        let node = NodeName::new(node).unwrap();
        let event = NodeEvent::Log { node, stream: Stream::Stdout, line: line.to_owned(), at_ms: 5 };
        ear.hear(&event).map(|(_, remark)| remark)
    }

    fn ear() -> Ear {
        let driver = NodeName::new("driver-0").unwrap();
        let role = RoleName::new("driver").unwrap();
        let casting = Casting {
            nodes: BTreeMap::from([(driver.clone(), role.clone())]),
            checks: BTreeMap::from([(CheckName::new("quiet").unwrap(), (Scope::Network, role))]),
        };
        let never = Never {
            check: CheckName::new("calm").unwrap(),
            nodes: vec![driver.clone()],
            pattern: Regex::new("panicked").unwrap(),
        };
        Ear::new(casting, vec![driver], vec![never])
    }

    #[test]
    fn observations_and_lines_are_told_apart() {
        let ear = ear();
        assert_eq!(say(&ear, "driver-0", r#"{"skew":"observation","check":"quiet","result":"ok"}"#), None);
        assert_eq!(say(&ear, "driver-0", "panicked at nothing"), None);
        assert_eq!(say(&ear, "driver-0", "panicked again"), None);
        assert!(say(&ear, "driver-0", r#"{"skew":"observation","check":"quiet"}"#).unwrap().contains("dropped"));
        assert_eq!(ear.reported().len(), 1);
        let (calm, driver) = (CheckName::new("calm").unwrap(), NodeName::new("driver-0").unwrap());
        let uttered = ear.uttered(&calm, &driver).unwrap();
        assert_eq!((uttered.line.as_str(), uttered.count), ("panicked at nothing", 2));
        assert_eq!(ear.watch.lines(&driver).len(), 3, "observations are no log");
    }

    #[test]
    fn remarks_are_bounded() {
        let ear = ear();
        let remarks = (0..100).filter_map(|_| say(&ear, "driver-0", r#"{"skew":"observation","#)).count();
        assert_eq!(remarks, REMARKS);
        let told = ear.dropped(&NodeName::new("driver-0").unwrap()).unwrap();
        assert!(told.starts_with("100 observations of driver-0 could not be used: not JSON"), "{told}");
    }
}

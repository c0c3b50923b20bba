//! What everything is resolved against, and what resolving one table shares with another.

use std::time::Duration;

use indexmap::IndexMap;
use skew_core::model::CheckName;

use crate::definitions::Definitions;
use crate::problem::{Place, Problem, Sink};
use crate::template::Sample;

/// Checks that every system has.
pub(super) const BUILT_IN: [&str; 4] = ["builds", "starts", "ready", "exit"];

/// How long something may take that does not say.
pub(super) const WITHIN: Duration = Duration::from_secs(30);

/// What everything is resolved against.
#[derive(Clone, Copy)]
pub(crate) struct Resolver<'a> {
    /// What was read.
    pub defs: &'a Definitions,
    /// Where problems go.
    pub sink: &'a Sink,
    /// What templates see; none when they were checked already.
    pub sample: Option<&'a Sample>,
}

impl Resolver<'_> {
    pub(crate) fn problem(
        &self,
        at: Place,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.sink.push(Problem::new(at, message, label).hint(hint));
    }

    /// Reports what is missing, unless what was written there could not be read and was reported already.
    pub(crate) fn missing(
        &self,
        broken: bool,
        at: Place,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if !broken {
            self.problem(at, message, label, hint);
        }
    }

    /// The spec's first character: where what is missing altogether is missing.
    pub(crate) fn start(&self) -> Place {
        Place::new(0, 0..self.defs.texts[0].body.chars().next().map_or(0, char::len_utf8))
    }

    /// The names of the roles, those with problems included.
    pub(crate) fn role_names(&self) -> Vec<&str> {
        self.defs.spec.roles.iter().flat_map(|roles| roles.keys()).collect()
    }

    /// The roles that the network has: those of the topology, and those that follow them.
    pub(crate) fn seated(&self) -> Vec<&str> {
        let written: Vec<&str> = self.defs.spec.topology.iter().flat_map(|topology| topology.keys()).collect();
        let follows = self
            .role_names()
            .into_iter()
            .filter(|name| self.defs.followed(name).is_some_and(|other| written.contains(&other)));
        written.iter().copied().chain(follows).collect()
    }

    /// Reports a role that does not exist, or that no network has.
    pub(crate) fn is_seated(&self, at: Place, name: &str) -> bool {
        if !self.role_names().contains(&name) {
            self.sink.push(Problem::unknown(at, "role", name, self.role_names()));
            return false;
        }
        let seated = self.seated();
        if !seated.contains(&name) {
            let message = format!("role `{name}` is not in the topology");
            self.problem(at, message, "no node plays it", format!("add `{name} = {{ count = 1 }}` to `[topology]`"));
            return false;
        }
        true
    }
}

/// The names of the checks of a spec, the built-in ones not among them.
pub(super) fn check_names<'a>(resolver: &Resolver<'a>) -> Vec<&'a str> {
    resolver.defs.spec.check.iter().flatten().map(|check| check.name.as_str()).collect()
}

/// Puts every item after those it depends on, else in the order given; `Err` is a cycle.
pub(super) fn in_order(count: usize, depends: &dyn Fn(usize) -> Vec<usize>) -> Result<Vec<usize>, Vec<usize>> {
    fn visit(
        item: usize,
        depends: &dyn Fn(usize) -> Vec<usize>,
        done: &mut Vec<usize>,
        path: &mut Vec<usize>,
    ) -> Result<(), Vec<usize>> {
        if done.contains(&item) {
            return Ok(());
        }
        if let Some(start) = path.iter().position(|other| *other == item) {
            return Err(path[start..].to_vec());
        }
        path.push(item);
        for other in depends(item) {
            visit(other, depends, done, path)?;
        }
        path.pop();
        done.push(item);
        Ok(())
    }
    let mut done = Vec::new();
    for item in 0..count {
        visit(item, depends, &mut done, &mut Vec::new())?;
    }
    Ok(done)
}

/// `a → b → a`
pub(super) fn cycle_text(names: &[&str]) -> String {
    let mut names: Vec<&str> = names.to_vec();
    names.extend(names.first().copied());
    names.join(" → ")
}

/// The checks' names are roles' reserved words too: none of them may be taken.
pub(super) fn is_built_in(name: &CheckName) -> bool {
    BUILT_IN.contains(&name.as_str())
}

/// An ordered map from what was resolved.
pub(super) fn collected<K: std::hash::Hash + Eq, V>(items: impl IntoIterator<Item = (K, V)>) -> IndexMap<K, V> {
    items.into_iter().collect()
}

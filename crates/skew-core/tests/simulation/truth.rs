//! The truth of a simulated system: what each cell's verdict must be.

use std::collections::BTreeMap;

use skew_core::model::{Cell, Strategy, Subject, VerdictKind};

use super::flaw::Flaw;
use super::world::{World, version_of};

impl World {
    /// Whether a set really fails together.
    pub(crate) fn is_interference(&self, cell: &Cell) -> bool {
        let Subject::Set(set) = &cell.subject else {
            return false;
        };
        let has = |role: &str, v: usize| set.iter().any(|p| p.role.as_str() == role && version_of(p) == v);
        self.flaws.iter().any(|flaw| match flaw {
            Flaw::Triple { from, to, via } => has("node", *from) && has("node", *to) && has("notary", *via),
            Flaw::Interference { from, to, present } => has("node", *from) && has("node", *to) && has("node", *present),
            Flaw::Dying { node, doorman, .. } => set.len() == 2 && has("node", *node) && has("doorman", *doorman),
            _ => false,
        })
    }

    /// What the cell's verdict must be, as a test on the verdict; `Err` names what was expected.
    pub(crate) fn judge(&self, cell: &Cell, verdict: &VerdictKind) -> Result<(), String> {
        let mut expected = self.expected(cell);
        if self.outage.is_some() {
            // What was not found out before is an error; what was is the truth.
            expected.extend(["error", "untested"]);
            if expected.contains(&"flaky") {
                // Another cell may be suspected of what it did.
                expected.push("pass");
            }
        }
        let word = verdict.word();
        if expected.contains(&"pass") && !expected.contains(&"fail") && !self.can_be_seen_working(cell) {
            // No network tells it from what fails beside it: two that always fail together are both reported.
            expected = vec!["pass", "fail", "untested"];
        }
        if expected.contains(&word) { Ok(()) } else { Err(expected.join(" or ")) }
    }

    /// Whether versions can be seated so that a cell of `pay` takes part in something that works.
    fn can_be_seen_working(&self, cell: &Cell) -> bool {
        let Subject::Ordered(a, b) = &cell.subject else { return true };
        if cell.check.as_str() != "pay" {
            return true;
        }
        let (a, b) = ((a.role.as_str(), version_of(a)), (b.role.as_str(), version_of(b)));
        let all = || 0..self.versions;
        let trios = all().flat_map(|from| all().flat_map(move |to| all().map(move |via| (from, to, via))));
        trios.into_iter().any(|(from, to, via)| {
            let (from, to, via) = (("node".to_owned(), from), ("node".to_owned(), to), ("notary".to_owned(), via));
            let ordered = [(&from, &to), (&from, &via), (&via, &to)];
            let has_cell = ordered.into_iter().any(|(x, y)| (x.0.as_str(), x.1) == a && (y.0.as_str(), y.1) == b);
            let is_built = ![&from, &to, &via].into_iter().any(|(_, version)| self.unbuilt(*version));
            let vias = std::slice::from_ref(&via);
            has_cell && is_built && !self.flaws.iter().any(|flaw| flaw.spoils("pay", &from, &to, vias, &[]))
        })
    }

    fn expected(&self, cell: &Cell) -> Vec<&'static str> {
        let check = cell.check.as_str();
        let parties: Vec<(&str, usize)> =
            cell.subject.parties().into_iter().map(|p| (p.role.as_str(), version_of(p))).collect();
        if parties.iter().any(|(_, v)| self.unbuilt(*v)) {
            return vec![if check == "builds" { "unbuilt" } else { "untested" }];
        }
        let dead_first = |flaw: &&Flaw| !matches!(flaw, Flaw::Broken { check: "starts" | "ready", .. });
        let mut flaws: Vec<&Flaw> = self.flaws.iter().collect();
        flaws.sort_by_key(dead_first);
        for flaw in flaws {
            match flaw {
                Flaw::Unsupported { before } if check == "audit" && parties.iter().any(|(_, v)| v < before) => {
                    return vec!["unsupported"];
                }
                Flaw::Broken { check: life @ ("starts" | "ready"), role, version }
                    if parties.contains(&(role, *version)) =>
                {
                    return match check {
                        "builds" | "exit" => vec!["pass", "untested"],
                        "starts" if *life == "ready" => vec!["pass"],
                        check if check == *life => vec!["broken"],
                        _ => vec!["untested"],
                    };
                }
                Flaw::ExitsLate { version } if parties.contains(&("node", *version)) => {
                    return match check {
                        "exit" => vec!["broken"],
                        // What was observed before is as it was; what was not cannot be.
                        _ => vec!["pass", "untested"],
                    };
                }
                Flaw::Broken { check: "registers", role: "doorman", version }
                    if parties.contains(&("doorman", *version)) =>
                {
                    return if check == "registers" { vec!["broken"] } else { vec!["pass"] };
                }
                Flaw::Broken { check: c, role, version } if *c == check && parties.contains(&(role, *version)) => {
                    return vec!["broken"];
                }
                _ => {}
            }
        }
        let Subject::Ordered(a, b) = &cell.subject else {
            return vec!["pass"];
        };
        let (a, b) = ((a.role.as_str(), version_of(a)), (b.role.as_str(), version_of(b)));
        for flaw in &self.flaws {
            match flaw {
                Flaw::Pair { check: c, from, to } if *c == check && *from == a && *to == b => {
                    // A bad diagonal of one role is what `broken` means.
                    return if a == b { vec!["broken"] } else { vec!["fail"] };
                }
                Flaw::Framing { since }
                    if check == "pay" && a.0 == "node" && b.0 == "node" && (a.1 < *since) != (b.1 < *since) =>
                {
                    return vec!["fail"];
                }
                Flaw::AtValue { check: c, role, version, value }
                    if *c == check
                        && cell.axes.values().any(|at| at == value)
                        && [a, b].contains(&(role, *version)) =>
                {
                    return vec!["fail"];
                }
                _ => {}
            }
        }
        for flaw in &self.flaws {
            if let Flaw::Alternating { version } = flaw {
                if check == "pay" && a == ("node", *version) {
                    return vec!["flaky"];
                }
                // Whoever is seen with the flaking payer only may be taken for flaky; never for failing.
                let beside = a == ("notary", *version) || b == ("node", *version) || b == ("notary", *version);
                let via = a.0 == "notary" && self.strategy != Strategy::Packed;
                if check == "pay" && (beside || via) {
                    return vec!["flaky", "pass"];
                }
            }
        }
        vec!["pass"]
    }

    /// Whether the truth can be told from networks at all: flaws that hide each other are left out.
    pub(crate) fn is_decidable(&self) -> bool {
        let mut touched: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for flaw in &self.flaws {
            let parties: Vec<(&str, usize)> = match flaw {
                Flaw::Pair { from, to, .. } => vec![*from, *to],
                Flaw::Framing { .. } => vec![("framing", 0)],
                Flaw::Broken { role, version, .. } => vec![(role, *version)],
                Flaw::Triple { from, to, via } => {
                    if from == to || to == via || from == via {
                        return false;
                    }
                    vec![("node", *from), ("node", *to), ("notary", *via)]
                }
                Flaw::Interference { from, to, present } => {
                    // The flaw must be about three versions, or its pairs would fail.
                    if from == to || to == present || from == present {
                        return false;
                    }
                    vec![("node", *from), ("node", *to), ("node", *present)]
                }
                Flaw::Alternating { version } => vec![("node", *version)],
                Flaw::Silent { from, to } => vec![("node", *from), ("node", *to)],
                Flaw::FlakyParty { role, version, .. } => vec![(role, *version)],
                Flaw::FlakyPair { from, to, .. } => vec![*from, *to],
                Flaw::Dying { node, doorman, .. } => vec![("node", *node), ("doorman", *doorman)],
                Flaw::AtValue { role, version, .. } => vec![(role, *version)],
                Flaw::ExitsLate { version } => vec![("node", *version)],
                Flaw::Unsupported { .. } => vec![],
                Flaw::Unbuilt { version } => vec![("node", *version), ("notary", *version), ("doorman", *version)],
            };
            for party in parties {
                *touched.entry(party).or_default() += 1;
            }
        }
        let framing = touched.contains_key(&("framing", 0));
        let interference = self.flaws.iter().any(|f| matches!(f, Flaw::Interference { .. } | Flaw::Alternating { .. }));
        let unbuilt = self.flaws.iter().filter(|f| matches!(f, Flaw::Unbuilt { .. })).count();
        touched.values().all(|times| *times == 1 || unbuilt == self.flaws.len()) && !(framing && interference)
    }
}

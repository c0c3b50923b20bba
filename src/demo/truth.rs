//! A truth table written by hand, and verdicts held against it.
//!
//! It serves systems whose behaviour is known in every cell: the demo, and the tests.

use std::collections::BTreeSet;

use serde::Deserialize;
use skew_core::model::{Attempt, Cell, CheckName, End, NodeName, Outcome, Party, Subject, Verdict, Verdicts};

/// What is true of every cell: the last rule that matches a cell says it, and a cell without a rule is a `pass`.
#[derive(Debug, Clone)]
pub struct Truth {
    rules: Vec<Rule>,
}

/// A verdict that is not what the table says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The cell.
    pub cell: Cell,
    /// The verdict's word in the table.
    pub expected: String,
    /// The verdict's word.
    pub found: String,
}

/// A table that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// Not the TOML that a table is.
    #[error("read the truth table")]
    Toml(#[from] toml::de::Error),
    /// A rule whose cell is none.
    #[error(
        "read the rule {text:?} of the truth table; write `check: role@versions -> role@versions`, \
         where versions are a label, a semver range without spaces, or `*`"
    )]
    Rule {
        /// Its text.
        text: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    cells: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    cell: String,
    verdict: String,
}

#[derive(Debug, Clone)]
struct Rule {
    /// None means every check.
    check: Option<String>,
    shape: Shape,
    word: String,
}

#[derive(Debug, Clone)]
enum Shape {
    Alone(Pattern),
    Ordered(Pattern, Pattern),
    Symmetric(Pattern, Pattern),
    /// One party for each, and beside them only parties at the same versions.
    Set(Vec<Pattern>),
}

#[derive(Debug, Clone)]
struct Pattern {
    /// None means every role.
    role: Option<String>,
    versions: Versions,
}

#[derive(Debug, Clone)]
enum Versions {
    Any,
    Label(String),
    Range(semver::VersionReq),
}

impl Truth {
    /// Reads a table: `[[cells]]` with `cell = "pay: node@v1.2.0 -> node@<1.2.0"` and `verdict = "fail"`.
    ///
    /// # Errors
    /// When it is no such TOML, or a rule's cell is malformed.
    pub fn parse(text: &str) -> Result<Self, TruthError> {
        let table: Table = toml::from_str(text)?;
        let rule = |row: Row| {
            let parts = row.cell.split_once(": ").map(|(check, subject)| (named(check), shape(subject)));
            match parts {
                Some((check, Some(shape))) => Ok(Rule { check, shape, word: row.verdict }),
                Some((_, None)) | None => Err(TruthError::Rule { text: row.cell }),
            }
        };
        Ok(Self { rules: table.cells.into_iter().map(rule).collect::<Result<_, _>>()? })
    }

    /// The word of the verdict that a cell must have.
    pub fn word(&self, cell: &Cell) -> &str {
        let rule = self.rules.iter().rev().find(|rule| rule.matches(cell));
        rule.map_or("pass", |rule| &rule.word)
    }

    /// Where the verdicts of asked cells, and of sets that were found, are not what the table says, in the cells' order.
    ///
    /// A set can be found only where it was seated, so none of them is asked: one is missing when a network that seats it
    /// failed between its members in a way that no pair in the table explains.
    pub fn differences(
        &self,
        asked: &BTreeSet<Cell>,
        verdicts: &Verdicts,
        attempts: &[Attempt],
    ) -> BTreeSet<Difference> {
        let sets = verdicts.keys().filter(|cell| matches!(cell.subject, Subject::Set(_)));
        let held = asked.iter().chain(sets).filter_map(|cell| {
            let found = verdicts.get(cell).map_or("no verdict", |verdict| verdict.kind.word());
            let expected = self.word(cell);
            (found != expected).then(|| Difference {
                cell: cell.clone(),
                expected: expected.to_owned(),
                found: found.to_owned(),
            })
        });
        let completed = attempts.iter().filter(|attempt| attempt.end == End::Completed);
        let missing = completed.flat_map(|attempt| self.missing(verdicts, attempt));
        held.chain(missing).collect()
    }

    /// The sets that failed together in an attempt and were not found.
    fn missing(&self, verdicts: &Verdicts, attempt: &Attempt) -> Vec<Difference> {
        let network = &attempt.network;
        let party = |node: &NodeName| network.seat(node).map(|seat| &seat.party);
        let unexplained = attempt.observations.iter().filter_map(|seen| {
            let (from, to) = (seen.from.as_ref().and_then(party)?, seen.to.as_ref().and_then(party)?);
            let vias: Vec<&Party> = seen.via.iter().filter_map(party).collect();
            let pairs = vias.iter().flat_map(|via| [(from, *via), (*via, to)]).chain([(from, to)]);
            let mut cells = pairs.map(|(a, b)| Cell {
                check: seen.check.clone(),
                subject: Subject::Ordered(a.clone(), b.clone()),
                axes: network.axes.clone(),
            });
            let is_unexplained = seen.result == Outcome::Failed && cells.all(|cell| self.word(&cell) == "pass");
            is_unexplained.then_some((&seen.check, from, to))
        });
        let unexplained: BTreeSet<(&CheckName, &Party, &Party)> = unexplained.collect();
        let seated: BTreeSet<&Party> = network.seats.iter().map(|seat| &seat.party).collect();
        let mut missing = Vec::new();
        for rule in &self.rules {
            for members in rule.members(seated.iter().copied()) {
                let shown =
                    |(_, from, to): &&(&CheckName, &Party, &Party)| members.contains(*from) && members.contains(*to);
                let mut shows = unexplained.iter().filter(|(check, _, _)| rule.is_about(check)).filter(shown);
                let Some((check, _, _)) = shows.next() else { continue };
                let is_found = |(cell, verdict): (&Cell, &Verdict)| match &cell.subject {
                    Subject::Set(set) => {
                        cell.check == **check && verdict.kind.word() == rule.word && members.is_subset(set)
                    }
                    Subject::Alone(_) | Subject::Ordered(..) | Subject::Symmetric(..) => false,
                };
                if !verdicts.iter().any(is_found) {
                    let subject = Subject::Set(members);
                    missing.push(Difference {
                        cell: Cell { check: (*check).clone(), subject, axes: network.axes.clone() },
                        expected: rule.word.clone(),
                        found: "no verdict".to_owned(),
                    });
                }
            }
        }
        missing
    }
}

impl Rule {
    fn is_about(&self, check: &CheckName) -> bool {
        self.check.as_ref().is_none_or(|name| name == check.as_str())
    }

    fn matches(&self, cell: &Cell) -> bool {
        let shape = match (&self.shape, &cell.subject) {
            (Shape::Alone(pattern), Subject::Alone(party)) => pattern.matches(party),
            (Shape::Ordered(a, b), Subject::Ordered(from, to)) => a.matches(from) && b.matches(to),
            (Shape::Symmetric(a, b), Subject::Symmetric(x, y)) => {
                (a.matches(x) && b.matches(y)) || (a.matches(y) && b.matches(x))
            }
            (Shape::Set(_), Subject::Set(parties)) => {
                let of = |set: &BTreeSet<Party>, party: &Party| set.iter().any(|p| p.version == party.version);
                let sets = self.members(parties);
                sets.iter().any(|set| parties.iter().all(|party| of(set, party)))
            }
            (Shape::Alone(_) | Shape::Ordered(..) | Shape::Symmetric(..) | Shape::Set(_), _) => false,
        };
        shape && self.is_about(&cell.check)
    }

    /// Every way to give each pattern of a set a party of its own.
    fn members<'p>(&self, parties: impl IntoIterator<Item = &'p Party>) -> BTreeSet<BTreeSet<Party>> {
        let Shape::Set(patterns) = &self.shape else { return BTreeSet::new() };
        let parties: Vec<&Party> = parties.into_iter().collect();
        let mut ways = BTreeSet::from([BTreeSet::new()]);
        for pattern in patterns {
            let longer = |way: &BTreeSet<Party>| -> Vec<BTreeSet<Party>> {
                let free = parties.iter().filter(|party| pattern.matches(party) && !way.contains(**party));
                free.map(|party| way.iter().cloned().chain([(*party).clone()]).collect()).collect()
            };
            ways = ways.iter().flat_map(longer).collect();
        }
        ways
    }
}

impl Pattern {
    fn matches(&self, party: &Party) -> bool {
        self.role.as_ref().is_none_or(|role| role == party.role.as_str())
            && match &self.versions {
                Versions::Any => true,
                Versions::Label(label) => label == party.version.as_str(),
                Versions::Range(range) => number(party.version.as_str()).is_some_and(|version| range.matches(&version)),
            }
    }
}

/// The semver in a version's id: what follows the source's name and the letters of the tag.
fn number(id: &str) -> Option<semver::Version> {
    let label = id.rsplit_once('/').map_or(id, |(_, label)| label);
    semver::Version::parse(label.trim_start_matches(|c: char| !c.is_ascii_digit())).ok()
}

fn named(text: &str) -> Option<String> {
    (text != "*").then(|| text.to_owned())
}

fn shape(text: &str) -> Option<Shape> {
    if let Some(set) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return Some(Shape::Set(set.split(", ").map(pattern).collect::<Option<_>>()?));
    }
    if let Some((a, b)) = text.split_once(" <-> ") {
        return Some(Shape::Symmetric(pattern(a)?, pattern(b)?));
    }
    if let Some((a, b)) = text.split_once(" -> ") {
        return Some(Shape::Ordered(pattern(a)?, pattern(b)?));
    }
    Some(Shape::Alone(pattern(text)?))
}

fn pattern(text: &str) -> Option<Pattern> {
    let (role, versions) = text.split_once('@')?;
    if role.is_empty() || versions.is_empty() || versions.contains(char::is_whitespace) {
        return None;
    }
    let versions = match versions {
        "*" => Versions::Any,
        range if range.starts_with(['<', '>', '=', '^', '~']) => Versions::Range(range.parse().ok()?),
        label => Versions::Label(label.to_owned()),
    };
    Some(Pattern { role: named(role), versions })
}

#[cfg(test)]
mod tests {
    use skew_core::model::{Digest, VerdictKind};

    use super::*;

    const TABLE: &str = r#"
        [[cells]]
        cell    = "pay: node@>=1.3.0,<2.0.0 -> node@<1.3.0"
        verdict = "fail"
        [[cells]]
        cell    = "*: *@v1.6.0 -> *@*"
        verdict = "untested"
        [[cells]]
        cell    = "builds: *@v1.6.0"
        verdict = "unbuilt"
        [[cells]]
        cell    = "pay: {node@v1.1.0, node@v1.2.0, node@<1.1.0}"
        verdict = "interference"
        [[cells]]
        cell    = "meet: node@v1 <-> node@v2"
        verdict = "flaky"
    "#;

    #[test]
    fn the_last_rule_that_matches_says_it() {
        let truth = Truth::parse(TABLE).expect("a table");
        for (cell, word) in [
            ("pay: node@v1.3.0 -> node@v1.2.9", "fail"),
            ("pay: node@v1.6.0 -> node@v1.0.0", "untested"),
            ("pay: node@v2.0.0 -> node@v1.0.0", "pass"),
            ("pay: node@ledger/v1.4.0 -> node@ledger/v1.0.0", "fail"),
            ("pay: node@main -> node@v1.0.0", "pass"),
            ("pay: notary@v1.3.0 -> node@v1.0.0", "pass"),
            ("builds: node@v1.6.0", "unbuilt"),
            ("builds: node@v1.7.0", "pass"),
            ("pay: {node@v1.0.0, node@v1.1.0, node@v1.2.0}", "interference"),
            ("pay: {node@v1.0.0, node@v1.1.0, node@v1.2.0, doorman@v1.2.0}", "interference"),
            ("pay: {node@v1.0.0, node@v1.1.0, node@v1.2.0, doorman@v1.3.0}", "pass"),
            ("pay: {node@v1.0.0, node@v1.1.0, notary@v1.2.0}", "pass"),
            ("meet: node@v2 <-> node@v1", "flaky"),
        ] {
            assert_eq!(truth.word(&cell.parse().expect("a cell")), word, "{cell}");
        }
    }

    fn cell(text: &str) -> Cell {
        text.parse().expect("a cell")
    }

    fn differences(verdicts: &[(&str, VerdictKind)], attempts: &[Attempt]) -> Vec<String> {
        let verdict = |kind: &VerdictKind| Verdict::bare(kind.clone());
        let verdicts: Verdicts = verdicts.iter().map(|(text, kind)| (cell(text), verdict(kind))).collect();
        let is_asked = |cell: &&Cell| !cell.to_string().contains("v1.9.0") && !matches!(cell.subject, Subject::Set(_));
        let mut asked: BTreeSet<Cell> = verdicts.keys().filter(is_asked).cloned().collect();
        asked.insert(cell("builds: node@v1.0.0"));
        let differences = Truth::parse(TABLE).expect("a table").differences(&asked, &verdicts, attempts);
        differences.iter().map(|d| format!("{}: {} instead of {}", d.cell, d.found, d.expected)).collect()
    }

    #[test]
    fn asked_cells_and_found_sets_are_held_against_the_table() {
        let found = differences(
            &[
                ("pay: node@v1.3.0 -> node@v1.0.0", VerdictKind::Fail),
                ("pay: node@v1.4.0 -> node@v1.0.0", VerdictKind::Pass),
                ("pay: node@v1.9.0 -> node@v1.0.0", VerdictKind::Pass),
                ("pay: {node@v1.0.0, node@v1.1.0, node@v1.2.0}", VerdictKind::Interference),
                ("pay: {node@v1.0.0, node@v1.1.0, node@v1.3.0}", VerdictKind::Interference),
            ],
            &[],
        );
        let expect = [
            "builds: node@v1.0.0: no verdict instead of pass",
            "pay: node@v1.4.0 -> node@v1.0.0: pass instead of fail",
            "pay: {node@v1.0.0, node@v1.1.0, node@v1.3.0}: interference instead of pass",
        ];
        assert_eq!(found, expect);
    }

    /// A network of these versions' nodes and a notary, with one failed payment between the first two.
    fn attempt(notary: &str, nodes: &[&str]) -> Attempt {
        let parties = nodes.iter().map(|version| ("node", *version)).chain([("notary", notary)]);
        let seats: Vec<serde_json::Value> = parties
            .enumerate()
            .map(|(ix, (role, version))| {
                let node = if role == "node" { format!("node-{ix}") } else { "notary-0".to_owned() };
                let party = serde_json::json!({ "role": role, "version": version });
                let digest = Digest::of(b"");
                serde_json::json!({
                    "node": node, "party": party, "content": digest, "definition": digest, "support": false,
                })
            })
            .collect();
        let attempt = serde_json::json!({
            "id": "a", "sweep": "s", "frame": Digest::of(b""), "checks": {}, "started_ms": 0, "duration_ms": 0,
            "end": { "kind": "completed" }, "backend": "none", "platform": "none",
            "network": { "id": "n", "seats": seats, "asks": [], "reason": { "kind": "cover" }, "seed": 1 },
            "observations": [
                { "check": "pay", "from": "node-0", "to": "node-1", "via": ["notary-0"], "result": "failed" },
            ],
        });
        serde_json::from_value(attempt).expect("an attempt")
    }

    #[test]
    fn a_set_that_failed_together_must_be_found() {
        let built = ("builds: node@v1.0.0", VerdictKind::Pass);
        let set = "pay: {node@v1.0.0, node@v1.1.0, node@v1.2.0}";
        let missing = format!("{set}: no verdict instead of interference");
        let seated = attempt("v1.0.0", &["v1.1.0", "v1.0.0", "v1.2.0"]);
        assert_eq!(differences(std::slice::from_ref(&built), std::slice::from_ref(&seated)), [missing]);
        let found = [built.clone(), (set, VerdictKind::Interference)];
        assert!(differences(&found, &[seated]).is_empty());
        // What is not seated, or fails for another reason, shows nothing.
        for attempt in
            [attempt("v1.0.0", &["v1.1.0", "v1.0.0", "v1.3.0"]), attempt("v1.6.0", &["v1.1.0", "v1.0.0", "v1.2.0"])]
        {
            assert!(differences(std::slice::from_ref(&built), &[attempt]).is_empty());
        }
    }

    #[test]
    fn a_malformed_rule_is_named() {
        for cell in ["pay", "pay: node", "pay: node@", "pay: node@>=x", "pay: node@v1 -> ", "pay: {node@v1, }"] {
            let text = format!("[[cells]]\ncell = {cell:?}\nverdict = \"fail\"");
            let error = Truth::parse(&text).expect_err(cell);
            assert!(error.to_string().contains(cell), "{error}");
        }
        assert!(Truth::parse("[[cell]]").is_err());
    }
}

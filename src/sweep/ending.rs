//! What a sweep came to, as an exit code: one pure function.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{
    Cell, ErrorSource, Matrix, Overlay, Party, Subject, Untested, VerdictKind, Verdicts, VersionId,
};

/// What a sweep came to. The numbers are the exit codes of the `skew` binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Every verdict is as expected.
    Expected,
    /// A cell failed that was not expected to.
    Unexpected,
    /// A check failed wherever it ran and passed nowhere: the spec is likeliest wrong.
    WrongCheck,
    /// The harness or its infrastructure left a cell without an answer.
    Infrastructure,
    /// It was interrupted; the same command resumes.
    Interrupted,
}

impl Ending {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Expected => 0,
            Self::Unexpected => 1,
            Self::WrongCheck => 2,
            Self::Infrastructure => 3,
            Self::Interrupted => 130,
        }
    }
}

/// What a shard came to: whether its networks could be run. What they mean is decided when all shards are merged.
pub(super) fn shard_ending(verdicts: &Verdicts) -> Ending {
    let is_failed = |kind: &VerdictKind| matches!(kind, VerdictKind::Error { source: ErrorSource::Infrastructure, .. });
    let failed = verdicts.values().any(|verdict| is_failed(&verdict.kind));
    if failed { Ending::Infrastructure } else { Ending::Expected }
}

/// What one cell says about the sweep's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Good,
    Bad,
    WrongCheck,
    Unknown,
}

/// What the verdicts come to.
///
/// Of the cells, those that were `asked` count, and the sets of versions that were found to fail together. With `gate`,
/// only those that name the candidate do, and each must be `pass` or `expected`. A check that is likeliest wrong itself
/// outweighs everything, since the spec is to be corrected first. A failure of the system outweighs a failure of the
/// infrastructure: it is certain, whatever else is not known.
pub fn ending(
    matrix: &Matrix,
    verdicts: &Verdicts,
    overlays: &BTreeMap<Cell, Overlay>,
    asked: &BTreeSet<Cell>,
    gate: Option<&VersionId>,
) -> Ending {
    let checks: BTreeSet<_> = asked.iter().map(|cell| &cell.check).collect();
    let counts = |cell: &Cell| {
        let relevant =
            asked.contains(cell) || (matches!(cell.subject, Subject::Set(_)) && checks.contains(&cell.check));
        let gated = gate.is_none_or(|candidate| cell.subject.parties().iter().any(|party| party.version == *candidate));
        relevant && gated
    };
    let missing = asked.iter().filter(|cell| counts(cell) && !verdicts.contains_key(cell)).map(|_| Weight::Unknown);
    let weights = verdicts.iter().filter(|(cell, _)| counts(cell)).map(|(cell, verdict)| {
        if matches!(overlays.get(cell), Some(Overlay::Expected { .. })) {
            return Weight::Good;
        }
        let weight = weigh(matrix, verdicts, cell, &verdict.kind);
        match (gate, &verdict.kind, weight) {
            (Some(_), VerdictKind::Pass, _) | (None, _, _) => weight,
            (Some(_), _, Weight::Good) => Weight::Bad,
            (Some(_), _, weight) => weight,
        }
    });
    weights.chain(missing).fold(Ending::Expected, |ending, weight| match weight {
        Weight::WrongCheck => Ending::WrongCheck,
        Weight::Bad if ending != Ending::WrongCheck => Ending::Unexpected,
        Weight::Unknown if ending == Ending::Expected => Ending::Infrastructure,
        Weight::Good | Weight::Bad | Weight::Unknown => ending,
    })
}

fn weigh(matrix: &Matrix, verdicts: &Verdicts, cell: &Cell, kind: &VerdictKind) -> Weight {
    match kind {
        VerdictKind::Pass => Weight::Good,
        VerdictKind::Fail
        | VerdictKind::Flaky { .. }
        | VerdictKind::Interference
        | VerdictKind::Broken { .. }
        | VerdictKind::Unbuilt { .. } => Weight::Bad,
        VerdictKind::Unsupported if was_supported(matrix, verdicts, cell) => Weight::Bad,
        VerdictKind::Unsupported => Weight::Good,
        VerdictKind::Error { source: ErrorSource::Check, .. } => Weight::WrongCheck,
        VerdictKind::Error { source: ErrorSource::Infrastructure, .. } => Weight::Unknown,
        // What blocks it is a cell of its own, and is weighed as that.
        VerdictKind::Untested(Untested::Blocked { .. } | Untested::Unbuilt { .. } | Untested::NotAsked) => Weight::Good,
        VerdictKind::Untested(
            Untested::NotSeated | Untested::Pending | Untested::Suspected { .. } | Untested::Exhausted,
        ) => Weight::Unknown,
    }
}

/// Whether the same check was there for the same roles at versions that are all as old or older.
fn was_supported(matrix: &Matrix, verdicts: &Verdicts, cell: &Cell) -> bool {
    let parties = in_order(&cell.subject);
    verdicts.iter().any(|(other, verdict)| {
        other != cell
            && other.check == cell.check
            && other.axes == cell.axes
            && verdict.kind.was_seen()
            && same_shape(&other.subject, &cell.subject)
            && in_order(&other.subject).iter().zip(&parties).all(|(older, party)| not_newer(matrix, older, party))
    })
}

/// The parties in their places: both of a pair, even when they are the same.
fn in_order(subject: &Subject) -> Vec<&Party> {
    match subject {
        Subject::Alone(party) => vec![party],
        Subject::Ordered(a, b) | Subject::Symmetric(a, b) => vec![a, b],
        Subject::Set(set) => set.iter().collect(),
    }
}

fn same_shape(a: &Subject, b: &Subject) -> bool {
    match (a, b) {
        (Subject::Alone(_), Subject::Alone(_))
        | (Subject::Ordered(..), Subject::Ordered(..))
        | (Subject::Symmetric(..), Subject::Symmetric(..)) => true,
        (Subject::Set(a), Subject::Set(b)) => a.len() == b.len(),
        (Subject::Alone(_) | Subject::Ordered(..) | Subject::Symmetric(..) | Subject::Set(_), _) => false,
    }
}

fn not_newer(matrix: &Matrix, older: &Party, party: &Party) -> bool {
    if older.role != party.role {
        return false;
    }
    match (matrix.version(&older.version), matrix.version(&party.version)) {
        (Some(a), Some(b)) => a.source == b.source && a.order <= b.order,
        (Some(_) | None, _) => older.version == party.version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::testing;
    use skew_core::model::Verdict;

    fn verdict(word: &str) -> VerdictKind {
        let by = || "builds: node@v1".parse().unwrap();
        match word {
            "pass" => VerdictKind::Pass,
            "fail" => VerdictKind::Fail,
            "flaky" => VerdictKind::Flaky { charged: None },
            "interference" => VerdictKind::Interference,
            "broken" => VerdictKind::Broken { party: testing::party("node", "v1") },
            "unbuilt" => VerdictKind::Unbuilt { detail: String::new() },
            "unsupported" => VerdictKind::Unsupported,
            "error" => VerdictKind::Error { detail: String::new(), source: ErrorSource::Infrastructure },
            "wrong-check" => VerdictKind::Error { detail: String::new(), source: ErrorSource::Check },
            "suspected" => VerdictKind::Untested(Untested::Suspected { networks: 3 }),
            "blocked" => VerdictKind::Untested(Untested::Blocked { by: by() }),
            "by-unbuilt" => VerdictKind::Untested(Untested::Unbuilt { by: by() }),
            "pending" => VerdictKind::Untested(Untested::Pending),
            "exhausted" => VerdictKind::Untested(Untested::Exhausted),
            "not-seated" => VerdictKind::Untested(Untested::NotSeated),
            "not-asked" => VerdictKind::Untested(Untested::NotAsked),
            other => panic!("{other}"),
        }
    }

    /// `cells`: `text = word`, with ` !` behind it when the failure is expected and ` ?` when it is not asked.
    fn check(cells: &[&str], gate: Option<&str>, expect: Ending) {
        let matrix = testing::matrix(&["v1", "v2", "v3"], &["node"]);
        let mut verdicts = Verdicts::new();
        let (mut asked, mut overlays) = (BTreeSet::new(), BTreeMap::new());
        for line in cells {
            let (text, word) = line.rsplit_once(" = ").unwrap();
            let cell: Cell = text.parse().unwrap();
            let (word, mark) = word.split_once(' ').unwrap_or((word, ""));
            if mark == "!" {
                overlays.insert(cell.clone(), Overlay::Expected { reason: "known".into(), link: None });
            }
            if mark != "?" {
                asked.insert(cell.clone());
            }
            verdicts.insert(cell, Verdict::bare(verdict(word)));
        }
        let gate = gate.map(VersionId::new);
        assert_eq!(ending(&matrix, &verdicts, &overlays, &asked, gate.as_ref()), expect, "{cells:?}");
    }

    #[test]
    fn each_verdict_has_its_code() {
        use Ending::{Expected, Infrastructure, Unexpected, WrongCheck};
        for (word, expect) in [
            ("pass", Expected),
            ("fail", Unexpected),
            ("flaky", Unexpected),
            ("interference", Unexpected),
            ("broken", Unexpected),
            ("unbuilt", Unexpected),
            ("unsupported", Expected),
            ("error", Infrastructure),
            ("wrong-check", WrongCheck),
            ("suspected", Infrastructure),
            ("blocked", Expected),
            ("by-unbuilt", Expected),
            ("pending", Infrastructure),
            ("exhausted", Infrastructure),
            ("not-seated", Infrastructure),
            ("not-asked", Expected),
        ] {
            check(&[&format!("p: node@v1 -> node@v2 = {word}")], None, expect);
            check(&[&format!("p: node@v1 -> node@v2 = {word} !")], None, Expected);
            check(&[&format!("p: node@v1 -> node@v2 = {word} ?")], None, Expected);
        }
    }

    #[test]
    fn a_failure_outweighs_missing_infrastructure() {
        check(&["p: node@v1 = error", "p: node@v2 = fail"], None, Ending::Unexpected);
        check(&["p: node@v1 = fail", "p: node@v2 = error"], None, Ending::Unexpected);
    }

    #[test]
    fn a_check_that_is_wrong_outweighs_everything() {
        let cells = ["p: node@v1 = fail", "q: node@v1 = wrong-check", "p: node@v2 = error"];
        check(&cells, None, Ending::WrongCheck);
        check(&cells, Some("v1"), Ending::WrongCheck);
        check(&cells, Some("v2"), Ending::Infrastructure);
        assert_eq!(Ending::WrongCheck.code(), 2);
    }

    #[test]
    fn unsupported_is_bad_only_where_it_was_supported_before() {
        use Ending::{Expected, Unexpected};
        check(&["p: node@v2 = unsupported", "p: node@v1 = pass"], None, Unexpected);
        check(&["p: node@v1 = unsupported", "p: node@v2 = pass"], None, Expected);
        check(&["p: node@v1 -> node@v1 = pass", "p: node@v2 -> node@v2 = unsupported"], None, Unexpected);
        check(&["p: node@v2 -> node@v2 = pass", "p: node@v1 -> node@v2 = unsupported"], None, Expected);
        check(&["q: node@v1 = pass", "p: node@v2 = unsupported"], None, Expected);
        check(&["p: node@v1 = unbuilt !", "p: node@v2 = unsupported"], None, Expected);
    }

    #[test]
    fn sets_count_though_nobody_asked_them() {
        let set = "p: {node@v1, node@v2, node@v3} = interference ?";
        check(&[set, "p: node@v1 = pass"], None, Ending::Unexpected);
        check(&[set, "q: node@v1 = pass"], None, Ending::Expected);
    }

    #[test]
    fn a_gate_looks_at_the_candidate_only_and_wants_passes() {
        use Ending::{Expected, Infrastructure, Unexpected};
        let gate = Some("v3");
        check(&["p: node@v1 -> node@v2 = fail", "p: node@v3 -> node@v2 = pass"], gate, Expected);
        check(&["p: node@v3 -> node@v2 = unsupported"], gate, Unexpected);
        check(&["p: node@v3 -> node@v2 = blocked"], gate, Unexpected);
        check(&["p: node@v3 -> node@v2 = fail !"], gate, Expected);
        check(&["p: node@v3 -> node@v2 = error"], gate, Infrastructure);
    }

    #[test]
    fn an_asked_cell_without_a_verdict_is_unknown() {
        let matrix = testing::matrix(&["v1"], &["node"]);
        let asked = BTreeSet::from(["p: node@v1".parse().unwrap()]);
        let got = ending(&matrix, &Verdicts::new(), &BTreeMap::new(), &asked, None);
        assert_eq!(got, Ending::Infrastructure);
    }
}

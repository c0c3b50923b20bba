//! Cases that were once judged wrong, each as a small world with the verdict that is right.

use skew_core::model::{ErrorSource, Explanation, Strategy, Subject, Untested, Verdict, VerdictKind};

use super::flaw::{Chance, Flaw, Side};
use super::world::{Shape, Simulated, World};
use super::{check, world};

fn of<'s>(outcome: &'s Simulated, cell: &str) -> &'s Verdict {
    &outcome.decision.verdicts[&cell.parse().unwrap()]
}

/// What was recorded under another definition of a check convicts nobody: not of failing, nor of never having worked.
#[test]
fn an_earlier_definition_is_no_evidence() {
    for strategy in [Strategy::Packed, Strategy::Pairs, Strategy::PerRole] {
        let broken = vec![Flaw::Broken { check: "pay", role: "node", version: 2 }];
        let before = world(strategy, broken).sweep();
        let flaws = vec![Flaw::Pair { check: "pay", from: ("node", 2), to: ("notary", 4) }];
        let now = World { edition: 1, ..world(strategy, flaws) };
        let outcome = now.sweep_after(before.attempts);
        for (cell, verdict) in &outcome.decision.verdicts {
            if outcome.decision.asked.contains(cell) {
                assert!(now.judge(cell, &verdict.kind).is_ok(), "{strategy:?}: {cell}: {verdict:?}");
            }
        }
        let convicted = |verdict: &&Verdict| matches!(verdict.kind, VerdictKind::Broken { .. });
        assert_eq!(outcome.decision.verdicts.values().filter(convicted).count(), 0, "{strategy:?}");
    }
}

/// A check that can never pass says so of itself, and convicts no version.
#[test]
fn a_check_that_passed_nowhere_convicts_nobody() {
    let flaws: Vec<Flaw> =
        (0..5).map(|version| Flaw::Broken { check: "replicates", role: "primary", version }).collect();
    let world = World { versions: 5, seats: 5, shape: Shape::Replicas, ..world(Strategy::Packed, flaws) };
    let outcome = world.sweep();
    let replicates = outcome.decision.verdicts.iter().filter(|(cell, _)| cell.check.as_str() == "replicates");
    let mut cells = 0;
    for (cell, verdict) in replicates {
        let is_check = matches!(verdict.kind, VerdictKind::Error { source: ErrorSource::Check, .. });
        assert!(is_check, "{cell}: {verdict:?}");
        cells += 1;
    }
    assert_eq!(cells, 25);
    // No network more than it takes to ask each cell once.
    assert!(outcome.networks.len() <= 5, "{}", outcome.log());
}

/// One version that fails with everybody is no reason to doubt the check.
#[test]
fn a_version_that_is_in_every_failure_is_not_the_checks_fault() {
    let flaws = vec![Flaw::Broken { check: "replicates", role: "primary", version: 5 }];
    check(&World { shape: Shape::Replicas, ..world(Strategy::Candidate, flaws) });
}

/// While what failed waits for its networks it is suspected, and says in how many it failed.
#[test]
fn what_failed_and_waits_is_suspected() {
    let flaws = vec![Flaw::Pair { check: "replicates", from: ("primary", 1), to: ("replica", 3) }];
    let world = World { shape: Shape::Replicas, ..world(Strategy::Packed, flaws) };
    let matrix = world.matrix();
    let all = world.sweep().attempts;
    let cell = "replicates: primary@v1 -> replica@v3".parse().unwrap();
    let first = (1..=all.len()).find(|n| {
        let verdict = &skew_core::verdict::decide(&matrix, &all[..*n]).verdicts[&cell];
        verdict.counts.failed > 0
    });
    let verdict = &skew_core::verdict::decide(&matrix, &all[..first.unwrap()]).verdicts[&cell];
    assert_eq!(verdict.kind, VerdictKind::Untested(Untested::Suspected { networks: 1 }));
}

/// A node that exits only beside another version: the two are named together, and neither alone.
#[test]
fn an_exit_beside_another_version_is_the_two_versions() {
    for (percent, words) in [(100, &["fail"][..]), (60, &["fail", "flaky"])] {
        for seed in 0..10 {
            let flaws = vec![Flaw::Dying { node: 2, doorman: 4, percent }];
            let outcome = World { seed, ..world(Strategy::Packed, flaws) }.sweep();
            let set = outcome.decision.verdicts.iter().find(|(cell, _)| matches!(cell.subject, Subject::Set(_)));
            let alone = of(&outcome, "exit: node@v2");
            match set {
                Some((cell, verdict)) => {
                    assert_eq!(cell.to_string(), "exit: {doorman@v4, node@v2}", "seed {seed}");
                    assert!(words.contains(&verdict.kind.word()), "seed {seed}: {verdict:?}");
                    assert_eq!(alone.kind, VerdictKind::Pass, "seed {seed}");
                    assert_eq!(alone.counts.failed + alone.counts.mixed, 0, "seed {seed}");
                    let by_set = |by: &Explanation| matches!(by, Explanation::Cell { cell: by } if by == cell);
                    assert!(alone.explained.iter().any(|explained| by_set(&explained.by)), "seed {seed}: {alone:?}");
                }
                // Not established: then it is no pass, and nobody is blamed.
                None => {
                    let undecided = matches!(alone.kind, VerdictKind::Untested(Untested::Suspected { .. }));
                    let never_died = alone.kind == VerdictKind::Pass && alone.explained.is_empty();
                    assert!(percent < 100 && (undecided || never_died), "seed {seed}: {alone:?}");
                }
            }
        }
    }
}

/// One version that disturbs several pairs is found in each of them, and none of them is taken for flaky.
#[test]
fn a_version_that_disturbs_several_pairs_is_found_in_each() {
    let flaws: Vec<Flaw> = [3, 4, 5].map(|to| Flaw::Interference { from: 1, to, present: 0 }).into();
    for seed in 0..5 {
        let world = World { seats: 6, seed, ..world(Strategy::Packed, flaws.clone()) };
        check(&world);
        let outcome = world.sweep();
        let found = outcome.decision.verdicts.iter().filter(|(_, verdict)| verdict.kind == VerdictKind::Interference);
        let found: Vec<String> = found.map(|(cell, _)| cell.to_string()).collect();
        let expected = [3, 4, 5].map(|to| format!("pay: {{node@v0, node@v1, node@v{to}}}"));
        assert_eq!(found, expected, "seed {seed}");
    }
}

/// A set that fails together says how often it did, and that it never worked.
#[test]
fn a_set_that_fails_counts_only_those_that_fail_together() {
    let flaws = vec![Flaw::Triple { from: 1, to: 4, via: 2 }];
    let outcome = world(Strategy::Packed, flaws).sweep();
    let verdict = of(&outcome, "pay: {node@v1, node@v4, notary@v2}");
    assert_eq!(verdict.kind, VerdictKind::Interference);
    assert_eq!((verdict.counts.passed, verdict.counts.mixed), (0, 0));
    // Four with it beyond the one that brought it up, as the contrast wants.
    assert!(verdict.counts.failed >= 5, "{verdict:?}");
}

/// A pass over failures names what explains them, and does not count them as its own.
#[test]
fn a_pass_over_failures_names_what_explains_them() {
    let chance = Chance { percent: 50, whole: true };
    let flaws = vec![Flaw::FlakyParty { check: "pay", role: "notary", version: 2, side: Side::Any, chance }];
    let outcome = world(Strategy::Packed, flaws).sweep();
    let mut explained = 0;
    for (cell, verdict) in &outcome.decision.verdicts {
        if verdict.kind == VerdictKind::Pass {
            assert_eq!(verdict.counts.failed + verdict.counts.mixed, 0, "{cell}: {verdict:?}");
            explained += verdict.explained.len();
        }
        for why in &verdict.explained {
            let Explanation::Cell { cell: by } = &why.by else { panic!("{cell}: {why:?}") };
            assert!(by.to_string().contains("notary@v2"), "{cell}: {by}");
            assert!(!matches!(outcome.decision.verdicts[by].kind, VerdictKind::Pass), "{by}");
        }
    }
    assert!(explained > 0);
}

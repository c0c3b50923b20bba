//! What reports say of sweeps that were once reported falsely, word by word.

mod pages;
mod verdicts;

use skew_core::model::{Counts, Party, VerdictKind, VersionId};
use skew_report::Model;

use super::worlds::World;
use crate::report_sample::{Sample, empty, role};

pub(super) fn counts(passed: u32, failed: u32, mixed: u32) -> Counts {
    Counts {
        passed,
        failed,
        mixed,
        passed_isolated: 0,
        failed_isolated: failed.min(1),
        oks: passed * 4 + mixed * 6,
        failures: failed + mixed * 6,
    }
}

/// So many versions with images of both roles, none of which is unbuilt.
pub(super) fn sample(versions: usize) -> Sample {
    let mut sample = empty(versions);
    for axis in &mut sample.matrix.roles {
        let member = axis.members.values().find_map(|member| member.as_ref().ok()).cloned().unwrap();
        axis.members.values_mut().for_each(|at| *at = Ok(member.clone()));
    }
    sample
}

/// `node@v1.N.0`
pub(super) fn node(n: usize) -> Party {
    Party::new(&role("node"), &VersionId::new(&format!("v1.{n}.0")))
}

/// Every node with every other; `kind` says what each pair comes to.
pub(super) fn pay(sample: &mut Sample, versions: usize, kind: impl Fn(usize, usize) -> (VerdictKind, Counts)) {
    for a in 0..versions {
        for b in 0..versions {
            let (kind, counts) = kind(a, b);
            sample.add(&format!("pay: {} -> {}", node(a), node(b)), kind, counts);
        }
    }
}

pub(super) fn pass() -> (VerdictKind, Counts) {
    (VerdictKind::Pass, counts(3, 0, 0))
}

pub(super) fn fail() -> (VerdictKind, Counts) {
    (VerdictKind::Fail, counts(0, 2, 0))
}

/// The report, all of whose sentences the evaluator finds true.
#[track_caller]
pub(super) fn checked(sample: &Sample) -> Model {
    let model = sample.model();
    let world = World { now: sample.clone(), past: Vec::new() };
    assert_eq!(super::errors(&world, &model), Vec::<String>::new());
    model
}

pub(super) fn windows(model: &Model) -> Vec<&str> {
    model.windows.iter().flat_map(|windows| &windows.text).map(String::as_str).collect()
}

pub(super) fn findings(model: &Model) -> Vec<(&str, &str)> {
    model.findings.iter().map(|finding| (finding.text.as_str(), finding.advice.as_str())).collect()
}

/// What is said of one cell, beside others.
#[track_caller]
pub(super) fn says(sample: &Sample, cell: &str, expect: &str) {
    let model = sample.model();
    let shown = model.cells().find(|shown| shown.cell == cell).unwrap_or_else(|| panic!("{cell} is not shown"));
    assert_eq!(shown.sentence, expect);
}

#[track_caller]
pub(super) fn one(kind: VerdictKind, counts: Counts, expect: &str) {
    let mut sample = sample(2);
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", kind, counts);
    says(&sample, "pay: node@v1.0.0 -> node@v1.1.0", expect);
}

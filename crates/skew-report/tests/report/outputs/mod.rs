//! What reports are written as for other tools, and that those tools read it.

mod history;
mod tools;

use skew_core::model::{Counts, VerdictKind};
use skew_report::Model;

use crate::report_sample::{Sample, empty};

/// A hundred versions, ten thousand cells.
pub(crate) fn large() -> Model {
    let mut sample = empty(100);
    fill(&mut sample, |a, b| (a < 50) == (b < 50));
    sample.model()
}

/// A verdict for every pair of versions.
pub(crate) fn fill(sample: &mut Sample, works: impl Fn(usize, usize) -> bool) {
    let labels: Vec<String> = sample.matrix.versions.iter().map(|version| version.label.clone()).collect();
    for (a, from) in labels.iter().enumerate() {
        for (b, to) in labels.iter().enumerate() {
            let (kind, passed, failed) =
                if works(a, b) { (VerdictKind::Pass, 1, 0) } else { (VerdictKind::Fail, 0, 2) };
            let counts = Counts { passed, failed, ..Counts::default() };
            sample.add(&format!("pay: node@{from} -> node@{to}"), kind, counts);
        }
    }
}

//! Two sweeps compared, and several looked back on.

use skew_core::model::{Counts, SweepId, VerdictKind};
use skew_report::{Change, Model, Standings, Word, csv_diff, diff, json, junit_diff, markdown_diff, read};

use super::fill;
use crate::report_sample::{Sample, empty};

fn night(n: u64, works: impl Fn(usize, usize) -> bool) -> Sample {
    let mut sample = empty(4);
    sample.sweep.id = SweepId(format!("night-{n}"));
    sample.sweep.started_ms += n * 86_400_000;
    fill(&mut sample, works);
    sample
}

fn standings(sample: &Sample) -> Standings {
    Standings::of(&sample.sweep, &sample.judged())
}

fn lines(model: &Model) -> Vec<String> {
    let since = model.since.as_ref().expect("there was a sweep before");
    let findings = since
        .findings
        .iter()
        .map(|finding| format!("{} {}: {} ({})", finding.change.text(), finding.check, finding.text, finding.step()));
    findings.collect()
}

#[test]
fn changes_are_summed_up_by_place() {
    let first = standings(&night(0, |a, b| (a, b) != (0, 3)));
    let mut second = night(1, |a, _| a != 2);
    let gone = second.matrix.versions.len();
    assert_eq!(gone, 4);
    second.add("gossip: node@v1.0.0 <-> node@v1.1.0", VerdictKind::Pass, Counts { passed: 1, ..Counts::default() });
    let model = second.model_after(&[first]);
    let since = model.since.as_ref().unwrap();
    assert!(since.worse);
    assert_eq!(since.headline, "Since the sweep of 2026-11-21 03:15 (night-0): 4 cells regressed, 1 fixed, 1 new.");
    assert_eq!(
        lines(&model),
        [
            "regressed pay: node v1.2.0 → node v1.0.0 … v1.3.0 (4 cells) (pass → fail)",
            "new gossip: node v1.0.0 and node v1.1.0 (pass)",
            "fixed pay: node v1.0.0 → node v1.3.0 (fail → pass)",
        ]
    );
    // What broke tonight was first seen tonight.
    assert_eq!(model.findings[0].first_seen.as_ref().unwrap().id.0, "night-1");
}

#[test]
fn a_report_looks_back_on_several_sweeps() {
    let nights = [
        standings(&night(0, |_, _| true)),
        standings(&night(1, |a, b| (a, b) != (0, 1))),
        standings(&night(2, |a, b| (a, b) != (0, 1))),
    ];
    let model = night(3, |a, b| (a, b) != (0, 1)).model_after(&nights);
    assert_eq!(model.sweeps.len(), 4);
    let history = |text: &str| -> Vec<(usize, Option<Word>)> {
        let cell = model.cells().find(|cell| cell.cell == text).unwrap();
        cell.history.iter().map(|was| (was.sweep, was.verdict)).collect()
    };
    assert_eq!(history("pay: node@v1.0.0 -> node@v1.1.0"), [(0, Some(Word::Pass)), (1, Some(Word::Fail))]);
    assert_eq!(history("pay: node@v1.0.0 -> node@v1.0.0"), []);
    let since = model.since.as_ref().unwrap();
    assert!(!since.worse);
    assert_eq!(since.headline, "Since the sweep of 2026-11-23 03:15 (night-2) nothing changed.");
    assert_eq!(model.findings[0].first_seen.as_ref().unwrap().id.0, "night-1");
}

#[test]
fn what_is_not_asked_any_more_is_gone() {
    let mut first = night(0, |_, _| true);
    first.add("gossip: node@v1.0.0 <-> node@v1.1.0", VerdictKind::Fail, Counts { failed: 2, ..Counts::default() });
    let mut model = night(1, |_, _| true).model();
    let found = diff(&standings(&first), &mut model);
    assert!(!found.since.worse);
    assert_eq!(found.since.tally.gone, 1);
    let [gone] = found.cells.as_slice() else { panic!("{:?}", found.cells) };
    assert_eq!((gone.change, gone.was, gone.verdict), (Change::Gone, Some(Word::Fail), None));
    assert_eq!(lines(&model), ["gone gossip: 1 cell not asked any more (was fail)"]);
}

#[test]
fn reports_that_were_written_are_compared() {
    let mut before = night(0, |_, _| true).model();
    before = read(json(&before).as_bytes()).unwrap();
    let mut after = read(json(&night(1, |a, b| (a, b) != (3, 0)).model()).as_bytes()).unwrap();
    let found = diff(&Standings::of_model(&before), &mut after);
    assert_eq!((found.since.tally.regressed, found.since.tally.same), (1, 15));
    assert!(markdown_diff(&found, 10_000).contains("**regressed** pay: `node v1.3.0 → node v1.0.0` (pass → fail)"));
    assert!(csv_diff(&found).contains("pay: node@v1.3.0 -> node@v1.0.0,regressed,pass,fail,not as expected,true,"));
    assert!(junit_diff(&found).contains("<failure message=\"pass → fail\" type=\"fail\">"));
    assert!(read(b"{\"format\":99}").unwrap_err().to_string().contains("99"));
    assert!(read(b"[]").is_err());
}

//! What a whole report says.

use skew_core::model::{
    Axis, Cell, CommitId, Counts, Observation, Overlay, Party, Untested, Verdict, VerdictKind, VersionId,
};
use skew_report::{Model, SUMMARY, Standings, Word, csv, html, json, markdown, read, terminal};

use super::super::pages::Reader;
use super::super::truth::Truth;
use super::super::worlds::World;
use super::{checked, counts, fail, findings, node, pass, pay, sample, says, windows};
use crate::report_sample::{Sample, role};

#[test]
fn windows_name_what_they_leave_out() {
    let mut sample = sample(5);
    sample.matrix.versions[4].id = VersionId::new("main");
    pay(&mut sample, 4, |_, _| pass());
    let main = Party::new(&role("node"), &VersionId::new("main"));
    for axis in &mut sample.matrix.roles {
        let member = axis.members.remove(&VersionId::new("v1.4.0")).unwrap();
        axis.members.insert(VersionId::new("main"), member);
    }
    for n in 0..4 {
        let flaky = VerdictKind::Flaky { charged: Some(main.clone()) };
        sample.add(&format!("pay: {} -> {main}", node(n)), flaky, counts(2, 2, 0));
        sample.add(&format!("pay: {main} -> {}", node(n)), VerdictKind::Pass, counts(3, 0, 0));
    }
    assert_eq!(
        windows(&checked(&sample)),
        ["node ≤ v1.3.0 work with each other", "node – node: node main is flaky in pay"]
    );
    // Broken in the middle of a range.
    for n in 0..4 {
        let broken = VerdictKind::Broken { party: node(2) };
        sample.add(&format!("pay: {} -> {}", node(n), node(2)), broken, counts(0, 2, 0));
    }
    assert_eq!(
        windows(&checked(&sample)),
        [
            "node ≤ v1.3.0 except v1.2.0 work with each other",
            "node – node: node v1.2.0 is broken in pay; node main is flaky in pay"
        ]
    );
    // A version that was not asked is in no range.
    let v3 = |cell: &Cell| cell.subject.parties().contains(&&node(3));
    sample.asked.retain(|cell| !v3(cell));
    sample.verdicts.retain(|cell, _| !v3(cell));
    assert_eq!(
        windows(&checked(&sample)),
        ["node ≤ v1.1.0 work with each other", "node – node: node v1.2.0 is broken in pay; node main is flaky in pay"]
    );
}

#[test]
fn what_was_not_asked_is_claimed_by_nobody() {
    let mut sample = sample(3);
    pay(&mut sample, 3, |_, _| pass());
    let (kind, of) = fail();
    let failing = sample.add("pay: node@v1.2.0 -> node@v1.0.0", kind, of);
    let asked: Vec<Cell> =
        ["v1.0.0", "v1.1.0"].iter().map(|to| format!("pay: node@v1.0.0 -> node@{to}").parse().unwrap()).collect();
    sample.matrix.only = Some(asked.iter().cloned().collect());
    sample.asked = asked.into_iter().collect();
    let model = checked(&sample);
    assert_eq!(model.headline, "Everything that was asked works: 2 cells.");
    assert_eq!(
        windows(&model),
        [
            "node v1.0.0 works with itself (of what --only asked)",
            "node v1.0.0 works with node v1.1.0 (of what --only asked)"
        ]
    );
    // What failed and was not asked makes no square red that says "as expected".
    let square = |model: &Model, a: usize, b: usize| {
        let pairs = &model.together.as_ref().unwrap().pairs;
        pairs.iter().find(|pair| (pair.a, pair.b) == (a, b)).map(|pair| pair.verdict)
    };
    assert_eq!((square(&model, 0, 1), square(&model, 1, 0)), (Some(Word::Pass), None));
    let text = csv(&model);
    let line = text.lines().find(|line| line.contains("pay: node@v1.2.0 -> node@v1.0.0")).unwrap();
    assert!(line.contains(",fail,not asked,false,"), "{line}");
    assert!(html(&model).contains("aria-label=\"node v1.2.0 → node v1.0.0: fail, not asked\""));
    assert!(terminal(&model, 100, false).contains("(✗)"));
    sample.asked.insert(failing);
    assert_eq!(sample.model().headline, "node@v1.0.0 and node@v1.2.0 do not work together.");
}

#[test]
fn each_direction_has_a_square_of_its_own() {
    let mut sample = sample(2);
    pay(&mut sample, 2, |a, b| if (a, b) == (1, 0) { fail() } else { pass() });
    let known: Cell = "pay: node@v1.1.0 -> node@v1.0.0".parse().unwrap();
    sample.overlays.insert(known, Overlay::Expected { reason: "a reason".to_owned(), link: None });
    let pairs = checked(&sample).together.unwrap().pairs;
    let squares: Vec<_> = pairs.iter().map(|pair| (pair.a, pair.b, pair.verdict, pair.networks)).collect();
    assert_eq!(squares, [(0, 0, Word::Pass, 3), (0, 1, Word::Pass, 3), (1, 0, Word::Fail, 0), (1, 1, Word::Pass, 3)]);
    let model = sample.model();
    assert_eq!(model.headline, "Everything is as expected: 3 of 4 cells pass and 1 is known to fail.");
    // It works with the other one way only.
    let works: Vec<_> = model.versions.iter().map(|version| (version.works_with, version.tried_with)).collect();
    assert_eq!(works, [(0, 1), (0, 1)]);
}

#[test]
fn a_pass_of_one_network_looks_unlike_one_of_fifty() {
    let mut sample = sample(2);
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", VerdictKind::Pass, counts(1, 0, 0));
    sample.add("pay: node@v1.1.0 -> node@v1.0.0", VerdictKind::Pass, counts(50, 0, 0));
    let model = checked(&sample);
    let text = terminal(&model, 100, false);
    assert!(text.contains("✓1") && text.contains("✓50"), "{text}");
    assert!(
        text.contains(
            "the number beside ✓: networks that worked; at 95 % confidence these exclude failure rates: 1 above 98 %, 5 \
             above 62 %, 29 above 20 %, 99 above 7 %"
        ),
        "{text}"
    );
    let page = html(&model);
    assert!(page.contains("class=\"c pass few\"") && page.contains("class=\"c pass\""));
    assert!(page.contains("node v1.0.0 → node v1.1.0: pass, seen in 1 network, excludes a failure rate above 98 %"));
    assert!(page.contains("node v1.1.0 → node v1.0.0: pass, seen in 50 networks, excludes a failure rate above 13 %"));
    assert!(markdown(&model, SUMMARY).contains("✓50|"));
}

#[test]
fn seeds_are_exact() {
    let mut sample = sample(2);
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", VerdictKind::Fail, counts(0, 2, 0));
    (sample.sweep.seed, sample.attempts[0].network.seed) = (u64::MAX, (1 << 53) + 1);
    let model = sample.model();
    let text = json(&model);
    assert!(text.contains("\"seed\": \"18446744073709551615\""), "{text}");
    assert!(text.contains("\"seed\": \"9007199254740993\""), "{text}");
    assert_eq!(read(text.as_bytes()).unwrap(), model);
    // As format 1 had it.
    let old =
        text.replace("\"18446744073709551615\"", "18446744073709551615").replace("\"format\": 2", "\"format\": 1");
    assert_eq!(read(old.as_bytes()).unwrap().sweep.seed, u64::MAX);
    assert!(html(&model).contains("\"seed\":\"9007199254740993\""));
}

#[test]
fn findings_name_the_value_of_an_axis() {
    let mut sample = sample(2);
    let (axis, values) = ("database", ["h2", "pg", "my"]);
    sample.matrix.axes =
        vec![Axis { name: axis.parse().unwrap(), values: values.iter().map(|value| (*value).to_owned()).collect() }];
    let fails = |from: usize, to: usize, value: &str| match (from, to, value) {
        (0, 1, "h2") => VerdictKind::Fail,
        (1, 1, "h2" | "pg") => VerdictKind::Broken { party: node(1) },
        _ => VerdictKind::Pass,
    };
    for value in values {
        for (from, to) in [(0, 1), (1, 1)] {
            let cell = format!("pay: {} -> {} [{axis}={value}]", node(from), node(to));
            let kind = fails(from, to, value);
            let counts = if kind == VerdictKind::Pass { counts(3, 0, 0) } else { counts(0, 2, 0) };
            sample.add(&cell, kind, counts);
        }
    }
    let model = checked(&sample);
    assert_eq!(
        findings(&model),
        [
            (
                "node v1.0.0 → node v1.1.0: fails with [database=h2], works with [database=my] and [database=pg]",
                "Compare the logs of the two, in the evidence."
            ),
            ("node v1.1.0: fails with [database=h2], works with [database=my]", "Fix node@v1.1.0 with [database=h2]."),
            ("node v1.1.0: fails with [database=pg], works with [database=my]", "Fix node@v1.1.0 with [database=pg]."),
        ]
    );
    assert_eq!(
        model.headline,
        "node@v1.0.0 and node@v1.1.0 do not work together with [database=h2], node@v1.1.0 is broken with [database=h2] \
         and [database=pg]."
    );
    says(
        &sample,
        "pay: node@v1.0.0 -> node@v1.1.0 [database=h2]",
        "It failed in 2 of 2 networks, 1 in isolation, and never worked there: it fails at least 13 % of the time. With \
         [database=my] and [database=pg] it works.",
    );
}

#[test]
fn commits_are_listed_between_what_worked_last_and_what_failed_first() {
    let night = |main: u8, works: bool, id: &str, day: u64| {
        let mut sample = sample(3);
        sample.matrix.versions[2].commit = CommitId::new(&format!("{main:02x}").repeat(20)).unwrap();
        pay(&mut sample, 3, |a, b| if b == 2 && a != 2 && !works { fail() } else { pass() });
        sample.sweep.id = skew_core::model::SweepId(id.to_owned());
        sample.sweep.started_ms += day * 86_400_000;
        let versions = sample.matrix.versions.iter();
        sample.sweep.versions = versions.map(|version| (version.id.clone(), version.commit.clone())).collect();
        sample
    };
    let advice = |now: &Sample, past: &[&Sample]| {
        let past: Vec<Standings> = past.iter().map(|sample| Standings::of(&sample.sweep, &sample.judged())).collect();
        let model = now.model_after(&past);
        (model.findings[0].advice.clone(), model.findings[0].boundary.is_some())
    };
    let tonight = night(0xcc, false, "tonight", 2);
    let expect = "It works with node v1.1.0. Look at what changed from there to v1.2.0: git log 0101010101..cccccccccc";
    assert_eq!(advice(&tonight, &[]), (expect.to_owned(), true));
    // Last night's passed, at another commit of the same name.
    let last = night(0xaa, true, "last", 1);
    let expect = "It passed in the sweep of 2026-11-22 03:15 (last). Look at what changed since, in v1.2.0: git log \
                  aaaaaaaaaa..cccccccccc";
    assert_eq!(advice(&tonight, &[&last]), (expect.to_owned(), false));
    let same = night(0xcc, true, "same", 1);
    let expect = "It passed in the sweep of 2026-11-22 03:15 (same), at the same commits: look at what else changed.";
    assert_eq!(advice(&tonight, &[&last, &same]), (expect.to_owned(), false));
    // It failed last night already.
    let failed = night(0xbb, false, "failed", 1);
    let expect = "It works with node v1.1.0. Look at what changed from there to v1.2.0: git log 0101010101..cccccccccc";
    assert_eq!(advice(&tonight, &[&failed]), (expect.to_owned(), true));
}

#[test]
fn a_range_holds_only_what_fails() {
    let mut sample = sample(6);
    // v1.2.0 works in the middle of what fails.
    pay(&mut sample, 6, |a, b| if b == 0 && a > 0 && a != 2 { fail() } else { pass() });
    let texts: Vec<(String, u32)> =
        checked(&sample).findings.into_iter().map(|finding| (finding.text, finding.cells)).collect();
    assert_eq!(
        texts,
        [("node v1.1.0 → node v1.0.0".to_owned(), 1), ("node v1.3.0 … v1.5.0 → node v1.0.0 (3 cells)".to_owned(), 3)]
    );
    // What could not be tried is passed over, and not named.
    let by: Cell = "builds: node@v1.2.0".parse().unwrap();
    sample.verdicts.insert(by.clone(), Verdict::bare(VerdictKind::Unbuilt { detail: "no".to_owned() }));
    let blocked = VerdictKind::Untested(Untested::Unbuilt { by });
    for n in 0..6 {
        for cell in [format!("pay: {} -> {}", node(2), node(n)), format!("pay: {} -> {}", node(n), node(2))] {
            sample.add(&cell, blocked.clone(), Counts::default());
        }
    }
    let model = sample.model();
    assert_eq!(model.findings[0].text, "node v1.1.0 and v1.3.0 … v1.5.0 → node v1.0.0 (4 cells)");
}

#[test]
fn the_telling_observation_is_of_the_cells_own_check() {
    let mut sample = sample(2);
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", VerdictKind::Fail, counts(0, 2, 0));
    let seen = &mut sample.attempts[0].observations;
    let own = seen[0].clone();
    seen.insert(
        0,
        Observation { check: "registers".parse().unwrap(), detail: "another check".to_owned(), ..own.clone() },
    );
    seen.push(Observation { detail: "expected 1, got 2".to_owned(), ..own });
    let model = sample.model();
    let cell = model.cells().next().unwrap();
    assert_eq!(model.telling(cell).unwrap().detail, "expected 1, got 2");
}

#[test]
fn nothing_is_wrong_only_where_nothing_is() {
    let headline = |kinds: &[VerdictKind]| {
        let mut sample = sample(3);
        for (n, kind) in kinds.iter().enumerate() {
            sample.add(&format!("pay: {} -> {}", node(n), node(0)), kind.clone(), Counts::default());
        }
        sample.model().headline
    };
    let blocked = || VerdictKind::Untested(Untested::Blocked { by: "ready: node@v1.0.0".parse().unwrap() });
    assert_eq!(headline(&[VerdictKind::Pass, VerdictKind::Pass]), "Everything that was asked works: 2 cells.");
    assert_eq!(
        headline(&[VerdictKind::Pass, blocked()]),
        "Nothing that was asked fails: 1 of 2 cells passes and 1 is untested because of another."
    );
    assert_eq!(
        headline(&[VerdictKind::Unsupported, VerdictKind::Pass, blocked()]),
        "Nothing that was asked fails: 1 of 3 cells passes, 1 is untested because of another and 1 is unsupported."
    );
    assert_eq!(headline(&[]), "No cell was asked.");
}

#[test]
fn the_evaluator_knows_the_sentences_of_old_to_be_false() {
    let mut sample = sample(2);
    pay(&mut sample, 2, |a, b| match (a, b) {
        (0, 1) => (VerdictKind::Flaky { charged: Some(node(1)) }, counts(0, 0, 6)),
        _ => pass(),
    });
    let world = World { now: sample, past: Vec::new() };
    let truth = Truth::new(&world);
    let cell: Cell = "pay: node@v1.0.0 -> node@v1.1.0".parse().unwrap();
    for old in [
        "It worked in 6 and failed in 6 of 6 networks: a failure rate of 100 % (95 % interval: 61 % to 100 %). It is \
         charged to node@v1.1.0, which fails as often with itself.",
        "It worked in 6 and failed in 6 of 6 networks (36 of 72 observations failed). A failure was seen in 100 % of the \
         networks (95 % interval: 44 % to 100 %). It is charged to node@v1.1.0.",
        "It both worked and failed in 6 of 6 networks (36 of 72 observations failed). A failure was seen in 100 % of the \
         networks (95 % interval: 61 % to 100 %). It is charged to node@v1.1.0.",
        "It was not tried yet: the sweep ended before its turn.",
    ] {
        super::super::cells::cell_sentence(&truth, &cell, old).expect_err(old);
    }
    let told = |text: &str| super::super::windows::windows(&truth, &[text.to_owned()]);
    told("every node works with every other").unwrap_err();
    told("node v1.0.0 works with node v1.1.0").unwrap_err();
    super::super::summary::headline(&truth, "Everything is as expected: 3 of 4 cells pass and 1 is known to fail.")
        .unwrap_err();
    super::super::summary::headline(&truth, "node@v1.1.0 is flaky.").unwrap();
    let mut reader = Reader::new(&truth);
    reader.finding(false, "flaky", "pay", "node v1.0.0 … v1.1.0 → node v1.1.0 (2 cells)");
    assert_eq!(reader.errors.len(), 1);
}

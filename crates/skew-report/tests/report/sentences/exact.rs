//! What reports say of sweeps that were once reported falsely, word by word.

use skew_core::model::{
    Axis, Cell, CommitId, Counts, End, ErrorSource, Explained, Explanation, Fault, Observation, Overlay, Party,
    Untested, Verdict, VerdictKind, VersionId,
};
use skew_report::{Model, SUMMARY, Standings, State, SweepEnd, Word, csv, html, json, junit, markdown, read, terminal};

use super::pages::Reader;
use super::truth::Truth;
use super::worlds::World;
use crate::report_sample::{Sample, empty, role};

fn counts(passed: u32, failed: u32, mixed: u32) -> Counts {
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
fn sample(versions: usize) -> Sample {
    let mut sample = empty(versions);
    for axis in &mut sample.matrix.roles {
        let member = axis.members.values().find_map(|member| member.as_ref().ok()).cloned().unwrap();
        axis.members.values_mut().for_each(|at| *at = Ok(member.clone()));
    }
    sample
}

/// `node@v1.N.0`
fn node(n: usize) -> Party {
    Party::new(&role("node"), &VersionId::new(&format!("v1.{n}.0")))
}

/// Every node with every other; `kind` says what each pair comes to.
fn pay(sample: &mut Sample, versions: usize, kind: impl Fn(usize, usize) -> (VerdictKind, Counts)) {
    for a in 0..versions {
        for b in 0..versions {
            let (kind, counts) = kind(a, b);
            sample.add(&format!("pay: {} -> {}", node(a), node(b)), kind, counts);
        }
    }
}

fn pass() -> (VerdictKind, Counts) {
    (VerdictKind::Pass, counts(3, 0, 0))
}

fn fail() -> (VerdictKind, Counts) {
    (VerdictKind::Fail, counts(0, 2, 0))
}

/// The report, all of whose sentences the evaluator finds true.
#[track_caller]
fn checked(sample: &Sample) -> Model {
    let model = sample.model();
    let world = World { now: sample.clone(), past: Vec::new() };
    assert_eq!(super::errors(&world, &model), Vec::<String>::new());
    model
}

fn windows(model: &Model) -> Vec<&str> {
    model.windows.iter().flat_map(|windows| &windows.text).map(String::as_str).collect()
}

fn findings(model: &Model) -> Vec<(&str, &str)> {
    model.findings.iter().map(|finding| (finding.text.as_str(), finding.advice.as_str())).collect()
}

/// What is said of one cell, beside others.
#[track_caller]
fn says(sample: &Sample, cell: &str, expect: &str) {
    let model = sample.model();
    let shown = model.cells().find(|shown| shown.cell == cell).unwrap_or_else(|| panic!("{cell} is not shown"));
    assert_eq!(shown.sentence, expect);
}

#[track_caller]
fn one(kind: VerdictKind, counts: Counts, expect: &str) {
    let mut sample = sample(2);
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", kind, counts);
    says(&sample, "pay: node@v1.0.0 -> node@v1.1.0", expect);
}

#[test]
fn a_pass_says_which_failure_rate_it_excludes() {
    one(
        VerdictKind::Pass,
        counts(1, 0, 0),
        "It worked in the one network that tried it (4 observations). At 95 % confidence that excludes a failure rate \
         above 98 %.",
    );
    one(
        VerdictKind::Pass,
        counts(3, 0, 0),
        "It worked in all 3 networks that tried it (12 observations). At 95 % confidence that excludes a failure rate \
         above 77 %.",
    );
    one(VerdictKind::Pass, counts(0, 0, 0), "It works.");
    // What is not explained is no pass, and is said all the same.
    one(
        VerdictKind::Pass,
        counts(3, 1, 0),
        "It worked in 3 of 4 networks that tried it (12 observations). At 95 % confidence that excludes a failure rate \
         above 86 %. Its failures in 1 network are not explained.",
    );
}

#[test]
fn failures_that_something_else_explains_name_it() {
    let mut sample = sample(3);
    let cell = sample.add("pay: node@v1.0.0 -> node@v1.1.0", VerdictKind::Pass, counts(3, 0, 0));
    let by = sample.add("pay: node@v1.2.0 -> node@v1.1.0", VerdictKind::Fail, counts(0, 2, 0));
    let explained = vec![
        Explained { networks: 2, by: Explanation::Cell { cell: by } },
        Explained { networks: 1, by: Explanation::Noise { failed: 3, networks: 1400 } },
    ];
    sample.verdicts.get_mut(&cell).unwrap().explained = explained;
    says(
        &sample,
        "pay: node@v1.0.0 -> node@v1.1.0",
        "It worked in 3 networks (12 observations). At 95 % confidence that excludes a failure rate above 86 %. It also \
         failed in 2 networks, which another cell explains: pay: node@v1.2.0 -> node@v1.1.0 (fail). It also failed in 1 \
         network, which is within the check's own noise: of what works, 3 of 1,400 networks failed once.",
    );
    checked(&sample);
}

#[test]
fn a_failure_says_what_it_proves() {
    one(
        VerdictKind::Fail,
        counts(0, 2, 0),
        "It failed in 2 of 2 networks, 1 in isolation, and never worked there: it fails at least 13 % of the time.",
    );
    one(VerdictKind::Fail, counts(0, 0, 0), "It failed.");
    one(VerdictKind::Fail, counts(1, 0, 2), "It failed in 2 of 3 networks: it fails at least 7 % of the time.");
}

#[test]
fn flaking_is_told_in_networks_and_observations() {
    // Half of 72 observations, in each of 6 networks.
    one(
        VerdictKind::Flaky { charged: None },
        counts(0, 0, 6),
        "It both worked and failed in 6 of 6 networks (36 of 72 observations failed). A failure was seen in 100 % of the \
         networks (95 % interval: 44 % to 100 %).",
    );
    one(
        VerdictKind::Flaky { charged: None },
        counts(3, 1, 6),
        "It worked in 3, failed in 1 and both worked and failed in 6 of 10 networks (37 of 85 observations failed). A \
         failure was seen in 70 % of the networks (95 % interval: 27 % to 96 %).",
    );
}

#[test]
fn a_party_flakes_with_itself_only_where_its_own_cell_shows_it() {
    let mut sample = sample(2);
    let charged = || VerdictKind::Flaky { charged: Some(node(1)) };
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", charged(), counts(3, 1, 0));
    sample.add("pay: node@v1.1.0 -> node@v1.1.0", VerdictKind::Pass, counts(3, 0, 0));
    let often = "It worked in 3 and failed in 1 of 4 networks (1 of 13 observations failed). A failure was seen in 25 % of \
                 the networks (95 % interval: 0.3 % to 86 %).";
    says(&sample, "pay: node@v1.0.0 -> node@v1.1.0", &format!("{often} It is charged to node@v1.1.0."));
    sample.add("pay: node@v1.1.0 -> node@v1.1.0", charged(), counts(5, 2, 1));
    says(
        &sample,
        "pay: node@v1.0.0 -> node@v1.1.0",
        &format!(
            "{often} It is charged to node@v1.1.0, which worked in 5, failed in 2 and both worked and failed in 1 of 8 \
             networks (8 of 34 observations failed) with itself (pay: node@v1.1.0 -> node@v1.1.0)."
        ),
    );
    let model = checked(&sample);
    assert_eq!(
        findings(&model),
        [(
            "node v1.1.0 (2 cells)",
            "Look for a race in node@v1.1.0: compare a network that worked with one that failed."
        )]
    );
    assert_eq!(model.headline, "node@v1.1.0 is flaky.");
}

#[test]
fn a_version_is_broken_by_itself_only_where_its_own_cell_shows_it() {
    let mut sample = sample(2);
    let broken = || VerdictKind::Broken { party: node(1) };
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", broken(), counts(0, 2, 0));
    says(
        &sample,
        "pay: node@v1.0.0 -> node@v1.1.0",
        "The failure is charged to node@v1.1.0, which is broken. Here it failed in 2 of 2 networks.",
    );
    assert_eq!(findings(&checked(&sample)), [("node v1.1.0", "Fix or withdraw node@v1.1.0.")]);
    sample.add("pay: node@v1.1.0 -> node@v1.1.0", broken(), counts(0, 1, 0));
    says(
        &sample,
        "pay: node@v1.0.0 -> node@v1.1.0",
        "node@v1.1.0 is broken: it fails this check in a network of only its own version. Here it failed in 2 of 2 networks.",
    );
    assert_eq!(
        findings(&checked(&sample)),
        [(
            "node v1.1.0 (2 cells)",
            "Fix or withdraw node@v1.1.0: it fails this check in a network of only its own version."
        )]
    );
}

#[test]
fn sets_are_told_from_their_own_cells() {
    let mut sample = sample(3);
    pay(&mut sample, 3, |_, _| pass());
    let set = "pay: {node@v1.0.0, node@v1.1.0, node@v1.2.0}";
    sample.add(set, VerdictKind::Interference, counts(0, 2, 0));
    says(
        &sample,
        set,
        "Together they failed in 2 of 2 networks, 1 in isolation, and never worked there: they fail at least 13 % of the \
         time. Every pair of them works, and no smaller set of them was seen to fail.",
    );
    let model = checked(&sample);
    assert_eq!(model.headline, "node@v1.0.0, node@v1.1.0 and node@v1.2.0 fail together.");
    assert_eq!(
        windows(&model),
        [
            "every node works with every other",
            "node – node: node v1.0.0, node v1.1.0 and node v1.2.0 fail together in pay"
        ]
    );
    // One pair of them fails.
    let (kind, counts_of) = fail();
    sample.add("pay: node@v1.0.0 -> node@v1.2.0", kind, counts_of);
    says(
        &sample,
        set,
        "Together they failed in 2 of 2 networks, 1 in isolation, and never worked there: they fail at least 13 % of the \
         time.",
    );
    sample.add(set, VerdictKind::Flaky { charged: None }, counts(1, 1, 0));
    says(
        &sample,
        set,
        "Together they worked in 1 and failed in 1 of 2 networks (1 of 5 observations failed). A failure was seen in 50 % \
         of the networks (95 % interval: 0.8 % to 99.2 %).",
    );
    assert_eq!(
        checked(&sample).headline,
        "node@v1.0.0 and node@v1.2.0 do not work together, node@v1.0.0, node@v1.1.0 and node@v1.2.0 are flaky together."
    );
}

#[test]
fn a_suspected_cell_is_never_not_tried_yet() {
    let mut sample = sample(2);
    let suspected = VerdictKind::Untested(Untested::Suspected { networks: 3 });
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", suspected, counts(0, 3, 0));
    sample.add("pay: node@v1.1.0 -> node@v1.0.0", VerdictKind::Untested(Untested::Pending), Counts::default());
    for (end, suspected, pending, headline, advice) in [
        (
            SweepEnd::Completed,
            "Suspected, failed in 3 networks: what is to blame is not established.",
            "It was asked, and no network has tried it yet.",
            "1 cell failed and is only suspected, 1 cell could not be settled.",
            "Run the same command again: it goes on where the last one ended.",
        ),
        (
            SweepEnd::Interrupted,
            "Suspected, failed in 3 networks: what is to blame is not established, because the sweep was interrupted.",
            "It was not tried, because the sweep was interrupted.",
            "1 cell failed and is only suspected, 1 cell could not be settled. The sweep was interrupted.",
            "Run the same command again: it goes on where the last one ended.",
        ),
        (
            SweepEnd::Budget,
            "Suspected, failed in 3 networks: what is to blame is not established, because the sweep's budget was spent.",
            "It was not tried, because the sweep's budget was spent.",
            "1 cell failed and is only suspected, 1 cell could not be settled. The sweep's budget was spent.",
            "Run the same command again, with more time: raise --budget.",
        ),
        (
            SweepEnd::Limit,
            "Suspected, failed in 3 networks: what is to blame is not established, because the sweep's time limit passed.",
            "It was not tried, because the sweep's time limit passed.",
            "1 cell failed and is only suspected, 1 cell could not be settled. The sweep's time limit passed.",
            "Run the same command again, or raise `[limits] sweep` in the spec.",
        ),
    ] {
        sample.end = end;
        says(&sample, "pay: node@v1.0.0 -> node@v1.1.0", suspected);
        says(&sample, "pay: node@v1.1.0 -> node@v1.0.0", pending);
        let model = checked(&sample);
        assert_eq!((model.state, model.headline.as_str()), (State::Unknown, headline));
        assert_eq!(
            findings(&model),
            [
                ("node v1.0.0 → node v1.1.0: suspected, failed in 3 networks", advice),
                ("node v1.1.0 → node v1.0.0", advice)
            ]
        );
    }
    // The infrastructure failed the network that asked it.
    sample.end = SweepEnd::Completed;
    let pending: Cell = "pay: node@v1.1.0 -> node@v1.0.0".parse().unwrap();
    let verdict = sample.verdicts[&pending].clone();
    sample.add(&pending.to_string(), VerdictKind::Pass, counts(1, 0, 0));
    sample.attempts.last_mut().unwrap().end =
        End::Infrastructure { fault: Fault::Disk, detail: "the disk is full".to_owned() };
    sample.verdicts.insert(pending, verdict);
    says(
        &sample,
        "pay: node@v1.1.0 -> node@v1.0.0",
        "It was not tried, because the infrastructure failed 1 network that asked it.",
    );
    let text = junit(&sample.model());
    assert!(text.contains("<error message=\"Suspected, failed in 3 networks: "), "{text}");
}

#[test]
fn a_check_that_has_passed_nowhere_is_said_first_and_blames_nobody() {
    let mut sample = sample(5);
    let wrong = || VerdictKind::Error { detail: "it failed wherever it ran".to_owned(), source: ErrorSource::Check };
    pay(&mut sample, 5, |_, _| (wrong(), counts(0, 1, 0)));
    for attempt in &mut sample.attempts {
        attempt.observations[0].detail = "GET /: expected status 200, got 404".to_owned();
    }
    sample.add("registers: node@v1.0.0 -> notary@v1.1.0", VerdictKind::Fail, counts(0, 2, 0));
    let model = sample.model();
    let first = "The check `pay` has passed nowhere: it failed in all 25 cells that it was asked in. It is likeliest wrong \
                 itself.";
    assert_eq!(model.headline, format!("{first} node@v1.0.0 and notary@v1.1.0 do not work together."));
    let finding = &model.findings[0];
    assert_eq!((finding.text.as_str(), finding.verdict, finding.cells), (first, Word::Error, 25));
    assert_eq!(finding.seen.as_deref(), Some("GET /: expected status 200, got 404"));
    assert_eq!(
        finding.advice,
        "Compare what the check expects with what was found, and correct the check in the spec."
    );
    says(
        &sample,
        "pay: node@v1.0.0 -> node@v1.1.0",
        &format!("It failed in 1 of 1 network. {first} This says nothing about these versions."),
    );
    let text = terminal(&model, 200, false);
    assert!(
        text.contains(&format!("{first} node@v1.0.0")) && text.contains(&format!("First: error pay: {first}")),
        "{text}"
    );
    assert!(text.contains("\nSeen: GET /: expected status 200, got 404\n"), "{text}");
    for page in [markdown(&model, SUMMARY), html(&model)] {
        assert!(page.contains(first) && page.contains("expected status 200, got 404"));
        assert!(!page.contains("is broken") && !page.contains("withdraw"));
    }
    let text = junit(&model);
    assert_eq!((text.matches("<error ").count(), text.matches("<failure ").count()), (25, 1), "{text}");
}

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
        super::cells::cell_sentence(&truth, &cell, old).expect_err(old);
    }
    let told = |text: &str| super::windows::windows(&truth, &[text.to_owned()]);
    told("every node works with every other").unwrap_err();
    told("node v1.0.0 works with node v1.1.0").unwrap_err();
    super::summary::headline(&truth, "Everything is as expected: 3 of 4 cells pass and 1 is known to fail.")
        .unwrap_err();
    super::summary::headline(&truth, "node@v1.1.0 is flaky.").unwrap();
    let mut reader = Reader::new(&truth);
    reader.finding(false, "flaky", "pay", "node v1.0.0 … v1.1.0 → node v1.1.0 (2 cells)");
    assert_eq!(reader.errors.len(), 1);
}

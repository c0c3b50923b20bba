//! What is said of one cell.

use skew_core::model::{Cell, Counts, End, ErrorSource, Explained, Explanation, Fault, Untested, VerdictKind};
use skew_report::{SUMMARY, State, SweepEnd, Word, html, junit, markdown, terminal};

use super::{checked, counts, fail, findings, node, one, pass, pay, sample, says, windows};

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

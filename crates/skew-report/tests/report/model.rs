//! Reports of a sweep with every verdict in it.

use crate::report_sample;

use report_sample::{HOSTILE, empty, golden, golden_file, sample};
use skew_core::model::{Counts, ErrorSource, Observation, Overlay, Untested, VerdictKind};
use skew_report::{Model, Standing, State, Word, diff_schema, html, json, schema, terminal};

#[test]
fn terminal_table() {
    insta::assert_snapshot!(terminal(&sample().model(), 100, false));
}

#[test]
fn terminal_is_split_where_it_is_narrow_and_coloured_where_asked() {
    let model = sample().model();
    let narrow = terminal(&model, 40, false);
    let matrix = narrow.split("ready:").next().unwrap();
    assert!(matrix.lines().filter(|line| line.contains("v1.")).all(|line| line.chars().count() <= 60), "{matrix}");
    assert!(!narrow.contains('\u{1b}'), "no escape of anyone");
    let coloured = terminal(&model, 100, true);
    assert!(coloured.contains("\u{1b}["));
    assert!(!coloured.contains("\u{1b}[31mERROR"));
}

#[test]
fn first_words_and_findings() {
    let model = sample().model();
    let mut text = format!("{:?}: {}\n", model.state, model.headline);
    for finding in &model.findings {
        text.push_str(&format!(
            "{} {} {}: {}\n",
            finding.standing.text(),
            finding.verdict,
            finding.check,
            finding.text
        ));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn one_failing_cell_in_full() {
    let model = sample().model();
    let cell = model.cells().find(|cell| cell.cell == "pay: node@v1.5.0 -> node@v1.0.0").unwrap();
    let network = &model.networks[&cell.evidence[0]];
    let text = serde_json::to_string_pretty(&(cell, network)).unwrap();
    insta::assert_snapshot!(text);
}

/// Beside one cell that passes and one whose verdict it is about.
#[test]
fn states_follow_the_verdicts() {
    let check = |kind: VerdictKind, state: State, headline: &str| {
        let mut sample = empty(3);
        let passed = Counts { passed: 1, ..Counts::default() };
        sample.add("pay: node@v1.1.0 -> node@v1.1.0", VerdictKind::Pass, passed);
        sample.add("pay: node@v1.1.0 -> node@v1.0.0", kind, Counts::default());
        let model = sample.model();
        assert_eq!((model.state, model.headline.as_str()), (state, headline));
    };
    check(VerdictKind::Pass, State::Good, "Everything that was asked works: 2 cells.");
    check(
        VerdictKind::Unsupported,
        State::Good,
        "Nothing that was asked fails: 1 of 2 cells passes and 1 is unsupported.",
    );
    check(VerdictKind::Fail, State::Wrong, "node@v1.0.0 and node@v1.1.0 do not work together.");
    let unsettled = "1 cell could not be settled.";
    check(VerdictKind::Error { detail: String::new(), source: ErrorSource::Infrastructure }, State::Unknown, unsettled);
    check(VerdictKind::Untested(Untested::NotSeated), State::Unknown, unsettled);
    let by = "registers: node@v1.1.0 -> notary@v1.0.0".parse().unwrap();
    let blocked = VerdictKind::Untested(Untested::Blocked { by });
    check(
        blocked,
        State::Good,
        "Nothing that was asked fails: 1 of 2 cells passes and 1 is untested because of another.",
    );
    assert_eq!(empty(2).model().headline, "No cell was asked.");
}

#[test]
fn a_check_that_older_versions_had_is_missed() {
    let check = |with: &str, without: &str, state: State| {
        let mut sample = empty(3);
        sample.add(with, VerdictKind::Pass, Counts { passed: 1, ..Counts::default() });
        sample.add(without, VerdictKind::Unsupported, Counts::default());
        assert_eq!(sample.model().state, state, "{with}, {without}");
    };
    check("pay: node@v1.0.0 -> node@v1.0.0", "pay: node@v1.1.0 -> node@v1.0.0", State::Wrong);
    check("pay: node@v1.0.0 -> node@v1.1.0", "pay: node@v1.1.0 -> node@v1.0.0", State::Good);
    check("pay: node@v1.2.0 -> node@v1.2.0", "pay: node@v1.1.0 -> node@v1.1.0", State::Good);
    check("ready: node@v1.0.0", "ready: node@v1.1.0", State::Wrong);
    check("ready: node@v1.0.0", "pay: node@v1.1.0 -> node@v1.1.0", State::Good);
}

#[test]
fn what_nobody_asked_is_shown_and_counts_for_nothing() {
    let mut sample = empty(2);
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", VerdictKind::Pass, Counts { passed: 1, ..Counts::default() });
    let cell = sample.add("pay: node@v1.0.0 -> node@v1.0.0", VerdictKind::Fail, Counts::default());
    sample.asked.remove(&cell);
    sample.add("pay: node@v1.1.0 -> node@v1.1.0", VerdictKind::Untested(Untested::NotAsked), Counts::default());
    let model = sample.model();
    assert_eq!((model.state, model.tally.total(), model.cells().count()), (State::Good, 1, 2));
    let shown = model.cells().find(|shown| shown.id == cell.id()).unwrap();
    assert_eq!((shown.verdict, shown.standing, shown.asked), (Word::Fail, Standing::Fine, false));
    assert_eq!(model.findings, []);
}

#[test]
fn a_known_failure_that_no_longer_fails_is_told_and_nothing_is_wrong() {
    let mut sample = empty(2);
    let cell =
        sample.add("pay: node@v1.0.0 -> node@v1.1.0", VerdictKind::Pass, Counts { passed: 1, ..Counts::default() });
    sample.overlays.insert(cell, Overlay::UnexpectedPass { reason: "was slow".to_owned() });
    let model = sample.model();
    assert_eq!((model.state, model.headline.as_str()), (State::Good, "1 known failure no longer fails."));
    assert_eq!(model.findings[0].standing, Standing::UnexpectedPass);
}

#[test]
fn counts_are_those_of_the_verdicts() {
    let model = sample().model();
    assert_eq!(model.tally.total() as usize, model.cells().count());
    for word in Word::ALL {
        let cells = model.cells().filter(|cell| cell.verdict == word).count();
        assert_eq!(model.tally.of(word) as usize, cells, "{word}");
        assert!(cells > 0, "the sample has {word}");
    }
    let known = model.cells().filter(|cell| cell.standing == Standing::Known).count();
    assert_eq!((model.tally.known as usize, known), (3, 3));
    let together = model.together.as_ref().unwrap();
    let pair = together.pairs.iter().find(|pair| (pair.a, pair.b) == (2, 3)).unwrap();
    assert_eq!(pair.verdict, Word::Fail);
    // `registers`, `pay` and `gossip`, in this direction.
    assert_eq!((pair.cells, pair.passed), (3, 2));
}

#[test]
fn results_json_is_the_model_and_matches_its_schema_by_name() {
    let model = sample().model();
    let text = json(&model);
    assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), model);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["format"], 2);
    let schema = serde_json::to_value(schema()).unwrap();
    let described = schema["properties"].as_object().unwrap();
    for key in value.as_object().unwrap().keys() {
        assert!(described.contains_key(key), "{key} is described");
    }
}

/// The schemas in `docs` are what readers are promised; `SKEW_BLESS=1` writes them anew.
#[test]
fn the_published_schemas_are_the_schemas() {
    for (name, schema) in [("results", schema()), ("diff", diff_schema())] {
        let path = skew_testing::repository(&format!("docs/{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("SKEW_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            published == text,
            "{} is stale; `SKEW_BLESS=1 cargo test --test report schemas` writes it",
            path.display()
        );
    }
}

/// The page that the README leads to is what this skew writes of that sweep; `SKEW_BLESS=1` writes it anew.
#[test]
fn the_golden_page_is_the_current_output() {
    let file = golden_file();
    let page = std::fs::read_to_string(&file).unwrap();
    let now = html(&golden());
    if std::env::var_os("SKEW_BLESS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    assert!(
        page == now || std::env::var_os("SKEW_BLESS").is_some(),
        "{} is stale; `SKEW_BLESS=1 cargo test --test report golden_page` writes it",
        file.display()
    );
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let page = html(&sample().model());
    assert!(!page.contains("<script>window"));
    assert!(!page.contains("<img"));
    assert!(!page.contains('\u{1b}'));
    assert_eq!(page.matches("</script>").count(), 2, "the data's and the program's");
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"), "it is shown");
    assert!(page.contains("\\u003cscript\\u003e"));
    for outside in ["src=\"http", "href=\"http", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(HOSTILE.contains("<script>"));
}

#[test]
fn everything_is_bounded() {
    let mut sample = empty(2);
    sample.add("pay: node@v1.0.0 -> node@v1.1.0", VerdictKind::Fail, Counts { failed: 2, ..Counts::default() });
    let attempt = &mut sample.attempts[0];
    let long = Observation { detail: "x".repeat(10_000), ..attempt.observations[0].clone() };
    attempt.observations = vec![long; 5_000];
    attempt.excerpts[0].lines = vec!["y".repeat(10_000); 100];
    attempt.excerpts = vec![attempt.excerpts[0].clone(); 100];
    let model = sample.model();
    let network = model.networks.values().next().unwrap();
    assert_eq!((network.observations.len(), network.observations_left_out), (2_000, 3_000));
    assert_eq!((network.excerpts.len(), network.excerpts[0].lines.len()), (12, 30));
    assert!(html(&model).len() < 3_000_000);
}

#[test]
fn a_page_of_ten_thousand_cells_stays_a_page() {
    let mut sample = empty(100);
    let labels: Vec<String> = sample.matrix.versions.iter().map(|version| version.label.clone()).collect();
    for (a, from) in labels.iter().enumerate() {
        for (b, to) in labels.iter().enumerate() {
            let (kind, passed, failed) =
                if (a < 50) == (b < 50) { (VerdictKind::Pass, 1, 0) } else { (VerdictKind::Fail, 0, 2) };
            let counts = Counts { passed, failed, ..Counts::default() };
            sample.add(&format!("pay: node@{from} -> node@{to}"), kind, counts);
        }
    }
    let model = sample.model();
    assert_eq!(model.cells().count(), 10_000);
    assert_eq!((model.networks.len(), model.networks_left_out), (2_000, 8_000));
    assert_eq!(model.findings.len(), 2, "two blocks");
    let page = html(&model);
    assert!(page.len() < 25_000_000, "{} bytes", page.len());
}

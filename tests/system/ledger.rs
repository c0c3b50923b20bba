//! The ledger's verdicts equal its truth table, with the real binary: each strategy with four jobs; one strategy, or in a long
//! run each, with one job.

use skew_report::{Finding, Model, Windows, Word};
use skew_testing::needs::is_long;

use crate::common::Place;
use crate::common::demo::Demo;
use crate::report_sample::golden;

/// The sweeps share images, never the evidence. Those with one job mostly wait, so those with four run beside them.
#[test]
fn the_truth_is_found_by_every_strategy_whatever_runs_at_once() {
    let demo = Demo::new();
    let places = ["1", "4"].map(|jobs| (jobs, demo.copy()));
    std::thread::scope(|scope| {
        for (jobs, place) in &places {
            scope.spawn(|| {
                let strategies = ["pairs", "candidate", "packed"];
                for strategy in &strategies[if *jobs == "4" || is_long() { 0 } else { 2 }..] {
                    finds_the_truth(place, strategy, jobs);
                }
                says_what_the_golden_page_says(place);
            });
        }
    });
}

fn finds_the_truth(place: &Place, strategy: &str, jobs: &str) {
    let seed = format!("{}", 7 + jobs.len() * strategy.len());
    let args = ["demo", "--dir", "demo", "--fresh", "--strategy", strategy, "--jobs", jobs];
    let ran = place.skew(&[&args[..], &["--seed", &seed, "--format", "json"]].concat());
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| {
        panic!("{strategy}, {jobs} jobs: {error}\n{}\n{}", ran.stdout, ran.stderr);
    });
    assert_eq!(found["differences"], serde_json::json!([]), "{strategy}, {jobs} jobs, seed {seed}");
    assert_eq!(ran.code, 0, "{strategy}, {jobs} jobs: {}", ran.stderr);
    assert!(found["cells"].as_u64() > Some(50), "{found}");
    assert!(found["networks"].as_u64() > Some(10), "{found}");
}

/// The page in the repository is of such a sweep: it says the same, but for what the seed decides.
fn says_what_the_golden_page_says(place: &Place) {
    let results = std::fs::read(place.join("reports/ledger/results.json")).expect("the demo wrote a report");
    let (now, golden) = (skew_report::read(&results).expect("a report"), golden());
    // The text names the sets that fail together, and which of them are found is the seed's.
    let windows = |model: &Model| -> Vec<Windows> {
        model.windows.iter().cloned().map(|windows| Windows { text: Vec::new(), ..windows }).collect()
    };
    assert_eq!(windows(&now), windows(&golden));
    let certain = |model: &Model| -> Vec<Finding> {
        let by_seed = |finding: &&Finding| matches!(finding.verdict, Word::Interference | Word::Flaky);
        let findings = model.findings.iter().filter(|finding| !by_seed(finding));
        findings.cloned().map(|finding| Finding { first_seen: None, ..finding }).collect()
    };
    assert_eq!(certain(&now), certain(&golden));
}

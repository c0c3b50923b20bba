//! Nights of a small project, with the real binary: what is told, to whom, and what the exit codes are.

use crate::common::Ran;
use crate::common::github::{Github, TOKEN};
use crate::common::results::cells;
use crate::common::tiny::Tiny;

/// Versions that stay, and a branch that moves.
const NIGHTLY: &str = "versions = { tags = \"v{version}\", revisions = [\"main\"] }";

/// A project with two releases, and `main` behind the second.
fn project() -> Tiny {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    tiny.edit("versions = { tags = \"v{version}\" }", NIGHTLY);
    tiny.edit("strategy = \"packed\"", "strategy = \"packed\"\ncandidate = \"main\"");
    commit(&tiny, "begin 2.0", "");
    tiny
}

/// `main` as it cannot talk to some versions.
fn commit(tiny: &Tiny, message: &str, deaf_to: &str) {
    let cases: String = deaf_to
        .split_whitespace()
        .map(|version| format!("  {version}) echo \"{message} cannot talk to $1\"; exit 1;;\n"))
        .collect();
    tiny.place.write("repo/talk", &format!("# {message}\ncase $1 in\n{cases}  *) exit 0;;\nesac\n"));
    tiny.commit(message);
}

/// One night in GitHub Actions.
fn night(tiny: &Tiny, github: &Github, args: &[&str]) -> Ran {
    let mut command = tiny.place.command(args);
    command.envs(github.environment()).env("GITHUB_STEP_SUMMARY", tiny.place.join("summary.md"));
    let ran = Ran::of(command.output().expect("skew starts"));
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!told.contains(TOKEN), "{told}");
    ran
}

fn since(tiny: &Tiny) -> (String, Vec<String>) {
    let results = tiny.results();
    let since = &results["since"];
    let headline = since["headline"].as_str().unwrap_or_default();
    // Behind the sweep's name, which is another each night.
    let told = headline.split_once(')').map_or("", |(_, told)| told).to_owned();
    let word = |finding: &serde_json::Value| {
        format!(
            "{} {}: {}",
            finding["change"].as_str().unwrap(),
            finding["check"].as_str().unwrap(),
            finding["text"].as_str().unwrap()
        )
    };
    (told, since["findings"].as_array().into_iter().flatten().map(word).collect())
}

/// The history of a cell, as verdicts over the sweeps where they changed.
fn history(tiny: &Tiny, cell: &str) -> Vec<(u64, String)> {
    let results = tiny.results();
    let cells = cells(&results, None);
    let cell = cells.into_iter().find(|shown| shown["cell"] == cell).expect("the cell");
    let was = |was: &serde_json::Value| {
        (was["sweep"].as_u64().unwrap(), was["verdict"].as_str().unwrap_or("not asked").to_owned())
    };
    cell["history"].as_array().into_iter().flatten().map(was).collect()
}

#[test]
fn three_nights() {
    let tiny = project();
    // Ours is behind a hundred and fifty comments of others: on the second page.
    let github = Github::new(150);
    let sweep = ["sweep", "--gate", "--github"];
    night(&tiny, &github, &sweep).expect(0);
    assert_eq!(since(&tiny), (String::new(), vec![]));
    let pages = "GET /api/v3/repos/owner/name/issues/7/comments?per_page=100&page=";
    let post = "POST /api/v3/repos/owner/name/issues/7/comments".to_owned();
    assert_eq!(github.requests(), [format!("{pages}1"), format!("{pages}2"), post]);
    let ours = github.ours();
    assert_eq!(ours.len(), 1);
    assert!(
        ours[0].starts_with("<!-- skew:tiny -->\n## ✓ tiny: Everything that was asked works: 21 cells."),
        "{}",
        ours[0]
    );

    // A new tag.
    tiny.place.git("repo", &["checkout", "-q", "-b", "release"]);
    tiny.release("v2.0.0", "");
    tiny.place.git("repo", &["checkout", "-q", "main"]);
    night(&tiny, &github, &sweep).expect(0);
    let (told, findings) = since(&tiny);
    assert_eq!(told, ": 11 new.");
    assert!(findings.contains(&"new talks: node v2.0.0 → node v1.0.0 … main (3 cells)".to_owned()), "{findings:?}");

    // A regression.
    commit(&tiny, "drop the old framing", "v1.0.0 v1.1.0");
    let ran = night(&tiny, &github, &sweep).expect(1);
    let (told, findings) = since(&tiny);
    assert_eq!(told, ": 2 cells regressed.");
    assert_eq!(findings, ["regressed talks: node main → node v1.0.0 and v1.1.0 (2 cells)"]);
    assert!(ran.stdout.contains("2 cells regressed"), "{}", ran.stdout);
    let ours = github.ours();
    assert_eq!(ours.len(), 1, "it is updated, not repeated");
    assert!(ours[0].contains("## ✗ tiny: 2 pairs of versions do not work together."), "{}", ours[0]);
    assert!(ours[0].contains("drop the old framing cannot talk to v1.0.0"), "the line that matters: {}", ours[0]);
    assert!(github.requests().last().unwrap().starts_with("PATCH /api/v3/repos/owner/name/issues/comments/151"));
    let diff = tiny.skew(&["diff", "previous", "latest", "--report", "compared"]).expect(1);
    let page = tiny.place.read("compared/index.html");
    assert!(page.contains("What is new") && page.contains(">regressed</span>"), "{page}");
    assert!(diff.stdout.contains("regressed") && diff.stdout.contains("pass → fail"), "{}", diff.stdout);

    // A fix.
    commit(&tiny, "keep the old framing", "");
    night(&tiny, &github, &sweep).expect(0);
    let (told, findings) = since(&tiny);
    assert_eq!(told, ": 2 fixed.");
    assert_eq!(findings, ["fixed talks: node main → node v1.0.0 and v1.1.0 (2 cells)"]);
    tiny.skew(&["diff", "previous", "latest"]).expect(0);
    let talks = "talks: node@main -> node@v1.0.0";
    let words = |all: &[(u64, &str)]| all.iter().map(|(at, word)| (*at, (*word).to_owned())).collect::<Vec<_>>();
    assert_eq!(history(&tiny, talks), words(&[(0, "pass"), (2, "fail"), (3, "pass")]));
    assert_eq!(history(&tiny, "talks: node@v2.0.0 -> node@v1.0.0"), words(&[(0, "not asked"), (1, "pass")]));

    let ours = github.ours();
    assert_eq!(ours.len(), 1);
    assert!(ours[0].contains("## ✓ tiny: Everything that was asked works: 32 cells."), "{}", ours[0]);
    assert!(ours[0].contains("2 fixed."), "{}", ours[0]);
    // The summary has every night.
    let summary = tiny.place.read("summary.md");
    assert_eq!(summary.lines().filter(|line| line.starts_with("## ")).count(), 4);
    // What a sweep asked is no log that grows old.
    tiny.skew(&["gc", "--keep", "0s"]).expect(0);
    tiny.skew(&["diff", "previous", "latest"]).expect(0);
    // What was said of nights before holds on a machine that has only their records.
    tiny.skew(&["export", "--output", "evidence.jsonl"]).expect(0);
    tiny.skew(&["diff", "evidence.jsonl", "reports/tiny/results.json"]).expect(0);
}

#[test]
fn accepted_failures_are_expected_without_a_run() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", ""), ("v2.0.0", "v1.0.0 v1.1.0")]);
    tiny.skew(&["sweep"]).expect(1);
    let (spec, attempts) = (tiny.place.read("skew.toml"), tiny.journal("attempt").len());
    let dry = tiny.skew(&["accept", "latest", "--dry-run"]).expect(0);
    assert_eq!(tiny.place.read("skew.toml"), spec);
    assert!(dry.stdout.contains("reason = \"fail in sweep "), "{}", dry.stdout);
    assert!(dry.stdout.contains("v2.0.0 cannot talk to v1."), "{}", dry.stdout);

    let ran =
        tiny.skew(&["accept", "--reason", "2.0 has another framing", "--link", "https://example.org/1"]).expect(0);
    let block = "[[known]]\ncell = \"talks: node@v2.0.0 -> node@tiny:>=1.0.0, <=1.1.0\"\nreason = \"2.0 has another \
                 framing\"\nlink = \"https://example.org/1\"\n";
    assert_eq!(ran.stdout, block);
    assert_eq!(tiny.place.read("skew.toml"), format!("{spec}\n{block}"), "comments and all");
    tiny.skew(&["sweep"]).expect(0);
    assert_eq!(tiny.journal("attempt").len(), attempts, "nothing was run");
    assert_eq!(tiny.results()["tally"]["known"], 2);
    let again = tiny.skew(&["accept"]).expect(0);
    assert!(again.stdout.starts_with("nothing to accept"), "{}", again.stdout);
    tiny.skew(&["accept", "yesterday"]).expect(2);
}

#[test]
fn what_github_refuses_changes_no_verdict() {
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    let github = Github::new(0);
    // Once not there, then busy: it is asked again.
    github.fail(502, "");
    github.fail(429, "Retry-After: 0");
    let sweep = ["sweep", "--github"];
    night(&tiny, &github, &sweep).expect(0);
    assert_eq!(github.requests().len(), 4);
    assert_eq!(github.ours().len(), 1);
    // A workflow for a fork may not write.
    github.fail(403, "");
    let ran = night(&tiny, &github, &sweep).expect(0);
    assert!(ran.stderr.contains("pull-requests: write"), "{}", ran.stderr);
    github.fail(403, "");
    let ran = night(&tiny, &github, &["report", "--github"]).expect(3);
    assert!(
        ran.stderr.contains("failed to list the comments on owner/name#7: 403 Forbidden: not now"),
        "{}",
        ran.stderr
    );
    // Nobody who takes the token elsewhere is followed.
    github.fail(307, "Location: http://127.0.0.1:9/");
    let ran = night(&tiny, &github, &["report", "--github"]).expect(3);
    assert!(ran.stderr.contains("307"), "{}", ran.stderr);
    // Elsewhere there is nothing to tell.
    let ran = tiny.skew(&["report", "--github"]).expect(0);
    assert!(ran.stderr.contains("no pull request") && ran.stderr.contains("GITHUB_STEP_SUMMARY"), "{}", ran.stderr);
}

#[test]
fn files_for_other_tools() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v2.0.0", "v1.0.0")]);
    let all =
        ["--junit", "out/junit.xml", "--markdown", "out/report.md", "--csv", "out/cells.csv", "--badge", "badge.svg"];
    tiny.skew(&[&["sweep"], all.as_slice()].concat()).expect(1);
    for (file, text) in [
        ("out/junit.xml", "<failure message="),
        ("out/report.md", "## ✗ tiny: node@v1.0.0 and node@v2.0.0 do not work together."),
        ("out/cells.csv", "talks: node@v2.0.0 -> node@v1.0.0"),
        ("badge.svg", "1 of 12 not as expected"),
    ] {
        let written = tiny.place.read(file);
        assert!(written.contains(text), "{file}: {written}");
    }
    let printed = tiny.skew(&["report", "--junit", "-"]).expect(0);
    assert_eq!(printed.stdout, tiny.place.read("out/junit.xml"));
    let wrong = tiny.skew(&["report", "--junit", "-", "--csv", "-"]).expect(2);
    assert!(wrong.stderr.contains("only one thing"), "{}", wrong.stderr);
    // Before anything is done.
    tiny.place.write("file", "");
    tiny.skew(&["sweep", "--csv", "file/cells.csv"]).expect(3);
    assert_eq!(tiny.journal("sweep").iter().filter(|sweep| sweep["ended_ms"].is_u64()).count(), 1);
}

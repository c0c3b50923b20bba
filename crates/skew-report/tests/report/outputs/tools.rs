//! Tools that are not skew's read what skew writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use skew_core::model::Overlay;
use skew_report::{COMMENT, Model, SUMMARY, badge, csv, json, junit, markdown, schema};
use skew_testing::needs::skipped;

use super::large;
use crate::report_sample::{HOSTILE, sample};

/// A program of this machine; where it is missing that is said, and in CI an error.
fn tool(test: &str, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skipped(test, format!("no {name} on this machine"));
    }
    found
}

/// A Python that has the modules: the system's, else the first one.
fn python(test: &str) -> Option<&'static str> {
    let has = |python: &&str| {
        let mut command = Command::new(python);
        let ran = command.args(["-c", "import jsonschema, junitparser"]).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(has);
    if found.is_none() {
        skipped(test, "no python3 with jsonschema and junitparser on this machine");
    }
    found
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What Python's readers saw of a report.
fn seen(python: &str, model: &Model) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("junit.xml", &junit(model));
    write("cells.csv", &csv(model));
    write("results.json", &json(model));
    write("results.schema.json", &serde_json::to_string(&schema()).unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/outputs/read.py");
    serde_json::from_str(&run(Command::new(python).arg(script).arg(dir.path()))).unwrap()
}

#[test]
fn junit_csv_and_json_are_read_by_python() {
    let Some(python) = python("junit_csv_and_json_are_read_by_python") else { return };
    let model = sample().model();
    let got = seen(python, &model);
    let tally = &model.tally;
    // Known failures are skipped, and so is what is blocked or not there.
    let case = |word: &str| got["cases"][word].as_u64().unwrap_or(0) as u32;
    assert_eq!(case("failure"), tally.wrong);
    assert_eq!(case("error"), tally.unknown, "what could not be settled");
    assert_eq!(case("skipped"), tally.untested + tally.error - tally.unknown + tally.known);
    assert_eq!(case("passed"), tally.total() - case("failure") - case("error") - case("skipped"));
    assert!(got["again"].as_u64().unwrap() > 0, "{got}");
    assert_eq!(got["rows"], model.cells().count());
    for (word, count) in got["verdicts"].as_object().unwrap() {
        let cells = model.cells().filter(|cell| cell.verdict.text() == word).count();
        assert_eq!(count.as_u64().unwrap() as usize, cells, "{word}");
    }
    let got = seen(python, &large());
    assert_eq!((got["rows"].as_u64(), got["cases"]["failure"].as_u64()), (Some(10_000), Some(5_000)));
}

#[test]
fn junit_is_valid_by_its_schema() {
    let Some(xmllint) = tool("junit_is_valid_by_its_schema", "xmllint") else { return };
    let dir = tempfile::tempdir().unwrap();
    let xsd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/outputs/surefire.xsd");
    let file = dir.path().join("junit.xml");
    let valid = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(&xmllint);
        command.args(["--noout", "--nonet", "--huge", "--schema"]).arg(&xsd).arg(&file).stderr(Stdio::null());
        command.status().unwrap().success()
    };
    let text = junit(&sample().model());
    assert!(valid(&text), "{text}");
    assert!(!valid(&text.replace("<failure ", "<failed ").replace("</failure>", "</failed>")));
    assert!(text.contains("<flakyFailure "), "the sample flakes");
    assert!(text.contains("reproduce: skew run"), "{text}");
    let text = junit(&large());
    assert!(text.len() < 30 << 20, "{} bytes", text.len());
    assert!(valid(&text));
}

/// Whatever GitHub's own Markdown makes of a report, it is neither markup nor a link nor a mention of ours.
#[test]
fn markdown_is_harmless_where_github_renders_it() {
    let Some(cmark) = tool("markdown_is_harmless_where_github_renders_it", "cmark-gfm") else { return };
    let mut sample = sample();
    for attempt in &mut sample.attempts {
        for excerpt in &mut attempt.excerpts {
            excerpt.lines.push(format!("``` @team #12 | x@example.org https://evil.example {HOSTILE}"));
        }
    }
    for overlay in sample.overlays.values_mut() {
        if let Overlay::Expected { reason, .. } = overlay {
            reason.push_str(" `@team` <b>bold</b> | [x](https://evil.example)");
        }
    }
    let model = sample.model();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.md");
    let rendered = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(&cmark);
        for extension in ["table", "autolink", "strikethrough", "tasklist"] {
            command.args(["--extension", extension]);
        }
        run(command.arg("--unsafe").arg(&file))
    };
    let page = rendered(&markdown(&model, SUMMARY));
    for markup in ["<script", "<img", "<a ", "mailto:", "<b>", "<del>"] {
        assert!(!page.contains(markup), "{markup}: {page}");
    }
    assert!(page.contains("&lt;script&gt;"), "it is shown");
    // Outside of code nothing begins a mention.
    let mut outside = String::new();
    for piece in page.split("<code") {
        outside.push_str(piece.split_once("</code>").map_or(piece, |(_, after)| after));
    }
    assert!(!outside.contains("@team") && !outside.contains("#12"), "{outside}");
    let tables = model.checks.iter().map(|check| check.grids.len()).sum::<usize>();
    assert_eq!(page.matches("<table>").count(), tables + 1, "the matrices, and which versions work together");
    assert_eq!(page.matches("<details>").count(), page.matches("</details>").count());

    let large = large();
    for room in [SUMMARY, COMMENT] {
        let text = markdown(&large, room);
        assert!(text.len() < room, "{} bytes", text.len());
        assert!(text.starts_with("## ✗ ledger: 2,500 pairs of versions do not work together."), "{}", &text[..200]);
        let page = rendered(&text);
        let complete = page.matches("<table>").count() == 2;
        assert_eq!(complete, room == SUMMARY);
        assert_eq!(text.contains("Left out to keep this short"), !complete, "it says so");
    }
}

#[test]
fn badges_are_pictures() {
    let Some(convert) = tool("badges_are_pictures", "rsvg-convert") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (svg, png) = (dir.path().join("badge.svg"), dir.path().join("badge.png"));
    let mut model = sample().model();
    model.system = format!("a&b {HOSTILE}");
    std::fs::write(&svg, badge(&model)).unwrap();
    run(Command::new(convert).arg(&svg).arg("-o").arg(&png));
    let picture = std::fs::read(&png).unwrap();
    // A PNG's width and height stand in its head.
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    assert!(number(16) > 100, "{} pixels wide", number(16));
    assert_eq!(number(20), 20);
    let text = badge(&model);
    assert!(text.contains("aria-label=") && text.contains("<title>") && !text.contains("<script"), "{text}");
}

//! The model as JUnit XML, in the dialect of Maven Surefire: what Jenkins, GitLab and most others read.
//!
//! A test suite for each check, a test case for each cell that was asked. What is not as expected is a `failure`; further
//! networks in which it failed are `rerunFailure`s, or `flakyFailure`s where it also worked. What could not be settled is an
//! `error` (the infrastructure failed, the check is likeliest wrong itself, or what failed is only suspected), and what is
//! known, blocked or not there is `skipped`, with the reason.

use std::borrow::Cow;
use std::fmt::Write as _;

use skew_core::text::shorten;

use super::change::Change;
use super::model::{CellModel, CheckModel, Model};
use super::network::NetworkModel;
use super::since::{CellChange, Diff};
use super::text::{clean, indented};
use super::words::{Standing, Word, is_trouble};
use super::xml::{attributes, escaped};

/// Characters of the text of one failure.
const BODY: usize = 6_000;

/// Bytes of the document from which on failures are told in one sentence each.
const ROOM: usize = 8 << 20;

/// Characters of a message.
const MESSAGE: usize = 1_000;

/// Networks told of one cell.
const NETWORKS: usize = 4;

/// The model as one JUnit document.
pub fn junit(model: &Model) -> String {
    let mut suites: Vec<Suite> = Vec::new();
    let mut room = ROOM;
    for check in &model.checks {
        suites.push(suite(model, check, &mut room));
    }
    document(&model.system, &suites)
}

/// What changed between two sweeps as one JUnit document: a test case for each cell that changed, which fails when the
/// cell fails now, did not before, and nobody said that it would.
pub fn junit_diff(diff: &Diff) -> String {
    let mut suites = Vec::new();
    for change in Change::ALL {
        let cells: Vec<&CellChange> = diff.cells.iter().filter(|cell| cell.change == change).collect();
        if cells.is_empty() {
            continue;
        }
        let class = format!("{}.{}", diff.system, change.text());
        let mut suite = Suite::new(change.text(), &[("before", &diff.since.before.id.0), ("after", &diff.after.id.0)]);
        for cell in cells {
            let was = cell.was.map_or("not asked", Word::text);
            let now = cell.verdict.map_or("not asked", Word::text);
            let message = format!("{was} → {now}");
            let told = cell.sentence.as_deref().unwrap_or_default();
            let children = if change == Change::Gone {
                skipped(&message)
            } else if cell.worse {
                suite.failures += 1;
                failure("failure", now, &message, told)
            } else {
                String::new()
            };
            suite.skipped += usize::from(change == Change::Gone);
            suite.case(&class, &cell.cell, 0, &children);
        }
        suites.push(suite);
    }
    document(&diff.system, &suites)
}

struct Suite {
    name: String,
    properties: String,
    cases: String,
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    ms: u64,
}

impl Suite {
    fn new(name: &str, properties: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in properties {
            let _ = writeln!(text, "      <property{}/>", attributes(&[("name", name), ("value", value)]));
        }
        Self {
            name: name.to_owned(),
            properties: text,
            cases: String::new(),
            tests: 0,
            failures: 0,
            errors: 0,
            skipped: 0,
            ms: 0,
        }
    }

    fn case(&mut self, class: &str, name: &str, ms: u64, children: &str) {
        self.tests += 1;
        self.ms += ms;
        let head = attributes(&[("name", name), ("classname", class), ("time", &seconds(ms))]);
        let _ = match children {
            "" => writeln!(self.cases, "    <testcase{head}/>"),
            children => writeln!(self.cases, "    <testcase{head}>\n{children}    </testcase>"),
        };
    }
}

fn document(name: &str, suites: &[Suite]) -> String {
    let sum = |of: fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>().to_string();
    let all = [
        ("name", name),
        ("tests", &sum(|suite| suite.tests)),
        ("failures", &sum(|suite| suite.failures)),
        ("errors", &sum(|suite| suite.errors)),
        ("skipped", &sum(|suite| suite.skipped)),
    ];
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites{}>\n", attributes(&all));
    for suite in suites {
        let head = [
            ("name", suite.name.as_str()),
            ("time", &seconds(suite.ms)),
            ("tests", &suite.tests.to_string()),
            ("errors", &suite.errors.to_string()),
            ("skipped", &suite.skipped.to_string()),
            ("failures", &suite.failures.to_string()),
        ];
        let _ = writeln!(text, "  <testsuite{}>\n    <properties>", attributes(&head));
        let _ = writeln!(text, "{}    </properties>\n{}  </testsuite>", suite.properties, suite.cases);
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(model: &Model, check: &CheckModel, room: &mut usize) -> Suite {
    let mut suite = Suite::new(
        check.name.as_str(),
        &[
            ("about", &check.about),
            ("skew", &model.skew),
            ("spec", &model.spec),
            ("sweep", &model.sweep.id.0),
            ("started", &model.sweep.started),
            ("seed", &model.sweep.seed.to_string()),
        ],
    );
    let class = format!("{}.{}", model.system, check.name);
    for cell in check.cells().filter(|cell| cell.asked) {
        let networks: Vec<&NetworkModel> = cell.evidence.iter().filter_map(|id| model.networks.get(id)).collect();
        // How long the network took that decides it; the same one may decide many.
        let ms = networks.first().map_or(0, |network| network.duration_ms);
        let children = children(model, check, cell, &networks, *room > 0);
        *room = room.saturating_sub(children.len());
        match outcome(cell) {
            Case::Failed => suite.failures += 1,
            Case::Error => suite.errors += 1,
            Case::Skipped => suite.skipped += 1,
            Case::Passed => {}
        }
        suite.case(&class, &cell.cell, ms, &children);
    }
    suite
}

/// What a test case comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Passed,
    Failed,
    Error,
    Skipped,
}

fn outcome(cell: &CellModel) -> Case {
    match (cell.standing, cell.verdict) {
        (Standing::Wrong, _) => Case::Failed,
        (Standing::Unknown, _) | (_, Word::Error) => Case::Error,
        // It also works, and that it fails is known: Surefire's own word for a test that passes and flakes.
        (Standing::Known, Word::Flaky) => Case::Passed,
        (_, Word::Untested | Word::Unsupported) | (Standing::Known, _) => Case::Skipped,
        (Standing::UnexpectedPass | Standing::Fine, _) => Case::Passed,
    }
}

fn children(model: &Model, check: &CheckModel, cell: &CellModel, networks: &[&NetworkModel], roomy: bool) -> String {
    let failed: Vec<&NetworkModel> = networks.iter().copied().filter(|network| failed_there(check, network)).collect();
    let word = cell.verdict.text();
    let mut text = match outcome(cell) {
        Case::Failed => failure("failure", word, &cell.sentence, &body(model, cell, failed.first().copied(), roomy)),
        Case::Error => {
            return failure("error", word, &cell.sentence, &body(model, cell, networks.first().copied(), roomy));
        }
        Case::Skipped => return skipped(&reason(cell)),
        Case::Passed => String::new(),
    };
    let again = if cell.verdict == Word::Flaky { "flakyFailure" } else { "rerunFailure" };
    // The first is told already, except where the test passes.
    let told = usize::from(!text.is_empty() && cell.verdict != Word::Flaky);
    if outcome(cell) == Case::Failed || cell.verdict == Word::Flaky {
        for network in failed.into_iter().skip(told).take(if roomy { NETWORKS } else { 0 }) {
            let head = [("message", network.reason.as_str()), ("type", word)];
            let trace = bounded(&describe(network));
            let _ = writeln!(
                text,
                "      <{again}{}>\n        <stackTrace>{}</stackTrace>\n      </{again}>",
                attributes(&head),
                escaped(&trace)
            );
        }
    }
    if cell.standing == Standing::UnexpectedPass {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(&reason(cell)));
    }
    text
}

/// Whether the check failed in a network.
fn failed_there(check: &CheckModel, network: &NetworkModel) -> bool {
    let of_check = |name| name == &check.name;
    network.observations.iter().any(|seen| of_check(&seen.check) && is_trouble(seen.result))
        || network.observations.iter().all(|seen| !of_check(&seen.check))
}

fn reason(cell: &CellModel) -> String {
    match (&cell.known, cell.standing) {
        (Some(known), Standing::UnexpectedPass) => format!("a known failure no longer fails: {}", known.reason),
        (Some(known), _) => format!("known failure: {} {}", known.reason, cell.sentence),
        (None, _) => cell.sentence.clone(),
    }
}

fn failure(element: &str, word: &str, message: &str, body: &str) -> String {
    let head = attributes(&[("message", &clean(message, MESSAGE)), ("type", word)]);
    format!("      <{element}{head}>{}</{element}>\n", escaped(body))
}

fn skipped(message: &str) -> String {
    format!("      <skipped{}/>\n", attributes(&[("message", &clean(message, MESSAGE))]))
}

fn body(model: &Model, cell: &CellModel, network: Option<&NetworkModel>, roomy: bool) -> String {
    let mut text = format!("{}\n", cell.sentence);
    if let (Some(network), true) = (network, roomy) {
        text.push_str(&describe(network));
    }
    for unbuilt in model.unbuilt.iter().filter(|_| roomy && cell.verdict == Word::Unbuilt) {
        if cell.parties.iter().any(|party| *party == format!("{}@{}", unbuilt.role, unbuilt.version)) {
            text.push_str(&format!("{}\n", unbuilt.tail.join("\n")));
        }
    }
    let mut text = bounded(&text);
    if let Some(command) = &cell.reproduce {
        let _ = write!(text, "\nreproduce: {command}");
    }
    let _ = writeln!(text, "\nevidence: {}", model.show.replace("CELL", &cell.id.to_string()));
    text
}

fn describe(network: &NetworkModel) -> String {
    let seats: Vec<String> = network.seats.iter().map(|seat| format!("{} {}", seat.node, seat.party)).collect();
    let mut text = format!("network {}: {}\n", network.network, seats.join(", "));
    for seen in network.observations.iter().filter(|seen| is_trouble(seen.result)) {
        let ends: Vec<&str> = seen.from.iter().chain(&seen.to).map(|node| node.as_str()).collect();
        let detail = indented(&seen.detail, "  ");
        let _ = writeln!(text, "{} {} {}: {detail}", seen.check, ends.join(" -> "), seen.result);
    }
    for exit in &network.exits {
        let _ = writeln!(text, "{exit}");
    }
    if let Some(error) = &network.error {
        let _ = writeln!(text, "infrastructure: {error}");
    }
    for excerpt in &network.excerpts {
        let _ = writeln!(text, "{}, {}:", excerpt.node, excerpt.why);
        for line in &excerpt.lines {
            let _ = writeln!(text, "  | {line}");
        }
    }
    text
}

/// The beginning of a text of several lines that are clean already.
fn bounded(text: &str) -> String {
    match shorten(text, BODY) {
        Cow::Owned(short) => format!("{short}\n"),
        Cow::Borrowed(whole) => whole.to_owned(),
    }
}

/// As Surefire writes times: seconds and three digits.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

//! The model as one offline page.
//!
//! The page asks nobody for anything: its policy forbids every request, and every script and style but its own two, which
//! it names by their hashes. Matrices are plain HTML; the evidence lies beside them as JSON, which the script shows as
//! text, never as markup.

use std::collections::BTreeMap;

use askama::Template;
use skew_core::model::Digest;
use skew_core::text::{count, thousands};

use super::model::{CellModel, CheckModel, Finding, Grid, Model, Pair, State, Tally, Together};
use super::sentence::because;
use super::words::{Standing, Word, percent, point, weight, weights};

const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// From so many columns on, cells show their glyph only; from so many on, they are small.
const DENSE: usize = 9;
const TINY: usize = 40;

/// The model as one HTML file.
///
/// # Panics
/// Never: the template is filled from memory.
pub fn html(model: &Model) -> String {
    let page = Page {
        model,
        policy: policy(),
        style: STYLE,
        script: SCRIPT,
        data: data(model),
        duration: model.sweep.duration_ms.map(duration),
        end: because(model.sweep.end),
        weights: model.cells().any(|cell| !weight(cell.verdict, cell.counts.passed).is_empty()).then(weights),
        cells: match model.tally.wrong {
            0 => count(model.tally.total(), "cell"),
            wrong => format!("{}, {} not as expected", count(model.tally.total(), "cell"), thousands(wrong)),
        },
        legend: Word::ALL
            .iter()
            .rev()
            .filter(|word| model.tally.of(**word) > 0)
            .map(|word| (*word, model.tally.of(*word)))
            .collect(),
        findings: model.findings.iter().map(FindingView::new).collect(),
        accepted: model.accepted.iter().map(FindingView::new).collect(),
        together: model.together.as_ref().map(together),
        checks: model.checks.iter().map(CheckView::new).collect(),
    };
    page.render().expect("a template without fallible filters renders into memory")
}

#[derive(Template)]
#[template(path = "index.html")]
struct Page<'a> {
    model: &'a Model,
    policy: String,
    style: &'static str,
    script: &'static str,
    data: String,
    duration: Option<String>,
    end: Option<&'static str>,
    weights: Option<String>,
    cells: String,
    legend: Vec<(Word, u32)>,
    findings: Vec<FindingView<'a>>,
    accepted: Vec<FindingView<'a>>,
    together: Option<GridView<'a>>,
    checks: Vec<CheckView<'a>>,
}

impl Page<'_> {
    fn state(&self) -> (&'static str, &'static str) {
        match self.model.state {
            State::Good => ("good", "As expected"),
            State::Wrong => ("wrong", "Not as expected"),
            State::Unknown => ("unknown", "Not settled"),
        }
    }
}

struct FindingView<'a> {
    finding: &'a Finding,
    word: &'static str,
    class: String,
    first: String,
    /// Since which sweep, when there were others.
    since: Option<String>,
}

impl<'a> FindingView<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self {
            finding,
            word: match finding.standing {
                Standing::UnexpectedPass => "no longer fails",
                Standing::Wrong | Standing::Unknown | Standing::Known | Standing::Fine => finding.verdict.text(),
            },
            class: class(finding.verdict, finding.standing),
            first: finding.ids.first().map(ToString::to_string).unwrap_or_default(),
            since: finding.first_seen.as_ref().map(|sweep| match finding.cells {
                1 => format!("Like this since {}.", sweep.words()),
                _ => format!("In part like this since {}.", sweep.words()),
            }),
        }
    }
}

struct CheckView<'a> {
    check: &'a CheckModel,
    summary: String,
    grids: Vec<GridView<'a>>,
    sets: Vec<(String, Button)>,
}

impl<'a> CheckView<'a> {
    fn new(check: &'a CheckModel) -> Self {
        Self {
            check,
            summary: summary(&check.tally),
            grids: check.grids.iter().map(|grid| grid_view(check, grid)).collect(),
            sets: check.sets.iter().map(|set| (set_name(set), Button::of(set, set.cell.clone()))).collect(),
        }
    }
}

fn set_name(set: &CellModel) -> String {
    let axes = if set.axes.is_empty() { String::new() } else { format!(" {}", point(&set.axes)) };
    format!("{}{axes}", set.parties.join(" + "))
}

struct GridView<'a> {
    caption: String,
    /// Whether the caption repeats what stands above it, and is there for screen readers only.
    quiet: bool,
    /// What the rows and the columns are.
    corner: (String, String),
    columns: &'a [String],
    rows: Vec<(&'a str, Vec<Option<Button>>)>,
    /// Classes of the table, beside its own.
    class: String,
}

struct Button {
    /// `cell` or `pair`.
    kind: &'static str,
    key: String,
    class: String,
    glyph: char,
    word: String,
    label: String,
}

impl Button {
    fn of(cell: &CellModel, between: String) -> Self {
        Self {
            kind: "cell",
            key: cell.id.to_string(),
            class: class(cell.verdict, cell.standing)
                + thin(cell.verdict, cell.counts.passed)
                + if cell.asked { "" } else { " unasked" },
            glyph: cell.verdict.glyph(),
            word: word(cell.verdict, cell.counts.passed),
            label: match cell.excludes {
                Some(rate) => format!(
                    "{}, seen in {}, excludes a failure rate above {}{}",
                    label(between, cell.verdict, cell.standing),
                    count(cell.counts.passed, "network"),
                    percent(rate),
                    not_asked(cell)
                ),
                None => label(between, cell.verdict, cell.standing) + not_asked(cell),
            },
        }
    }
}

fn not_asked(cell: &CellModel) -> &'static str {
    if cell.asked { "" } else { ", not asked" }
}

/// `pass 3`: a verdict, and how many networks stand behind a pass.
fn word(verdict: Word, networks: u32) -> String {
    match weight(verdict, networks) {
        weight if weight.is_empty() => verdict.text().to_owned(),
        weight => format!("{verdict} {weight}"),
    }
}

/// A class for a pass that excludes little: from 5 networks on it excludes failure rates above 62 %, from 29 on above 20 %.
fn thin(verdict: Word, networks: u32) -> &'static str {
    match (verdict, networks) {
        (Word::Pass, 1..5) => " few",
        (Word::Pass, 5..29) => " some",
        (_, _) => "",
    }
}

fn label(between: String, verdict: Word, standing: Standing) -> String {
    match standing {
        Standing::Known | Standing::UnexpectedPass => {
            format!("{between}: {verdict}, {}", standing.text())
        }
        Standing::Wrong | Standing::Unknown | Standing::Fine => format!("{between}: {verdict}"),
    }
}

fn class(verdict: Word, standing: Standing) -> String {
    let standing = match standing {
        Standing::Wrong => " wrong",
        Standing::UnexpectedPass => " unexpected",
        Standing::Known => " known",
        Standing::Unknown | Standing::Fine => "",
    };
    format!("{verdict}{standing}")
}

fn grid_view<'a>(check: &CheckModel, grid: &'a Grid) -> GridView<'a> {
    let (from, to, arrow) = match (&grid.from, &grid.to) {
        (Some(from), Some(to)) => (from.to_string(), to.to_string(), if grid.symmetric { "↔" } else { "→" }),
        (None, _) | (_, None) => ("role".to_owned(), "version".to_owned(), ""),
    };
    let mut at: BTreeMap<(usize, usize), &CellModel> = BTreeMap::new();
    for cell in &grid.cells {
        if let (Some(row), Some(column)) = (cell.row, cell.column) {
            at.insert((row, column), cell);
            if grid.symmetric {
                at.insert((column, row), cell);
            }
        }
    }
    let between = |row: usize, column: usize| match arrow {
        "" => format!("{} {}", grid.rows[row], grid.columns[column]),
        arrow => format!("{from} {} {arrow} {to} {}", grid.rows[row], grid.columns[column]),
    };
    let row = |(row, name): (usize, &'a String)| {
        let cells = (0..grid.columns.len())
            .map(|column| at.get(&(row, column)).map(|cell| Button::of(cell, between(row, column))))
            .collect();
        (name.as_str(), cells)
    };
    let axes: Vec<String> = grid.axes.iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
    let mut caption = match arrow {
        "" => format!("{}: each role at each version", check.name),
        arrow => format!("{}: {from} {arrow} {to}", check.name),
    };
    if !axes.is_empty() {
        caption = format!("{caption} at {}", axes.join(", "));
    }
    GridView {
        caption,
        quiet: check.grids.len() == 1 && axes.is_empty(),
        corner: (from.clone(), to.clone()),
        columns: &grid.columns,
        rows: grid.rows.iter().enumerate().map(row).collect(),
        class: density(&grid.columns),
    }
}

fn together(together: &Together) -> GridView<'_> {
    let names = &together.versions;
    let at: BTreeMap<(usize, usize), &Pair> = together.pairs.iter().map(|pair| ((pair.a, pair.b), pair)).collect();
    let button = |row: usize, column: usize| {
        let pair = at.get(&(row, column))?;
        let between = format!("{} towards {}", names[row], names[column]);
        Some(Button {
            kind: "pair",
            key: format!("{}-{}", pair.a, pair.b),
            class: class(pair.verdict, pair.standing) + thin(pair.verdict, pair.networks),
            glyph: pair.verdict.glyph(),
            word: word(pair.verdict, pair.networks),
            label: label(between, pair.verdict, pair.standing),
        })
    };
    GridView {
        caption:
            "Each square: the worst of all checks of the row's version towards the column's; beside a pass, the fewest \
                  networks that one of these checks passed in."
                .to_owned(),
        quiet: false,
        corner: ("version".to_owned(), "version".to_owned()),
        columns: names,
        rows: names
            .iter()
            .enumerate()
            .map(|(row, name)| (name.as_str(), (0..names.len()).map(|column| button(row, column)).collect()))
            .collect(),
        class: density(names),
    }
}

/// How close cells stand, and whether column heads stand upright: many, and too long to lie.
fn density(columns: &[String]) -> String {
    let classes = [
        (" dense", columns.len() >= DENSE),
        (" tiny", columns.len() >= TINY),
        (" tall", columns.len() >= DENSE && columns.iter().any(|name| name.chars().count() > 4)),
    ];
    classes.into_iter().filter(|(_, is)| *is).map(|(class, _)| class).collect()
}

fn summary(tally: &Tally) -> String {
    if tally.total() == 0 {
        return "No cell was asked.".to_owned();
    }
    let parts: Vec<String> = Word::ALL
        .iter()
        .rev()
        .filter(|word| tally.of(**word) > 0)
        .map(|word| format!("{} {word}", tally.of(*word)))
        .collect();
    format!("{}: {}", count(tally.total(), "cell"), parts.join(", "))
}

fn duration(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

fn policy() -> String {
    let hash = |text: &str| data_encoding::BASE64.encode(Digest::of(text.as_bytes()).bytes());
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE),
    )
}

/// The model as JSON in which nothing can end the element that it stands in.
fn data(model: &Model) -> String {
    let json = serde_json::to_string(model).expect("a model is plain data with text keys");
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Outside of strings JSON has none of these.
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        for (ms, expect) in
            [(0, "0.0 s"), (1500, "1.5 s"), (61_000, "61 s"), (200_000, "3 min"), (7_300_000, "2 h 1 min")]
        {
            assert_eq!(duration(ms), expect);
        }
    }
}

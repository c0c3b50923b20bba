//! The model as Markdown for a pull request's comment and a step's summary: what is new and what is wrong first, then
//! matrices as long as there is room.
//!
//! Whatever comes from the systems under test stands in code: there GitHub makes no links, mentions and references of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skew_core::model::CellId;
use skew_core::text::count;

use super::change::{Change, ChangeFinding, Since};
use super::model::{CellModel, CheckModel, Finding, Grid, Model, Pair, State, Together};
use super::since::Diff;
use super::text::{clean, indented};
use super::words::{Standing, Word, is_trouble, point, weight, weights};

/// The most that a step's summary may have on GitHub, in bytes.
pub const SUMMARY: usize = 1 << 20;

/// The most that a comment may have on GitHub, in characters; as many bytes are no more characters.
pub const COMMENT: usize = 65_536;

/// Bytes that are kept for saying what was left out.
const CLOSING: usize = 2_000;

/// Findings listed before the rest is only counted.
const FINDINGS: usize = 50;

/// Failures whose evidence is shown.
const EVIDENCE: usize = 10;

/// Characters of one line of a finding.
const TEXT: usize = 1000;

/// Characters of one compatibility window.
const WINDOW: usize = 4000;

/// The model as Markdown of at most `room` bytes.
pub fn markdown(model: &Model, room: usize) -> String {
    let mut page = Page::new(room);
    let sign = match model.state {
        State::Good => "✓",
        State::Wrong => "✗",
        State::Unknown => "?",
    };
    page.must(&format!("## {sign} {}: {}\n\n", prose(&model.system), model.headline));
    if let Some(since) = &model.since {
        page.must(&format!("{}\n\n", since.headline));
        changes(&mut page, since);
    }
    let cells: BTreeMap<&CellId, &CellModel> = model.cells().map(|cell| (&cell.id, cell)).collect();
    findings(&mut page, "Not as expected", &model.findings, &model.show, &cells);
    windows(&mut page, model);
    evidence(&mut page, model, &cells);
    for unbuilt in &model.unbuilt {
        let party = code(&format!("{}@{}", unbuilt.role, unbuilt.version));
        let head = format!("{party} was not built: {}", code(&clean(&unbuilt.detail, TEXT)));
        page.may("builds that failed", &details(&head, &fenced(&unbuilt.tail)));
    }
    if !model.accepted.is_empty() {
        findings(&mut page, "Known failures", &model.accepted, &model.show, &cells);
    }
    if model.cells().any(|cell| !weight(cell.verdict, cell.counts.passed).is_empty()) {
        page.may("what the numbers in the matrices say", &format!("{}\n\n", prose(&weights())));
    }
    if let Some(together) = &model.together {
        page.may("which versions work together", &together_table(together));
    }
    for check in &model.checks {
        page.may(&format!("the matrix of {}", check.name), &check_section(check));
    }
    page.close(&[
        format!("sweep {}", code(&model.sweep.id.0)),
        format!("seed {}", model.sweep.seed),
        format!("spec {}", code(&model.spec)),
        format!("skew {}", prose(&model.skew)),
    ])
}

/// What changed between two sweeps as Markdown of at most `room` bytes.
pub fn markdown_diff(diff: &Diff, room: usize) -> String {
    let mut page = Page::new(room);
    let sign = if diff.since.worse { "✗" } else { "✓" };
    page.must(&format!("## {sign} {}: {}\n\n", prose(&diff.system), diff.since.headline));
    changes(&mut page, &diff.since);
    page.close(&[format!("{} compared with {}", code(&diff.after.id.0), code(&diff.since.before.id.0))])
}

/// A text that is bounded: what does not fit is named at its end.
struct Page {
    text: String,
    room: usize,
    left_out: BTreeMap<String, usize>,
}

impl Page {
    fn new(room: usize) -> Self {
        Self { text: String::new(), room: room.saturating_sub(CLOSING), left_out: BTreeMap::new() }
    }

    /// What is short, and there in any case.
    fn must(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// What is there when there is room. Tells whether it was.
    fn may(&mut self, what: &str, text: &str) -> bool {
        let fits = self.text.len() + text.len() <= self.room;
        if fits {
            self.text.push_str(text);
        } else {
            *self.left_out.entry(what.to_owned()).or_default() += 1;
        }
        fits
    }

    fn close(mut self, facts: &[String]) -> String {
        if !self.left_out.is_empty() {
            let mut left: Vec<String> = self.left_out.keys().take(8).cloned().collect();
            if self.left_out.len() > left.len() {
                left.push(format!("{} more", self.left_out.len() - left.len()));
            }
            let _ = write!(
                self.text,
                "_Left out to keep this short: {}. The HTML report and `results.json` have everything._\n\n",
                left.join(", ")
            );
        }
        let _ = writeln!(self.text, "<sub>{}</sub>", facts.join(" · "));
        self.text
    }
}

fn changes(page: &mut Page, since: &Since) {
    for change in Change::ALL {
        let of: Vec<&ChangeFinding> = since.findings.iter().filter(|finding| finding.change == change).collect();
        let lines = of.iter().map(|finding| {
            format!("- **{}** {}: {} ({})\n", change.text(), finding.check, code(&finding.text), prose(&finding.step()))
        });
        list(page, &format!("changes that are {}", change.text()), lines, of.len());
    }
    if !since.findings.is_empty() {
        page.must("\n");
    }
}

fn findings(page: &mut Page, title: &str, findings: &[Finding], show: &str, cells: &BTreeMap<&CellId, &CellModel>) {
    if findings.is_empty() {
        return;
    }
    let what = title.to_lowercase();
    if !page.may(&what, &format!("### {title}\n\n")) {
        return;
    }
    let line = |finding: &Finding| {
        let word = match finding.standing {
            Standing::UnexpectedPass => "no longer fails",
            Standing::Wrong | Standing::Unknown | Standing::Known | Standing::Fine => finding.verdict.text(),
        };
        let first = finding.ids.first();
        let id = first.map(|id| code(&show.replace("CELL", &id.to_string()))).unwrap_or_default();
        let known = first.and_then(|id| cells.get(id)).and_then(|cell| cell.known.as_ref());
        let why = known.map(|known| format!(": {}", prose(&clean(&known.reason, TEXT)))).unwrap_or_default();
        let since = if finding.cells == 1 { "since" } else { "in part since" };
        let seen = finding.first_seen.as_ref().map(|sweep| format!(", {since} {}", day(&sweep.started)));
        let found = finding.seen.as_ref().map(|seen| format!("<br>Seen: {}", code(&clean(seen, TEXT))));
        let text = code(&clean(&finding.text, TEXT));
        let advice = prose(&finding.advice);
        format!(
            "- **{word}** {}: {text}{}{why} · {id}<br>{advice}{}\n",
            finding.check,
            seen.unwrap_or_default(),
            found.unwrap_or_default()
        )
    };
    list(page, &what, findings.iter().map(line), findings.len());
    page.must("\n");
}

/// The ranges of versions that work together.
fn windows(page: &mut Page, model: &Model) {
    let sentences: Vec<&String> = model.windows.iter().flat_map(|windows| &windows.text).collect();
    if sentences.is_empty() {
        return;
    }
    let lines = sentences.iter().map(|sentence| format!("- {}\n", code(&clean(sentence, WINDOW))));
    if page.may("compatibility windows", "### Compatibility windows\n\n") {
        list(page, "compatibility windows", lines, sentences.len());
        page.must("\n");
    }
}

fn list(page: &mut Page, what: &str, lines: impl Iterator<Item = String>, all: usize) {
    for line in lines.take(FINDINGS) {
        page.may(what, &line);
    }
    if all > FINDINGS {
        page.may(what, &format!("- and {}\n", count((all - FINDINGS) as u32, "more line")));
    }
}

fn day(instant: &str) -> &str {
    instant.get(..10).unwrap_or(instant)
}

/// The lines that matter of the first failures, one cell a finding.
fn evidence(page: &mut Page, model: &Model, cells: &BTreeMap<&CellId, &CellModel>) {
    let wrong = model.findings.iter().filter(|finding| finding.standing == Standing::Wrong);
    for finding in wrong.take(EVIDENCE) {
        let Some(cell) = finding.ids.first().and_then(|id| cells.get(id)) else { continue };
        let text = cell_evidence(model, cell);
        page.may("evidence of failures", &details(&format!("Evidence: {}", code(&cell.cell)), &text));
    }
}

fn cell_evidence(model: &Model, cell: &CellModel) -> String {
    let mut text = format!("{}\n\n", code(&cell.sentence));
    if let Some(network) = cell.evidence.first().and_then(|id| model.networks.get(id)) {
        let mut lines = Vec::new();
        let (own, others): (Vec<_>, Vec<_>) = network
            .observations
            .iter()
            .filter(|seen| is_trouble(seen.result))
            .partition(|seen| cell.cell.split_once(": ").is_some_and(|(check, _)| seen.check.as_str() == check));
        for seen in own.into_iter().chain(others).take(5) {
            let ends: Vec<&str> = seen.from.iter().chain(&seen.to).map(|node| node.as_str()).collect();
            let detail = indented(&seen.detail, "  ");
            let head = format!("{} {} {}", seen.check, ends.join(" -> "), seen.result);
            lines.extend(format!("{head}: {detail}").lines().map(str::to_owned));
        }
        lines.extend(network.exits.iter().take(5).map(ToString::to_string));
        for excerpt in network.excerpts.iter().take(2) {
            lines.push(format!("{}, {}:", excerpt.node, excerpt.why));
            lines.extend(excerpt.lines.iter().take(12).map(|line| format!("  {line}")));
        }
        text.push_str(&fenced(&lines));
    }
    if let Some(command) = &cell.reproduce {
        let _ = writeln!(text, "\nReproduce it: {}", code(command));
    }
    text
}

fn check_section(check: &CheckModel) -> String {
    let mut text = String::new();
    for grid in &check.grids {
        let axes: Vec<String> = grid.axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        if !axes.is_empty() {
            let _ = writeln!(text, "At {}:\n", code(&axes.join(", ")));
        }
        text.push_str(&grid_table(grid));
        text.push('\n');
    }
    for set in &check.sets {
        let axes = if set.axes.is_empty() { String::new() } else { format!(" {}", point(&set.axes)) };
        let _ = writeln!(text, "- {} {}", set.verdict, code(&format!("{}{axes}", set.parties.join(" + "))));
    }
    let tally: Vec<String> = Word::ALL
        .iter()
        .rev()
        .filter(|word| check.tally.of(**word) > 0)
        .map(|word| format!("{} {word}", check.tally.of(*word)))
        .collect();
    let tally = if tally.is_empty() { vec!["no cell was asked".to_owned()] } else { tally };
    details(&format!("{}: {} ({})", check.name, prose(&check.about), tally.join(", ")), &text)
}

fn grid_table(grid: &Grid) -> String {
    let corner = match (&grid.from, &grid.to) {
        (Some(from), Some(to)) if grid.symmetric => format!("{from} ↔ {to}"),
        (Some(from), Some(to)) => format!("{from} ↓ → {to}"),
        (None, _) | (_, None) => String::new(),
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
    let mark = |row, column| match at.get(&(row, column)) {
        Some(cell) if cell.asked => mark(cell.verdict, cell.standing, cell.counts.passed),
        Some(cell) => format!("({})", mark(cell.verdict, cell.standing, cell.counts.passed)),
        None => "·".to_owned(),
    };
    table(&corner, &grid.rows, &grid.columns, mark)
}

fn together_table(together: &Together) -> String {
    let at: BTreeMap<(usize, usize), &Pair> = together.pairs.iter().map(|pair| ((pair.a, pair.b), pair)).collect();
    let mark = |row, column| match at.get(&(row, column)) {
        Some(pair) => mark(pair.verdict, pair.standing, pair.networks),
        None => "·".to_owned(),
    };
    let names = &together.versions;
    details(
        "Which versions work together: the worst of all checks of the row's version towards the column's",
        &table("↓ →", names, names, mark),
    )
}

/// A glyph that no Markdown takes for its own.
fn mark(verdict: Word, standing: Standing, networks: u32) -> String {
    let glyph = match verdict {
        Word::Flaky => '≈',
        word => word.glyph(),
    };
    let glyph = format!("{glyph}{}", weight(verdict, networks));
    match standing {
        Standing::Known => format!("{glyph}k"),
        Standing::UnexpectedPass => format!("{glyph}!"),
        Standing::Wrong | Standing::Unknown | Standing::Fine => glyph,
    }
}

fn table(corner: &str, rows: &[String], columns: &[String], mark: impl Fn(usize, usize) -> String) -> String {
    let mut text = format!("| {corner} |");
    for column in columns {
        let _ = write!(text, " {} |", code_in_table(column));
    }
    text.push_str("\n|---|");
    text.push_str(&":-:|".repeat(columns.len()));
    text.push('\n');
    for (row, name) in rows.iter().enumerate() {
        let _ = write!(text, "| {} |", code_in_table(name));
        for column in 0..columns.len() {
            let _ = write!(text, "{}|", mark(row, column));
        }
        text.push('\n');
    }
    text
}

/// Something that is opened with a click. The summary may hold code spans and prose.
fn details(summary: &str, inside: &str) -> String {
    // An empty line on both sides makes Markdown of what is between.
    format!("<details><summary>\n\n{summary}\n\n</summary>\n\n{}\n\n</details>\n\n", inside.trim_end())
}

/// Text as a code span, on one line.
fn code(text: &str) -> String {
    let text = one_line(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    // Spaces next to a fence are dropped when there is one on each side.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// The same in a table, where a bar ends a field even within code.
fn code_in_table(text: &str) -> String {
    // A backslash before a bar would be read with it; no name of a version has one.
    code(&text.replace('\\', "＼")).replace('|', "\\|")
}

/// Lines as a block of code.
fn fenced(lines: &[String]) -> String {
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let lines: Vec<String> = lines.iter().map(|line| one_line(line)).collect();
    format!("{fence}text\n{}\n{fence}\n", lines.join("\n"))
}

/// Text of people, in which nothing is markup, a link or a mention.
fn prose(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A comment between keeps it from being a mention or a reference.
            '@' => safe.push_str("@<!-- -->"),
            '#' => safe.push_str("\\#<!-- -->"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '!' | '|' | '~' | '$' | ':' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

fn one_line(text: &str) -> String {
    clean(&text.replace(['\n', '\r'], " "), usize::MAX)
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_holds_anything() {
        for (text, expect) in [
            ("a", "`a`"),
            ("", "`  `"),
            ("a`b", "``a`b``"),
            ("```", "```` ``` ````"),
            ("two\nlines", "`two lines`"),
            ("@team #1 <b>", "`@team #1 <b>`"),
        ] {
            assert_eq!(code(text), expect);
        }
        assert_eq!(code_in_table("a|b\\|c"), "`a\\|b＼\\|c`");
        assert_eq!(fenced(&["```".to_owned(), "x".to_owned()]), "````text\n```\nx\n````\n");
    }

    #[test]
    fn prose_is_no_markup() {
        assert_eq!(prose("@a <b> *c* #1 [x](y)"), "@<!-- -->a &lt;b&gt; \\*c\\* \\#<!-- -->1 \\[x\\]\\(y\\)");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut page = Page::new(CLOSING + 10);
        page.must("head\n");
        assert!(page.may("a", "12345"));
        assert!(!page.may("the matrix", "6"));
        let text = page.close(&["sweep".to_owned()]);
        assert!(text.contains("Left out to keep this short: the matrix."), "{text}");
    }
}

//! The model on a terminal: a matrix for each check, then what is not as expected.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use skew_core::text::count;

use super::change::Since;
use super::model::{CellModel, Finding, Grid, Model};
use super::since::Diff;
use super::text::clean;
use super::words::{Standing, Word, point, weight, weights};

/// Findings listed before the rest is only counted.
const FINDINGS: usize = 40;

/// Characters of one line of a finding.
const TEXT: usize = 1000;

/// Characters of a version's name.
const NAME: usize = 60;

/// The model as text of at most `width` columns, with ANSI colours when `colour`.
pub fn terminal(model: &Model, width: usize, colour: bool) -> String {
    let mut text = String::new();
    for check in &model.checks {
        let _ = writeln!(text, "{}: {}", check.name, check.about);
        for grid in &check.grids {
            for columns in blocks(grid, width) {
                push_table(&mut text, matrix(grid, columns, colour), colour);
            }
            let axes: Vec<String> = grid.axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
            if !axes.is_empty() {
                let _ = writeln!(text, "  at {}", axes.join(", "));
            }
        }
        for set in &check.sets {
            let axes = if set.axes.is_empty() { String::new() } else { format!(" {}", point(&set.axes)) };
            let _ = writeln!(text, "  {} {}{axes}", mark(set), set.parties.join(" + "));
        }
        text.push('\n');
    }
    if let Some(legend) = legend(model) {
        let _ = writeln!(text, "{legend}");
        if model.cells().any(|cell| !weight(cell.verdict, cell.counts.passed).is_empty()) {
            let _ = writeln!(text, "{}", weights());
        }
        text.push('\n');
    }
    if !model.findings.is_empty() {
        push_table(&mut text, findings(model, width, colour), colour);
        if model.findings.len() > FINDINGS {
            let more = (model.findings.len() - FINDINGS) as u32;
            let _ = writeln!(text, "… and {}; results.json has all", count(more, "more finding"));
        }
        text.push('\n');
    }
    for unbuilt in &model.unbuilt {
        let _ = writeln!(text, "{}@{} was not built: {}", unbuilt.role, unbuilt.version, unbuilt.detail);
    }
    push_windows(&mut text, model);
    let _ = writeln!(text, "{}", model.headline);
    if let Some(since) = &model.since {
        let _ = writeln!(text, "{}", since.headline);
        push_changes(&mut text, since, width, colour);
    }
    if let Some(first) = model.findings.first() {
        let _ = writeln!(
            text,
            "First: {} {}: {}. {}",
            word(first),
            first.check,
            clean(first.text.trim_end_matches('.'), TEXT),
            first.advice
        );
        if let Some(seen) = &first.seen {
            let _ = writeln!(text, "Seen: {seen}");
        }
        if let Some(id) = first.ids.first() {
            let _ = writeln!(text, "Evidence: {}", model.show.replace("CELL", &id.to_string()));
        }
    }
    text
}

/// The ranges of versions that work together, a paragraph for each two roles.
fn push_windows(text: &mut String, model: &Model) {
    for windows in &model.windows {
        for sentence in &windows.text {
            let _ = writeln!(text, "{}", clean(sentence, 4000));
        }
    }
    if !model.windows.is_empty() {
        text.push('\n');
    }
}

/// What changed between two sweeps as text of at most `width` columns, with ANSI colours when `colour`.
pub fn terminal_diff(diff: &Diff, width: usize, colour: bool) -> String {
    let mut text = String::new();
    push_changes(&mut text, &diff.since, width, colour);
    let _ = writeln!(text, "{}", diff.since.headline);
    text
}

fn push_changes(text: &mut String, since: &Since, width: usize, colour: bool) {
    if since.findings.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width.max(40)).unwrap_or(u16::MAX));
    for finding in since.findings.iter().take(FINDINGS) {
        let word = finding.verdict.or(finding.was).unwrap_or(Word::Untested);
        let id = finding.ids.first().map(ToString::to_string).unwrap_or_default();
        table.add_row(vec![
            styled(Cell::new(finding.change.text()), word, finding.standing.unwrap_or(Standing::Fine), colour),
            Cell::new(&finding.check),
            Cell::new(clean(&finding.text, TEXT)),
            Cell::new(finding.step()),
            Cell::new(id),
        ]);
    }
    push_table(text, table, colour);
    if since.findings.len() > FINDINGS {
        let more = (since.findings.len() - FINDINGS) as u32;
        let _ = writeln!(text, "… and {}", count(more, "more change"));
    }
}

fn push_table(text: &mut String, table: Table, colour: bool) {
    let mut table = table;
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Splits a matrix' columns so that each part fits.
fn blocks(grid: &Grid, width: usize) -> Vec<std::ops::Range<usize>> {
    let cell = |name: &String| name.chars().count().max(4) + 2;
    let head = corner(grid).chars().count().max(grid.rows.iter().map(|row| row.chars().count()).max().unwrap_or(0)) + 4;
    let mut blocks = Vec::new();
    let (mut start, mut used) = (0, head);
    for (n, name) in grid.columns.iter().enumerate() {
        if n > start && used + cell(name) > width {
            blocks.push(start..n);
            (start, used) = (n, head);
        }
        used += cell(name);
    }
    if start < grid.columns.len() {
        blocks.push(start..grid.columns.len());
    }
    blocks
}

fn corner(grid: &Grid) -> String {
    match (&grid.from, &grid.to) {
        (Some(from), Some(to)) if from == to && !grid.symmetric => format!("{from} ↓ → {to}"),
        (Some(from), Some(to)) if grid.symmetric => format!("{from} ↔ {to}"),
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (None, _) | (_, None) => String::new(),
    }
}

fn matrix(grid: &Grid, columns: std::ops::Range<usize>, colour: bool) -> Table {
    let mut at: BTreeMap<(usize, usize), &CellModel> = BTreeMap::new();
    for cell in &grid.cells {
        if let (Some(row), Some(column)) = (cell.row, cell.column) {
            at.insert((row, column), cell);
            if grid.symmetric {
                at.insert((column, row), cell);
            }
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec![Cell::new(format!("  {}", corner(grid)))];
    header.extend(grid.columns[columns.clone()].iter().map(|name| Cell::new(clean(name, NAME))));
    table.set_header(header);
    for (row, name) in grid.rows.iter().enumerate() {
        let mut line = vec![Cell::new(format!("  {}", clean(name, NAME)))];
        line.extend(columns.clone().map(|column| match at.get(&(row, column)) {
            Some(cell) => {
                styled(Cell::new(mark(cell)), cell.verdict, cell.standing, colour).set_alignment(CellAlignment::Center)
            }
            None => Cell::new("·").set_alignment(CellAlignment::Center),
        }));
        table.add_row(line);
    }
    table
}

/// A cell's glyph, with how many networks passed, `k` where a known failure expects it, `!` where one no longer fails, and
/// in parentheses when it was not asked.
fn mark(cell: &CellModel) -> String {
    let glyph = format!("{}{}", cell.verdict.glyph(), weight(cell.verdict, cell.counts.passed));
    match cell.standing {
        Standing::Known => format!("{glyph}k"),
        Standing::UnexpectedPass => format!("{glyph}!"),
        Standing::Fine if !cell.asked => format!("({glyph})"),
        Standing::Wrong | Standing::Unknown | Standing::Fine => glyph,
    }
}

/// A finding's verdict as people read it.
fn word(finding: &Finding) -> &'static str {
    match finding.standing {
        Standing::UnexpectedPass => "no longer fails",
        Standing::Wrong | Standing::Unknown | Standing::Known | Standing::Fine => finding.verdict.text(),
    }
}

fn styled(cell: Cell, word: Word, standing: Standing, colour: bool) -> Cell {
    if !colour {
        return cell;
    }
    let hue = match word {
        Word::Pass => Color::Green,
        Word::Fail | Word::Broken => Color::Red,
        Word::Interference => Color::Magenta,
        Word::Flaky => Color::Yellow,
        Word::Unbuilt => Color::DarkYellow,
        Word::Error => Color::Blue,
        Word::Untested | Word::Unsupported => Color::DarkGrey,
    };
    let cell = cell.fg(hue);
    match standing {
        Standing::Wrong | Standing::UnexpectedPass => cell.add_attribute(Attribute::Bold),
        Standing::Unknown | Standing::Known | Standing::Fine => cell,
    }
}

fn legend(model: &Model) -> Option<String> {
    let mut parts: Vec<String> = Word::ALL
        .iter()
        .rev()
        .filter(|word| model.tally.of(**word) > 0)
        .map(|word| format!("{} {word} {}", word.glyph(), model.tally.of(*word)))
        .collect();
    if model.tally.known > 0 {
        parts.push(format!("k known failure {}", model.tally.known));
    }
    if model.tally.unexpected_pass > 0 {
        parts.push(format!("! no longer fails {}", model.tally.unexpected_pass));
    }
    let not_asked = model.cells().filter(|cell| !cell.asked).count();
    if not_asked > 0 {
        parts.push(format!("( ) not asked {not_asked}"));
    }
    (!parts.is_empty()).then(|| parts.join("   "))
}

fn findings(model: &Model, width: usize, colour: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width.max(40)).unwrap_or(u16::MAX));
    for finding in model.findings.iter().take(FINDINGS) {
        let id = finding.ids.first().map(ToString::to_string).unwrap_or_default();
        table.add_row(vec![
            styled(Cell::new(word(finding)), finding.verdict, finding.standing, colour),
            Cell::new(&finding.check),
            Cell::new(clean(&finding.text, TEXT)),
            Cell::new(id),
        ]);
    }
    table
}

//! The model as CSV (RFC 4180): a line for each cell, for spreadsheets and data frames.

use super::model::{CellModel, CheckModel, Grid, Model};
use super::since::{CellChange, Diff};
use super::words::Word;

const COLUMNS: [&str; 18] = [
    "id",
    "check",
    "from",
    "to",
    "cell",
    "axes",
    "verdict",
    "standing",
    "asked",
    "change",
    "passed",
    "failed",
    "mixed",
    "networks",
    "known",
    "sentence",
    "reproduce",
    "sweep",
];

/// The model as CSV: a head, then a line for each cell.
pub fn csv(model: &Model) -> String {
    let mut text = line(COLUMNS);
    for check in &model.checks {
        for grid in &check.grids {
            for cell in &grid.cells {
                text.push_str(&line(row(model, check, Some(grid), cell)));
            }
        }
        for cell in &check.sets {
            text.push_str(&line(row(model, check, None, cell)));
        }
    }
    text
}

/// What changed between two sweeps as CSV: a line for each cell that changed.
pub fn csv_diff(diff: &Diff) -> String {
    let mut text = line(["id", "cell", "change", "was", "verdict", "standing", "worse", "sentence", "before", "after"]);
    for CellChange { id, cell, change, was, verdict, standing, worse, sentence } in &diff.cells {
        text.push_str(&line([
            id.to_string().as_str(),
            cell,
            change.text(),
            was.map_or("", Word::text),
            verdict.map_or("", Word::text),
            match (standing, verdict) {
                (Some(standing), Some(verdict)) => standing.of_cell(*verdict, true),
                _ => "",
            },
            if *worse { "true" } else { "false" },
            sentence.as_deref().unwrap_or_default(),
            &diff.since.before.id.0,
            &diff.after.id.0,
        ]));
    }
    text
}

fn row(model: &Model, check: &CheckModel, grid: Option<&Grid>, cell: &CellModel) -> [String; COLUMNS.len()] {
    let axes = grid.into_iter().flat_map(|grid| &grid.axes).map(|(axis, value)| format!("{axis}={value}"));
    let (from, to) = match (grid, cell.parties.as_slice()) {
        (Some(_), [from, to]) => (from.clone(), to.clone()),
        // A pair of equals is named once.
        (Some(grid), [only]) if grid.from.is_some() => (only.clone(), only.clone()),
        (Some(_), [only]) => (only.clone(), String::new()),
        (_, parties) => (parties.join(" + "), String::new()),
    };
    [
        cell.id.to_string(),
        check.name.to_string(),
        from,
        to,
        cell.cell.clone(),
        axes.collect::<Vec<_>>().join(" "),
        cell.verdict.to_string(),
        cell.standing.of_cell(cell.verdict, cell.asked).to_owned(),
        cell.asked.to_string(),
        cell.change.map_or("", |change| change.text()).to_owned(),
        cell.counts.passed.to_string(),
        cell.counts.failed.to_string(),
        cell.counts.mixed.to_string(),
        cell.evidence_total.to_string(),
        cell.known.as_ref().map(|known| known.reason.clone()).unwrap_or_default(),
        cell.sentence.clone(),
        cell.reproduce.clone().unwrap_or_default(),
        model.sweep.id.0.clone(),
    ]
}

fn line<const N: usize>(fields: [impl AsRef<str>; N]) -> String {
    let fields: Vec<String> = fields.iter().map(|text| field(text.as_ref())).collect();
    format!("{}\r\n", fields.join(","))
}

/// A field, quoted where it must be. A spreadsheet takes what begins with `=`, `+`, `-` or `@` for a formula: a quote
/// before it makes it text.
fn field(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let defused = if formula || text.starts_with(['\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if defused.contains(['"', ',', '\r', '\n']) || defused.trim() != defused {
        format!("\"{}\"", defused.replace('"', "\"\""))
    } else {
        defused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_no_formula() {
        for (text, expect) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            (" a", "\" a\""),
            ("\t=1", "'\t=1"),
            ("\rx", "\"'\rx\""),
            ("", ""),
        ] {
            assert_eq!(field(text), expect, "{text:?}");
        }
    }
}

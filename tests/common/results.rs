//! What a report's data says.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// The data that a report was written with.
#[track_caller]
pub fn results(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("results are JSON")
}

/// The cells of one check or, where none is named, of all.
#[track_caller]
pub fn cells<'r>(results: &'r Value, check: Option<&str>) -> Vec<&'r Value> {
    let checks = results["checks"].as_array().expect("checks");
    let checks: Vec<&Value> = checks.iter().filter(|found| check.is_none_or(|check| found["name"] == check)).collect();
    assert!(check.is_none() || !checks.is_empty(), "there is no check {check:?}: {results}");
    let grids = checks.into_iter().flat_map(|check| check["grids"].as_array().expect("grids"));
    grids.flat_map(|grid| grid["cells"].as_array().expect("cells")).collect()
}

/// What a cell is called, and the word of its verdict.
#[track_caller]
pub fn told(cell: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {cell}")).to_owned();
    (text(&cell["cell"]), text(&cell["verdict"]))
}

/// Cell by cell that was asked, the verdict's word. What else is known depends on who was seated to settle those.
#[track_caller]
pub fn verdicts(results: &Value) -> BTreeMap<String, String> {
    cells(results, None).into_iter().filter(|cell| cell["asked"] == true).map(told).collect()
}

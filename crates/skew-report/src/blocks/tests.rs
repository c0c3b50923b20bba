//! Blocks of pictures.

use std::collections::BTreeMap;

use skew_core::model::{Counts, SourceName};

use super::*;
use crate::findings::at_values;
use crate::words::Standing;

/// A matrix drawn with one letter a cell: `F` fails, `K` is known to, `E` errs, `?` is blocked, `B` and `b` are broken
/// by their column and their row, anything else passes.
fn drawn(picture: &[&str]) -> Grid {
    let mut cells = Vec::new();
    for (row, line) in picture.iter().enumerate() {
        for (column, letter) in line.chars().enumerate() {
            let (verdict, standing) = match letter {
                'F' => (Word::Fail, Standing::Wrong),
                'K' => (Word::Fail, Standing::Known),
                'E' => (Word::Error, Standing::Unknown),
                '?' => (Word::Untested, Standing::Fine),
                'B' | 'b' => (Word::Broken, Standing::Wrong),
                _ => (Word::Pass, Standing::Fine),
            };
            let charged = match letter {
                'B' => Some(format!("b@c{column}")),
                'b' => Some(format!("a@r{row}")),
                _ => None,
            };
            let cell: skew_core::model::Cell = format!("c: a@r{row} -> b@c{column}").parse().unwrap();
            cells.push(CellModel {
                id: cell.id(),
                cell: cell.to_string(),
                parties: Vec::new(),
                axes: BTreeMap::new(),
                row: Some(row),
                column: Some(column),
                verdict,
                standing,
                asked: true,
                sentence: String::new(),
                known: None,
                charged,
                because: (letter == '?').then(|| cell.id()),
                counts: Counts::default(),
                excludes: None,
                untested: None,
                suspected: None,
                wrong_check: false,
                evidence: Vec::new(),
                evidence_total: 0,
                reproduce: None,
                change: None,
                history: Vec::new(),
            });
        }
    }
    Grid {
        from: Some("a".parse().unwrap()),
        to: Some("b".parse().unwrap()),
        symmetric: false,
        axes: BTreeMap::new(),
        rows: (0..picture.len()).map(|n| format!("r{n}")).collect(),
        columns: (0..picture[0].len()).map(|n| format!("c{n}")).collect(),
        cells,
    }
}

fn check(grids: Vec<Grid>, sets: Vec<CellModel>) -> CheckModel {
    CheckModel { name: "pay".parse().unwrap(), about: String::new(), tally: Default::default(), grids, sets }
}

/// What each block says, and between which versions it began.
fn found(check: &CheckModel) -> Vec<(String, Option<Boundary>)> {
    let versions: Vec<VersionId> =
        ["r", "c"].iter().flat_map(|side| (0..12).map(move |n| VersionId::new(&format!("{side}{n}")))).collect();
    let source: SourceName = "s".parse().unwrap();
    let order = Order::new(versions.iter().map(|version| (version, &source)));
    let key = |cell: &CellModel| {
        let wanted = matches!(cell.standing, Standing::Wrong | Standing::Unknown) && cell.charged.is_none();
        wanted.then_some((cell.standing, cell.verdict))
    };
    let mut blocks = blocks(check, &order, &key);
    blocks.sort_by_key(|block| block.key);
    blocks.into_iter().map(|block| (at_values(&block.place, &block.cells), block.boundary)).collect()
}

fn texts(picture: &[&str]) -> Vec<String> {
    found(&check(vec![drawn(picture)], Vec::new())).into_iter().map(|(text, _)| text).collect()
}

#[test]
fn neighbours_that_share_a_fate_are_one_block() {
    let check = |picture: &[&str], expect: &[&str]| assert_eq!(texts(picture), expect, "{picture:?}");
    check(&["..", ".."], &[]);
    check(&["..", ".F"], &["a r1 → b c1"]);
    check(
        &["..FF", "..FF", "FF..", "FF.."],
        &["a r0 and r1 → b c2 and c3 (4 cells)", "a r2 and r3 → b c0 and c1 (4 cells)"],
    );
    check(&[".F.", ".F.", ".F."], &["a r0 … r2 → b c1 (3 cells)"]);
    // The taller block is larger than the wider one.
    check(&["FF", "F.", "F."], &["a r0 … r2 → b c0 (3 cells)", "a r0 → b c1"]);
    check(&["F??", "???"], &["a r0 → b c0"]);
    check(&["FKF"], &["a r0 → b c0", "a r0 → b c2"]);
    check(&["EF"], &["a r0 → b c1", "a r0 → b c0"]);
}

#[test]
fn a_range_names_nothing_that_does_not_share_the_fate() {
    let check = |picture: &[&str], expect: &[&str]| assert_eq!(texts(picture), expect, "{picture:?}");
    // What says nothing is passed over, and not named.
    check(&["F?F", "???", "F?F"], &["a r0 and r2 → b c0 and c2 (4 cells)"]);
    check(&["FFF?FFF"], &["a r0 → b c0 … c2 and c4 … c6 (6 cells)"]);
    // Where only a part of a line says nothing, a block ends there.
    check(&["F?.", "?F."], &["a r0 → b c0", "a r1 → b c1"]);
    check(&["FF", "F?"], &["a r0 → b c0 and c1 (2 cells)", "a r1 → b c0"]);
    // A block has a few ranges at most.
    check(&["F?F?F?F?F?F"], &["a r0 → b c0, c2, c4 and c6 (4 cells)", "a r0 → b c8 and c10 (2 cells)"]);
    assert_eq!(texts(&["FBF", "FBF"]), ["a r0 and r1 → b c0 and c2 (4 cells)"]);
}

#[test]
fn sets_that_differ_in_one_party_are_one_block() {
    let grid = drawn(&["............"; 12]);
    let texts = |sets: &[&[&str]]| -> Vec<String> {
        let set = |parties: &&[&str]| {
            let parties = parties.iter().map(|party| (*party).to_owned()).collect();
            let (verdict, standing) = (Word::Interference, Standing::Wrong);
            CellModel { parties, row: None, column: None, verdict, standing, ..grid.cells[0].clone() }
        };
        let check = check(vec![grid.clone()], sets.iter().map(set).collect());
        found(&check).into_iter().map(|(text, _)| text).collect()
    };
    assert_eq!(texts(&[&["a@r10", "a@r9", "b@c1"]]), ["a@r9, a@r10 and b@c1 together"]);
    let alike: [&[&str]; 3] = [&["a@r1", "a@r10", "a@r9"], &["a@r1", "a@r11", "a@r9"], &["a@r1", "a@r2", "a@r9"]];
    assert_eq!(texts(&alike), ["a@r1 and a@r9 together with any of a@r2, a@r10, a@r11 (3 cells)"]);
}

#[test]
fn neighbours_tell_where_it_began() {
    let check = |picture: &[&str], expect: Option<(&str, &str, &str, bool)>| {
        let found = found(&check(vec![drawn(picture)], Vec::new()));
        let boundary = found[0].1.as_ref();
        let told = boundary.map(|at| (at.role.as_ref(), at.older.as_str(), at.newer.as_str(), at.broke));
        assert_eq!(told, expect, "{picture:?}");
    };
    check(&["..FF", "..FF"], Some(("b", "c1", "c2", true)));
    check(&["....", "FFFF"], Some(("a", "r0", "r1", true)));
    check(&["FF..", "FF.."], Some(("b", "c1", "c2", false)));
    check(&["FFFF", "...."], Some(("a", "r0", "r1", false)));
    // A line that says nothing is passed over; one that does not pass as a whole ends the search.
    check(&[".?F", ".?F"], Some(("b", "c0", "c2", true)));
    check(&[".BF", ".BF"], Some(("b", "c0", "c2", true)));
    check(&[".?F", "..F"], None);
    check(&[".EF", ".EF"], None);
    check(&["FF", "FF"], None);
}

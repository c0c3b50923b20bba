//! Windows of pictures and of random fields.

use proptest::prelude::*;
use skew_core::model::CommitId;

use super::*;

fn versions() -> Vec<Version> {
    let version = |n: u32| Version {
        id: VersionId::new(&format!("v{n}")),
        source: "s".parse().unwrap(),
        label: format!("v{n}"),
        labels: Vec::new(),
        commit: CommitId::zero(),
        semver: None,
        time: 0,
        order: n,
        contains: BTreeSet::new(),
    };
    (1..=9).map(version).collect()
}

/// Draws a field: `+` works, `p` works in the checks that both have, `x` fails, `?` is open, `.` was not asked. Of `all`
/// versions, the ones in `over` are passed over.
fn drawn(a: &str, b: &str, lines: &[&str], all: usize, over: &[usize]) -> Vec<String> {
    let pairs: BTreeMap<(usize, usize), Known> = lines
        .iter()
        .enumerate()
        .flat_map(|(row, line)| line.chars().enumerate().map(move |(column, c)| ((row, column), c)))
        .filter_map(|(at, c)| {
            let known = match c {
                '+' => Known::Works,
                'p' => Known::WorksWhereThere,
                'x' => Known::Fails,
                '?' => Known::Open,
                _ => return None,
            };
            Some((at, known))
        })
        .collect();
    let versions = versions();
    let (a, b): (RoleName, RoleName) = (a.parse().unwrap(), b.parse().unwrap());
    let passed_over: BTreeSet<usize> = over.iter().copied().collect();
    fn side<'a>(role: &'a RoleName, all: usize, over: &BTreeSet<usize>, versions: &'a [Version]) -> Side<'a> {
        Side { role, members: (0..all).collect(), passed_over: over.clone(), versions }
    }
    let windows = Field::new(side(&a, all, &passed_over, &versions), side(&b, all, &passed_over, &versions), &pairs)
        .windows(false);
    let rest = others_of(&windows);
    let rest = (!rest.is_empty()).then(|| rest.join("; "));
    windows.text.into_iter().chain(rest).collect()
}

fn told(a: &str, b: &str, lines: &[&str]) -> Vec<String> {
    drawn(a, b, lines, lines[0].len(), &[])
}

#[test]
fn windows_of_two_roles() {
    assert_eq!(told("node", "notary", &["++", "++"]), ["every node works with every notary"]);
    assert_eq!(
        told("node", "notary", &["xxx", "x++", "x++"]),
        ["node ≥ v2 works with notary ≥ v2", "5 pairs do not work"]
    );
    assert_eq!(
        told("node", "notary", &["+xx", "++?", "+++"]),
        [
            "node ≥ v2 works with notary ≤ v2",
            "every node works with notary v1",
            "node v3 works with every notary",
            "2 pairs do not work; 1 pair is not settled",
        ]
    );
    // What was not asked is claimed by nobody.
    assert_eq!(
        told("node", "notary", &["..+", "..+", "+++"]),
        ["every node works with notary v3", "node v3 works with every notary"]
    );
    assert_eq!(told("node", "notary", &["xx", "xx"]), ["4 pairs do not work"]);
    assert_eq!(
        told("node", "notary", &["+p", "++"]),
        ["every node works with every notary, in the checks that exist at both"]
    );
}

#[test]
fn windows_of_one_role() {
    assert_eq!(told("node", "node", &["+++", ".++", "..+"]), ["every node works with every other"]);
    assert_eq!(
        told("node", "node", &["++xx", ".+xx", "..++", "...+"]),
        ["node ≤ v2 work with each other", "node ≥ v3 work with each other", "4 pairs do not work"]
    );
    // A release that only its neighbours understand, and two that meet over its head.
    assert_eq!(
        told("node", "node", &["+++", ".+x", "..+"]),
        [
            "node ≤ v2 work with each other",
            "node v1 works with node ≥ v2",
            "node v3 works with itself",
            "1 pair does not work"
        ]
    );
    // A candidate with the others: a line, and no square.
    assert_eq!(
        told("node", "node", &["...+", "...+", "...+", "...+"]),
        ["node ≤ v3 works with node v4", "node v4 works with itself"]
    );
}

#[test]
fn windows_say_what_they_pass_over() {
    // v3 is to blame alone, v5 was not asked.
    let lines = ["++.+", ".+.+", "....", "...+"];
    assert_eq!(drawn("node", "node", &lines, 4, &[2]), ["every node except v3 works with every other"]);
    assert_eq!(drawn("node", "node", &lines, 5, &[2]), ["node ≤ v4 except v3 work with each other"]);
    assert_eq!(drawn("node", "node", &lines, 4, &[]), ["node v1, v2 and v4 work with each other"]);
    assert_eq!(drawn("node", "node", &["++..", ".+..", "....", "...."], 4, &[3]), ["node ≤ v2 work with each other"]);
}

proptest! {
    /// No range claims a pair that was not seen working, and every pair that was is in a range or counted.
    #[test]
    fn ranges_claim_what_works(
        one_role in any::<bool>(),
        cells in proptest::collection::vec(proptest::option::of(0..4_u8), 49),
    ) {
        let pairs: BTreeMap<(usize, usize), Known> = cells.iter().enumerate().filter_map(|(n, known)| {
            let at = (n / 7, n % 7);
            let known = match (*known)? { 0 => Known::Fails, 1 => Known::Open, _ => Known::Works };
            (!one_role || at.0 <= at.1).then_some((at, known))
        }).collect();
        let versions = versions();
        let (a, b): (RoleName, RoleName) =
            ("node".parse().unwrap(), if one_role { "node" } else { "notary" }.parse().unwrap());
        let side = |role| Side { role, members: (0..7).collect(), passed_over: BTreeSet::new(), versions: &versions };
        let field = Field::new(side(&a), side(&b), &pairs);
        let windows = field.windows(false);
        let place = |version: &VersionId| versions.iter().position(|other| other.id == *version).unwrap();
        let mut claimed = BTreeSet::new();
        for Window { a, b } in &windows.works {
            let within = |places: &[usize], [oldest, newest]: &[VersionId; 2]| -> Vec<usize> {
                places.iter().copied().filter(|at| (place(oldest)..=place(newest)).contains(at)).collect()
            };
            for row in within(&field.rows, a) {
                for column in within(&field.columns, b) {
                    let at = if one_role { (row.min(column), row.max(column)) } else { (row, column) };
                    prop_assert_eq!(pairs.get(&at), Some(&Known::Works), "{:?} claims {:?}", windows, at);
                    claimed.insert(at);
                }
            }
        }
        let works = pairs.values().filter(|known| **known == Known::Works).count();
        prop_assert_eq!(claimed.len() + windows.works_elsewhere as usize, works);
    }
}

//! Reads compatibility windows.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{Cell, Party, Subject, VerdictKind, VersionId};

use super::cells::{number, take};
use super::truth::{Claim, Truth, charged, ensure, fails, point, role};

/// The windows of one pair of roles: the sentences, and what is in none.
pub(crate) fn windows(truth: &Truth<'_>, sentences: &[String]) -> Claim {
    let mut ranges: BTreeMap<(String, String), BTreeSet<(Party, Party)>> = BTreeMap::new();
    for text in sentences {
        if let Some((said, _)) = take(r"(\w+) – (\w+): (.*)$", text) {
            let claimed = ranges.remove(&(said[0].clone(), said[1].clone())).unwrap_or_default();
            rest(truth, &said[0], &said[1], &said[2], &claimed).map_err(|why| format!("{text:?}: {why}"))?;
        } else {
            let (roles, pairs) = window(truth, text).map_err(|why| format!("{text:?}: {why}"))?;
            ranges.entry(roles).or_default().extend(pairs);
        }
    }
    // Where nothing stands beside the ranges, they hold everything and nobody is to blame.
    for ((a, b), claimed) in ranges {
        rest(truth, &a, &b, "", &claimed).map_err(|why| format!("nothing beside {a} and {b}: {why}"))?;
    }
    Ok(())
}

type Pairs = BTreeSet<(Party, Party)>;

/// A side of a window: `every node except v3`, `node ≥ v2`, `node v1 … v3 and v5`.
fn side(truth: &Truth<'_>, text: &str) -> Result<(String, Vec<Party>), String> {
    let (text, except) = text.split_once(" except ").map_or((text, None), |(text, except)| (text, Some(except)));
    let (name, mut versions) = match text.strip_prefix("every ") {
        Some(name) => (name, truth.members(name)),
        None => {
            let (name, rest) = text.split_once(' ').ok_or("no versions")?;
            let all = truth.members(name);
            let (op, version) = rest.split_once(' ').unwrap_or(("", rest));
            let place = all.iter().position(|other| other.as_str() == version);
            match (op, place) {
                ("≥", Some(at)) => (name, all[at..].to_vec()),
                ("≤", Some(at)) => (name, all[..=at].to_vec()),
                _ => (name, truth.versions(name, rest)?),
            }
        }
    };
    ensure(!text.contains(['≥', '≤']) || versions.iter().all(|v| truth.same_source(v, &versions[0])), || {
        "an order over two sources".to_owned()
    })?;
    if let Some(except) = except {
        let except = truth.versions(name, except)?;
        ensure(except.iter().all(|version| versions.contains(version)), || "excepts what is not there".to_owned())?;
        versions.retain(|version| !except.contains(version));
    }
    ensure(!versions.is_empty(), || "it is empty".to_owned())?;
    Ok((name.to_owned(), versions.iter().map(|version| Party::new(&role(name), version)).collect()))
}

fn window(truth: &Truth<'_>, text: &str) -> Result<((String, String), Pairs), String> {
    let narrowed = text.strip_suffix(" (of what --only asked)");
    ensure(narrowed.is_some() == truth.now.matrix.only.is_some(), || "of what was asked".to_owned())?;
    let text = narrowed.unwrap_or(text);
    let partly = text.strip_suffix(", in the checks that exist at both");
    let text = partly.unwrap_or(text);
    let each_other = [" works with itself", " works with every other", " work with each other"];
    let ((a, left), (b, right)) = match each_other.iter().find_map(|end| text.strip_suffix(end)) {
        Some(one) => (side(truth, one)?, side(truth, one)?),
        None => {
            let (a, b) = text.split_once(" works with ").ok_or("it is not understood")?;
            (side(truth, a)?, side(truth, b)?)
        }
    };
    let mut pairs = Pairs::new();
    for x in &left {
        for y in &right {
            works(truth, x, y, partly.is_some())?;
            pairs.insert(if a == b && y < x { (y.clone(), x.clone()) } else { (x.clone(), y.clone()) });
        }
    }
    Ok(((a, b), pairs))
}

/// The cells about exactly two parties, both ways.
fn between<'a>(truth: &Truth<'a>, x: &Party, y: &Party) -> Vec<(&'a Cell, &'a VerdictKind)> {
    let is = |cell: &Cell| match &cell.subject {
        Subject::Ordered(a, b) | Subject::Symmetric(a, b) => (a == x && b == y) || (a == y && b == x),
        Subject::Alone(_) | Subject::Set(_) => false,
    };
    truth.shown().filter(|(cell, _)| is(cell)).map(|(cell, verdict)| (cell, &verdict.kind)).collect()
}

fn works(truth: &Truth<'_>, x: &Party, y: &Party, partly: bool) -> Claim {
    let cells = between(truth, x, y);
    for (cell, kind) in &cells {
        let works = **kind == VerdictKind::Pass || (partly && **kind == VerdictKind::Unsupported);
        ensure(works, || format!("{cell} is {kind}"))?;
    }
    let seen = cells.iter().any(|(cell, kind)| truth.is_asked(cell) && **kind == VerdictKind::Pass);
    ensure(seen, || format!("nothing is known of {x} and {y}"))
}

/// What is said beside the ranges of two roles.
fn rest(truth: &Truth<'_>, a: &str, b: &str, text: &str, claimed: &Pairs) -> Claim {
    let mut blamed = BTreeSet::new();
    for (cell, verdict) in truth.shown().filter(|(cell, _)| truth.is_asked(cell)) {
        let alone = match (&cell.subject, &verdict.kind) {
            (Subject::Alone(party), VerdictKind::Fail) => Some(party.clone()),
            (_, kind) => charged(cell, kind),
        };
        blamed.extend(alone.filter(|party| [a, b].contains(&party.role.as_str())));
    }
    let (mut works, mut bad, mut open) = (0, 0, 0);
    let parties = |name: &str| -> Vec<Party> {
        let versions = truth.members(name);
        versions
            .iter()
            .map(|version| Party::new(&role(name), version))
            .filter(|party| !blamed.contains(party))
            .collect()
    };
    let (left, right) = (parties(a), parties(b));
    for (n, x) in left.iter().enumerate() {
        for y in right.iter().skip(if a == b { n } else { 0 }) {
            let cells = between(truth, x, y);
            if !cells.iter().any(|(cell, _)| truth.is_asked(cell)) {
                continue;
            }
            let key = if a == b && y < x { (y.clone(), x.clone()) } else { (x.clone(), y.clone()) };
            if cells.iter().any(|(_, kind)| fails(kind)) {
                bad += 1;
            } else if cells.iter().any(|(_, kind)| matches!(kind.word(), "error" | "untested")) {
                open += 1;
            } else if cells.iter().any(|(cell, kind)| truth.is_asked(cell) && **kind == VerdictKind::Pass)
                && !claimed.contains(&key)
            {
                works += 1;
            }
        }
    }
    let more = if blamed.is_empty() { "" } else { "more " };
    let mut named = BTreeSet::new();
    let mut counts = BTreeMap::from([("works?", works), ("do", bad), ("are", open)]);
    for part in text.split("; ").filter(|part| !part.is_empty()) {
        if let Some((said, _)) = take(r"([\d,]+) pairs? works? besides$", part) {
            ensure(counts.remove("works?") == Some(number(&said[0])), || format!("{works} work besides"))?;
        } else if let Some((said, _)) = take(&format!(r"([\d,]+) {more}pairs? do(?:es)? not work$"), part) {
            ensure(counts.remove("do") == Some(number(&said[0])), || format!("{bad} do not work"))?;
        } else if let Some((said, _)) = take(&format!(r"([\d,]+) {more}pairs? (?:is|are) not settled$"), part) {
            ensure(counts.remove("are") == Some(number(&said[0])), || format!("{open} are not settled"))?;
        } else if part.contains(" together") {
            sets(truth, a, b, part)?;
        } else {
            named.insert(blame(truth, part)?);
        }
    }
    ensure(counts.values().all(|n| *n == 0), || format!("{counts:?} are not said"))?;
    ensure(named == blamed, || format!("{blamed:?} are to blame alone"))?;
    let interferes = sets_of(truth, a, b).next().is_some();
    ensure(interferes == text.contains("together"), || "sets that fail together are not named".to_owned())
}

/// `notary v1.1.0 is broken in registers`: whom it is about.
fn blame(truth: &Truth<'_>, text: &str) -> Result<Party, String> {
    let (said, _) =
        take(r"(\w+) (\S+) (?:(could not be built)|is (broken|flaky) in (\S+)|fails (\S+))(?: with (\[.*\]))?$", text)
            .ok_or_else(|| format!("{text:?} is not understood"))?;
    let party = Party::new(&role(&said[0]), &VersionId::new(&said[1]));
    let is_so = truth.shown().filter(|(cell, _)| truth.is_asked(cell)).any(|(cell, verdict)| {
        let axes = if cell.axes.is_empty() { String::new() } else { point(&cell.axes) };
        let alone = match (&cell.subject, &verdict.kind) {
            (Subject::Alone(party), VerdictKind::Fail) => Some(party.clone()),
            (_, kind) => charged(cell, kind),
        };
        let word =
            if said[2].is_empty() { if said[3].is_empty() { "fail" } else { said[3].as_str() } } else { "unbuilt" };
        let check = format!("{}{}", said[4], said[5]);
        alone.as_ref() == Some(&party)
            && verdict.kind.word() == word
            && (word == "unbuilt" || (cell.check.as_str() == check && axes == said[6]))
    });
    ensure(is_so, || format!("{text:?} is not so"))?;
    Ok(party)
}

fn sets_of<'a>(truth: &Truth<'a>, a: &str, b: &str) -> std::vec::IntoIter<(&'a Cell, &'a VerdictKind)> {
    let holds = |cell: &Cell| {
        let Subject::Set(set) = &cell.subject else { return false };
        let of = |name: &str| set.iter().filter(|party| party.role.as_str() == name).count();
        if a == b { of(a) > 1 } else { of(a) > 0 && of(b) > 0 }
    };
    let found: Vec<_> = truth.shown().filter(|(cell, verdict)| holds(cell) && fails(&verdict.kind)).collect();
    found.into_iter().map(|(cell, verdict)| (cell, &verdict.kind)).collect::<Vec<_>>().into_iter()
}

fn sets(truth: &Truth<'_>, a: &str, b: &str, text: &str) -> Claim {
    if let Some((said, _)) = take(r"([\d,]+) sets of these versions do not work together$", text) {
        let n = sets_of(truth, a, b).count();
        return ensure(number(&said[0]) as usize == n, || format!("{n} sets"));
    }
    let (said, _) =
        take(r"(.*) (fail|are flaky) together in (\S+)(?: with (\[.*\]))?$", text).ok_or("it is not understood")?;
    let parties: Option<BTreeSet<Party>> = said[0]
        .replace(" and ", ", ")
        .split(", ")
        .map(|one| {
            let (name, version) = one.split_once(' ')?;
            Some(Party::new(&role(name), &VersionId::new(version)))
        })
        .collect();
    let parties = parties.ok_or("no parties")?;
    let found = sets_of(truth, a, b).any(|(cell, kind)| {
        let axes = if cell.axes.is_empty() { String::new() } else { point(&cell.axes) };
        cell.subject == Subject::Set(parties.clone())
            && cell.check.as_str() == said[2]
            && axes == said[3]
            && (kind.word() == "flaky") == (said[1] == "are flaky")
    });
    ensure(found, || format!("{text:?} is not so"))
}

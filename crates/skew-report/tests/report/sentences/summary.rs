//! Reads what a report says first: its headline, and what changed.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{Cell, Subject, Untested, VerdictKind};
use skew_report::SweepEnd;

use super::cells::{number, take, wrong_check};
use super::findings::About;
use super::truth::{
    Claim, Stands, Truth, asked_in, charged, ensure, fails, is_check_error, point, shown_of, stands_in,
};

/// A text as clauses of which each is understood; names hold commas, too.
fn clauses(text: &str, understood: &dyn Fn(&str) -> Claim) -> Claim {
    let whole = understood(text);
    if whole.is_ok() {
        return whole;
    }
    let mut why = whole;
    for (at, _) in text.match_indices(", ") {
        if understood(&text[..at]).is_ok() {
            match clauses(&text[at + 2..], understood) {
                Ok(()) => return Ok(()),
                Err(other) => why = Err(other),
            }
        }
    }
    why.map_err(|why| format!("{text:?}: {why}"))
}

/// Whether the headline is so, and leaves nothing out.
pub(crate) fn headline(truth: &Truth<'_>, text: &str) -> Claim {
    let asked: Vec<(&Cell, &VerdictKind)> =
        truth.shown().filter(|(cell, _)| truth.is_asked(cell)).map(|(cell, verdict)| (cell, &verdict.kind)).collect();
    let count = |of: &dyn Fn(&Cell, &VerdictKind) -> bool| asked.iter().filter(|(cell, kind)| of(cell, kind)).count();
    if text == "No cell was asked." {
        return ensure(asked.is_empty(), || "some were".to_owned());
    }
    let mut rest = text;
    let mut wrong_checks = BTreeSet::new();
    while let Some((said, after)) = take(
        r"(The check `(\S+)` (?:has passed nowhere: .*? It is likeliest wrong itself\.|is likeliest .*? asked in\.)) ?",
        rest,
    ) {
        wrong_check(truth, None, &said[0])?;
        wrong_checks.insert(said[1].clone());
        rest = after;
    }
    let of_wrong: BTreeSet<String> =
        asked.iter().filter(|(_, kind)| is_check_error(kind)).map(|(cell, _)| cell.check.to_string()).collect();
    ensure(of_wrong == wrong_checks, || format!("the checks {of_wrong:?} are wrong"))?;
    let end = match truth.now.end {
        SweepEnd::Completed => None,
        SweepEnd::Interrupted => Some("The sweep was interrupted."),
        SweepEnd::Unfinished => Some("The sweep has not ended or was interrupted."),
        SweepEnd::Budget => Some("The sweep's budget was spent."),
        SweepEnd::Limit => Some("The sweep's time limit passed."),
    };
    let is_unknown = |cell: &Cell, kind: &VerdictKind| truth.stands(cell) == Stands::Unknown && !is_check_error(kind);
    let unknown = count(&is_unknown);
    if let Some(end) = end.filter(|_| unknown > 0) {
        rest = rest.strip_suffix(end).ok_or_else(|| format!("{end:?} is not said"))?.trim_end();
    }
    if let Some((said, _)) = take(
        r"(?:Everything that was asked works: ([\d,]+) cells?\.|(Everything is as expected|Nothing that was asked fails): ([\d,]+) of ([\d,]+) cells? pass(?:es)?(.*)\.)$",
        rest,
    ) {
        let bad = count(&|cell, _| matches!(truth.stands(cell), Stands::Wrong | Stands::Unexpected | Stands::Unknown));
        ensure(bad == 0, || format!("{bad} are not as expected"))?;
        let pass = count(&|_, kind| *kind == VerdictKind::Pass);
        if !said[0].is_empty() {
            return ensure(pass == asked.len() && number(&said[0]) as usize == pass, || format!("{pass} pass"));
        }
        ensure((number(&said[2]) as usize, number(&said[3]) as usize) == (pass, asked.len()), || {
            format!("{pass} pass")
        })?;
        let known = count(&|cell, _| truth.stands(cell) == Stands::Known);
        ensure((said[1] == "Everything is as expected") == (known > 0), || format!("{known} are known"))?;
        let mut parts = said[4].as_str();
        let mut told = pass;
        for (what, n) in [
            ("known to fail", known),
            ("untested because of another", count(&|_, kind| kind.word() == "untested")),
            ("unsupported", count(&|_, kind| kind.word() == "unsupported")),
        ] {
            if let Some((said, after)) = take(&format!(r"(?:, | and )([\d,]+) (?:is|are) {what}"), parts) {
                ensure(number(&said[0]) as usize == n, || format!("{n} are {what}"))?;
                told += n;
                parts = after;
            }
        }
        ensure(parts.is_empty() && told == asked.len(), || format!("{told} are told of {}", asked.len()))?;
        return Ok(());
    }
    let troubles = Troubles::of(truth);
    let understood = |clause: &str| -> Claim {
        let n = |of: usize, said: &str| ensure(number(said) as usize == of, || format!("{of} is true"));
        if let Some((said, _)) = take(r"([\d,]+) known failures? no longer fails?$", clause) {
            return n(count(&|cell, _| truth.stands(cell) == Stands::Unexpected), &said[0]);
        }
        let suspected = count(&|cell, kind| {
            truth.stands(cell) == Stands::Unknown && matches!(kind, VerdictKind::Untested(Untested::Suspected { .. }))
        });
        if let Some((said, _)) = take(r"([\d,]+) cells? failed and (?:is|are) only suspected$", clause) {
            return n(suspected, &said[0]);
        }
        if let Some((said, _)) = take(r"([\d,]+) cells? could not be settled$", clause) {
            return n(unknown - suspected, &said[0]);
        }
        if let Some((said, _)) = take(
            r"([\d,]+) cells? (?:lacks a check that an older version had|lack a check that older versions had)$",
            clause,
        ) {
            return n(
                count(&|cell, kind| truth.stands(cell) == Stands::Wrong && kind.word() == "unsupported"),
                &said[0],
            );
        }
        troubles.clause(clause)
    };
    if rest.trim().is_empty() {
        return ensure(troubles.is_empty() && unknown == 0, || "what is wrong is not said".to_owned());
    }
    clauses(rest.trim().trim_end_matches('.'), &understood)?;
    // Nothing is left out: each kind of trouble has its clause.
    for (kind, needed) in [
        ("do not work together|does not work together|does not work by itself", !troubles.failing.is_empty()),
        ("(is|are) broken", !troubles.broken.is_empty()),
        ("(versions|@\\S+) fail together", !troubles.together.is_empty()),
        (
            "(is|are) flaky",
            !(troubles.flaky.is_empty() && troubles.flaky_pairs.is_empty() && troubles.flaky_sets.is_empty()),
        ),
        ("could not be built", !troubles.unbuilt.is_empty()),
        ("settled|suspected", unknown > 0),
    ] {
        let said = take(&format!(".*?(?:{kind})"), rest).is_some();
        ensure(said == needed, || format!("{kind}: {needed} is true of {rest:?}"))?;
    }
    Ok(())
}

type Named = BTreeMap<BTreeSet<String>, BTreeSet<String>>;

/// Who does not work, with which values of the axes.
#[derive(Default)]
struct Troubles {
    failing: Named,
    broken: Named,
    together: Named,
    flaky: Named,
    flaky_pairs: Named,
    flaky_sets: Named,
    unbuilt: Named,
    points: BTreeSet<String>,
}

impl Troubles {
    fn of(truth: &Truth<'_>) -> Self {
        let mut troubles = Self::default();
        for (cell, verdict) in truth.shown() {
            troubles.points.insert(point(&cell.axes));
            if truth.stands(cell) != Stands::Wrong {
                continue;
            }
            let parties: BTreeSet<String> = cell.subject.parties().iter().map(ToString::to_string).collect();
            let one = charged(cell, &verdict.kind).map(|party| BTreeSet::from([party.to_string()]));
            let is_set = matches!(cell.subject, Subject::Set(_));
            let (of, who) = match &verdict.kind {
                VerdictKind::Broken { .. } => (&mut troubles.broken, one.unwrap_or(parties)),
                VerdictKind::Interference => (&mut troubles.together, parties),
                VerdictKind::Fail if is_set => (&mut troubles.together, parties),
                VerdictKind::Fail => (&mut troubles.failing, parties),
                VerdictKind::Flaky { .. } if is_set => (&mut troubles.flaky_sets, parties),
                VerdictKind::Flaky { .. } => match one.or_else(|| (parties.len() == 1).then(|| parties.clone())) {
                    Some(one) => (&mut troubles.flaky, one),
                    None => (&mut troubles.flaky_pairs, parties),
                },
                VerdictKind::Unbuilt { .. } => (&mut troubles.unbuilt, parties),
                _ => continue,
            };
            of.entry(who).or_default().insert(point(&cell.axes));
        }
        troubles
    }

    fn is_empty(&self) -> bool {
        let all = [&self.failing, &self.broken, &self.together, &self.flaky, &self.flaky_pairs, &self.flaky_sets];
        all.into_iter().all(BTreeMap::is_empty) && self.unbuilt.is_empty()
    }

    /// Whether a clause names all of one kind of trouble.
    fn clause(&self, text: &str) -> Claim {
        let (text, with) = match take(r"(.*?) with (\[.*\])$", text) {
            Some((said, _)) => {
                let with: BTreeSet<String> =
                    said[1].replace("] and [", "]\n[").replace("], [", "]\n[").lines().map(str::to_owned).collect();
                (said[0].clone(), Some(with))
            }
            None => (text.to_owned(), None),
        };
        for (verb, of, by_name) in [
            ("do not work together", &self.failing, true),
            ("does not work by itself", &self.failing, true),
            ("is broken", &self.broken, false),
            ("are broken", &self.broken, false),
            ("fail together", &self.together, true),
            ("are flaky together", &self.flaky_pairs, true),
            ("are flaky together", &self.flaky_sets, true),
            ("is flaky", &self.flaky, false),
            ("are flaky", &self.flaky, false),
            ("could not be built", &self.unbuilt, false),
        ] {
            let Some(names) = text.strip_suffix(verb).map(str::trim) else { continue };
            if !names.contains('@') {
                continue;
            }
            let names: BTreeSet<String> = names.replace(" and ", ", ").split(", ").map(str::to_owned).collect();
            let all: BTreeSet<String> = of.keys().flatten().cloned().collect();
            let is_one = !by_name || of.len() == 1;
            let points: BTreeSet<String> = of.values().flatten().cloned().collect();
            let with = with.clone().unwrap_or_else(|| self.points.clone());
            if is_one && names == all && (with == points || verb == "could not be built") {
                return Ok(());
            }
        }
        let version = |party: &String| party.split_once('@').unwrap().1.to_owned();
        let versions = |of: &Named| -> BTreeSet<BTreeSet<String>> {
            of.keys().map(|who| who.iter().map(version).collect()).collect()
        };
        for (pattern, n) in [
            (r"([\d,]+) pairs? of versions (?:does|do) not work together$", versions(&self.failing).len()),
            (r"([\d,]+) pairs? of versions (?:is|are) flaky$", versions(&self.flaky_pairs).len()),
            (r"([\d,]+) versions? (?:is|are) broken$", versions(&self.broken).len()),
            (r"([\d,]+) versions? (?:is|are) flaky$", versions(&self.flaky).len()),
            (r"([\d,]+) sets of versions fail together$", self.together.len()),
            (r"([\d,]+) sets of versions are flaky together$", self.flaky_sets.len()),
            (r"([\d,]+) images? could not be built$", self.unbuilt.len()),
        ] {
            if let Some((said, _)) = take(pattern, &text) {
                return ensure(number(&said[0]) as usize == n && with.is_none(), || format!("{n} is true of {text:?}"));
            }
        }
        Err(format!("{text:?} is not understood"))
    }
}

/// How a cell changed since the sweep before, and its verdict then.
fn change(truth: &Truth<'_>, cell: &Cell) -> Option<(&'static str, Option<&'static str>)> {
    let now = truth.verdict(cell)?;
    if truth.past.is_empty() || !truth.is_asked(cell) {
        return None;
    }
    let Some((sample, before, asked)) = truth.before(cell) else { return Some(("new", None)) };
    let bad =
        |kind: &VerdictKind, stands: Stands| fails(kind) || (kind.word() == "unsupported" && stands == Stands::Wrong);
    let (then, stands) = (stands_in(sample, cell), truth.stands(cell));
    if !asked || (before.kind.word(), then) == (now.kind.word(), stands) {
        return None;
    }
    let failed = bad(&before.kind, then);
    let worked = !failed && matches!(before.kind.word(), "pass" | "unsupported");
    let how = match (failed, bad(&now.kind, stands)) {
        (false, true) if worked && stands == Stands::Wrong => "regressed",
        (true, false) if now.kind.word() == "pass" => "fixed",
        _ => "changed",
    };
    Some((how, Some(before.kind.word())))
}

fn is_worse(truth: &Truth<'_>, cell: &Cell) -> bool {
    let before = truth.before(cell);
    let was_good = before.is_none_or(|(sample, verdict, asked)| {
        let stands = stands_in(sample, cell);
        asked && !fails(&verdict.kind) && !(verdict.kind.word() == "unsupported" && stands == Stands::Wrong)
    });
    truth.is_asked(cell) && truth.stands(cell) == Stands::Wrong && was_good
}

fn gone<'a>(truth: &Truth<'a>) -> Vec<&'a Cell> {
    let Some(last) = truth.past.last().filter(|_| truth.now.matrix.only.is_none()) else { return Vec::new() };
    let was = shown_of(last).filter(|(cell, _)| asked_in(last, cell)).map(|(cell, _)| cell);
    was.filter(|cell| !truth.shown().any(|(now, _)| now == *cell)).collect()
}

/// Whether what is said to have changed did.
pub(crate) fn since(truth: &Truth<'_>, text: &str) -> Claim {
    let (said, rest) =
        take(r"Since the sweep of (\S+ \S+) \((\S+)\)", text).ok_or_else(|| format!("{text:?} is not understood"))?;
    let last = truth.past.last().ok_or("there was none before")?;
    ensure(said[1] == last.sweep.id.0, || "it is another".to_owned())?;
    let changes: Vec<(&Cell, &str)> =
        truth.shown().filter_map(|(cell, _)| Some((cell, change(truth, cell)?.0))).collect();
    let of = |how: &str, worse: bool| {
        changes.iter().filter(|(cell, other)| *other == how && (!worse || is_worse(truth, cell))).count()
    };
    let mut left = rest.strip_prefix(": ").unwrap_or_default().trim_end_matches('.').to_owned();
    if rest == " nothing changed." {
        left.clear();
    }
    for (pattern, n) in [
        (r"([\d,]+) cells? regressed", of("regressed", false)),
        (r"([\d,]+) (?:fails that was|fail that were) not known to", of("changed", true)),
        (r"([\d,]+) fixed", of("fixed", false)),
        (r"([\d,]+) new(?: \(([\d,]+) of them not as expected\))?", of("new", false)),
        (r"([\d,]+) changed otherwise", of("changed", false) - of("changed", true)),
        (r"([\d,]+) gone", gone(truth).len()),
    ] {
        match take(&format!("{pattern}(?:, |$)"), &left) {
            Some((said, after)) => {
                ensure(number(&said[0]) as usize == n, || format!("{n} is true of {pattern}"))?;
                if pattern.contains("new") {
                    let wrong = said.get(1).filter(|said| !said.is_empty()).map_or(0, |said| number(said) as usize);
                    ensure(wrong == of("new", true), || format!("{} are wrong", of("new", true)))?;
                }
                left = after.to_owned();
            }
            None => ensure(n == 0, || format!("{n} {pattern} are not said"))?,
        }
    }
    ensure(left.is_empty(), || format!("{left:?} is not understood"))
}

/// Whether a line about changes is so; how many cells it is about.
pub(crate) fn changed(truth: &Truth<'_>, how: &str, check: &str, text: &str, step: &str) -> Result<usize, String> {
    if how == "gone" {
        let (said, _) = take(r"([\d,]+) cells? not asked any more$", text).ok_or("how many are gone")?;
        let last = truth.past.last().ok_or("there was none before")?;
        let of = gone(truth)
            .into_iter()
            .filter(|cell| cell.check.as_str() == check && step == format!("was {}", last.verdicts[*cell].kind.word()));
        let n = of.count();
        ensure(number(&said[0]) as usize == n, || format!("{n} are gone"))?;
        return Ok(n);
    }
    let stands = |cell: &Cell| match truth.stands(cell) {
        Stands::Wrong => "not as expected",
        Stands::Unexpected => "unexpected pass",
        Stands::Unknown => "could not be settled",
        Stands::Known => "known failure",
        Stands::Fine => "as expected",
    };
    let belongs = |cell: &Cell, kind: &VerdictKind| {
        let Some((other, was)) = change(truth, cell) else { return false };
        let now = kind.word();
        let expect = match was {
            Some(was) if was != now => format!("{was} → {now}"),
            Some(_) => format!("{now}, {}", stands(cell)),
            None => now.to_owned(),
        };
        other == how && expect == step
    };
    Ok(About { truth, check }.cells(text, &belongs)?.len())
}

/// How many cells changed.
pub(crate) fn changes(truth: &Truth<'_>) -> usize {
    let of_now = truth.shown().filter(|(cell, _)| change(truth, cell).is_some()).count();
    of_now + gone(truth).len()
}

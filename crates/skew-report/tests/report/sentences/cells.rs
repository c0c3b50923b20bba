//! Reads what is said of one cell.

use regex::Regex;
use skew_core::model::{Cell, Counts, Explanation, Subject, Untested, Verdict, VerdictKind};
use skew_report::SweepEnd;

use super::truth::{Claim, Truth, ensure, fails, interval, is_check_error, is_rate};

/// Takes a pattern from the beginning of a text: what it captured, and the rest.
pub(crate) fn take<'t>(pattern: &str, text: &'t str) -> Option<(Vec<String>, &'t str)> {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::rc::Rc;
    thread_local! {
        static PATTERNS: RefCell<HashMap<String, Rc<Regex>>> = RefCell::new(HashMap::new());
    }
    let regex = PATTERNS.with_borrow_mut(|patterns| {
        patterns
            .entry(pattern.to_owned())
            .or_insert_with(|| Rc::new(Regex::new(&format!("^(?:{pattern})")).unwrap()))
            .clone()
    });
    let found = regex.captures(text)?;
    let groups = found.iter().skip(1).map(|group| group.map_or(String::new(), |group| group.as_str().to_owned()));
    Some((groups.collect(), &text[found[0].len()..]))
}

pub(crate) fn number(text: &str) -> u32 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn equal(what: &str, said: &str, true_: u32) -> Claim {
    ensure(number(said) == true_, || format!("{what}: {said} is said, {true_} is true"))
}

const N: &str = r"(\d[\d,]*\d|\d)";
const NETWORKS: &str = r"networks?";

/// Whether everything that is said of a cell is so.
pub(crate) fn cell_sentence(truth: &Truth<'_>, cell: &Cell, text: &str) -> Claim {
    let verdict = truth.verdict(cell).ok_or("there is no such cell")?;
    let rest = first(truth, cell, verdict, text)?;
    let rest = explained(truth, verdict, rest)?;
    let rest = match take(r" With (\[.*\]) it works\.$", rest) {
        Some((said, rest)) => {
            let said = said[0].replace(" and ", ", ").replace("], [", "]\n[");
            let said = said.lines().map(str::to_owned).collect();
            ensure(truth.works_with(cell) == said, || format!("works with {:?}", truth.works_with(cell)))?;
            rest
        }
        None => {
            let silent = !fails(&verdict.kind) || matches!(verdict.kind, VerdictKind::Unbuilt { .. });
            ensure(silent || truth.works_with(cell).is_empty(), || "where it works is not said".to_owned())?;
            rest
        }
    };
    ensure(rest.is_empty(), || format!("{rest:?} is not understood"))
}

fn is(verdict: &Verdict, word: &str) -> Claim {
    ensure(verdict.kind.word() == word, || format!("the verdict is {}", verdict.kind))
}

fn first<'t>(truth: &Truth<'_>, cell: &Cell, verdict: &Verdict, text: &'t str) -> Result<&'t str, String> {
    let counts = verdict.counts;
    let failed = counts.failed + counts.mixed;
    let networks = counts.passed + failed;
    let they = if matches!(cell.subject, Subject::Set(_)) { "Together they" } else { "It" };
    if let Some((said, rest)) = take(
        &format!(r"(?:It failed in {N} of {N} {NETWORKS}\. )?(The check `.*) This says nothing about these versions\."),
        text,
    ) {
        ensure(is_check_error(&verdict.kind), || verdict.kind.to_string())?;
        if !said[0].is_empty() {
            equal("failed", &said[0], failed)?;
            equal("networks", &said[1], networks)?;
        }
        return wrong_check(truth, Some(cell.check.as_str()), &said[2]).map(|()| rest);
    }
    if let Some((_, rest)) = take(r"It works\.", text) {
        is(verdict, "pass")?;
        ensure(counts.passed == 0, || "how often is not said".to_owned())?;
        return Ok(rest);
    }
    if let Some((said, rest)) = take(
        &format!(
            r"It worked in (the one network that tried it|all {N} {NETWORKS} that tried it|{N} of {N} {NETWORKS} that tried it|{N} {NETWORKS}) \({N} observations?\)\. At 95 % confidence that excludes a failure rate above ([\d.]+ %)\."
        ),
        text,
    ) {
        is(verdict, "pass")?;
        let (passed, tried) = match said[0].as_str() {
            one if one.starts_with("the one") => (1, Some(1)),
            _ if !said[1].is_empty() => (number(&said[1]), Some(number(&said[1]))),
            _ if !said[2].is_empty() => (number(&said[2]), Some(number(&said[3]))),
            _ => (number(&said[4]), None),
        };
        ensure(passed == counts.passed, || format!("it worked in {}", counts.passed))?;
        ensure(tried.is_none_or(|tried| tried == networks && verdict.explained.is_empty()), || "tried by more".into())?;
        equal("observations", &said[5], counts.oks)?;
        let noise = verdict.explained.iter().filter(|one| matches!(one.by, Explanation::Noise { .. }));
        let failures = failed + noise.map(|one| one.networks).sum::<u32>();
        is_rate(&said[6], interval(failures, counts.passed + failures).1)?;
        return match take(&format!(r" Its failures in {N} {NETWORKS} are not explained\."), rest) {
            Some((said, rest)) => equal("failures", &said[0], failed).map(|()| rest),
            None => ensure(failed == 0, || "its failures are not said".to_owned()).map(|()| rest),
        };
    }
    if let Some((_, rest)) = take(&format!(r"{they} failed\."), text) {
        ensure(networks == 0 && fails(&verdict.kind), || "how often is not said".to_owned())?;
        return pairs(truth, cell, rest);
    }
    if let Some((said, rest)) = take(
        &format!(
            r"{they} failed in {N} of {N} {NETWORKS}(, {N} in isolation(, and never worked there|, and worked in {N} there)?)?(?:\.|: (?:it fails|they fail) at least ([\d.]+ %) of the time\.)"
        ),
        text,
    ) {
        ensure(matches!(verdict.kind, VerdictKind::Fail | VerdictKind::Interference), || verdict.kind.to_string())?;
        equal("failed", &said[0], failed)?;
        equal("networks", &said[1], networks)?;
        if !said[2].is_empty() {
            equal("in isolation", &said[3], counts.failed_isolated)?;
        }
        if said[4].contains("never") {
            ensure(counts.passed_isolated + counts.mixed == 0, || "it worked there".to_owned())?;
        } else if !said[5].is_empty() {
            equal("worked there", &said[5], counts.passed_isolated)?;
        }
        if !said[6].is_empty() {
            is_rate(&said[6], interval(failed, networks).0)?;
        }
        return pairs(truth, cell, rest);
    }
    if let Some((_, rest)) = take(&format!(r"{they} worked and failed\."), text) {
        is(verdict, "flaky")?;
        return charged_flaky(truth, cell, verdict, rest);
    }
    if take(&format!("{they} (?:worked in|failed in|both worked)"), text).is_some() {
        is(verdict, "flaky")?;
        let rest = often(&counts, rest_of(text, they))?.strip_prefix('.').ok_or("no end")?.to_owned();
        let at = text.len() - rest.len();
        let (said, rest) = take(
            r" A failure was seen in ([\d.]+ %) of the networks \(95 % interval: ([\d.]+ %) to ([\d.]+ %)\)\.",
            &text[at..],
        )
        .ok_or_else(|| format!("no rate in {rest:?}"))?;
        let (low, high) = interval(failed, networks);
        is_rate(&said[0], f64::from(failed) / f64::from(networks))?;
        is_rate(&said[1], low)?;
        is_rate(&said[2], high)?;
        return charged_flaky(truth, cell, verdict, rest);
    }
    if let Some((said, rest)) = take(
        r"(?:(\S+) is broken: it fails this check in a network of only its own version\.|The failure is charged to (\S+), which is broken\.)",
        text,
    ) {
        let VerdictKind::Broken { party } = &verdict.kind else { return Err(verdict.kind.to_string()) };
        ensure(format!("{}{}", said[0], said[1]) == party.to_string(), || format!("it is {party}"))?;
        ensure(said[0].is_empty() || truth.fails_with_itself(cell, party), || "with itself it does not".to_owned())?;
        return match take(&format!(r" Here it failed in {N} of {N} {NETWORKS}\."), rest) {
            Some((said, rest)) => {
                equal("failed", &said[0], failed)?;
                equal("networks", &said[1], networks).map(|()| rest)
            }
            None => Ok(rest),
        };
    }
    if let Some((_, rest)) = take(r"The image could not be built: .*$", text) {
        return is(verdict, "unbuilt").map(|()| rest);
    }
    if let Some((said, rest)) = take(r"The check does not exist at (this version|one of these versions)\.", text) {
        let one = cell.subject.parties().len() == 1;
        ensure(one == (said[0] == "this version"), || "how many versions".to_owned())?;
        return is(verdict, "unsupported").map(|()| rest);
    }
    if let Some((_, rest)) =
        take("An error left it without an answer, which says nothing about these versions: .*$", text)
    {
        ensure(!is_check_error(&verdict.kind), || "it is the check".to_owned())?;
        return is(verdict, "error").map(|()| rest);
    }
    untested(truth, cell, verdict, text)
}

fn rest_of<'t>(text: &'t str, they: &str) -> &'t str {
    &text[they.len() + 1..]
}

/// `The check `pay` has passed nowhere: it failed in all 25 cells that it was asked in. It is likeliest wrong itself.`
pub(crate) fn wrong_check(truth: &Truth<'_>, check: Option<&str>, text: &str) -> Claim {
    let cells = format!(r"(the one cell|all {N} cells|{N} of {N} cells?) that it was asked in");
    let nowhere = take(
        &format!(r"The check `(\S+)` has passed nowhere: it failed in {cells}\. It is likeliest wrong itself\.$"),
        text,
    );
    let likely = take(&format!(r"The check `(\S+)` is likeliest wrong itself: it failed in {cells}\.$"), text);
    let (said, nowhere) = match (nowhere, likely) {
        (Some((said, _)), _) => (said, true),
        (None, Some((said, _))) => (said, false),
        (None, None) => return Err(format!("{text:?} is not understood")),
    };
    ensure(check.is_none_or(|check| check == said[0]), || "it is another check".to_owned())?;
    let cells = || truth.now.verdicts.iter().filter(|(cell, _)| cell.check.as_str() == said[0]);
    let asked = cells().filter(|(cell, _)| truth.now.asked.contains(cell)).count() as u32;
    let wrong = cells().filter(|(cell, v)| truth.now.asked.contains(cell) && is_check_error(&v.kind)).count() as u32;
    let passed = cells().any(|(_, verdict)| verdict.kind == VerdictKind::Pass);
    let (n, all) = match said[1].as_str() {
        one if one.starts_with("the one") => (1, 1),
        _ if !said[2].is_empty() => (number(&said[2]), number(&said[2])),
        _ => (number(&said[3]), number(&said[4])),
    };
    ensure((n, all, nowhere) == (wrong, asked, !passed), || format!("{wrong} of {asked}, passed: {passed}"))
}

/// `worked in 3, failed in 1 and both worked and failed in 6 of 10 networks (40 of 80 observations failed)`.
fn often<'t>(counts: &Counts, text: &'t str) -> Result<&'t str, String> {
    let (said, rest) = take(
        &format!(
            r"((?:(?:, | and )?(?:worked in|failed in|both worked and failed in) {N})+) of {N} {NETWORKS} \({N} of {N} observations? failed\)"
        ),
        text,
    )
    .ok_or_else(|| format!("{text:?} does not say how often"))?;
    let mut parts = (0, 0, 0);
    let mut left = said[0].as_str();
    while let Some((part, after)) = take(&format!(r"(?:, | and )?(both worked and failed|worked|failed) in {N}"), left)
    {
        let of = match part[0].as_str() {
            "worked" => &mut parts.0,
            "failed" => &mut parts.1,
            _ => &mut parts.2,
        };
        *of = number(&part[1]);
        left = after;
    }
    ensure(parts == (counts.passed, counts.failed, counts.mixed), || format!("{counts:?}"))?;
    equal("networks", &said[2], counts.passed + counts.failed + counts.mixed)?;
    equal("failures", &said[3], counts.failures)?;
    equal("observations", &said[4], counts.oks + counts.failures)?;
    Ok(rest)
}

fn charged_flaky<'t>(truth: &Truth<'_>, cell: &Cell, verdict: &Verdict, text: &'t str) -> Result<&'t str, String> {
    let VerdictKind::Flaky { charged } = &verdict.kind else { return Err(verdict.kind.to_string()) };
    let Some(party) = charged else { return Ok(text) };
    let rest = text
        .strip_prefix(&format!(" It is charged to {party}"))
        .ok_or_else(|| format!("it is charged to {party}, and that is not said"))?;
    if let Some(rest) = rest.strip_prefix('.') {
        return Ok(rest);
    }
    let which = rest.strip_prefix(", which ").ok_or("no end")?;
    let (said, _) = take(r".* with itself \((.*?)\)\.", which).ok_or("no cell")?;
    let own: Cell = said[0].parse().map_err(|error| format!("{error}"))?;
    let known = truth.verdict(&own).ok_or("there is no such cell")?;
    ensure(own != *cell && own.check == cell.check && own.axes == cell.axes, || "another check".to_owned())?;
    ensure(own.subject.parties().iter().all(|other| other.version == party.version), || "not only itself".to_owned())?;
    ensure(own.subject.parties().contains(&party), || "not of it".to_owned())?;
    ensure(matches!(known.kind, VerdictKind::Flaky { .. }), || format!("with itself it is {}", known.kind))?;
    let rest = often(&known.counts, which)?;
    rest.strip_prefix(&format!(" with itself ({own}).")).ok_or_else(|| "no end".to_owned())
}

/// What is said of the pairs of a set.
fn pairs<'t>(truth: &Truth<'_>, cell: &Cell, text: &'t str) -> Result<&'t str, String> {
    let said = " Every pair of them works, and no smaller set of them was seen to fail.";
    let Some(rest) = text.strip_prefix(said) else { return Ok(text) };
    let Subject::Set(set) = &cell.subject else { return Err("it is no set".to_owned()) };
    let inside = |other: &Cell| {
        other != cell
            && other.check == cell.check
            && other.axes == cell.axes
            && !matches!(other.subject, Subject::Alone(_))
            && other.subject.parties().into_iter().all(|party| set.contains(party))
    };
    let others: Vec<&Cell> = truth.now.verdicts.keys().filter(|other| inside(other)).collect();
    ensure(!others.is_empty(), || "nothing is known of them".to_owned())?;
    match others.into_iter().find(|other| !truth.passes(other)) {
        Some(other) => Err(format!("{other} does not pass")),
        None => Ok(rest),
    }
}

fn explained<'t>(truth: &Truth<'_>, verdict: &Verdict, text: &'t str) -> Result<&'t str, String> {
    let mut rest = text;
    for one in &verdict.explained {
        let pattern = match &one.by {
            Explanation::Cell { cell } => {
                let word = truth.kind(cell).map_or(String::new(), |kind| format!(" ({})", kind.word()));
                format!(", which another cell explains: {cell}{word}.")
            }
            Explanation::Noise { failed, networks } => {
                let networks = if *networks < 1000 {
                    networks.to_string()
                } else {
                    format!("{},{:03}", networks / 1000, networks % 1000)
                };
                format!(
                    ", which is within the check's own noise: of what works, {failed} of {networks} networks failed once."
                )
            }
        };
        let (said, after) = take(&format!(r"\.? It also failed in {N} {NETWORKS}"), rest)
            .and_then(|(said, after)| Some((said, after.strip_prefix(&pattern)?)))
            .ok_or_else(|| format!("{rest:?} does not say {one:?}"))?;
        equal("networks", &said[0], one.networks)?;
        rest = after;
    }
    Ok(rest)
}

fn untested<'t>(truth: &Truth<'_>, cell: &Cell, verdict: &Verdict, text: &'t str) -> Result<&'t str, String> {
    let VerdictKind::Untested(why) = &verdict.kind else { return Err(format!("{text:?} is not understood")) };
    let reason = match truth.now.end {
        SweepEnd::Completed => None,
        SweepEnd::Interrupted => Some("the sweep was interrupted"),
        SweepEnd::Unfinished => Some("the sweep has not ended or was interrupted"),
        SweepEnd::Budget => Some("the sweep's budget was spent"),
        SweepEnd::Limit => Some("the sweep's time limit passed"),
    };
    let because = reason.map(|reason| format!(", because {reason}")).unwrap_or_default();
    let plural = |n: u32| format!("{n} network{}", if n == 1 { "" } else { "s" });
    let expect = match why {
        Untested::Blocked { by } if truth.kind(by).is_some_and(|kind| fails(kind) && kind.word() != "unbuilt") => {
            format!("It cannot be tried while this fails: {by}")
        }
        Untested::Blocked { by } => format!("It cannot be tried before this works: {by}"),
        Untested::Unbuilt { by } => format!("It cannot be tried without an image: {by}"),
        Untested::NotSeated => "The topology has no seats for it.".to_owned(),
        Untested::NotAsked => return Err("it is not shown".to_owned()),
        Untested::Exhausted => {
            "It was asked in as many networks as `[limits] attempts` allows, and none of them gave an answer."
                .to_owned()
        }
        Untested::Suspected { networks } => {
            format!("Suspected, failed in {}: what is to blame is not established{because}.", plural(*networks))
        }
        Untested::Pending => {
            let seen = verdict.counts.passed + verdict.counts.failed + verdict.counts.mixed;
            let infrastructure = truth.now.attempts.iter().filter(|attempt| {
                attempt.end != skew_core::model::End::Completed && attempt.network.asks.contains(cell)
            });
            let infrastructure = infrastructure.count() as u32;
            let tried = if seen == 0 {
                "It was not tried".to_owned()
            } else {
                format!("It is not settled by {}", plural(seen))
            };
            match (infrastructure, reason) {
                (0, None) if seen == 0 => "It was asked, and no network has tried it yet.".to_owned(),
                (0, _) => format!("{tried}{because}."),
                (n, _) => format!("{tried}, because the infrastructure failed {} that asked it.", plural(n)),
            }
        }
    };
    text.strip_prefix(&expect).ok_or_else(|| format!("{expect:?} is so"))
}

//! What a verdict says of its cell, in whole sentences. Each claim about another cell is looked up before it is made.

use skew_core::model::{Cell, Counts, Explanation, Party, Subject, Untested, Verdict, VerdictKind};
use skew_core::text::{count, thousands};
use skew_core::verdict::{at_least, excluded_rate, interval};

use super::end::SweepEnd;
use super::facts::{CheckFacts, Facts, is_wrong_check};
use super::text::clean;
use super::words::{Word, list, percent, point};

/// Characters of what was seen.
const DETAIL: usize = 500;

/// What a verdict says, in whole sentences.
pub(super) fn sentence(cell: &Cell, verdict: &Verdict, facts: &Facts<'_>) -> String {
    let mut text = match &verdict.kind {
        VerdictKind::Pass => passes(verdict),
        VerdictKind::Fail => fails(cell, &verdict.counts),
        VerdictKind::Flaky { charged } => flaky(cell, &verdict.counts, charged.as_ref(), facts),
        VerdictKind::Interference => interferes(cell, &verdict.counts, facts),
        VerdictKind::Broken { party } => broken(cell, &verdict.counts, party, facts),
        VerdictKind::Unbuilt { detail } => format!("The image could not be built: {}", clean(detail, DETAIL)),
        VerdictKind::Unsupported => match cell.subject.parties().len() {
            1 => "The check does not exist at this version.".to_owned(),
            _ => "The check does not exist at one of these versions.".to_owned(),
        },
        VerdictKind::Error { .. } if is_wrong_check(&verdict.kind) => wrong_check(cell, verdict, facts),
        VerdictKind::Error { detail, .. } => format!(
            "An error left it without an answer, which says nothing about these versions: {}",
            clean(detail, DETAIL)
        ),
        VerdictKind::Untested(why) => untested(cell, verdict, why, facts),
    };
    explained(&mut text, verdict, facts);
    if verdict.kind.is_failure() {
        let works = works_elsewhere(cell, facts);
        if !works.is_empty() {
            text.push_str(&format!(" With {} it works.", list(&works)));
        }
    }
    text
}

/// The values of the axes at which the same passes.
fn works_elsewhere(cell: &Cell, facts: &Facts<'_>) -> Vec<String> {
    let passes = facts.elsewhere(cell).into_iter().filter(|(_, verdict)| verdict.kind == VerdictKind::Pass);
    passes.map(|(axes, _)| point(axes)).collect()
}

/// The failure rate above which a pass excludes all rates, at 95 % confidence; none of what was not counted.
pub(super) fn excludes(verdict: &Verdict) -> Option<f64> {
    let Counts { passed, failed, mixed, .. } = verdict.counts;
    // Noise is a failure that is not charged to the cell, and a failure all the same.
    let noise = verdict.explained.iter().filter(|explained| matches!(explained.by, Explanation::Noise { .. }));
    let failures = failed + mixed + noise.map(|explained| explained.networks).sum::<u32>();
    match (passed, failures) {
        _ if verdict.kind != VerdictKind::Pass => None,
        (0, 0) => None,
        (passed, 0) => Some(excluded_rate(passed)),
        (passed, failures) => Some(interval(failures, passed + failures).1),
    }
}

fn passes(verdict: &Verdict) -> String {
    let Counts { passed, failed, mixed, oks, .. } = verdict.counts;
    let Some(excluded) = excludes(verdict) else { return "It works.".to_owned() };
    let networks = passed + failed + mixed;
    let often = match networks {
        _ if !verdict.explained.is_empty() => count(passed, "network"),
        1 if passed == 1 => "the one network that tried it".to_owned(),
        n if n == passed => format!("all {} networks that tried it", thousands(n)),
        n => format!("{} of {} that tried it", thousands(passed), count(n, "network")),
    };
    let mut text = format!(
        "It worked in {often} ({}). At 95 % confidence that excludes a failure rate above {}.",
        count(oks, "observation"),
        percent(excluded),
    );
    if failed + mixed > 0 {
        text.push_str(&format!(" Its failures in {} are not explained.", count(failed + mixed, "network")));
    }
    text
}

/// `It failed in 2 of 2 networks, 1 in isolation, and never worked there: it fails at least 13 % of the time.`
fn fails(cell: &Cell, counts: &Counts) -> String {
    let Counts { passed, failed, mixed, passed_isolated, failed_isolated, .. } = *counts;
    let networks = passed + failed + mixed;
    let (it, they_fail) = match cell.subject {
        Subject::Set(_) => ("Together they", "they fail"),
        Subject::Alone(_) | Subject::Ordered(..) | Subject::Symmetric(..) => ("It", "it fails"),
    };
    if networks == 0 {
        return format!("{it} failed.");
    }
    let mut text = format!("{it} failed in {} of {}", thousands(failed + mixed), count(networks, "network"));
    if failed_isolated > 0 {
        text.push_str(&format!(", {} in isolation", thousands(failed_isolated)));
        match (passed_isolated, mixed) {
            (0, 0) => text.push_str(", and never worked there"),
            (0, _) => {}
            (n, _) => text.push_str(&format!(", and worked in {} there", thousands(n))),
        }
    }
    text.push_str(&proof(they_fail, counts));
    text
}

/// `: it fails at least 13 % of the time.`
fn proof(they_fail: &str, counts: &Counts) -> String {
    let failed = counts.failed + counts.mixed;
    let proven = at_least(failed, counts.passed + failed);
    if failed == 0 { ".".to_owned() } else { format!(": {they_fail} at least {} of the time.", percent(proven)) }
}

/// How often something both works and fails: networks, single observations, and the share of networks.
fn flaky(cell: &Cell, counts: &Counts, charged: Option<&Party>, facts: &Facts<'_>) -> String {
    let it = if let Subject::Set(_) = cell.subject { "Together they" } else { "It" };
    let mut text = match often(counts) {
        Some(often) => format!("{it} {often}."),
        None => format!("{it} worked and failed."),
    };
    let failed = counts.failed + counts.mixed;
    let networks = counts.passed + failed;
    if networks > 0 {
        let (low, high) = interval(failed, networks);
        text.push_str(&format!(
            " A failure was seen in {} of the networks (95 % interval: {} to {}).",
            percent(f64::from(failed) / f64::from(networks)),
            percent(low),
            percent(high),
        ));
    }
    if let Some(party) = charged {
        text.push_str(&format!(" It is charged to {party}"));
        if let Some((own, verdict)) = facts.flakes_with_itself(cell, party).filter(|(own, _)| *own != cell)
            && let Some(often) = often(&verdict.counts)
        {
            text.push_str(&format!(", which {often} with itself ({own})"));
        }
        text.push('.');
    }
    text
}

/// `worked in 3, failed in 1, and both worked and failed in 6 of 10 networks (40 of 80 observations failed)`.
fn often(counts: &Counts) -> Option<String> {
    let Counts { passed, failed, mixed, oks, failures, .. } = *counts;
    let networks = passed + failed + mixed;
    let parts: Vec<String> = [("worked in", passed), ("failed in", failed), ("both worked and failed in", mixed)]
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(verb, n)| format!("{verb} {}", thousands(n)))
        .collect();
    (networks > 0).then(|| {
        let observations = count(oks + failures, "observation");
        format!("{} of {} ({} of {observations} failed)", list(&parts), count(networks, "network"), thousands(failures))
    })
}

fn interferes(cell: &Cell, counts: &Counts, facts: &Facts<'_>) -> String {
    let mut text = fails(cell, counts);
    if facts.smaller_sets_pass(cell) == Some(true) {
        text.push_str(" Every pair of them works, and no smaller set of them was seen to fail.");
    }
    text
}

fn broken(cell: &Cell, counts: &Counts, party: &Party, facts: &Facts<'_>) -> String {
    let mut text = if facts.fails_with_itself(cell, party) {
        format!("{party} is broken: it fails this check in a network of only its own version.")
    } else {
        format!("The failure is charged to {party}, which is broken.")
    };
    let failed = counts.failed + counts.mixed;
    let networks = counts.passed + failed;
    if networks > 0 {
        text.push_str(&format!(" Here it failed in {} of {}.", thousands(failed), count(networks, "network")));
    }
    text
}

/// `The check `pay` has passed nowhere: it failed in all 25 cells that it was asked in. It is likeliest wrong itself.`
pub(super) fn passed_nowhere(check: &str, facts: CheckFacts) -> String {
    let CheckFacts { asked, wrong, passed } = facts;
    let cells = match (wrong == asked, asked) {
        (true, 1) => "the one cell that it was asked in".to_owned(),
        (true, n) => format!("all {} that it was asked in", count(n, "cell")),
        (false, n) => format!("{} of {} that it was asked in", thousands(wrong), count(n, "cell")),
    };
    if passed {
        format!("The check `{check}` is likeliest wrong itself: it failed in {cells}.")
    } else {
        format!("The check `{check}` has passed nowhere: it failed in {cells}. It is likeliest wrong itself.")
    }
}

fn wrong_check(cell: &Cell, verdict: &Verdict, facts: &Facts<'_>) -> String {
    let failed = verdict.counts.failed + verdict.counts.mixed;
    let networks = verdict.counts.passed + failed;
    let mut text = match networks {
        0 => String::new(),
        n => format!("It failed in {} of {}. ", thousands(failed), count(n, "network")),
    };
    text.push_str(&passed_nowhere(cell.check.as_str(), facts.check(&cell.check)));
    text.push_str(" This says nothing about these versions.");
    text
}

fn untested(cell: &Cell, verdict: &Verdict, why: &Untested, facts: &Facts<'_>) -> String {
    match why {
        Untested::Blocked { by } if facts.verdict(by).is_some_and(|verdict| verdict.kind.is_failure()) => {
            format!("It cannot be tried while this fails: {by}")
        }
        Untested::Blocked { by } => format!("It cannot be tried before this works: {by}"),
        Untested::Unbuilt { by } => format!("It cannot be tried without an image: {by}"),
        Untested::NotSeated => "The topology has no seats for it.".to_owned(),
        Untested::NotAsked => "It was not asked.".to_owned(),
        Untested::Pending => pending(cell, verdict, facts),
        Untested::Suspected { networks } => {
            let because = match because(facts.end) {
                Some(reason) => format!(", because {reason}"),
                None => String::new(),
            };
            format!(
                "Suspected, failed in {}: what is to blame is not established{because}.",
                count(*networks, "network")
            )
        }
        Untested::Exhausted => {
            "It was asked in as many networks as `[limits] attempts` allows, and none of them gave an answer."
                .to_owned()
        }
    }
}

fn pending(cell: &Cell, verdict: &Verdict, facts: &Facts<'_>) -> String {
    let counts = verdict.counts;
    let seen = counts.passed + counts.failed + counts.mixed;
    let tried = match seen {
        0 => "It was not tried".to_owned(),
        n => format!("It is not settled by {}", count(n, "network")),
    };
    match (facts.failed_by_infrastructure(cell), because(facts.end)) {
        (0, Some(reason)) => format!("{tried}, because {reason}."),
        (0, None) if seen == 0 => "It was asked, and no network has tried it yet.".to_owned(),
        (0, None) => format!("{tried}."),
        (n, _) => format!("{tried}, because the infrastructure failed {} that asked it.", count(n, "network")),
    }
}

/// Why a sweep left something without an answer.
pub(super) fn because(end: SweepEnd) -> Option<&'static str> {
    match end {
        SweepEnd::Completed => None,
        SweepEnd::Interrupted => Some("the sweep was interrupted"),
        SweepEnd::Unfinished => Some("the sweep has not ended or was interrupted"),
        SweepEnd::Budget => Some("the sweep's budget was spent"),
        SweepEnd::Limit => Some("the sweep's time limit passed"),
    }
}

/// Failures that are not charged to the cell, each with what explains it.
fn explained(text: &mut String, verdict: &Verdict, facts: &Facts<'_>) {
    for explained in &verdict.explained {
        if !text.ends_with('.') {
            text.push('.');
        }
        let failed = format!(" It also failed in {}", count(explained.networks, "network"));
        match &explained.by {
            Explanation::Cell { cell } => {
                let word = facts.verdict(cell).map(|verdict| Word::of(&verdict.kind).text());
                let which = word.map(|word| format!(" ({word})")).unwrap_or_default();
                text.push_str(&format!("{failed}, which another cell explains: {cell}{which}."));
            }
            Explanation::Noise { failed: noise, networks } => text.push_str(&format!(
                "{failed}, which is within the check's own noise: of what works, {} of {} failed once.",
                thousands(*noise),
                count(*networks, "network")
            )),
        }
    }
}

//! Verdicts in words, and the numbers that belong to them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skew_core::model::{Counts, Fault, Outcome, Reason, Untested, Verdict, VerdictKind};
use skew_core::verdict::{excluded_rate, interval};

use super::text::clean;

/// A verdict's word, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Failed at least twice, at least once in isolation, and never passed there.
    Fail,
    /// A role at a version fails the check with itself.
    Broken,
    /// A set that fails together though its pairs pass.
    Interference,
    /// Works and fails.
    Flaky,
    /// The image could not be built.
    Unbuilt,
    /// The harness or its infrastructure failed.
    Error,
    /// No evidence.
    Untested,
    /// The check does not exist at a version.
    Unsupported,
    /// Observed working.
    Pass,
}

impl Word {
    /// Every word, the worst first.
    pub const ALL: [Self; 9] = [
        Self::Fail,
        Self::Broken,
        Self::Interference,
        Self::Flaky,
        Self::Unbuilt,
        Self::Error,
        Self::Untested,
        Self::Unsupported,
        Self::Pass,
    ];

    /// The word of a verdict.
    pub fn of(kind: &VerdictKind) -> Self {
        match kind {
            VerdictKind::Pass => Self::Pass,
            VerdictKind::Fail => Self::Fail,
            VerdictKind::Flaky { .. } => Self::Flaky,
            VerdictKind::Interference => Self::Interference,
            VerdictKind::Broken { .. } => Self::Broken,
            VerdictKind::Unbuilt { .. } => Self::Unbuilt,
            VerdictKind::Unsupported => Self::Unsupported,
            VerdictKind::Error { .. } => Self::Error,
            VerdictKind::Untested(_) => Self::Untested,
        }
    }

    /// The word itself.
    pub fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Flaky => "flaky",
            Self::Interference => "interference",
            Self::Broken => "broken",
            Self::Unbuilt => "unbuilt",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
            Self::Untested => "untested",
        }
    }

    /// One character for it, told apart by its shape.
    pub fn glyph(self) -> char {
        match self {
            Self::Pass => '✓',
            Self::Fail => '✗',
            Self::Flaky => '~',
            Self::Interference => '⋈',
            Self::Broken => 'B',
            Self::Unbuilt => 'U',
            Self::Unsupported => '–',
            Self::Error => 'E',
            Self::Untested => '?',
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// How a cell stands to what was expected of it, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Something does not work, and nobody said that it would not.
    Wrong,
    /// A known failure that no longer fails.
    UnexpectedPass,
    /// It was asked, and nothing could be told.
    Unknown,
    /// A known failure that fails.
    Known,
    /// Nothing is wrong with it.
    Fine,
}

impl Standing {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Wrong => "not as expected",
            Self::UnexpectedPass => "unexpected pass",
            Self::Unknown => "could not be settled",
            Self::Known => "known failure",
            Self::Fine => "as expected",
        }
    }
}

/// A rate as a percentage that never says 0 or 100 of what is neither.
pub(super) fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    if percent > 0.0 && percent < 1.0 {
        format!("{percent:.1} %")
    } else if percent < 100.0 && percent > 99.0 {
        format!("{:.1} %", percent.min(99.9))
    } else {
        format!("{percent:.0} %")
    }
}

/// `1 network`, `2 networks`.
pub(super) fn count(n: u32, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// `12,345`.
pub(super) fn thousands(n: u32) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a verdict says, in whole sentences.
pub(super) fn sentence(verdict: &Verdict) -> String {
    let Counts { passed, failed, mixed, passed_isolated, failed_isolated, oks, .. } = verdict.counts;
    let networks = passed + failed + mixed;
    match &verdict.kind {
        VerdictKind::Pass if passed == 0 => "It works.".to_owned(),
        VerdictKind::Pass => {
            let often = match networks {
                1 => "the one network that tried it".to_owned(),
                n if n == passed => format!("all {} networks that tried it", thousands(n)),
                n => format!("{} of {} networks that tried it", thousands(passed), thousands(n)),
            };
            // A failure that nobody else explains is no pass.
            let others = match networks - passed {
                0 => "",
                1 => " In the other one it failed because of somebody else who was there.",
                _ => " In the others it failed because of somebody else who was there.",
            };
            format!(
                "It worked in {often} ({}). At 95 % confidence that excludes a failure rate above {}.{others}",
                count(oks, "observation"),
                percent(excluded_rate(passed)),
            )
        }
        VerdictKind::Fail => format!(
            "It failed in {} of {}, {} in isolation, and {} there.",
            thousands(failed),
            count(networks, "network"),
            match failed_isolated {
                0 => "never".to_owned(),
                n => thousands(n),
            },
            match passed_isolated {
                0 => "never worked".to_owned(),
                n => format!("worked {}", count(n, "time")),
            },
        ),
        VerdictKind::Flaky { charged } => {
            let (low, high) = interval(failed + mixed, networks);
            let rate = f64::from(failed + mixed) / f64::from(networks.max(1));
            let mut text = format!(
                "It worked in {} and failed in {} of {}: a failure rate of {} (95 % interval: {} to {}).",
                thousands(passed + mixed),
                thousands(failed + mixed),
                count(networks, "network"),
                percent(rate),
                percent(low),
                percent(high),
            );
            if let Some(party) = charged {
                text.push_str(&format!(" It is charged to {party}, which fails as often with itself."));
            }
            text
        }
        VerdictKind::Interference => format!(
            "It fails when all of these run together, although every pair of them works: {} of {} failed. No smaller set \
             of them fails.",
            thousands(failed + mixed),
            count(networks, "network"),
        ),
        VerdictKind::Broken { party } => {
            let seen = match networks {
                0 => String::new(),
                n => format!(" Here it failed in {} of {}.", thousands(failed + mixed), count(n, "network")),
            };
            format!("{party} fails this check with itself, so nothing else is to blame.{seen}")
        }
        VerdictKind::Unbuilt { detail } => {
            format!("The image could not be built: {}", clean(detail, 500))
        }
        VerdictKind::Unsupported => "The check does not exist at one of these versions.".to_owned(),
        VerdictKind::Error { detail, .. } => format!(
            "The harness or its infrastructure failed, which says nothing about these versions: {}",
            clean(detail, 500)
        ),
        VerdictKind::Untested(why) => match why {
            Untested::Blocked { by } => format!("It cannot be tried while this fails: {by}"),
            Untested::Unbuilt { by } => format!("It cannot be tried without an image: {by}"),
            Untested::NotSeated => "The topology has no seats for it.".to_owned(),
            Untested::NotAsked => "The strategy does not ask it.".to_owned(),
            Untested::Pending => "It was not tried yet: the sweep ended before its turn.".to_owned(),
            Untested::Suspected { networks } => {
                format!("It failed in {}, and what is to blame is not established.", count(*networks, "network"))
            }
            Untested::Exhausted => "It was tried as often as the bounds allow, and nothing could be told.".to_owned(),
        },
    }
}

/// Why a network ran.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Cover => "to try cells that were open".to_owned(),
        Reason::Isolate { cell } => format!("in isolation, for {cell}"),
        Reason::Alone { party } => format!("to see whether {party} works at all"),
        Reason::Rerun { of } => format!("to repeat {of} unchanged"),
        Reason::Reduce { of } => format!("to find the smallest set in {of} that fails"),
        Reason::Asked => "because a person asked for it".to_owned(),
    }
}

/// What of the infrastructure failed.
pub(super) fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Memory => "the host ran out of memory",
        Fault::Disk => "the host's disk is full",
        Fault::Port => "a port or address was taken",
        Fault::Image => "an image could not be had",
        Fault::Deadline => "the deadline passed",
        Fault::Overload => "a time limit passed",
        Fault::Room => "there was no room for it",
        Fault::Backend => "the backend failed",
    }
}

/// Whether an outcome is worth showing first.
pub(super) fn is_trouble(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failed | Outcome::Error | Outcome::Missing => true,
        Outcome::Ok | Outcome::Unsupported | Outcome::Blocked => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::{ErrorSource, Party};

    fn verdict(kind: VerdictKind, passed: u32, failed: u32, mixed: u32) -> Verdict {
        let counts = Counts {
            passed,
            failed,
            mixed,
            passed_isolated: 0,
            failed_isolated: failed.min(1),
            oks: passed * 4,
            failures: failed,
        };
        Verdict { counts, ..Verdict::bare(kind) }
    }

    #[test]
    fn percentages_never_claim_certainty() {
        for (rate, expect) in
            [(0.0, "0 %"), (0.004, "0.4 %"), (0.25, "25 %"), (0.995, "99.5 %"), (0.9999, "99.9 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(rate), expect);
        }
        for (n, expect) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), expect);
        }
    }

    #[test]
    fn every_verdict_has_its_sentence() {
        let party: Party = match "pay: notary@v3".parse::<skew_core::model::Cell>().unwrap().subject {
            skew_core::model::Subject::Alone(party) => party,
            other => panic!("{other}"),
        };
        let cell = "ready: node@v2".parse().unwrap();
        let check = |kind, passed, failed, mixed, expect: &str| {
            assert_eq!(sentence(&verdict(kind, passed, failed, mixed)), expect);
        };
        check(
            VerdictKind::Pass,
            1,
            0,
            0,
            "It worked in the one network that tried it (4 observations). At 95 % confidence that excludes a failure rate above 95 %.",
        );
        check(
            VerdictKind::Pass,
            3,
            0,
            0,
            "It worked in all 3 networks that tried it (12 observations). At 95 % confidence that excludes a failure rate above 63 %.",
        );
        check(
            VerdictKind::Pass,
            3,
            1,
            0,
            "It worked in 3 of 4 networks that tried it (12 observations). At 95 % confidence that excludes a failure rate above 63 %. In the other one it failed because of somebody else who was there.",
        );
        check(VerdictKind::Pass, 0, 0, 0, "It works.");
        check(VerdictKind::Fail, 0, 2, 0, "It failed in 2 of 2 networks, 1 in isolation, and never worked there.");
        check(
            VerdictKind::Flaky { charged: None },
            3,
            0,
            1,
            "It worked in 4 and failed in 1 of 4 networks: a failure rate of 25 % (95 % interval: 5 % to 70 %).",
        );
        check(
            VerdictKind::Flaky { charged: Some(party.clone()) },
            1,
            1,
            0,
            "It worked in 1 and failed in 1 of 2 networks: a failure rate of 50 % (95 % interval: 9 % to 91 %). It is \
             charged to notary@v3, which fails as often with itself.",
        );
        check(
            VerdictKind::Interference,
            0,
            2,
            0,
            "It fails when all of these run together, although every pair of them works: 2 of 2 networks failed. No \
             smaller set of them fails.",
        );
        check(
            VerdictKind::Broken { party },
            0,
            1,
            0,
            "notary@v3 fails this check with itself, so nothing else is to blame. Here it failed in 1 of 1 network.",
        );
        check(
            VerdictKind::Unbuilt { detail: "cc: \u{1b}[31mno".to_owned() },
            0,
            0,
            0,
            "The image could not be built: cc: ␛[31mno",
        );
        check(VerdictKind::Unsupported, 0, 0, 0, "The check does not exist at one of these versions.");
        check(
            VerdictKind::Error { detail: "disk full".to_owned(), source: ErrorSource::Infrastructure },
            0,
            0,
            0,
            "The harness or its infrastructure failed, which says nothing about these versions: disk full",
        );
        let untested = VerdictKind::Untested;
        check(untested(Untested::Blocked { by: cell }), 0, 0, 0, "It cannot be tried while this fails: ready: node@v2");
        check(untested(Untested::NotSeated), 0, 0, 0, "The topology has no seats for it.");
    }
}

//! Verdicts in words, and the numbers that belong to them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skew_core::model::{AxisPoint, Fault, Outcome, Reason, Untested, VerdictKind};
use skew_core::verdict::excluded_rate;

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

/// Why nothing is known about a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UntestedReason {
    /// Another cell fails, and this one cannot be tried without it.
    Blocked,
    /// An image it needs could not be built.
    Unbuilt,
    /// The topology has no seats for it.
    NotSeated,
    /// The strategy does not ask it.
    NotAsked,
    /// It was asked, and has not run yet.
    Pending,
    /// It was tried as often as the bounds allow.
    Exhausted,
    /// It failed, and what is to blame is not established.
    Suspected,
}

impl UntestedReason {
    pub(super) fn of(why: &Untested) -> Self {
        match why {
            Untested::Blocked { .. } => Self::Blocked,
            Untested::Unbuilt { .. } => Self::Unbuilt,
            Untested::NotSeated => Self::NotSeated,
            Untested::NotAsked => Self::NotAsked,
            Untested::Pending => Self::Pending,
            Untested::Exhausted => Self::Exhausted,
            Untested::Suspected { .. } => Self::Suspected,
        }
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

    /// In words, for a cell: nothing is expected of what was not asked, and of what another cell explains only that one.
    pub fn of_cell(self, verdict: Word, asked: bool) -> &'static str {
        match (self, verdict) {
            (Self::Fine, _) if !asked => "not asked",
            (Self::Fine, Word::Untested) => "explained by another cell",
            _ => self.text(),
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

/// How many networks stand behind a pass, to go beside its glyph: one network is no fifty.
pub(super) fn weight(verdict: Word, networks: u32) -> String {
    match (verdict, networks) {
        (Word::Pass, 1..100) => networks.to_string(),
        (Word::Pass, 100..) => "99+".to_owned(),
        (_, _) => String::new(),
    }
}

/// What the number beside a pass says.
pub(super) fn weights() -> String {
    let rates: Vec<String> = [1, 5, 29, 99]
        .into_iter()
        .map(|networks| format!("{networks} above {}", percent(excluded_rate(networks))))
        .collect();
    format!(
        "the number beside ✓: networks that worked; at 95 % confidence these exclude failure rates: {}",
        rates.join(", ")
    )
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(words: &[impl AsRef<str>]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Values of axes as cells have them: `[database=h2, tls=on]`.
pub(super) fn point(axes: &AxisPoint) -> String {
    let values: Vec<String> = axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
    format!("[{}]", values.join(", "))
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

    #[test]
    fn percentages_never_claim_certainty() {
        for (rate, expect) in
            [(0.0, "0 %"), (0.004, "0.4 %"), (0.25, "25 %"), (0.995, "99.5 %"), (0.9999, "99.9 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(rate), expect);
        }
    }
}

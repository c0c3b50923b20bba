//! One stable line for an event.

use skew_core::event::{BuildEnd, Event, PushEnd};
use skew_core::model::{NetworkPlan, Reason, VerdictKind};
use skew_core::text::{count, duration_ms, shorten};

/// The longest text from outside that is shown in one line, in characters.
pub(super) const LONGEST: usize = 300;

/// Text from outside, fit for a terminal: one line of at most so many characters, its control characters visible.
pub fn escape(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for c in shorten(text, longest).chars() {
        if c == '\n' {
            shown.push(' ');
        } else if c.is_control() || is_bidi_control(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that reorder what is shown: a log line must not be able to dress up as another.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The line for an event; none for the small ones unless `verbose`.
pub fn line(event: &Event, verbose: bool) -> Option<String> {
    Some(match event {
        Event::SweepStarted { id, seed, cells, open } => {
            format!("sweep {id}: {}, {open} open, seed {seed}", count(*cells as u64, "cell"))
        }
        Event::Note(text) => format!("note: {}", escape(text, LONGEST)),
        Event::Said { who, line } => format!("{who}: {}", escape(line, LONGEST)),
        Event::BuildStarted { role, version } if verbose => format!("build {role}@{version}: started"),
        Event::BuildStarted { .. } => return None,
        Event::BuildEnded { role, version, how, ms } => match how {
            BuildEnd::Built => format!("build {role}@{version}: built in {}", duration_ms(*ms)),
            BuildEnd::Reused if verbose => format!("build {role}@{version}: there already"),
            BuildEnd::Reused => return None,
            BuildEnd::Pulled => format!("build {role}@{version}: pulled in {}", duration_ms(*ms)),
            BuildEnd::Unbuilt(why) => format!("build {role}@{version}: unbuilt: {}", escape(why, LONGEST)),
            BuildEnd::Error(why) => format!("build {role}@{version}: error: {}", escape(why, LONGEST)),
        },
        Event::PushEnded { image, how, ms } => match how {
            PushEnd::Pushed { bytes } => {
                format!("push {image}: {} sent in {}", count(*bytes, "byte"), duration_ms(*ms))
            }
            PushEnd::Unchanged if verbose => format!("push {image}: there already"),
            PushEnd::Unchanged => return None,
            PushEnd::Error(why) => format!("push {image}: error: {}", escape(why, LONGEST)),
        },
        Event::NetworkStarted { plan, ordinal } => {
            format!("network {ordinal}: started {} ({})", seats(plan), reason(&plan.reason))
        }
        Event::NodeReady { ordinal, node } if verbose => format!("network {ordinal}: {node} is ready"),
        Event::NodeReady { .. } => return None,
        Event::NetworkEnded { ordinal, failures, observations, error, ms } => {
            let mut text = format!(
                "network {ordinal}: {}, {failures} failed, in {}",
                count(*observations as u64, "observation"),
                duration_ms(*ms)
            );
            if let Some(error) = error {
                text.push_str("; infrastructure: ");
                text.push_str(&escape(error, LONGEST));
            }
            text
        }
        Event::NetworkPutBack { ordinal, why } if verbose => {
            format!("network {ordinal}: put back: {}", escape(why, LONGEST))
        }
        Event::NetworkPutBack { .. } => return None,
        Event::Decided { verdict, .. } if verdict.kind == VerdictKind::Pass && !verbose => return None,
        Event::Decided { cell, verdict, open } => {
            format!("{} {cell}{} ({open} open)", verdict.kind, detail(&verdict.kind))
        }
        Event::Stopping(why) => format!("stopping: {}", escape(why, LONGEST)),
        Event::SweepEnded { networks, built, ms } => {
            let (networks, built) = (count(*networks as u64, "network"), count(*built as u64, "image"));
            format!("sweep ended: {networks} run, {built} built, in {}", duration_ms(*ms))
        }
    })
}

fn detail(kind: &VerdictKind) -> String {
    match kind {
        VerdictKind::Broken { party } => format!(" ({party} is broken)"),
        VerdictKind::Flaky { charged: Some(party) } => format!(" (charged to {party})"),
        VerdictKind::Unbuilt { detail } | VerdictKind::Error { detail, .. } => format!(": {}", escape(detail, LONGEST)),
        VerdictKind::Pass
        | VerdictKind::Fail
        | VerdictKind::Flaky { charged: None }
        | VerdictKind::Interference
        | VerdictKind::Unsupported
        | VerdictKind::Untested(_) => String::new(),
    }
}

/// Why a network is there, in a few words.
pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Cover => "cover".to_owned(),
        Reason::Isolate { cell } => format!("isolate {cell}"),
        Reason::Alone { party } => format!("alone: {party}"),
        Reason::Rerun { of } => format!("rerun of {of}"),
        Reason::Reduce { of } => format!("reduce {of}"),
        Reason::Asked => "asked".to_owned(),
    }
}

/// The seats of a network, role by role: `doorman v1, node v1 v2`.
pub fn seats(plan: &NetworkPlan) -> String {
    let mut text = String::new();
    let mut role = None;
    for seat in &plan.seats {
        if role != Some(&seat.party.role) {
            if role.is_some() {
                text.push_str(", ");
            }
            role = Some(&seat.party.role);
            text.push_str(seat.party.role.as_str());
        }
        text.push(' ');
        text.push_str(seat.party.version.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::{RoleName, SweepId, VersionId};

    fn check(event: &Event, plain: Option<&str>, verbose: Option<&str>) {
        assert_eq!(line(event, false).as_deref(), plain);
        assert_eq!(line(event, true).as_deref(), verbose);
    }

    #[test]
    fn events_have_stable_lines() {
        let role = RoleName::new("node").unwrap();
        let version = VersionId::new("v1");
        let one = Event::SweepStarted { id: SweepId("s".into()), seed: 7, cells: 1, open: 1 };
        check(&one, Some("sweep s: 1 cell, 1 open, seed 7"), Some("sweep s: 1 cell, 1 open, seed 7"));
        let started = Event::SweepStarted { id: SweepId("s".into()), seed: 7, cells: 3, open: 2 };
        let text = "sweep s: 3 cells, 2 open, seed 7";
        check(&started, Some(text), Some(text));
        let build = Event::BuildStarted { role: role.clone(), version: version.clone() };
        check(&build, None, Some("build node@v1: started"));
        let unbuilt = BuildEnd::Unbuilt("exit 1\u{1b}[31m\nx".into());
        let ended = Event::BuildEnded { role, version, how: unbuilt, ms: 12_345 };
        let text = "build node@v1: unbuilt: exit 1\\u{1b}[31m x";
        check(&ended, Some(text), Some(text));
        let over = Event::SweepEnded { networks: 2, built: 1, ms: 61_000 };
        let text = "sweep ended: 2 networks run, 1 image built, in 1 min 1 s";
        check(&over, Some(text), Some(text));
    }

    #[test]
    fn text_from_outside_is_bounded_and_cannot_move_the_cursor() {
        assert_eq!(escape("a\u{202e}b\u{7}", LONGEST), "a\\u{202e}b\\u{7}");
        assert_eq!(escape(&"x".repeat(1000), LONGEST).chars().count(), LONGEST + 1);
    }
}

//! Names for sweeps and attempts, and which recorded attempts may still be believed.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skew_core::model::{Attempt, AttemptId, BuildRecord, BuildResult, SweepId, SweepRecord};
use skew_core::verdict;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A seed for somebody who gave none; short enough to be typed.
pub fn random_seed() -> u64 {
    u64::from(rand::random::<u32>())
}

/// A new sweep's id: sortable by time, unique over machines.
pub fn sweep_id(now_ms: u64) -> SweepId {
    let time = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let time = time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y%m%dT%H%M%SZ");
    SweepId(format!("{time}-{:08x}", rand::random::<u32>()))
}

/// The id of a sweep's `ordinal`th attempt. The sweep's id is unique, so this one is.
pub fn attempt_id(sweep: &SweepId, ordinal: usize) -> AttemptId {
    AttemptId(format!("{sweep}-{ordinal:04}"))
}

/// Evidence that began before this time, in milliseconds since 1970, is not believed by a sweep that begins now. `sweeps`
/// are those before it.
///
/// `recheck` makes old evidence worthless. A `fresh` sweep believes only itself, and those before it that were the
/// same command and were interrupted: the same command resumes.
pub fn believed_since(sweeps: &[SweepRecord], this: &SweepRecord, fresh: bool, recheck: Option<Duration>) -> u64 {
    let oldest = recheck.map_or(0, |age| this.started_ms.saturating_sub(millis(age)));
    if !fresh {
        return oldest;
    }
    let mut same: Vec<&SweepRecord> =
        sweeps.iter().filter(|sweep| sweep.system == this.system && sweep.command == this.command).collect();
    same.sort_by_key(|sweep| (sweep.started_ms, sweep.id.clone()));
    let interrupted = same.iter().rev().take_while(|sweep| sweep.ended_ms.is_none());
    let begun = interrupted.last().map_or(this.started_ms, |sweep| sweep.started_ms);
    begun.max(oldest)
}

/// The sweep of a system that began last.
pub(super) fn last<'a>(sweeps: &'a [SweepRecord], system: &str) -> Option<&'a SweepRecord> {
    sweeps.iter().filter(|sweep| sweep.system == system).max_by_key(|sweep| (sweep.started_ms, &sweep.id))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The recorded builds that count for a sweep: what could not be built is tried again by a `fresh` one.
pub fn believed_builds(
    builds: impl IntoIterator<Item = BuildRecord>,
    fresh: bool,
) -> impl Iterator<Item = BuildRecord> {
    builds.into_iter().filter(move |build| !fresh || matches!(build.result, BuildResult::Built { .. }))
}

/// What is believed of the attempts of earlier sweeps: those that began since then, without what the harness failed.
pub fn believed(attempts: Vec<Attempt>, since_ms: u64) -> Vec<Attempt> {
    let recent = attempts.into_iter().filter(|attempt| attempt.started_ms >= since_ms);
    recent.filter_map(|attempt| verdict::carry_over(Cow::Owned(attempt))).map(Cow::into_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::Digest;

    fn sweep(id: &str, started_ms: u64, ended: bool, command: &str) -> SweepRecord {
        SweepRecord {
            id: SweepId(id.into()),
            system: "s".into(),
            started_ms,
            ended_ms: ended.then_some(started_ms + 1),
            seed: 0,
            command: vec![command.into()],
            versions: vec![],
            spec: Digest::of(b""),
            question: None,
            believed_since_ms: 0,
            cut_short: None,
        }
    }

    #[test]
    fn a_fresh_sweep_believes_what_it_resumes() {
        let this = sweep("this", 100, false, "fresh");
        let before = |list: &[SweepRecord]| believed_since(list, &this, true, None);
        assert_eq!(before(&[]), 100);
        assert_eq!(before(&[sweep("a", 10, true, "fresh"), sweep("b", 20, false, "fresh")]), 20);
        let twice = [sweep("a", 10, true, "fresh"), sweep("b", 20, false, "fresh"), sweep("c", 30, false, "fresh")];
        assert_eq!(before(&twice), 20);
        assert_eq!(before(&[sweep("a", 10, false, "other"), sweep("b", 20, true, "fresh")]), 100);
    }

    #[test]
    fn old_evidence_is_gathered_again() {
        let this = sweep("this", 10_000, false, "c");
        assert_eq!(believed_since(&[], &this, false, None), 0);
        assert_eq!(believed_since(&[], &this, false, Some(Duration::from_secs(4))), 6_000);
        assert_eq!(believed_since(&[], &this, true, Some(Duration::from_secs(4))), 10_000);
    }

    #[test]
    fn ids_sort_by_time() {
        let (early, late) = (sweep_id(1_000), sweep_id(2_000_000_000_000));
        assert!(early < late, "{early} {late}");
        assert!(early.to_string().starts_with("19700101T000001Z-"));
        assert_eq!(attempt_id(&SweepId("x".into()), 7).to_string(), "x-0007");
    }
}

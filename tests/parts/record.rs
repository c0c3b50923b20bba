//! Records survive what happens to disks and processes: real journal, real sled, real SIGKILL.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use skew::record::{Entry, Merged, Notice, Reader, RecordError, Store};
use skew_core::model::{
    Attempt, AttemptId, AxisPoint, BuildRecord, BuildResult, CommitId, Digest, End, LogRef, NetworkId, NetworkPlan,
    NodeName, Observation, Outcome, Reason, RoleName, SweepId, SweepRecord, VersionId,
};
use tempfile::TempDir;

fn attempt(n: u64) -> Attempt {
    Attempt {
        id: AttemptId(format!("attempt-{n}")),
        sweep: SweepId("20261121T031500Z-4f2a".to_owned()),
        network: NetworkPlan {
            id: NetworkId(format!("n{n}")),
            seats: Vec::new(),
            axes: AxisPoint::new(),
            asks: vec!["pay: node@v1 -> node@v2".parse().unwrap()],
            reason: Reason::Cover,
            seed: u64::MAX - n,
        },
        frame: Digest::of(b"frame"),
        checks: BTreeMap::new(),
        started_ms: 1_790_000_000_000 + n,
        duration_ms: 1234,
        end: End::Completed,
        observations: vec![Observation {
            check: "pay".parse().unwrap(),
            from: None,
            to: None,
            via: Vec::new(),
            reporter: None,
            result: Outcome::Failed,
            ms: Some(0.1 + n as f64),
            detail: format!("line\nbreak, \"quote\", é, {}", "x".repeat(n as usize % 50)),
            at_ms: 5,
            count: 1,
        }],
        exits: Vec::new(),
        excerpts: Vec::new(),
        logs: Vec::new(),
        timeline: Vec::new(),
        backend: "process".to_owned(),
        platform: "linux/amd64".to_owned(),
    }
}

fn entry(n: u64) -> Entry {
    Entry::Attempt(Box::new(attempt(n)))
}

fn sweep(started_ms: u64, ended_ms: Option<u64>) -> SweepRecord {
    SweepRecord {
        id: SweepId("20261121T031500Z-4f2a".to_owned()),
        system: "ledger".to_owned(),
        started_ms,
        ended_ms,
        seed: 7,
        command: vec!["sweep".to_owned()],
        versions: Vec::new(),
        spec: Digest::of(b"spec"),
        question: None,
        believed_since_ms: 0,
        cut_short: None,
    }
}

fn build(started_ms: u64, result: BuildResult) -> BuildRecord {
    BuildRecord {
        key: Digest::of(b"key"),
        role: RoleName::new("node").unwrap(),
        version: VersionId::new("v1"),
        commit: CommitId::new(&"a".repeat(40)).unwrap(),
        result,
        started_ms,
        duration_ms: 1,
        log: None,
    }
}

fn built() -> BuildResult {
    BuildResult::Built { manifest: Digest::of(b"manifest"), content: Digest::of(b"content") }
}

fn unbuilt() -> BuildResult {
    BuildResult::Unbuilt { detail: "no".to_owned(), tail: vec!["error".to_owned()] }
}

/// A state directory with a sweep, a build and `n` attempts, each with a log: `n + 2` lines.
fn filled(n: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), n);
    dir
}

fn fill(state: &Path, n: u64) {
    let (mut store, notices) = Store::open(state).unwrap();
    assert_eq!(notices, []);
    store.append(&Entry::Sweep(sweep(1, None))).unwrap();
    store.append(&Entry::Build(build(2, built()))).unwrap();
    for n in 0..n {
        store.append(&with_log(&store, n)).unwrap();
    }
}

fn with_log(store: &Store, n: u64) -> Entry {
    let stored = store.put_log_bytes(format!("log of {n}").as_bytes(), 1000).unwrap();
    let mut attempt = attempt(n);
    attempt.logs.push(LogRef {
        node: NodeName::new("node-0").unwrap(),
        digest: stored.digest,
        bytes: stored.bytes,
        truncated: stored.truncated,
    });
    Entry::Attempt(Box::new(attempt))
}

fn ids(attempts: &[Attempt]) -> Vec<String> {
    attempts.iter().map(|attempt| attempt.id.0.clone()).collect()
}

fn expected_ids(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("attempt-{n}")).collect()
}

fn journal(state: &Path) -> PathBuf {
    state.join("journal.jsonl")
}

fn lines(state: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(journal(state)).unwrap();
    bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// Opens, demands these notices and these attempts, then that everything works and a second opening finds no fault.
fn check_mended(state: &Path, expect: impl IntoIterator<Item = u64>, notices: &[&str]) {
    let expect: Vec<u64> = expect.into_iter().collect();
    let (mut store, found) = Store::open(state).unwrap();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), notices.len(), "{found:?}");
    for (found, expect) in found.iter().zip(notices) {
        assert!(found.contains(expect), "{found:?} lacks {expect:?}");
    }
    assert_eq!(ids(&store.attempts().unwrap()), expected_ids(expect.iter().copied()));
    let next = 1000 + expect.len() as u64;
    store.append(&entry(next)).unwrap();
    drop(store);
    let (store, found) = Store::open(state).unwrap();
    assert_eq!(found, []);
    assert_eq!(ids(&store.attempts().unwrap()), expected_ids(expect.into_iter().chain([next])));
    drop(store);
    let (reader, found) = Reader::open(state).unwrap();
    assert_eq!(found, []);
    assert_eq!(reader.attempts().last().map(|attempt| attempt.id.clone()), Some(attempt(next).id));
}

#[test]
fn what_is_appended_is_there_after_reopening() {
    let dir = filled(3);
    let (mut store, notices) = Store::open(dir.path()).unwrap();
    assert_eq!(notices, []);
    assert_eq!(ids(&store.attempts().unwrap()), expected_ids(0..3));
    let one = store.attempt(&AttemptId("attempt-1".to_owned())).unwrap().unwrap();
    assert_eq!(one.observations, attempt(1).observations);
    assert_eq!(one.network.seed, u64::MAX - 1, "no number loses digits");
    assert_eq!(store.log(&one.logs[0].digest).unwrap(), b"log of 1");
    assert_eq!(store.attempt(&AttemptId("nobody".to_owned())).unwrap(), None);
    assert_eq!(store.build(&Digest::of(b"key")).unwrap(), Some(build(2, built())));
    assert_eq!(store.build(&Digest::of(b"other")).unwrap(), None);

    // The last line of a sweep, and of a build, holds.
    store.append(&Entry::Sweep(sweep(1, Some(9)))).unwrap();
    store.append(&Entry::Build(build(3, unbuilt()))).unwrap();
    assert_eq!(store.sweeps().unwrap(), [sweep(1, Some(9))]);
    assert_eq!(store.builds().unwrap(), [build(3, unbuilt())]);

    let (reader, notices) = Reader::open(dir.path()).unwrap();
    assert_eq!(notices, []);
    assert_eq!(reader.attempts(), store.attempts().unwrap());
    assert_eq!(reader.sweeps(), store.sweeps().unwrap());
    assert_eq!(reader.builds(), store.builds().unwrap());
    assert_eq!(reader.attempt(&one.id), Some(&one));
    assert_eq!(reader.log(&one.logs[0].digest).unwrap(), b"log of 1");
}

#[test]
fn an_attempt_is_recorded_once_and_its_logs_first() {
    let dir = filled(1);
    let (mut store, _) = Store::open(dir.path()).unwrap();
    assert!(matches!(store.append(&entry(0)), Err(RecordError::Duplicate(id)) if id.0 == "attempt-0"));
    let mut early = attempt(5);
    early.logs.push(LogRef {
        node: NodeName::new("node-0").unwrap(),
        digest: Digest::of(b"not stored"),
        bytes: 1,
        truncated: false,
    });
    let refused = store.append(&Entry::Attempt(Box::new(early)));
    assert!(matches!(refused, Err(RecordError::MissingLog(_))));
    assert_eq!(lines(dir.path()).len(), 3, "a refused entry leaves no line");
}

#[test]
fn a_store_has_one_owner_and_readers_are_told_who() {
    let dir = filled(2);
    let (store, _) = Store::open(dir.path()).unwrap();
    match Store::open(dir.path()).map(drop) {
        Err(error @ RecordError::Owned(_)) => {
            assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let (reader, _) = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.attempts().len(), 2);
    assert_eq!(reader.owner().unwrap().pid, std::process::id());
    drop(store);
    assert_eq!(reader.owner(), None);
    assert!(!dir.path().join("store.lock").exists());
}

#[test]
fn a_reader_of_nothing_finds_nothing_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, notices) = Reader::open(&dir.path().join("absent")).unwrap();
    assert_eq!((reader.attempts().len(), notices.len()), (0, 0));
    assert!(!dir.path().join("absent").exists());
}

#[test]
fn a_missing_or_emptied_index_is_rebuilt() {
    let dir = filled(5);
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    check_mended(dir.path(), 0..5, &["it was missing"]);

    let dir = filled(5);
    fs::write(dir.path().join("store/db"), b"").unwrap();
    check_mended(dir.path(), 0..5, &["index was rebuilt"]);
}

#[test]
fn an_index_of_another_journal_is_set_aside() {
    let (dir, other) = (filled(4), tempfile::tempdir().unwrap());
    let (mut store, _) = Store::open(other.path()).unwrap();
    for n in 10..14 {
        store.append(&entry(n)).unwrap();
    }
    drop(store);
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    fs::rename(other.path().join("store"), dir.path().join("store")).unwrap();
    check_mended(dir.path(), 0..4, &["it differs from the journal's line 1; the old one is"]);
    let (mut store, _) = Store::open(dir.path()).unwrap();
    assert_eq!(store.collect_garbage(&|_| true).unwrap().indexes, 1);
}

#[test]
fn lines_that_the_journal_lost_come_back_from_the_index() {
    let dir = filled(5);
    fs::remove_file(journal(dir.path())).unwrap();
    check_mended(dir.path(), 0..5, &["lacked its last 7 lines"]);

    let dir = filled(5);
    let kept = lines(dir.path());
    fs::write(journal(dir.path()), kept[..4].concat()).unwrap();
    check_mended(dir.path(), 0..5, &["lacked its last 3 lines"]);

    // Neither has them: what is left is what there is.
    let dir = filled(5);
    fs::write(journal(dir.path()), kept[..4].concat()).unwrap();
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    check_mended(dir.path(), 0..2, &["it was missing"]);
}

#[test]
fn half_a_line_is_cut_off() {
    let dir = filled(3);
    let mut bytes = fs::read(journal(dir.path())).unwrap();
    bytes.extend_from_slice(br#"{"v":1,"seq":5,"prev":"sha25"#);
    fs::write(journal(dir.path()), &bytes).unwrap();
    let (reader, notices) = Reader::open(dir.path()).unwrap();
    assert_eq!((reader.attempts().len(), notices.len()), (3, 0), "it may be being written");
    check_mended(dir.path(), 0..3, &["half a line (28 bytes)"]);

    // Only the newline is missing: the line is whole.
    let dir = filled(3);
    let bytes = fs::read(journal(dir.path())).unwrap();
    fs::write(journal(dir.path()), &bytes[..bytes.len() - 1]).unwrap();
    check_mended(dir.path(), 0..3, &[]);
}

#[test]
fn a_damaged_journal_is_kept_and_loses_only_the_damaged_lines() {
    let dir = filled(5);
    let all = lines(dir.path());
    let mut bytes = all.concat();
    bytes[all[..3].concat().len() + 100] ^= 4;
    fs::write(journal(dir.path()), &bytes).unwrap();
    // The reader sees the same as the owner will.
    let (reader, notices) = Reader::open(dir.path()).unwrap();
    assert_eq!(ids(reader.attempts()), expected_ids([0, 2, 3, 4]));
    assert!(matches!(notices[..], [Notice::JournalDamaged { line: 4, lost: 1, kept_as: None, .. }]));

    check_mended(
        dir.path(),
        [0, 2, 3, 4],
        &["damaged at line 4: its hash does not hold; that line is lost", "differs from the journal's line 4"],
    );
    assert_eq!(fs::read(dir.path().join("journal.jsonl.damaged-1")).unwrap(), bytes);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = filled(1);
    let body = r#"{"v":2,"seq":3,"anything":true"#;
    let line = format!("{body},\"hash\":\"{}\"}}\n", Digest::of(body.as_bytes()));
    let mut bytes = fs::read(journal(dir.path())).unwrap();
    bytes.extend_from_slice(line.as_bytes());
    fs::write(journal(dir.path()), &bytes).unwrap();
    for error in [Store::open(dir.path()).map(drop), Reader::open(dir.path()).map(drop)] {
        assert!(matches!(error, Err(RecordError::Newer { format: 2, .. })), "{error:?}");
    }
    assert_eq!(fs::read(journal(dir.path())).unwrap(), bytes);
}

/// Flips bytes all over the index, and cuts it short: nothing is lost, nothing hangs, and damage that matters is told.
#[test]
fn any_damage_to_the_index_is_survived() {
    let pristine = filled(8);
    let db = fs::read(pristine.path().join("store/db")).unwrap();
    let mut told = 0;
    let mut rounds = 0;
    // A stride that is no divisor of sled's sizes walks over every kind of field.
    for at in (0..db.len()).step_by(db.len() / 40 + 13) {
        for cut in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            copy(pristine.path(), dir.path());
            let mut bytes = db.clone();
            if cut {
                bytes.truncate(at);
            } else {
                for byte in bytes.iter_mut().skip(at).take(40) {
                    *byte ^= 0x55;
                }
            }
            fs::write(dir.path().join("store/db"), &bytes).unwrap();
            let (store, notices) = Store::open(dir.path()).unwrap();
            assert_eq!(ids(&store.attempts().unwrap()), expected_ids(0..8), "at {at}, cut {cut}");
            told += usize::from(!notices.is_empty());
            rounds += 1;
            drop(store);
            let (_, notices) = Store::open(dir.path()).unwrap();
            assert_eq!(notices, [], "mended at {at}, cut {cut}");
        }
    }
    assert!(told > 0, "some of {rounds} were worth a notice");
}

fn copy(from: &Path, to: &Path) {
    for item in walkdir::WalkDir::new(from).min_depth(1) {
        let item = item.unwrap();
        let target = to.join(item.path().strip_prefix(from).unwrap());
        if item.file_type().is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::copy(item.path(), &target).unwrap();
        }
    }
}

#[test]
fn export_and_import_are_a_union_of_sets() {
    let (left, right) = (filled(3), tempfile::tempdir().unwrap());
    let (mut store, _) = Store::open(right.path()).unwrap();
    store.append(&Entry::Sweep(sweep(1, Some(5)))).unwrap();
    store.append(&Entry::Build(build(9, unbuilt()))).unwrap();
    for n in 2..5 {
        store.append(&with_log(&store, n)).unwrap();
    }
    let mut theirs = Vec::new();
    store.export(&mut theirs).unwrap();

    let (mut ours, _) = Store::open(left.path()).unwrap();
    let merged = ours.import(&theirs[..]).unwrap();
    let expect = Merged {
        // The sweep's end and two attempts; a failed build says less than one that succeeded.
        added: 3,
        already: 2,
        logs: 2,
        conflicts: Vec::new(),
    };
    assert_eq!(merged, expect);
    assert_eq!(ids(&ours.attempts().unwrap()), expected_ids(0..5));
    assert_eq!(ours.sweeps().unwrap(), [sweep(1, Some(5))]);
    assert_eq!(ours.builds().unwrap(), [build(2, built())]);
    assert_eq!(ours.log(&Digest::of(b"log of 4")).unwrap(), b"log of 4");

    // Again, and what was merged back: nothing changes.
    let again = ours.import(&theirs[..]).unwrap();
    assert_eq!((again.added, again.logs), (0, 0));
    let mut both = Vec::new();
    ours.export(&mut both).unwrap();
    both.extend_from_slice(&theirs);
    let back = store.import(&both[..]).unwrap();
    assert_eq!((back.added, back.logs), (3, 2), "two exports in one input");
    let mut left_ids = ids(&ours.attempts().unwrap());
    let mut right_ids = ids(&store.attempts().unwrap());
    left_ids.sort();
    right_ids.sort();
    assert_eq!(left_ids, right_ids);
    assert_eq!(store.builds().unwrap(), ours.builds().unwrap());

    let (reader, _) = Reader::open(left.path()).unwrap();
    let mut by_reader = Vec::new();
    reader.export(&mut by_reader).unwrap();
    assert_eq!(by_reader, both[..both.len() - theirs.len()]);
}

#[test]
fn a_journal_itself_can_be_imported_and_conflicts_are_told() {
    let (left, right) = (filled(2), tempfile::tempdir().unwrap());
    let (mut store, _) = Store::open(right.path()).unwrap();
    let mut other = attempt(1);
    other.duration_ms += 1;
    store.append(&Entry::Attempt(Box::new(other))).unwrap();
    let merged = store.import(BufReader::new(fs::File::open(journal(left.path())).unwrap())).unwrap();
    assert_eq!((merged.added, merged.logs), (3, 0));
    assert_eq!(merged.conflicts, [AttemptId("attempt-1".to_owned())]);
}

#[test]
fn a_damaged_import_names_its_line_and_keeps_what_stood_before() {
    let source = filled(3);
    let all = lines(source.path());
    let check = |input: Vec<u8>, why: &str, kept: usize| {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        let error = store.import(&input[..]).unwrap_err().to_string();
        assert!(error.contains(why), "{error:?} lacks {why:?}");
        assert_eq!(store.attempts().unwrap().len(), kept);
        drop(store);
        assert_eq!(Store::open(dir.path()).unwrap().1, [], "and the store is whole");
    };
    let mut flipped = all.concat();
    flipped[all[..3].concat().len() + 90] ^= 1;
    check(flipped, "import line 4: its hash does not hold", 1);
    check([&all[0][..], &all[2]].concat(), "import line 2: it does not follow", 0);
    check(b"hello\n".to_vec(), "import line 1: it is too short", 0);
    let sealed = |entry: &str| {
        let body = format!(r#"{{"v":1,"seq":0,"prev":"sha256:{}","entry":{entry}"#, "0".repeat(64));
        format!("{body},\"hash\":\"{}\"}}\n", Digest::of(body.as_bytes())).into_bytes()
    };
    check(sealed(r#"{"surprise":1}"#), "import line 1: unknown variant", 0);
    check(sealed(&"[".repeat(100_000)), "import line 1: ", 0);
    let digest = Digest::of(b"right");
    let log = |base64: &str| sealed(&format!(r#"{{"log":{{"digest":"{digest}","base64":"{base64}"}}}}"#));
    check(log("!"), "a log is not base64", 0);
    check(log("d3Jvbmc="), "does not match its digest", 0);
}

#[test]
fn garbage_is_what_nothing_names() {
    let dir = filled(3);
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let loose = store.put_log_bytes(b"named by nobody", 100).unwrap();
    let of_build = store.put_log_bytes(b"log of the build", 100).unwrap();
    let mut record = build(4, built());
    record.log = Some(of_build.digest);
    store.append(&Entry::Build(record)).unwrap();
    let garbage = store.collect_garbage(&|attempt| attempt.id.0 != "attempt-1").unwrap();
    assert_eq!((garbage.logs, garbage.bytes, garbage.indexes), (2, 15 + 8, 0));
    assert!(matches!(store.log(&loose.digest), Err(RecordError::MissingLog(_))));
    assert!(matches!(store.log(&Digest::of(b"log of 1")), Err(RecordError::MissingLog(_))));
    assert_eq!(store.log(&Digest::of(b"log of 2")).unwrap(), b"log of 2");
    assert_eq!(store.log(&of_build.digest).unwrap(), b"log of the build");
}

const WRITER: &str = "SKEW_TEST_WRITER_STATE";

/// Not a test by itself: the process that the next one kills.
#[test]
fn writer_to_be_killed() {
    let Ok(state) = std::env::var(WRITER) else {
        return;
    };
    let (mut store, _) = Store::open(Path::new(&state)).unwrap();
    let first = store.attempts().unwrap().len() as u64;
    for n in first.. {
        store.append(&with_log(&store, n)).unwrap();
        println!("\nrecorded {n}");
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut reported = 0;
    for round in 0..skew_testing::needs::kills(12) {
        let mut child = skew_testing::test_alone(module_path!(), "writer_to_be_killed")
            .env(WRITER, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut seen = 0;
        // Killed at once after its n-th report, so somewhere in the middle of the next.
        while seen < 1 + round % 5 {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the writer ended by itself");
            if let Some(n) = line.trim().strip_prefix("recorded ") {
                reported = n.parse::<u64>().unwrap() + 1;
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in output.lines().map_while(Result::ok) {
            if let Some(n) = line.trim().strip_prefix("recorded ") {
                reported = n.parse::<u64>().unwrap() + 1;
            }
        }
        let (store, notices) = Store::open(dir.path()).unwrap();
        let found = store.attempts().unwrap();
        assert!(found.len() as u64 >= reported, "round {round}");
        assert_eq!(ids(&found), expected_ids(0..found.len() as u64));
        for attempt in &found {
            store.log(&attempt.logs[0].digest).unwrap();
        }
        let harmless = |notice: &Notice| matches!(notice, Notice::TornLine { .. });
        assert!(notices.iter().all(harmless), "{notices:?}");
    }
}

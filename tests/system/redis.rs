//! A real system: five releases of Redis and Valkey, swept by the real binary with the spec that users get. The verdicts
//! are held against a table that was measured by hand, without skew.

use crate::common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::ground::{Ground, cluster, docker, some_of};
use common::results;
use skew::record::Reader;
use skew_core::model::{Attempt, End, Reason};
use skew_testing::kept;
use skew_testing::needs::skipped;

const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/matrix/redis.toml");

/// The minor versions, in the order of the rows and columns below.
const VERSIONS: [&str; 5] = ["redis/6.0", "redis/7.0", "redis/8.0", "valkey/8.1", "valkey/9.1"];

/// Primary (row) to replica (column): does a key written to the primary arrive? What does not is refused by the replica,
/// whose RDB format is older than what the primary sends.
const ARRIVES: [[bool; 5]; 5] = [
    [true, true, true, true, true],
    [false, true, true, true, true],
    [false, false, true, false, false],
    [false, false, true, true, true],
    [false, false, true, true, true],
];

/// `replicates: primary@redis/7.0.15 -> replica@redis/6.0.16`, without the patch level: Debian may have moved on.
fn expected() -> BTreeMap<(String, String), &'static str> {
    let mut expected = BTreeMap::new();
    for (row, primary) in VERSIONS.iter().enumerate() {
        for (column, replica) in VERSIONS.iter().enumerate() {
            let verdict = if ARRIVES[row][column] { "pass" } else { "fail" };
            expected.insert((format!("primary@{primary}"), format!("replica@{replica}")), verdict);
        }
    }
    expected
}

/// A party without its patch level.
fn minor(party: &str) -> String {
    party.rsplit_once('.').map_or(party, |(minor, _patch)| minor).to_owned()
}

/// The repositories that `tests/redis/make-repositories` makes, or why there are none.
fn repositories() -> Result<PathBuf, String> {
    let made = kept("redis");
    if !made.join("complete").exists() {
        return Err("no repositories; make them with tests/redis/make-repositories (60 MB from a Debian mirror)".into());
    }
    for tool in ["make", "cc", "c++", "strip"] {
        let there =
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(tool).exists());
        if !there {
            return Err(format!("no `{tool}` on PATH to build them with"));
        }
    }
    Ok(made)
}

struct Sweep<'a> {
    dir: &'a Path,
    repositories: &'a Path,
}

impl Sweep<'_> {
    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Runs the binary in an environment of its own, and gives its exit status and standard output.
    fn skew(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skew"));
        command.args(args).arg("--state").arg(self.state());
        for source in ["redis", "valkey"] {
            let repository = self.repositories.join(source).with_extension("git");
            command.arg("--repository").arg(format!("{source}={}", repository.display()));
        }
        command.args(["--set", "topology.replica.seats=5"]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.dir);
        command.current_dir(self.dir).stdin(Stdio::null());
        let output = command.output().expect("the binary starts");
        eprint!("{}", String::from_utf8_lossy(&output.stderr)); // shown when the test fails
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn sweep(&self) -> serde_json::Value {
        self.sweep_on(&[])
    }

    /// Sweeps where these arguments say.
    fn sweep_on(&self, place: &[&str]) -> serde_json::Value {
        let report = self.dir.join("report");
        let report_arg = report.to_str().expect("a temporary directory in UTF-8");
        // Networks mostly wait here for keys that do not come, so more run at once than there are cores.
        let how = ["--strategy", "packed", "--jobs", "6", "--report", report_arg, "--format", "json"];
        let (code, out) = self.skew(&[&["sweep", SPEC][..], &how, place].concat());
        // The nine failures are `[[known]]` in the spec.
        assert_eq!(code, Some(0), "every failure is an expected one:\n{out}");
        results::results(&report.join("results.json"))
    }

    fn attempts(&self) -> Vec<Attempt> {
        let (reader, notices) = Reader::open(&self.state()).expect("the journal can be read");
        assert!(notices.is_empty(), "the store was left whole");
        reader.attempts().to_vec()
    }
}

/// The cells of a check: (parties without patch level) to (cell, verdict).
fn cells(results: &serde_json::Value, check: &str) -> BTreeMap<(String, String), (String, String)> {
    let cells = results::cells(results, Some(check)).into_iter();
    cells
        .map(|cell| {
            let party = |party: &serde_json::Value| minor(party.as_str().expect("a text"));
            let parties = (party(&cell["parties"][0]), party(cell["parties"].get(1).unwrap_or(&cell["parties"][0])));
            (parties, results::told(cell))
        })
        .collect()
}

#[test]
fn redis_and_valkey_replicate_as_measured_by_hand() {
    let made = match repositories() {
        Ok(made) => made,
        Err(why) => {
            skipped("redis_and_valkey_replicate_as_measured_by_hand", why);
            return;
        }
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sweep = Sweep { dir: dir.path(), repositories: &made };

    let results = sweep.sweep();
    let cells = cells(&results, "replicates");
    let verdicts: BTreeMap<_, _> =
        cells.iter().map(|(parties, (_, verdict))| (parties.clone(), verdict.as_str())).collect();
    assert_eq!(verdicts, expected());

    // One network covers five pairs, and each failure is isolated once. The oldest replica fails with every primary but
    // its own: when that one's network is the last to end, it may be asked first whether the replica is broken alone.
    let attempts = sweep.attempts();
    // A network that the machine was too busy for is tried again.
    let told: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.end == End::Completed).collect();
    let failing: BTreeSet<_> =
        cells.values().filter(|(_, verdict)| verdict == "fail").map(|(cell, _)| cell.clone()).collect();
    let covers = told.iter().filter(|attempt| attempt.network.reason == Reason::Cover).count();
    assert!(covers <= 5, "{covers} networks to cover 25 cells with five seats");
    let mut isolated = BTreeMap::new();
    for attempt in told.iter().filter(|attempt| attempt.network.reason != Reason::Cover) {
        match &attempt.network.reason {
            Reason::Isolate { cell } => *isolated.entry(cell.to_string()).or_insert(0) += 1,
            Reason::Alone { party } if minor(&party.to_string()) == "replica@redis/6.0" => {}
            other => panic!("network {} is here for {other:?}", attempt.network.id),
        }
    }
    assert_eq!(isolated, failing.iter().map(|cell| (cell.clone(), 1)).collect::<BTreeMap<_, _>>());

    // The evidence says why.
    for cell in &failing {
        let (code, shown) = sweep.skew(&["show", cell, SPEC]);
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains("Can't handle RDB format version"), "{cell}:\n{shown}");
    }

    // The same again runs nothing and says the same.
    let again = sweep.sweep();
    assert_eq!(self::cells(&again, "replicates"), cells);
    assert_eq!(sweep.attempts().len(), attempts.len(), "what is settled is not run again");

    // The same images in pods say the same, and in containers.
    let test = "redis_and_valkey_replicate_as_measured_by_hand";
    std::thread::scope(|scope| {
        for ground in some_of(test, [cluster, docker]) {
            let (state, made) = (sweep.state(), &made);
            scope.spawn(move || same_there(&ground, &state, made));
        }
    });
}

/// Sweeps somewhere else with the images of a state directory, in a copy of it.
fn same_there(ground: &Ground, state: &Path, repositories: &Path) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copied = Command::new("cp").arg("-a").arg(state).arg(dir.path()).status().expect("cp starts");
    assert!(copied.success());
    let sweep = Sweep { dir: dir.path(), repositories };
    let place: Vec<&str> = ground.args.iter().map(String::as_str).collect();
    let there = self::cells(&sweep.sweep_on(&place), "replicates");
    let there: BTreeMap<_, _> =
        there.iter().map(|(parties, (_, verdict))| (parties.clone(), verdict.as_str())).collect();
    assert_eq!(there, expected(), "{place:?}");
    ground.nothing_is_left(&sweep.state());
}

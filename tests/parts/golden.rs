//! What an earlier skew recorded reads alike, whatever was moved or renamed since.
//!
//! `tests/golden/` was written on 2026-11-27 and stands for the records of users:
//!
//! | file | what |
//! |---|---|
//! | `skew.toml`, `probe` | the spec of a small system, and a program of it |
//! | `journal.jsonl` | the journal of a real sweep of that system, with evidence of the first epoch |
//! | `journal-2.jsonl` | the same with evidence of the second epoch: content ids without times |
//! | `results-2.json` | what `skew report` makes of that |
//! | `sample.json` | the report's model with every verdict in it, from `crates/skew-report/tests/sample` |
//! | `sample-1.json` | the same in format 1, as skew wrote it until 2026-11-29 |
//! | `entries.jsonl` | journal entries that hold every variant of what is recorded |
//! | `question.json` | a matrix with every variant, as sweeps keep it |
//! | `digests.txt` | the digests that evidence is bound to, of what is in `specs/`; and ids of cells |
//!
//! A change after which one of them differs makes the recorded evidence of every user worthless without a word. Where
//! that is wanted, an epoch is raised (`EVIDENCE_EPOCH`), and new golden files stand beside these. `SKEW_GOLDEN=write`
//! writes those that are missing, and never one that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skew::record::Entry;
use skew_core::model::{
    Attempt, AttemptId, Axis, AxisName, AxisPoint, Bounds, BuildRecord, BuildResult, Cell, CheckAxis, CheckName,
    CommitId, Count, Digest, End, Excerpt, Exit, Fault, Known, LogRef, Matrix, Member, Moment, NetworkId, NetworkPlan,
    NodeName, Observation, Outcome, Party, Question, Reason, RoleAxis, RoleKind, RoleName, Scope, Seat, SourceName,
    Strategy, SweepId, SweepRecord, Unbuilt, Version, VersionId,
};
use skew_spec::{Overrides, Spec};

use crate::common::Place;
use crate::report_sample;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The golden file's text. One that is missing is made of `found` where that was asked for.
#[track_caller]
fn golden(name: &str, found: &str) -> String {
    let path = path(name);
    if std::env::var_os("SKEW_GOLDEN").is_some_and(|wish| wish == "write") && !path.exists() {
        std::fs::write(&path, found).unwrap();
    }
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names the first line that differs: the files are long.
#[track_caller]
fn assert_golden(name: &str, found: &str) {
    let golden = golden(name, found);
    let first = golden.lines().zip(found.lines()).enumerate().find(|(_, (golden, found))| golden != found);
    if let Some((line, (golden, found))) = first {
        panic!("{name}, line {}, reads otherwise now\n golden: {golden}\n    now: {found}", line + 1);
    }
    assert_eq!(golden.lines().count(), found.lines().count(), "{name} has another number of lines now");
}

/// The system of the golden journal: what is edited elsewhere for other tests does not change it.
fn system() -> Place {
    let place = Place::new();
    place.write("skew.toml", &std::fs::read_to_string(path("skew.toml")).unwrap());
    place.git(".", &["init", "-q", "repo"]);
    commit(&place, "begin", &[("README", "tiny\n")]);
    let probe = std::fs::read_to_string(path("probe")).unwrap();
    for (label, cases) in [
        ("v1.0.0", ""),
        ("v1.1.0", ""),
        ("v2.0.0", "  v1.0.0) echo \"v2.0.0 cannot talk to $1\"; exit 1;;\n"),
        ("v2.1.0", "  no-build) echo \"v2.1.0 cannot talk to $1\"; exit 1;;\n"),
    ] {
        let build = match label {
            "v2.1.0" => "echo 'no rule to make tiny' >&2; exit 2\n",
            _ => "cp node talk $OUT/\n",
        };
        let node = format!("echo {label}\necho up\nexec sleep 600\n");
        let talk = format!("# {label}\ncase $1 in\n{cases}  *) exit 0;;\nesac\n");
        commit(&place, label, &[("probe", &probe), ("build", build), ("node", &node), ("talk", &talk)]);
        place.git("repo", &["tag", label]);
    }
    place
}

fn commit(place: &Place, message: &str, files: &[(&str, &str)]) {
    for (name, text) in files {
        place.write(&format!("repo/{name}"), text);
    }
    place.git("repo", &["add", "."]);
    place.git("repo", &["commit", "-qm", message]);
}

/// Entries of the journal of one kind.
fn entries_of(place: &Place, kind: &str) -> Vec<Value> {
    let lines: Vec<Value> =
        place.read(".skew/journal.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter().filter_map(|line| line["entry"].get(kind).cloned()).collect()
}

/// A report's data without the time at which it was written, and which skew wrote it.
fn settled(json: &str) -> String {
    let mut results: Value = serde_json::from_str(json).unwrap();
    for name in ["generated", "skew"] {
        assert!(results[name].is_string(), "{name} is missing");
        results[name] = Value::from("then");
    }
    serde_json::to_string_pretty(&results).unwrap() + "\n"
}

/// The journal is of this platform. Another one is another question; `digests.txt` is for all.
fn is_elsewhere() -> bool {
    (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64")
}

/// What a sweep of the system adds to a journal: attempts and builds behind those that were there.
fn swept_again(place: &Place) -> (Vec<Value>, Vec<Value>) {
    let count = |kind: &str| entries_of(place, kind).len();
    let (attempts, builds) = (count("attempt"), count("build"));
    place.skew(&["sweep", "--seed", "1", "--quiet"]).expect(1);
    (entries_of(place, "attempt").split_off(attempts), entries_of(place, "build").split_off(builds))
}

/// What each version was built to.
fn built(builds: &[Value]) -> BTreeMap<String, Value> {
    let name = |build: &Value| format!("{} {}", build["role"], build["version"]);
    let built = builds.iter().filter(|build| build["result"]["kind"] == "built");
    built.map(|build| (name(build), build["result"].clone())).collect()
}

#[test]
fn a_recorded_sweep_is_still_evidence() {
    if is_elsewhere() {
        return;
    }
    let journal = if path("journal-2.jsonl").exists() {
        golden("journal-2.jsonl", "")
    } else {
        let place = system();
        place.skew(&["sweep", "--seed", "1", "--quiet"]).expect(1);
        golden("journal-2.jsonl", &place.read(".skew/journal.jsonl"))
    };
    let place = system();
    place.write(".skew/journal.jsonl", &journal);
    let before = entries_of(&place, "attempt");
    assert!(before.len() >= 3, "the golden journal holds {} attempts", before.len());

    place.skew(&["report"]).expect(0);
    assert_golden("results-2.json", &settled(&place.read("reports/tiny/results.json")));

    // Every image is built again, to the same contents; no network is run again.
    let builds = entries_of(&place, "build");
    let (again, rebuilt) = swept_again(&place);
    let again: Vec<&Value> = again.iter().map(|attempt| &attempt["network"]).collect();
    assert!(again.is_empty(), "evidence was gathered again: {again:#?}");
    assert_eq!(built(&rebuilt), built(&builds));
    assert!(!built(&rebuilt).is_empty());
}

/// Its images are still the same, digest for digest; its evidence is read, and gathered again once.
#[test]
fn a_sweep_of_the_first_epoch_is_read() {
    if is_elsewhere() {
        return;
    }
    let place = system();
    place.write(".skew/journal.jsonl", &golden("journal.jsonl", ""));
    let (before, builds) = (entries_of(&place, "attempt"), entries_of(&place, "build"));
    place.skew(&["report", "--quiet"]).expect(0);
    let (again, rebuilt) = swept_again(&place);
    assert_eq!(entries_of(&place, "attempt")[..before.len()], before[..]);
    assert!(!again.is_empty());
    let manifests = |builds: &[Value]| -> BTreeMap<String, Value> {
        built(builds).into_iter().map(|(of, result)| (of, result["manifest"].clone())).collect()
    };
    assert_eq!(manifests(&rebuilt), manifests(&builds));
    assert!(swept_again(&place).0.is_empty(), "only once");
}

#[test]
fn a_report_with_every_verdict_reads_alike() {
    let model = report_sample::sample().model();
    let found = settled(&skew_report::json(&model));
    assert_golden("sample.json", &found);
    let read = skew_report::read(golden("sample.json", "").as_bytes()).unwrap();
    assert_eq!(skew_report::json(&read), found);
}

#[test]
fn a_report_of_format_1_is_still_read() {
    let model = skew_report::read(golden("sample-1.json", "").as_bytes()).unwrap();
    assert_eq!((model.format, model.sweep.seed), (1, 42));
    assert_eq!(model.cells().count() as u32, model.tally.total());
}

#[test]
fn every_kind_of_entry_reads_alike() {
    let entries = entries();
    let found: String = entries.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    assert_golden("entries.jsonl", &found);
    for (line, entry) in golden("entries.jsonl", "").lines().zip(&entries) {
        assert_eq!(serde_json::from_str::<Entry>(line).unwrap(), *entry);
    }
    let question = question();
    let found = serde_json::to_string_pretty(&question).unwrap() + "\n";
    assert_golden("question.json", &found);
    assert_eq!(serde_json::from_str::<Question>(&golden("question.json", "")).unwrap(), question);
}

#[test]
fn digests_are_those_of_then() {
    let mut found = String::new();
    for file in ["full.toml", "ledger.toml", "redis.toml", "skew.toml"] {
        let spec = spec(&path("specs/matrix").join(file));
        add_digests(&mut found, file, &spec);
    }
    for cell in CELLS {
        let cell: Cell = cell.parse().unwrap();
        writeln!(found, "cell {cell} = {}", cell.id()).unwrap();
    }
    assert_golden("digests.txt", &found);
}

const CELLS: &[&str] = &[
    "ready: node@v1.0.0",
    "pay: node@v1.0.0 -> node@v1.1.0",
    "gossip: node@v1 <-> node@v2",
    "pay: {node@v1, node@v2, notary@v3}",
    "pay: node@redis/7.0 -> notary@valkey/8.1 [database=h2, tls=on]",
];

/// A spec. Of the files that one names, those that are not there say what they said then.
fn spec(path: &Path) -> Spec {
    let read = |wanted: &Path| -> std::io::Result<String> {
        match wanted.file_name().and_then(|name| name.to_str()) {
            Some("server.conf") => Ok("bind {{ self.bind }}\nname {{ self.name }}\n".to_owned()),
            Some("releases.txt") => Ok("# what is out there\nv0.9.0\nv0.9.1 # the last one\n\n".to_owned()),
            Some(name) if name.ends_with(".patch") => Ok(String::new()),
            _ => std::fs::read_to_string(wanted),
        }
    };
    let text = std::fs::read_to_string(path).unwrap();
    let spec = skew_spec::parse(&text, path, &Overrides::default(), &read);
    spec.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)))
}

fn add_digests(found: &mut String, file: &str, spec: &Spec) {
    writeln!(found, "{file}").unwrap();
    writeln!(found, "  spec = {}", spec.digest).unwrap();
    let built_in = ["builds", "starts", "ready", "exit"].map(|name| CheckName::new(name).unwrap());
    let named = spec.checks.iter().map(|check| &check.name).chain(spec.expects.iter().map(|expect| &expect.name));
    let checks: BTreeSet<&CheckName> = built_in.iter().chain(named).collect();
    for check in checks {
        writeln!(found, "  check {check} = {}", spec.check_digest(check)).unwrap();
    }
    for role in spec.roles.keys() {
        for source in spec.sources.keys() {
            for label in ["0.9.0", "1.2.0", "2.0.0", "6.0.16", "8.1.1"] {
                let version = version(source, label);
                writeln!(found, "  role {role}@{} = {}", version.id, spec.role_digest(role, &version)).unwrap();
            }
        }
    }
}

fn version(source: &SourceName, label: &str) -> Version {
    Version {
        id: VersionId::new(&format!("{source}/{label}")),
        source: source.clone(),
        label: label.to_owned(),
        labels: vec![label.to_owned()],
        commit: CommitId::new(&"a".repeat(40)).unwrap(),
        semver: Some(label.parse().unwrap()),
        time: 1_700_000_000,
        order: 3,
        contains: BTreeSet::from(["abc".to_owned()]),
    }
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

fn check(name: &str) -> CheckName {
    CheckName::new(name).unwrap()
}

fn axes() -> AxisPoint {
    BTreeMap::from([(AxisName::new("database").unwrap(), "h2".to_owned())])
}

fn entries() -> Vec<Entry> {
    let cell: Cell = CELLS[1].parse().unwrap();
    let party = Party::new(&role("node"), &VersionId::new("v1.0.0"));
    let of = AttemptId("20261127T031500Z-00c0ffee-0001".to_owned());
    let reasons = [
        Reason::Cover,
        Reason::Isolate { cell: cell.clone() },
        Reason::Alone { party: party.clone() },
        Reason::Rerun { of: of.clone() },
        Reason::Reduce { of: of.clone() },
        Reason::Asked,
    ];
    let faults = [Fault::Memory, Fault::Disk, Fault::Port, Fault::Image, Fault::Deadline, Fault::Room, Fault::Backend];
    let ends = faults.map(|fault| End::Infrastructure { fault, detail: "the disk is full".to_owned() });
    let ends: Vec<End> = [End::Completed].into_iter().chain(ends).collect();
    let attempts = ends.into_iter().enumerate().map(|(n, end)| {
        let reason = reasons[n % reasons.len()].clone();
        Entry::Attempt(Box::new(attempt(n, end, reason, &cell, &party)))
    });
    let sweep = |ended_ms, question| {
        Entry::Sweep(SweepRecord {
            id: SweepId("20261127T031500Z-00c0ffee".to_owned()),
            system: "ledger".to_owned(),
            started_ms: 1_795_234_500_000,
            ended_ms,
            seed: u64::MAX,
            command: ["sweep", "--strategy", "packed"].map(str::to_owned).to_vec(),
            versions: vec![(VersionId::new("v1.0.0"), CommitId::new(&"ab".repeat(20)).unwrap())],
            spec: Digest::of(b"spec"),
            question,
            believed_since_ms: ended_ms.unwrap_or(0),
            cut_short: None,
        })
    };
    let build = |result, log| {
        Entry::Build(BuildRecord {
            key: Digest::of(b"key"),
            role: role("node"),
            version: VersionId::new("ledger/v1.0.0"),
            commit: CommitId::new(&"ab".repeat(20)).unwrap(),
            result,
            started_ms: 1_795_234_500_000,
            duration_ms: 4321,
            log,
        })
    };
    let built = BuildResult::Built { manifest: Digest::of(b"manifest"), content: Digest::of(b"content") };
    let unbuilt = BuildResult::Unbuilt { detail: "it failed".to_owned(), tail: vec!["error: no".to_owned()] };
    [sweep(None, None), sweep(Some(1_795_234_600_000), Some(Digest::of(b"question")))]
        .into_iter()
        .chain([build(built, None), build(unbuilt, Some(Digest::of(b"log")))])
        .chain(attempts)
        .collect()
}

fn attempt(n: usize, end: End, reason: Reason, cell: &Cell, party: &Party) -> Attempt {
    let outcomes =
        [Outcome::Ok, Outcome::Failed, Outcome::Unsupported, Outcome::Error, Outcome::Blocked, Outcome::Missing];
    let observation = |(n, result): (usize, &Outcome)| Observation {
        check: check("pay"),
        from: (n != 1).then(|| node("node-0")),
        to: (n != 2).then(|| node("node-1")),
        via: if n == 3 { vec![node("notary-0")] } else { Vec::new() },
        reporter: (n == 4).then(|| node("driver-0")),
        result: *result,
        ms: (n % 2 == 0).then_some(41.25),
        detail: if n == 0 { String::new() } else { "line\nbreak, \"quote\", é\u{1b}".to_owned() },
        at_ms: n as u64,
        count: 1 + n as u32 % 3,
    };
    Attempt {
        id: AttemptId(format!("20261127T031500Z-00c0ffee-{n:04}")),
        sweep: SweepId("20261127T031500Z-00c0ffee".to_owned()),
        network: NetworkPlan {
            id: NetworkId(format!("n{n}")),
            seats: vec![Seat {
                node: node("node-0"),
                party: party.clone(),
                content: Digest::of(b"content"),
                definition: Digest::of(b"definition"),
                support: n % 2 == 1,
            }],
            axes: if n == 0 { AxisPoint::new() } else { axes() },
            asks: vec![cell.clone(), CELLS[n % CELLS.len()].parse().unwrap()],
            reason,
            seed: u64::MAX - n as u64,
        },
        frame: Digest::of(b"frame"),
        checks: BTreeMap::from([(check("pay"), Digest::of(b"pay"))]),
        started_ms: 1_795_234_500_000 + n as u64,
        duration_ms: 1234,
        end,
        observations: outcomes.iter().enumerate().map(observation).collect(),
        exits: vec![
            Exit { node: node("node-0"), code: Some(1), signal: None, out_of_memory: false, at_ms: 5 },
            Exit { node: node("node-1"), code: None, signal: Some(9), out_of_memory: true, at_ms: 6 },
        ],
        excerpts: vec![Excerpt { node: node("node-0"), why: "failed".to_owned(), lines: vec!["panic".to_owned()] }],
        logs: vec![LogRef { node: node("node-0"), digest: Digest::of(b"log"), bytes: 3, truncated: n == 1 }],
        timeline: vec![
            Moment { at_ms: 1, node: None, what: "opened".to_owned() },
            Moment { at_ms: 2, node: Some(node("node-0")), what: "started".to_owned() },
        ],
        backend: "process".to_owned(),
        platform: "linux/amd64".to_owned(),
    }
}

fn question() -> Question {
    let source = SourceName::new("ledger").unwrap();
    let (old, new) = (version(&source, "1.0.0"), version(&source, "1.1.0"));
    let member = Member { content: Digest::of(b"content"), definition: Digest::of(b"definition") };
    let members = BTreeMap::from([
        (old.id.clone(), Ok(member)),
        (new.id.clone(), Err(Unbuilt { infrastructure: true, detail: "no room".to_owned() })),
    ]);
    let axis = |name: &str, kind, count| RoleAxis {
        name: role(name),
        kind,
        count,
        depends: vec![role("doorman")],
        members: members.clone(),
    };
    let checks = [
        Scope::Pair { from: role("node"), to: role("node"), via: vec![role("notary")], symmetric: true },
        Scope::Node { roles: vec![role("node")] },
        Scope::Network,
    ];
    let checks = checks.into_iter().enumerate().map(|(n, scope)| CheckAxis {
        name: check(&format!("check-{n}")),
        scope,
        direct: n == 0,
        after: vec![check("ready")],
        reporter: (n == 1).then(|| role("driver")),
        complete: n == 1,
        unsupported: BTreeSet::from([old.id.clone()]),
        definition: Digest::of(b"check"),
    });
    let matrix = Matrix {
        versions: vec![old.clone(), new.clone()],
        roles: vec![
            axis("node", RoleKind::Matrix, Count::Seats(8)),
            axis("doorman", RoleKind::Pinned(old.id.clone()), Count::Exactly(1)),
            axis("driver", RoleKind::Follows(role("node")), Count::Exactly(2)),
        ],
        checks: checks.collect(),
        axes: vec![Axis { name: AxisName::new("database").unwrap(), values: vec!["h2".to_owned()] }],
        strategy: Strategy::PerRole,
        candidate: Some(new.id.clone()),
        only: Some(BTreeSet::from([CELLS[0].parse().unwrap()])),
        frame: Digest::of(b"frame"),
        bounds: Bounds::default(),
    };
    let known = Known {
        pattern: "pay: node@>=1.1 -> node@*".to_owned(),
        reason: "a change of the format".to_owned(),
        link: Some("https://example.org/1".to_owned()),
        check: check("pay"),
        parties: vec![BTreeSet::from([Party::new(&role("node"), &new.id)])],
        symmetric: false,
        axes: AxisPoint::new(),
    };
    Question { matrix, known: vec![known] }
}

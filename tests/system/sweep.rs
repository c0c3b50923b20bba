//! Whole sweeps of a tiny system with the real binary: verdicts, evidence, bounds, networks by hand, records.

use crate::common;

use common::tiny::{THREE, Tiny, asked_since, nothing_is_left, verdicts};

#[test]
fn verdicts_are_those_that_the_system_has() {
    let tiny = Tiny::with(THREE);
    let ran = tiny.skew(&["sweep"]).expect(1);
    assert!(ran.stdout.contains("talks"), "{}", ran.stdout);
    insta::assert_snapshot!(verdicts(&tiny.results(), "talks").join("\n"), @"
    talks: node@v1.0.0 -> node@v1.0.0 = pass
    talks: node@v1.0.0 -> node@v1.1.0 = pass
    talks: node@v1.0.0 -> node@v2.0.0 = pass
    talks: node@v1.1.0 -> node@v1.0.0 = pass
    talks: node@v1.1.0 -> node@v1.1.0 = pass
    talks: node@v1.1.0 -> node@v2.0.0 = pass
    talks: node@v2.0.0 -> node@v1.0.0 = fail
    talks: node@v2.0.0 -> node@v1.1.0 = pass
    talks: node@v2.0.0 -> node@v2.0.0 = pass
    ");
    // The evidence is a command away, by text and by id.
    let shown = tiny.skew(&["show", "talks: node@v2.0.0 -> node@v1.0.0"]).expect(0).stdout;
    assert!(shown.contains("v2.0.0 cannot talk to v1.0.0"), "{shown}");
    let id = shown.split_whitespace().find(|word| word.len() == 8).expect("an id").to_owned();
    assert_eq!(tiny.skew(&["show", &id]).expect(0).stdout, shown);
    // A network of a plan runs by its id, with the plan's seed.
    let plan = tiny.skew(&["plan", "--fresh", "--seed", "5"]).expect(0).stdout;
    let planned = plan.split_whitespace().nth(1).expect("an id");
    tiny.skew(&["run", planned, "--seed", "5"]).expect(1);
    tiny.skew(&["run", "aaaaaaaa"]).expect(2);
    // And so is the network again.
    let command = shown.lines().find_map(|line| line.strip_prefix("reproduce: skew ")).expect("a command");
    let words: Vec<&str> = command.split(' ').collect();
    let again = tiny.skew(&words).expect(1);
    assert!(again.stdout.contains("cannot talk to v1.0.0"), "{}", again.stdout);
    assert!(tiny.place.read("reports/tiny/index.html").contains("<html"));
}

#[test]
fn a_known_failure_is_expected_and_a_gate_looks_at_the_candidate() {
    let tiny = Tiny::with(THREE);
    tiny.edit("strategy = \"packed\"", "strategy = \"packed\"\ncandidate = \"v1.1.0\"");
    tiny.skew(&["sweep", "--gate"]).expect(0);
    tiny.skew(&["sweep"]).expect(1);
    let text = tiny.place.read("skew.toml");
    let known = "\n[[known]]\ncell = \"talks: node@v2.0.0 -> node@v1.0.0\"\nreason = \"it is old\"\n";
    tiny.place.write("skew.toml", &format!("{text}{known}"));
    tiny.skew(&["sweep"]).expect(0);
    tiny.edit("candidate = \"v1.1.0\"", "candidate = \"v2.0.0\"");
    tiny.skew(&["sweep", "--gate"]).expect(0);
}

#[test]
fn the_same_sweep_again_does_nothing() {
    let tiny = Tiny::with(THREE);
    tiny.skew(&["sweep"]).expect(1);
    let (attempts, builds) = (tiny.journal("attempt").len(), tiny.journal("build").len());
    assert!(attempts > 0 && builds == 3);
    let again = tiny.skew(&["sweep"]).expect(1);
    assert_eq!((tiny.journal("attempt").len(), tiny.journal("build").len()), (attempts, builds));
    assert!(again.stderr.contains("0 networks run, 0 images built"), "{}", again.stderr);
    let plan = tiny.skew(&["plan"]).expect(0).stdout;
    assert!(plan.contains("0 networks: no cell is open."), "{plan}");
}

#[test]
fn a_version_that_does_not_build_stops_nobody() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "no-build"), ("v1.2.0", "")]);
    let ran = tiny.skew(&["sweep"]).expect(1);
    assert!(ran.stdout.contains("no rule to make tiny") || ran.stdout.contains("unbuilt"), "{}", ran.stdout);
    assert_eq!(verdicts(&tiny.results(), "builds")[1], "builds: node@v1.1.0 = unbuilt");
    let shown = tiny.skew(&["show", "builds: node@v1.1.0"]).expect(0).stdout;
    assert!(shown.contains("no rule to make tiny"), "{shown}");
    // It is not built again, until somebody asks for it.
    let builds = tiny.journal("build").len();
    tiny.skew(&["sweep"]).expect(1);
    assert_eq!(tiny.journal("build").len(), builds);
    tiny.skew(&["build", "node@v1.1.0"]).expect(1);
}

#[test]
fn only_some_cells_and_strategies() {
    let tiny = Tiny::with(THREE);
    tiny.skew(&["sweep", "--only", "talks: node@v1.0.0 -> node@v1.1.0"]).expect(0);
    assert!(asked_since(&tiny, 0).contains("talks: node@v1.0.0 -> node@v1.1.0"));
    let wrong = tiny.skew(&["sweep", "--only", "talk"]).expect(2);
    assert!(wrong.stderr.contains("the closest is `talks`"), "{}", wrong.stderr);
    tiny.skew(&["sweep", "--strategy", "candidate"]).expect(2);
    for strategy in ["pairs", "adjacent", "per-role"] {
        let other = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
        other.skew(&["sweep", "--strategy", strategy]).expect(0);
    }
}

#[test]
fn a_budget_begins_nothing_more() {
    let tiny = Tiny::with(THREE);
    let spent = tiny.skew(&["sweep", "--budget", "0s"]).expect(3);
    assert!(spent.stderr.contains("budget is spent"), "{}", spent.stderr);
    assert!(tiny.journal("attempt").is_empty());
    tiny.skew(&["sweep"]).expect(1);
}

#[test]
fn a_sweeps_time_is_its_end() {
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    tiny.edit("log = \"^up$\", within = \"60s\"", "log = \"^never$\", within = \"4m\"");
    let ran = tiny.skew(&["sweep", "--set", "limits.sweep=2s"]).expect(3);
    assert!(ran.stderr.contains("time limit passed"), "{}", ran.stderr);
    nothing_is_left(&tiny);
}

#[test]
fn what_a_recipe_needs_is_named_before_anything_starts() {
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    tiny.edit("kind = \"command\"", "kind = \"command\"\ntools = [\"no-such-compiler\"]");
    let ran = tiny.skew(&["sweep"]).expect(3);
    assert!(ran.stderr.contains("no-such-compiler"), "{}", ran.stderr);
    let doctor = tiny.skew(&["doctor"]).expect(3);
    assert!(doctor.stdout.contains("missing  no-such-compiler"), "{}", doctor.stdout);
}

#[test]
fn only_what_is_built_needs_its_tools() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v2.0.0", "")]);
    let spec = tiny.place.read("skew.toml");
    let recipe = "{ kind = \"command\", run = [\"sh\", \"-c\", \"sh ./build\"], tools = [\"no-such-compiler\"] }";
    let other = format!("\n[[when]]\nversions = \"since v2.0.0\"\nroles.node.recipe = {recipe}\n");
    tiny.place.write("skew.toml", &format!("{spec}{other}"));
    tiny.skew(&["build", "node@v1.0.0"]).expect(0);
    tiny.skew(&["run", "--seats", "node=v1.0.0"]).expect(0);
    for args in [
        &["build"][..],
        &["build", "node@v2.0.0"],
        &["build", "--twice"],
        &["push", "--registry", "127.0.0.1:1/test"],
        &["run", "--seats", "node=v1.0.0,v2.0.0"],
        &["sweep"],
    ] {
        let ran = tiny.skew(args).expect(3);
        assert!(ran.stderr.contains("no-such-compiler"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_revision_that_is_not_there_is_the_specs_fault() {
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    let ran = tiny.skew(&["sweep", "--set", "sources.tiny.versions={ revisions = [\"v1.0.1\"] }"]).expect(2);
    assert!(ran.stderr.starts_with("error: failed to ") && ran.stderr.contains("v1.0.0"), "{}", ran.stderr);
    let none = tiny.skew(&["sweep", "--set", "sources.tiny.versions.tags=\"x{version}\""]).expect(2);
    assert!(none.stderr.contains("error: "), "{}", none.stderr);
}

#[test]
fn json_is_the_reports_data() {
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    let ran = tiny.skew(&["sweep", "--format", "json", "--quiet"]).expect(0);
    let data: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(data["system"], "tiny");
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_network_by_hand_lives_until_it_is_taken_down() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    tiny.skew(&["up", "--seats", "node=v1.0.0,v1.1.0"]).expect(0);
    let ps = tiny.skew(&["ps"]).expect(0).stdout;
    assert_eq!(ps.matches("running").count(), 2, "{ps}");
    let exec = tiny.skew(&["exec", "node-1", "--", "sh", "-c", "echo $0; exit 3", "said"]).expect(3);
    assert_eq!(exec.stdout, "said\n");
    let logs = tiny.skew(&["logs", "node-0"]).expect(0).stdout;
    assert!(logs.contains("up"), "{logs}");
    // A sweep leaves it alone.
    tiny.skew(&["sweep"]).expect(0);
    assert!(tiny.skew(&["ps"]).expect(0).stdout.contains("running"));
    let typo = tiny.skew(&["exec", "nod-1", "--", "true"]).expect(2);
    assert!(typo.stderr.contains("did you mean node-1?"), "{}", typo.stderr);
    tiny.skew(&["down"]).expect(0);
    assert_eq!(tiny.skew(&["ps"]).expect(0).stdout, "");
    tiny.skew(&["down"]).expect(2);
    nothing_is_left(&tiny);
}

#[test]
fn records_move_between_state_directories() {
    let tiny = Tiny::with(THREE);
    tiny.skew(&["sweep"]).expect(1);
    tiny.skew(&["export", "--output", "all.jsonl"]).expect(0);
    let other = ["--state", "elsewhere"];
    let import = |extra: &[&str]| tiny.skew(&[&other[..], extra].concat());
    assert!(import(&["import", "all.jsonl"]).expect(0).stdout.contains("0 were here already"));
    assert!(import(&["merge", ".skew"]).expect(0).stdout.starts_with("0 entries"));
    let plan = import(&["plan"]).expect(0).stdout;
    assert!(plan.contains("0 networks: no cell is open."), "{plan}");
    let gc = tiny.skew(&["gc"]).expect(0).stdout;
    assert!(gc.contains("removed"), "{gc}");
    tiny.skew(&["sweep"]).expect(1);
}

#[test]
fn two_builds_of_a_version_are_the_same() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    let twice = tiny.skew(&["build", "--twice"]).expect(0).stdout;
    assert_eq!(twice.matches("same").count(), 2, "{twice}");
    let images = tiny.skew(&["images"]).expect(0).stdout;
    assert_eq!(images.lines().count(), 2, "{images}");
    let wrong = tiny.skew(&["build", "node@v1.2.0"]).expect(2);
    assert!(wrong.stderr.contains("did you mean node@v1"), "{}", wrong.stderr);
}

#[test]
fn shards_are_joined_and_finished() {
    let versions = [("v1.0.0", ""), ("v1.1.0", ""), ("v1.2.0", ""), ("v2.0.0", "v1.0.0")];
    let whole = Tiny::with(&versions);
    whole.skew(&["sweep", "--strategy", "pairs"]).expect(1);
    let tiny = Tiny::with(&versions);
    let mut networks = 0;
    for shard in ["1/3", "2/3", "3/3"] {
        let state = format!("state-{}", &shard[..1]);
        // Each is a machine of its own; what it saw means nothing yet.
        tiny.skew(&["sweep", "--strategy", "pairs", "--shard", shard, "--state", &state]).expect(0);
        networks += tiny.journal_in(&state, "attempt").len();
        tiny.skew(&["merge", &state, "--state", "joined"]).expect(0);
    }
    assert_eq!(tiny.journal_in("joined", "attempt").len(), networks);
    let last = tiny.skew(&["sweep", "--strategy", "pairs", "--state", "joined"]).expect(1);
    // Only the suspicion was left.
    let more = tiny.journal_in("joined", "attempt").len() - networks;
    assert!((1..networks).contains(&more), "{more} after {networks}: {}", last.stderr);
    assert_eq!(verdicts(&tiny.results(), "talks"), verdicts(&whole.results(), "talks"));
    // Done again, a shard does nothing.
    let again = tiny.skew(&["sweep", "--strategy", "pairs", "--shard", "1/3", "--state", "joined"]).expect(0);
    assert!(again.stderr.contains("0 networks run"), "{}", again.stderr);
    tiny.skew(&["sweep", "--shard", "4/3"]).expect(2);
}

#[test]
fn a_frozen_sweep_needs_neither_repository_nor_recipe() {
    let whole = Tiny::with(THREE);
    whole.skew(&["sweep"]).expect(1);
    let tiny = Tiny::with(THREE);
    tiny.skew(&["freeze", "--output", "tiny.json", "--set", "limits.jobs=2"]).expect(0);
    // Only the images are left.
    std::fs::remove_dir_all(tiny.place.join("repo")).expect("the repository goes");
    std::fs::remove_dir_all(tiny.place.join(".skew/cache")).expect("its copy goes");
    std::fs::remove_file(tiny.place.join("skew.toml")).expect("the spec goes");
    let swept = tiny.skew(&["sweep", "--frozen", "tiny.json"]).expect(1);
    assert!(swept.stderr.contains("0 images built"), "{}", swept.stderr);
    assert_eq!(verdicts(&tiny.results(), "talks"), verdicts(&whole.results(), "talks"));
    let again = tiny.skew(&["sweep", "--frozen", "tiny.json"]).expect(1);
    assert!(again.stderr.contains("0 networks run"), "{}", again.stderr);
    tiny.place.write("newer.json", "{\"format\": 99}");
    let newer = tiny.skew(&["sweep", "--frozen", "newer.json"]).expect(2);
    assert!(newer.stderr.contains("its format is 99"), "{}", newer.stderr);
}

#[test]
fn a_backend_that_went_away_is_a_note_and_no_failure() {
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    // A state directory that remembers a Docker that is nowhere.
    let gone =
        r#"[{"kind":"docker","docker":{"addresses":"198.18.0.0/16"},"kubernetes":{"create_pull_secret":false}}]"#;
    tiny.place.write(".skew/backends.json", gone);
    let skew = |args: &[&str]| {
        let mut command = tiny.place.command(args);
        common::Ran::of(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().expect("skew starts"))
    };
    let swept = skew(&["sweep"]).expect(0);
    assert!(swept.stderr.contains("on docker was not looked for"), "{}", swept.stderr);
    for verb in ["ps", "gc"] {
        let ran = skew(&[verb]).expect(0);
        assert!(ran.stderr.contains("docker"), "{verb}: {}", ran.stderr);
    }
    let doctor = skew(&["doctor", "--backend", "docker"]).expect(3);
    assert!(doctor.stdout.contains("missing  docker"), "{}", doctor.stdout);
}

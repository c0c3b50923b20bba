//! Which versions are the same program, with the real binary: equal files at different times are, and what is told its
//! version is not.

use crate::common;

use std::collections::BTreeSet;

use common::Place;
use common::results::cells;
use common::tiny::{Tiny, verdicts};

/// Two releases, and `main`.
fn project() -> Tiny {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    tiny.edit("versions = { tags = \"v{version}\" }", "versions = { tags = \"v{version}\", revisions = [\"main\"] }");
    commit(&tiny, "2024-02-01T00:00:00Z", "begin 2.0");
    tiny
}

/// What is in the repository's work tree as a commit on `main`, at a time; `node` says what.
fn commit(tiny: &Tiny, date: &str, node: &str) {
    tiny.place.write("repo/node", &format!("echo {node}\necho up\nexec sleep 600\n"));
    tiny.place.git("repo", &["add", "."]);
    tiny.place.git_at(date, "repo", &["commit", "-qm", node, "--allow-empty"]);
}

/// Sweeps; how many networks that cost.
fn cost(tiny: &Tiny) -> usize {
    let before = tiny.journal("attempt").len();
    tiny.skew(&["sweep", "--quiet"]).expect(0);
    tiny.journal("attempt").len() - before
}

/// Issue 10, 7.
#[test]
fn a_commit_that_changes_no_file_costs_no_network() {
    for paths in [true, false] {
        let tiny = project();
        if !paths {
            // Then every commit is built, and only what it comes to can be the same.
            tiny.edit("paths = [\"build\", \"node\", \"talk\"]\n", "");
        }
        assert!(cost(&tiny) > 0);
        let builds = tiny.journal("build").len();
        commit(&tiny, "2024-03-01T00:00:00Z", "begin 2.0");
        assert_eq!(cost(&tiny), 0, "an empty commit, paths: {paths}");
        commit(&tiny, "2024-04-01T00:00:00Z", "something else");
        assert!(cost(&tiny) > 0, "another program, paths: {paths}");
        commit(&tiny, "2024-05-01T00:00:00Z", "begin 2.0");
        assert_eq!(cost(&tiny), 0, "what was there before, paths: {paths}");
        tiny.place.write("repo/README", "more\n");
        commit(&tiny, "2024-06-01T00:00:00Z", "begin 2.0");
        assert_eq!(cost(&tiny), 0, "another file, paths: {paths}");
        assert!(tiny.journal("build").len() > builds, "it is built, and then seen to be the same");
    }
}

/// A build that keeps the time that it is told: a commit that changes nothing is as old as what it leaves as it was.
#[test]
fn an_empty_commit_is_built_with_the_time_of_what_it_leaves_as_it_was() {
    let tiny = project();
    tiny.edit("paths = [\"build\", \"node\", \"talk\"]\n", "");
    tiny.place.write("repo/build", "cp node talk $OUT/; echo $SOURCE_DATE_EPOCH > $OUT/when\n");
    commit(&tiny, "2024-03-01T00:00:00Z", "with a time");
    assert!(cost(&tiny) > 0);
    commit(&tiny, "2024-04-01T00:00:00Z", "with a time");
    assert_eq!(cost(&tiny), 0);
}

/// The versions of the tiny system under one name for each program, as nothing tells a node its version.
#[test]
fn equal_files_at_different_times_are_one_program() {
    let tiny = Tiny::new();
    tiny.edit("paths = [\"build\", \"node\", \"talk\"]\n", "");
    tiny.edit(", \"{{ to.version }}\"]", "]");
    tiny.place.write("repo/build", "cp node talk $OUT/\n");
    tiny.place.write("repo/talk", "exit 0\n");
    for (month, label) in [("02", "v1.0.0"), ("03", "v1.0.1"), ("04", "v1.0.2")] {
        commit(&tiny, &format!("2024-{month}-01T00:00:00Z"), "the same");
        tiny.place.git("repo", &["tag", label]);
    }
    assert!(cost(&tiny) > 0);
    let seated: BTreeSet<String> = tiny
        .journal("attempt")
        .iter()
        .flat_map(|attempt| attempt["network"]["seats"].as_array().unwrap().clone())
        .map(|seat| seat["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(seated.len(), 1, "one program");
    assert_eq!(verdicts(&tiny.results(), "talks").len(), 9, "of three versions");
}

/// A system whose files exist already, the same for both versions.
fn prebuilt(role: &str, check: &str) -> Place {
    let place = Place::new();
    place.write("repo/README", "one\n");
    place.git("repo", &["init", "-q"]);
    place.git("repo", &["add", "."]);
    for label in ["v1.0.0", "v2.0.0"] {
        place.git("repo", &["commit", "-qm", label, "--allow-empty"]);
        place.git("repo", &["tag", label]);
    }
    place.write("img/x", "x\n");
    place.write(
        "skew.toml",
        &format!(
            "[system]\nname = \"told\"\n[sources.s]\nrepository = \"repo\"\n\
             versions = {{ revisions = [\"v1.0.0\", \"v2.0.0\"] }}\n\
             [roles.n]\nrecipe = {{ kind = \"prebuilt\", path = \"img\" }}\nstop = {{ signal = \"KILL\" }}\n{role}\n\
             [topology]\nn = {{ count = 1 }}\n{check}\n"
        ),
    );
    place
}

/// The verdicts of a check.
fn told(place: &Place, check: &str) -> Vec<String> {
    place.skew(&["sweep", "--seed", "1", "--quiet"]);
    verdicts(&common::results::results(&place.join("reports/told/results.json")), check)
}

/// Issue 10, 8: whatever names a version makes two programs of equal files.
#[test]
fn versions_that_something_names_are_programs_of_their_own() {
    const NEW: &str = "exec sleep 1000 || true";
    let idle = "run = [\"sleep\", \"1000\"]";
    for (what, role) in [
        (
            "command",
            "run = [\"sh\", \"-c\", \"test {{ self.version }} = v2.0.0 && exec sleep 1000; exit 3\"]".to_owned(),
        ),
        (
            "environment",
            format!(
                "run = [\"sh\", \"-c\", \"test $V = v2.0.0 && {NEW}; exit 3\"]\nenv = {{ V = \"{{{{ version }}}}\" }}"
            ),
        ),
        (
            "file",
            format!(
                "run = [\"sh\", \"-c\", \"grep -q v2 {{{{ self.dir }}}}/c && {NEW}; exit 3\"]\n\
                 config.c = {{ text = \"{{{{ self | tojson }}}}\" }}"
            ),
        ),
        (
            "init",
            format!("{idle}\ninit = [{{ run = [\"test\", \"{{{{ nodes.n[0].version }}}}\", \"=\", \"v2.0.0\"] }}]"),
        ),
    ] {
        let verdicts = told(&prebuilt(&role, ""), "starts");
        assert_eq!(verdicts.len(), 2, "{what}");
        assert_eq!(verdicts[1], "starts: n@v2.0.0 = pass", "{what}");
        assert_ne!(verdicts[0], "starts: n@v1.0.0 = pass", "{what}");
    }
    let check = |keys: &str| format!("[[check]]\nname = \"new\"\non = \"node\"\nrole = \"n\"\n{keys}");
    let step = "steps = [{ in = \"node\", run = [\"test\", \"{{ node.version }}\", \"=\", \"v2.0.0\"] }]";
    let works = "steps = [{ in = \"node\", run = [\"true\"] }]";
    let fails = "steps = [{ in = \"node\", run = [\"false\"] }]";
    for (what, checks) in [
        ("step", check(step)),
        ("since", format!("{}\nsince = \"2.0.0\"", check(works))),
        ("override", format!("{}\n[[when]]\nversions = \"v1.0.0\"\nchecks.new.{fails}", check(works))),
    ] {
        let verdicts = told(&prebuilt(idle, &checks), "new");
        assert_eq!(verdicts[1], "new: n@v2.0.0 = pass", "{what}");
        assert_ne!(verdicts[0], "new: n@v1.0.0 = pass", "{what}");
    }
    // Nothing names them: one program, which is run once.
    let place = prebuilt(idle, &check(works));
    assert_eq!(told(&place, "new"), ["new: n@v1.0.0 = pass", "new: n@v2.0.0 = pass"]);
    assert_eq!(place.read(".skew/journal.jsonl").matches("\"entry\":{\"attempt\"").count(), 1);
}

/// Issue 10, 10: what is known to fail at one value of an axis is no failure at the others.
#[test]
fn known_failures_and_patterns_name_values_of_axes() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v2.0.0", "")]);
    tiny.edit("[topology]", "[axes]\ncolour = [\"red\", \"blue\"]\n\n[topology]");
    tiny.edit(
        "run = [\"sh\", \"{{ from.root }}/talk\", \"{{ to.version }}\"]",
        "run = [\"sh\", \"-c\", \"test {{ axes.colour }} = red -o {{ from.version }} = {{ to.version }}\"]",
    );
    tiny.skew(&["sweep", "--only", "talks: * [colour=red]", "--quiet"]).expect(0);
    let wrong = tiny.skew(&["sweep", "--only", "talks [colour=rde]"]).expect(2);
    assert!(
        wrong.stderr.contains("no cell matches \"talks [colour=rde]\"; the closest is `colour=red`"),
        "{}",
        wrong.stderr
    );
    tiny.skew(&["sweep", "--quiet"]).expect(1);
    let blue: Vec<String> = cells(&tiny.results(), Some("talks"))
        .into_iter()
        .filter(|cell| cell["verdict"] != "pass")
        .map(|cell| cell["cell"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        blue,
        ["talks: node@v1.0.0 -> node@v2.0.0 [colour=blue]", "talks: node@v2.0.0 -> node@v1.0.0 [colour=blue]"]
    );
    let accepted = tiny.skew(&["accept", "--reason", "blue is another protocol"]).expect(0).stdout;
    assert!(accepted.contains("cell = \"talks: node@v1.0.0 -> node@v2.0.0 [colour=blue]\""), "{accepted}");
    let attempts = tiny.journal("attempt").len();
    tiny.skew(&["sweep", "--quiet"]).expect(0);
    assert_eq!(tiny.journal("attempt").len(), attempts, "nothing was run");
    // The same failure at the other value is not accepted.
    tiny.edit("[colour=blue]", "[colour=red]");
    tiny.skew(&["sweep", "--quiet"]).expect(1);
    tiny.edit("[colour=red]", "[colour=bleu]");
    let wrong = tiny.skew(&["sweep"]).expect(2);
    assert!(wrong.stderr.contains("unknown value `bleu` of axis `colour`"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("did you mean `blue`? valid: `red`, `blue`"), "{}", wrong.stderr);
}

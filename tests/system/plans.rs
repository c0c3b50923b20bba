//! `skew plan` and what a sweep then runs; what is told after a sweep that believed nothing. With the real binary.

use crate::common;

use common::tiny::{Tiny, ids, verdicts};

/// A system in which everything passes, whose images are built already.
fn project() -> Tiny {
    let versions = ["v1.0.0", "v1.1.0", "v1.2.0", "v2.0.0", "v2.1.0", "v2.2.0", "v3.0.0"];
    let tiny = Tiny::with(&versions.map(|version| (version, "")));
    tiny.edit("strategy = \"packed\"", "strategy = \"packed\"\ncandidate = \"v2.0.0\"");
    tiny
}

/// The networks that a plan lists: ids and who is seated.
fn planned(tiny: &Tiny, args: &[&str]) -> Vec<String> {
    let plan = tiny.skew(&[&["plan", "--format", "json"], args].concat()).expect(0).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    plan["networks"].as_array().expect("networks").iter().map(network).collect()
}

fn network(network: &serde_json::Value) -> String {
    let seats = network["seats"].as_array().expect("seats").iter();
    let seats: Vec<&str> = seats.map(|seat| seat["party"]["version"].as_str().expect("a version")).collect();
    // The journal has the seed as a number, and a plan as text: a number that large is not exact everywhere.
    let seed = network["seed"].to_string();
    format!("{} seed {}: {}", network["id"], seed.trim_matches('"'), seats.join(" "))
}

/// The networks that a sweep ran, in the order in which they began.
fn ran(tiny: &Tiny, args: &[&str], code: i32) -> Vec<String> {
    let before = tiny.journal("attempt").len();
    tiny.skew(&[&["sweep"], args].concat()).expect(code);
    let mut attempts = tiny.journal("attempt").split_off(before);
    attempts.sort_by_key(|attempt| attempt["id"].as_str().map(str::to_owned));
    attempts.iter().map(|attempt| network(&attempt["network"])).collect()
}

/// Issue 10, 12.
#[test]
fn a_sweep_runs_what_the_plan_showed() {
    for (options, jobs) in [
        (&["--seed", "1"][..], "1"),
        (&["--seed", "2"], "4"),
        (&["--seed", "3", "--only", "talks: node@v1.* -> *"], "1"),
        (&["--seed", "4", "--strategy", "candidate"], "1"),
        (&["--seed", "5", "--shard", "1/2"], "1"),
        (&["--shard", "2/2"], "1"),
        (&["--seed", "7", "--fresh"], "1"),
    ] {
        let tiny = project();
        let plan = planned(&tiny, options);
        assert!(plan.len() > 1, "{options:?}: {plan:?}");
        // Before anything is built, and after.
        let swept = ran(&tiny, &[options, &["--jobs", jobs]].concat(), 0);
        assert_eq!(swept, plan, "{options:?}");
    }
}

#[test]
fn a_sweep_runs_what_the_plan_showed_of_what_is_left() {
    let tiny = project();
    tiny.skew(&["sweep", "--only", "v1.0.0", "--quiet"]).expect(0);
    let rest = planned(&tiny, &["--seed", "1"]);
    let all = planned(&tiny, &["--seed", "1", "--fresh"]);
    assert!(!rest.is_empty() && rest.len() < all.len(), "{} and {}", rest.len(), all.len());
    // A gate asks the same, and looks at less of it; nor do more networks at once change the order.
    assert_eq!(planned(&tiny, &["--seed", "1", "--jobs", "3", "--gate"]), rest);
    assert_eq!(ran(&tiny, &["--seed", "1", "--jobs", "1", "--gate"], 0), rest);
    assert_eq!(planned(&tiny, &["--seed", "1"]), [""; 0]);
    assert_eq!(planned(&tiny, &["--seed", "1", "--fresh"]), all);
    assert_eq!(ran(&tiny, &["--seed", "1", "--jobs", "1", "--fresh"], 0), all);
}

/// Issue 10, 12: what was seen before a fresh sweep is not believed by what tells of it.
#[test]
fn after_a_fresh_sweep_everything_tells_of_that_sweep() {
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v2.0.0", "")]);
    // It fails for as long as the file is there.
    let broken = tiny.place.write("broken", "");
    tiny.edit(
        "run = [\"sh\", \"{{ from.root }}/talk\", \"{{ to.version }}\"]",
        &format!(
            "run = [\"sh\", \"-c\", \"test ! -e {} -o {{{{ from.version }}}} = {{{{ to.version }}}} || {{ echo it is broken; exit 1; }}\"]",
            broken.display()
        ),
    );
    tiny.skew(&["sweep", "--quiet"]).expect(1);
    let failed = "talks: node@v1.0.0 -> node@v2.0.0";
    assert!(verdicts(&tiny.results(), "talks").contains(&format!("{failed} = fail")));
    std::fs::remove_file(&broken).expect("removed");
    // What is believed still tells of a failure.
    tiny.skew(&["sweep", "--quiet"]).expect(1);
    tiny.skew(&["sweep", "--fresh", "--quiet"]).expect(0);
    let swept = verdicts(&tiny.results(), "talks");
    assert!(swept.contains(&format!("{failed} = pass")), "{swept:?}");

    tiny.skew(&["report", "--quiet"]).expect(0);
    assert_eq!(verdicts(&tiny.results(), "talks"), swept);
    let shown = tiny.skew(&["show", failed]).expect(0).stdout;
    assert!(shown.contains("pass") && !shown.contains("it is broken"), "{shown}");
    let accepted = tiny.skew(&["accept", "--dry-run"]).expect(0).stdout;
    assert!(accepted.starts_with("nothing to accept"), "{accepted}");
    let diff = tiny.skew(&["diff", "previous", "latest"]).expect(0).stdout;
    assert!(diff.contains("fixed"), "{diff}");
    // A network by hand adds to that sweep, and brings nothing back.
    let id = ids(&tiny).pop().expect("an attempt");
    tiny.skew(&["run", &id]).expect(0);
    tiny.skew(&["report", "--quiet"]).expect(0);
    assert_eq!(verdicts(&tiny.results(), "talks"), swept);
    // The next sweep that believes what is recorded believes all of it.
    tiny.skew(&["sweep", "--quiet"]);
    assert_ne!(verdicts(&tiny.results(), "talks"), swept);
}

/// A fresh sweep that was interrupted is resumed by the same command, and a plan of it shows what is left.
#[test]
fn a_plan_of_a_fresh_sweep_that_was_interrupted_shows_what_is_left() {
    let tiny = project();
    tiny.skew(&["sweep", "--quiet"]).expect(0);
    let fresh = ["--seed", "1", "--fresh"];
    let all = planned(&tiny, &fresh);
    let journal = tiny.place.read(".skew/journal.jsonl").lines().count();
    tiny.skew(&[&["sweep"], &fresh[..]].concat()).expect(0);
    // As if it had been killed behind its second network: its record, and two attempts.
    let lines: Vec<String> = tiny.place.read(".skew/journal.jsonl").lines().map(str::to_owned).collect();
    let kept: Vec<&str> = lines.iter().take(journal + 3).map(String::as_str).collect();
    std::fs::remove_dir_all(tiny.place.join(".skew/store")).expect("the index");
    tiny.place.write(".skew/journal.jsonl", &(kept.join("\n") + "\n"));
    let left = planned(&tiny, &fresh);
    assert!(!left.is_empty() && left.len() < all.len(), "{left:?} of {all:?}");
    assert_eq!(ran(&tiny, &fresh, 0), left);
}

//! Sweeps of a tiny system that are interrupted, killed and disputed, with the real binary.

use crate::common;

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::tiny::{THREE, Tiny, ids, nothing_is_left, seated, verdicts};
use skew_testing::needs::kills;
use skew_testing::wait::Said;

#[test]
fn the_first_signal_finishes_what_runs_and_the_same_command_resumes() {
    let tiny = Tiny::with(THREE);
    let go = waits(&tiny);
    let mut child = tiny.place.command(&["sweep", "--jobs", "1"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = Said::by(child.stderr.take().unwrap());
    stderr.until_it_says("network 1: started");
    signal(&child, rustix::process::Signal::TERM);
    stderr.until_it_says("once more kills it");
    go();
    stderr.until_it_says("sweep ended");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // What ran is recorded, and nothing began after it.
    let recorded = ids(&tiny);
    assert_eq!(recorded.len(), 1);
    nothing_is_left(&tiny);
    tiny.skew(&["sweep", "--jobs", "1"]).expect(1);
    assert_eq!(ids(&tiny)[..1], recorded[..]);
    assert_eq!(verdicts(&tiny.results(), "talks").len(), 9);
}

#[test]
fn two_sweeps_cannot_own_one_store() {
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    // A node that is never ready keeps the first sweep busy.
    tiny.edit("log = \"^up$\", within = \"60s\"", "log = \"^never$\", within = \"4m\"");
    let mut first = tiny.place.command(&["sweep"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = Said::by(first.stderr.take().unwrap());
    stderr.until_it_says("network 1: started");
    let second = tiny.skew(&["sweep"]).expect(4);
    assert!(second.stderr.contains(&first.id().to_string()), "{}", second.stderr);
    // Reading is possible all the same.
    tiny.skew(&["plan"]).expect(0);
    // Twice: the first would wait for what runs.
    signal(&first, rustix::process::Signal::INT);
    stderr.until_it_says("stopping");
    signal(&first, rustix::process::Signal::INT);
    assert_eq!(first.wait().unwrap().code(), Some(130));
    nothing_is_left(&tiny);
}

#[test]
fn an_interrupted_sweep_leaves_its_evidence() {
    let tiny = Tiny::with(THREE);
    let go = waits(&tiny);
    let mut child = tiny.place.command(&["sweep", "--jobs", "1", "--evidence", "left.jsonl"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = Said::by(child.stderr.take().unwrap());
    stderr.until_it_says("network 1: started");
    signal(&child, rustix::process::Signal::TERM);
    stderr.until_it_says("once more kills it");
    go();
    stderr.until_it_says("evidence left in left.jsonl");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let recorded = ids(&tiny);
    assert_eq!(recorded.len(), 1);
    // Another machine goes on from there.
    std::fs::remove_dir_all(tiny.place.join(".skew")).unwrap();
    tiny.skew(&["sweep", "--evidence", "left.jsonl"]).expect(1);
    assert_eq!(ids(&tiny)[..1], recorded[..]);
}

/// Makes no node ready until what is given is called.
fn waits(tiny: &Tiny) -> impl Fn() {
    let go = tiny.place.join("go");
    let command = format!("command = [\"test\", \"-e\", \"{}\"], within = \"4m\"", go.display());
    tiny.edit("log = \"^up$\", within = \"60s\"", &command);
    move || std::fs::write(&go, "").unwrap()
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

#[test]
fn kill_at_any_moment_loses_nothing_and_repeats_nothing() {
    let reference = Tiny::with(THREE);
    reference.skew(&["sweep", "--seed", "1"]).expect(1);
    let truth = verdicts(&reference.results(), "talks");

    let tiny = Tiny::with(THREE);
    let began = Instant::now();
    reference.skew(&["sweep", "--seed", "1", "--fresh"]).expect(1);
    let whole = began.elapsed();
    // A fixed sequence that covers the whole length of a sweep: every run of this test kills at the same fractions.
    let mut fraction = 0.0_f64;
    for kill in 0..kills(25) {
        fraction = (fraction + 0.618_034).fract();
        let recorded: Vec<String> = ids(&tiny);
        let mut child = tiny.place.command(&["sweep"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + whole.mul_f64(fraction);
        // Not a wait for some state: the moment of the kill is what is tried.
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        let _ = child.wait();
        let now = ids(&tiny);
        assert_eq!(now[..recorded.len()], recorded[..], "kill {kill}: what was recorded is there");
        if kill % 5 == 4 {
            // Begin again, with other moments ahead. What knows of the leftovers goes too, so they go first.
            tiny.skew(&["gc"]).expect(0);
            nothing_is_left(&tiny);
            std::fs::remove_dir_all(tiny.place.join(".skew")).unwrap();
        }
    }
    for _ in 0..2 {
        let child = tiny.place.command(&["sweep"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap();
        std::thread::sleep(whole.mul_f64(0.6));
        let _ = child.kill();
        let _ = child.wait();
    }
    let before = seated(&tiny);
    tiny.skew(&["sweep"]).expect(1);
    assert_eq!(verdicts(&tiny.results(), "talks"), truth);
    let after = seated(&tiny);
    // A network that was recorded does not run again: nothing it asked is asked once more, unless to isolate or repeat.
    let covers: Vec<&(String, String)> = after.iter().filter(|(_, reason)| reason == "cover").collect();
    let distinct: BTreeSet<&&(String, String)> = covers.iter().collect();
    assert_eq!(covers.len(), distinct.len(), "{before:?} {after:?}");
    nothing_is_left(&tiny);
}

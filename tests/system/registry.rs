//! The registry client and the verbs that use it, against Debian's `docker-registry`.

use crate::common;

use std::io::BufRead as _;
use std::process::Stdio;

use common::Ran;
use common::registry::{Registry, USER, docker_config, missing};
use common::tiny::{THREE, Tiny, nothing_is_left, verdicts};
use skew_core::model::{Digest, RemoteAt};
use skew_image::registry::{Access, Patience, Registry as Client};

/// `HEAD`s, and everything that is no question about what there is.
fn counted(requests: &[(String, u16)]) -> (usize, Vec<&str>) {
    let heads = requests.iter().filter(|(request, _)| request.starts_with("HEAD ")).count();
    let others = requests.iter().map(|(request, _)| request.as_str());
    (heads, others.filter(|request| !request.starts_with("HEAD ") && *request != "GET /v2/").collect())
}

#[test]
fn what_is_pushed_is_pushed_once() {
    if missing("what_is_pushed_is_pushed_once") {
        return;
    }
    let registry = Registry::locked();
    let tiny = Tiny::with(THREE);
    docker_config(&tiny.place.join("home/.docker"), &registry.host(), USER);
    let url = format!("{}/test", registry.host());
    let push = |code: i32| tiny.skew(&["push", "--registry", &url]).expect(code);
    let first = push(0);
    let lines: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{first:?}");
    let line = format!("node@v1.0.0 {url}/tiny/node@sha256:");
    assert!(lines[0].starts_with(&line), "{first:?}");
    // One question for each unchanged image, and nothing else.
    let before = registry.requests_since(0).len();
    let again = push(0);
    assert_eq!(again.stdout, first.stdout);
    let since = registry.requests_since(before);
    let (heads, others) = counted(&since);
    assert!(heads == 3 && others.is_empty(), "{since:?}");
    // A new version sends what is new, and no other image.
    tiny.release("v2.1.0", "");
    let before = before + since.len();
    push(0);
    let since = registry.requests_since(before);
    let uploads = since.iter().filter(|(request, _)| request.starts_with("POST ")).count();
    assert_eq!(uploads, 2, "a layer and a config: {since:?}");
    assert!(!format!("{:?}{:?}", first, again).contains(USER.1));
    let images = tiny.skew(&["images", "--registry", &url]).expect(0).stdout;
    assert!(images.lines().count() == 4 && images.starts_with(first.stdout.lines().next().unwrap()), "{images}");
}

#[test]
fn an_empty_machine_builds_nothing_that_was_pushed() {
    if missing("an_empty_machine_builds_nothing_that_was_pushed") {
        return;
    }
    let registry = Registry::open();
    let tiny = Tiny::with(THREE);
    let url = format!("{}/test", registry.host());
    tiny.place.write("skew.toml", &format!("{}\n[registry]\nurl = \"{url}\"\n", tiny.place.read("skew.toml")));
    let pushed = tiny.skew(&["push"]).expect(0).stdout;
    let other = ["--state", "elsewhere"];
    let built = tiny.skew(&[&["build"][..], &other].concat()).expect(0);
    assert_eq!(built.stderr.matches("pulled in").count(), 3, "{built:?}");
    assert!(!built.stderr.contains("built in"), "{built:?}");
    for line in pushed.lines() {
        let digest = line.rsplit_once('@').expect("a digest").1;
        assert!(built.stdout.contains(digest), "{line}: {}", built.stdout);
    }
    tiny.skew(&[&["sweep"][..], &other].concat()).expect(1);
    assert_eq!(verdicts(&tiny.results(), "talks").len(), 9);
}

#[test]
fn without_a_registry_builds_go_on_and_pushes_say_why() {
    if missing("without_a_registry_builds_go_on_and_pushes_say_why") {
        return;
    }
    let registry = Registry::locked();
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    let none = tiny.skew(&["push"]).expect(2);
    assert!(none.stderr.contains("no registry was named"), "{none:?}");
    let url = format!("{}/test", registry.host());
    let built = tiny.skew(&["build", "--registry", &url]).expect(0);
    assert_eq!(built.stderr.matches("images are built here: failed to").count(), 1, "{built:?}");
    let refused = tiny.skew(&["push", "--registry", &url]).expect(3);
    assert!(refused.stderr.contains("the registry wants credentials; log in with `docker login 127"), "{refused:?}");
    docker_config(&tiny.place.join("home/.docker"), &registry.host(), ("skew", "wrong-password"));
    let wrong = tiny.skew(&["push", "--registry", &url]).expect(3);
    assert!(wrong.stderr.contains("does not accept the credentials"), "{wrong:?}");
    assert!(!wrong.stderr.contains("wrong-password"), "{wrong:?}");
    let (gone, host) = {
        let gone = Registry::open();
        (gone.host(), gone)
    };
    drop(host);
    let away = tiny.skew(&["push", "--registry", &gone]).expect(3);
    assert!(away.stderr.contains("cannot be reached: Connection refused"), "{away:?}");
}

#[test]
fn an_empty_machine_repeats_a_sweep_without_a_build_and_without_a_network() {
    if missing("an_empty_machine_repeats_a_sweep_without_a_build_and_without_a_network") {
        return;
    }
    let registry = Registry::locked();
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "no-build"), ("v2.0.0", "v1.0.0")]);
    docker_config(&tiny.place.join("home/.docker"), &registry.host(), USER);
    let (url, evidence) =
        (format!("{}/test", registry.host()), format!("oci://{}/test/evidence:nightly", registry.host()));
    let sweep = |state: &str| tiny.skew(&["sweep", "--registry", &url, "--evidence", &evidence, "--state", state]);
    let first = sweep(".skew").expect(1);
    assert!(first.stderr.contains("evidence left in"), "{first:?}");
    tiny.skew(&["push", "--registry", &url]).expect(1);
    let found = verdicts(&tiny.results(), "talks");
    // Another machine: no state, no caches, the same registry.
    let second = sweep("elsewhere").expect(1);
    assert!(second.stderr.contains("0 networks run, 0 images built"), "{second:?}");
    assert_eq!(second.stderr.matches("pulled in").count(), 2, "{second:?}");
    assert_eq!(verdicts(&tiny.results(), "talks"), found);
    // The logs came along: the evidence of a failure is shown in full, and so is why a version is unbuilt.
    let shown = tiny.skew(&["show", "talks: node@v2.0.0 -> node@v1.0.0", "--state", "elsewhere"]).expect(0).stdout;
    assert!(shown.contains("v2.0.0 cannot talk to v1.0.0"), "{shown}");
    let unbuilt = tiny.skew(&["show", "builds: node@v1.1.0", "--state", "elsewhere"]).expect(0).stdout;
    assert!(unbuilt.contains("no rule to make tiny"), "{unbuilt}");
    let logs = |state: &str| std::fs::read_dir(tiny.place.join(state).join("logs")).expect("logs").count();
    assert_eq!(logs("elsewhere"), logs(".skew"));
    // No secret is in what is kept, or said.
    for ran in [&first, &second] {
        assert!(!format!("{ran:?}").contains(USER.1));
    }
    let kept = walkdir::WalkDir::new(tiny.place.join(".skew")).into_iter().map(|entry| entry.expect("an entry"));
    for file in kept.filter(|entry| entry.file_type().is_file()) {
        let bytes = std::fs::read(file.path()).expect("read");
        assert!(!bytes.windows(USER.1.len()).any(|part| part == USER.1.as_bytes()), "{}", file.path().display());
    }
}

#[test]
fn evidence_of_several_machines_comes_together() {
    if missing("evidence_of_several_machines_comes_together") {
        return;
    }
    let registry = Registry::open();
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    let there = format!("oci://{}/evidence:all", registry.host());
    // Nobody gets lost, also when everybody comes at once.
    let machines: Vec<Tiny> = (0..4).map(|_| tiny.copy()).collect();
    std::thread::scope(|scope| {
        for machine in &machines {
            scope.spawn(|| machine.skew(&["sweep", "--evidence", &there, "--fresh"]).expect(0));
        }
    });
    tiny.skew(&["sweep", "--evidence", &there]).expect(0);
    let mine: Vec<String> = common::tiny::ids(&tiny);
    for machine in &machines {
        let theirs = machine.journal("attempt");
        for attempt in theirs.iter().filter(|attempt| attempt["network"]["reason"]["kind"] == "cover") {
            let id = attempt["id"].as_str().expect("an id");
            assert!(mine.iter().any(|mine| mine == id), "{id} is lost");
        }
    }
    // Something else under the tag is left alone, and a digest is no place.
    let wrong = tiny.skew(&["sweep", "--evidence", &format!("oci://{}/evidence@sha256:00", registry.host())]).expect(2);
    assert!(wrong.stderr.contains("digest"), "{wrong:?}");
    let url = format!("{}/test", registry.host());
    tiny.skew(&["push", "--registry", &url]).expect(0);
    let image = format!("oci://{url}/tiny/node:v1.0.0");
    let other = tiny.skew(&["sweep", "--evidence", &image]).expect(3);
    assert!(other.stderr.contains("what is there is no application/vnd.skew.evidence"), "{other:?}");
}

#[test]
fn evidence_in_a_file_is_a_union_too() {
    let tiny = Tiny::with(THREE);
    let sweep = |state: &str| tiny.skew(&["sweep", "--evidence", "nightly.jsonl", "--state", state]);
    sweep("one").expect(1);
    let again = sweep("two").expect(1);
    assert!(again.stderr.contains("0 networks run"), "{again:?}");
    tiny.release("v2.1.0", "");
    let more = sweep("three").expect(1);
    assert!(!more.stderr.contains("0 networks run"), "{more:?}");
    let all = sweep("four").expect(1);
    assert!(all.stderr.contains("0 networks run"), "{all:?}");
    let damaged = tiny.place.read("nightly.jsonl").replacen("talks", "walks", 1);
    tiny.place.write("nightly.jsonl", &damaged);
    let refused = sweep("five").expect(4);
    assert!(refused.stderr.contains("its hash does not hold"), "{refused:?}");
    assert_eq!(tiny.place.read("nightly.jsonl"), damaged);
}

#[test]
fn an_image_that_exists_already_is_taken_as_it_is() {
    if missing("an_image_that_exists_already_is_taken_as_it_is") {
        return;
    }
    let registry = Registry::open();
    let tiny = Tiny::with(THREE);
    let url = format!("{}/test", registry.host());
    let pushed = tiny.skew(&["push", "--registry", &url]).expect(0).stdout;
    let recipe = "kind = \"command\"\nrun = [\"sh\", \"-c\", \"sh ./build\"]\npaths = [\"build\", \"node\", \"talk\"]\nwithin = \"1m\"";
    tiny.edit(recipe, &format!("kind = \"prebuilt\"\nimage = \"{url}/tiny/node:{{label}}\""));
    let swept = tiny.skew(&["sweep", "--state", "taken"]).expect(1);
    assert!(swept.stdout.contains("talks"), "{swept:?}");
    assert!(verdicts(&tiny.results(), "talks").contains(&"talks: node@v2.0.0 -> node@v1.0.0 = fail".to_owned()));
    let images = tiny.skew(&["images", "--state", "taken"]).expect(0).stdout;
    for line in pushed.lines() {
        assert!(images.contains(line.rsplit_once('@').expect("a digest").1), "{line}: {images}");
    }
    // What a tag means is remembered, and found out again: when it means something else, that is another image.
    let digest = pushed.lines().next().and_then(|line| line.rsplit_once('@')).expect("a digest").1;
    let (_, newest) = pushed.lines().last().and_then(|line| line.rsplit_once('@')).expect("a digest");
    let layout = skew_image::Layout::open(&tiny.place.join(".skew/layout")).expect("a layout");
    let access = Access { docker_config: None, insecure: false, patience: Patience::SHORT };
    let client = Client::new(&registry.host(), access).expect("a client");
    let label = RemoteAt::Tag("v1.0.0".to_owned());
    let newest: Digest = newest.parse().expect("a digest");
    let key = Digest::of(b"a key");
    let moved = client.push(&layout, &newest, "test/tiny/node", &label, &key);
    runtime().block_on(moved).expect("pushed");
    let offline = tiny.skew(&["images", "--state", "taken"]).expect(0).stdout;
    assert!(offline.contains(digest), "{offline}");
    let rebuilt = tiny.skew(&["build", "node@v1.0.0", "--state", "taken"]).expect(0).stdout;
    assert!(rebuilt.contains(&newest.to_string()), "{rebuilt}");
    // What is not there is the harness's fault, in words.
    tiny.release("v3.0.0", "");
    let gone = tiny.skew(&["build", "node@v3.0.0", "--state", "taken"]).expect(3).stdout;
    assert!(gone.contains("there is no image") && gone.contains("tiny/node:v3.0.0"), "{gone}");
}

#[test]
fn tokens_are_asked_for_what_is_done_and_renewed() {
    if missing("tokens_are_asked_for_what_is_done_and_renewed") {
        return;
    }
    let (registry, tokens) = Registry::with_tokens();
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    let url = format!("{}/test", registry.host());
    let none = tiny.skew(&["push", "--registry", &url]).expect(3);
    assert!(none.stderr.contains("wants credentials"), "{none:?}");
    docker_config(&tiny.place.join("home/.docker"), &registry.host(), USER);
    // The first token has ended when it comes: it is renewed, and one does for everything of a kind.
    tiny.skew(&["push", "--registry", &url]).expect(0);
    let scopes = tokens.scopes();
    let of =
        |rights: &str| scopes.iter().filter(|scope| **scope == format!("repository:test/tiny/node:{rights}")).count();
    assert_eq!((of("pull"), of("pull,push"), scopes.len()), (2, 1, 3), "{scopes:?}");
    let before = registry.requests_since(0).len();
    tiny.skew(&["push", "--registry", &url]).expect(0);
    let since = registry.requests_since(before);
    let (heads, others) = counted(&since);
    assert!(heads == 2 && others.is_empty(), "{heads} {others:?}");
}

#[test]
fn credential_helpers_are_asked() {
    if missing("credential_helpers_are_asked") {
        return;
    }
    let registry = Registry::locked();
    let tiny = Tiny::with(&[("v1.0.0", "")]);
    let config = serde_json::json!({ "credHelpers": { registry.host(): "test" } }).to_string();
    tiny.place.write("home/.docker/config.json", &config);
    let push = |script: &str| {
        tiny.place.program("bin/docker-credential-test", script);
        let path = format!("{}:{}", tiny.place.join("bin").display(), std::env::var("PATH").expect("a PATH"));
        let mut command = tiny.place.command(&["push", "--registry", &format!("{}/test", registry.host())]);
        Ran::of(command.env("PATH", path).output().expect("skew starts"))
    };
    // It reads what it is asked, as helpers do: one that ends before that is an error of another kind.
    let failed = push("#!/bin/sh\ncat >/dev/null; echo hunter2; exit 1\n").expect(3);
    assert!(
        failed.stderr.contains("docker-credential-test failed") && !failed.stderr.contains("hunter2"),
        "{failed:?}"
    );
    let answer = serde_json::json!({ "ServerURL": registry.host(), "Username": USER.0, "Secret": USER.1 });
    let asked = format!("#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = {} ] && echo '{answer}'\n", registry.host());
    let pushed = push(&asked).expect(0);
    assert!(pushed.stdout.contains("node@v1.0.0") && !format!("{pushed:?}").contains(USER.1), "{pushed:?}");
}

#[test]
fn a_frozen_sweep_takes_its_images_from_the_registry() {
    if missing("a_frozen_sweep_takes_its_images_from_the_registry") {
        return;
    }
    let registry = Registry::open();
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v1.1.0", "")]);
    let url = format!("{}/test", registry.host());
    tiny.skew(&["freeze", "--output", "tiny.json"]).expect(0);
    std::fs::rename(tiny.place.join("repo"), tiny.place.join("gone")).expect("renamed");
    let elsewhere = |state: &str| tiny.skew(&["sweep", "--frozen", "tiny.json", "--registry", &url, "--state", state]);
    let none = elsewhere("none").expect(3);
    assert!(format!("{none:?}").contains("is not in the registry; push it"), "{none:?}");
    std::fs::rename(tiny.place.join("gone"), tiny.place.join("repo")).expect("renamed");
    tiny.skew(&["push", "--registry", &url]).expect(0);
    std::fs::rename(tiny.place.join("repo"), tiny.place.join("gone")).expect("renamed");
    elsewhere("some").expect(0);
    assert_eq!(verdicts(&tiny.results(), "talks").len(), 4);
}

/// A Job has nothing but the registry. Its pod is killed, and the next one goes on from what it has left there.
#[test]
fn a_job_needs_only_the_registry_and_goes_on_where_it_was_killed() {
    if missing("a_job_needs_only_the_registry_and_goes_on_where_it_was_killed") {
        return;
    }
    let registry = Registry::open();
    let tiny = Tiny::with(&[("v1.0.0", ""), ("v2.0.0", "v1.0.0")]);
    tiny.edit("strategy = \"packed\"", "strategy = \"pairs\"");
    // Slow enough to be caught in the middle, one network after another.
    tiny.edit("log = \"^up$\"", "command = [\"sleep\", \"1\"]");
    let url = format!("{}/test", registry.host());
    let (frozen, evidence) = (format!("oci://{url}/jobs:frozen"), format!("oci://{url}/jobs:1"));
    tiny.skew(&["push", "--registry", &url]).expect(0);
    tiny.skew(&["freeze", "--registry", &url, "--output", &frozen]).expect(0);
    std::fs::remove_dir_all(tiny.place.join("repo")).expect("removed");
    let job = |state: &str| {
        let args =
            ["sweep", "--frozen", &frozen, "--evidence", &evidence, "--as-job", "1", "--jobs", "1", "--seed", "7"];
        tiny.place.command(&[&args[..], &["--state", state]].concat())
    };
    let mut first = job("one").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("skew starts");
    let said = std::io::BufReader::new(first.stderr.take().expect("piped"));
    let begun = said.lines().map_while(Result::ok).any(|line| line.starts_with("network 2: started"));
    assert!(begun, "two networks are run");
    first.kill().expect("it is ours");
    first.wait().expect("it is gone");
    let recorded = tiny.journal_in("one", "attempt");
    // It fails to talk, and has ended all the same: that is all that a cluster wants to know.
    Ran::of(job("two").output().expect("skew starts")).expect(0);
    let attempts = tiny.journal_in("two", "attempt");
    assert_eq!(attempts[0]["id"], recorded[0]["id"], "what was done is not done again");
    assert!(attempts.len() > recorded.len());
    let failed = attempts.iter().any(|attempt| attempt.to_string().contains("cannot talk"));
    assert!(failed && !tiny.place.join("reports").exists(), "what was found is evidence, and no report");
    tiny.skew(&["gc", "--state", "one"]).expect(0);
    nothing_is_left(&tiny);
    let gone = tiny.skew(&["sweep", "--frozen", &format!("oci://{url}/jobs:none"), "--state", "three"]).expect(3);
    assert!(gone.stderr.contains("jobs:none: there is none"), "{}", gone.stderr);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

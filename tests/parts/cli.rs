//! What people see when they use the real binary, and every exit code.

use crate::common;

use common::Place;

#[test]
fn help_names_every_exit_code() {
    let help = Place::new().skew(&["--help"]).expect(0);
    assert!(help.stdout.contains("130 interrupted"), "{}", help.stdout);
    let none = Place::new().skew(&[]).expect(2);
    assert!(none.stderr.contains("Usage"), "{}", none.stderr);
}

#[test]
fn a_verb_that_is_not_there_is_the_command_lines_fault() {
    let ran = Place::new().skew(&["swep"]).expect(2);
    assert!(ran.stderr.contains("sweep"), "{}", ran.stderr);
}

#[test]
fn without_a_spec_it_says_what_to_do() {
    let ran = Place::new().skew(&["validate"]).expect(2);
    insta::assert_snapshot!(ran.stderr, @"
    error: no spec was named, and there is no skew.toml here or above
      hint: name a spec, or write one with `skew init`
    ");
}

#[test]
fn init_proposes_what_the_repository_shows_and_never_overwrites() {
    let place = Place::new();
    std::fs::create_dir(place.join("chain")).unwrap();
    place.write("chain/Cargo.toml", "[package]\nname = \"chaind\"\n");
    place.git("chain", &["init", "-q"]);
    place.git("chain", &["add", "."]);
    place.git("chain", &["commit", "-qm", "first"]);
    for tag in ["v1.0.0", "v1.1.0", "nightly"] {
        place.git("chain", &["tag", tag]);
    }
    let ran = place.skew(&["init", "chain/skew.toml"]).expect(0);
    assert!(ran.stdout.contains("FILL IN"), "{}", ran.stdout);
    let text = place.read("chain/skew.toml");
    for line in ["name = \"chain\"", "repository = \".\"", "tags = \"v{version}\"", "--bin chaind"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let again = place.skew(&["init", "chain/skew.toml"]).expect(2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    assert_eq!(place.read("chain/skew.toml"), text);
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = Place::new().skew(&["completions", shell]).expect(0);
        assert!(ran.stdout.contains("skew"), "{shell}");
    }
}

#[test]
fn manual_pages_are_printed_and_written_for_every_verb() {
    let place = Place::new();
    let page = place.skew(&["man"]).expect(0).stdout;
    assert!(page.contains(".TH skew 1"), "{page}");
    place.skew(&["man", "--dir", "share/man1"]).expect(0);
    assert_eq!(place.read("share/man1/skew.1"), page);
    let help = place.skew(&["help"]).expect(0).stdout;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for verb in verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help") {
        let page = place.read(&format!("share/man1/skew-{verb}.1"));
        assert!(page.contains(&format!("skew\\-{verb}")) && page.contains("\\-\\-state"), "{page}");
    }
    place.write("file", "");
    let refused = place.skew(&["man", "--dir", "file/man1"]).expect(3);
    assert!(refused.stderr.contains("failed to write file/man1"), "{}", refused.stderr);
}

#[test]
fn every_verb_has_help_that_begins_with_what_it_does() {
    let help = Place::new().skew(&["help"]).expect(0).stdout;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<&str> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let help = Place::new().skew(&[verb, "--help"]).expect(0).stdout;
        assert!(help.contains("Usage: skew") && help.contains("--state <DIR>"), "{help}");
    }
}

#[test]
fn init_validates_once_its_blanks_are_filled() {
    let place = Place::new();
    std::fs::create_dir(place.join("chain")).unwrap();
    place.write("chain/go.mod", "module example.org/chain\n");
    place.git("chain", &["init", "-q"]);
    place.git("chain", &["add", "."]);
    place.git("chain", &["commit", "-qm", "first"]);
    place.skew(&["init", "chain/skew.toml"]).expect(0);
    place.skew(&["validate", "chain"]).expect(2);

    let filled = place.read("chain/skew.toml").replace("main = \"FILL IN\"", "main = 7000");
    place.write("chain/skew.toml", &filled);
    let blanks = place.skew(&["validate", "chain"]).expect(2);
    assert!(blanks.stderr.contains("the spec still has a blank"), "{}", blanks.stderr);
    assert!(blanks.stderr.contains("fill in what is marked `FILL IN`, and remove the mark"), "{}", blanks.stderr);
    // What `validate` refuses is refused, in the same words, before anything is built or run.
    let verbs =
        ["sweep", "plan", "build", "images", "freeze", "push", "up", "render kubernetes -o out", "submit", "report"];
    for verb in verbs {
        let words: Vec<&str> = verb.split(' ').chain(["chain/skew.toml"]).collect();
        assert_eq!(place.skew(&words).expect(2).stderr, blanks.stderr, "{verb}");
    }
    assert!(!place.join("chain/.skew").exists(), "nothing was begun");

    let filled = filled.replace("  # FILL IN: its real arguments", "").replace("\"FILL IN\"", "\"ping\"");
    place.write("chain/skew.toml", &filled);
    let valid = place.skew(&["validate", "chain"]).expect(0);
    assert_eq!(valid.stdout, "chain/skew.toml is valid: chain, 1 role, 1 check\n");
    let plan = place.skew(&["plan", "chain/skew.toml", "--set", "sources.chain.versions.revisions=[\"HEAD\"]"]);
    // Go may be missing here: then that is said, and nothing else is wrong.
    assert!(plan.code == 0 || plan.stderr.contains("  go (for "), "{}", plan.stderr);
}

#[test]
fn a_wrong_spec_shows_every_error_in_its_text() {
    let place = Place::new();
    place.write(
        "skew.toml",
        "[system]\nname = \"x\"\n\n[rolls.node]\nrun = [\"a\"]\n\n[topology]\nnode = { seat = 1 }\n",
    );
    let ran = place.skew(&["validate", "--color", "never"]).expect(2);
    for text in ["skew.toml", "rolls", "roles", "seat"] {
        assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
}

#[test]
fn doctor_needs_no_spec() {
    let ran = Place::new().skew(&["doctor"]).expect(0);
    for name in ["git", "cores", "memory", "disk", "loopback", "cgroups"] {
        assert!(ran.stdout.contains(name), "{}", ran.stdout);
    }
    let json = Place::new().skew(&["doctor", "--format", "json"]).expect(0);
    assert!(serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap().is_array());
}

/// What recipes need besides programs has to work too: a Nix that builds, a Docker that answers.
#[test]
fn doctor_says_what_recipes_lack() {
    let place = Place::new();
    let spec = |recipe: &str| {
        let (before, rest) = common::tiny::SPEC.split_once("kind = \"command\"").unwrap();
        let (_, after) = rest.split_once("within = \"1m\"").unwrap();
        place.write("skew.toml", &format!("{before}{recipe}{after}"));
    };
    let git =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join("git")).find(|git| git.exists());
    std::fs::create_dir(place.join("bin")).unwrap();
    std::os::unix::fs::symlink(git.unwrap(), place.join("bin/git")).unwrap();
    let doctor = |code: i32, line: &str| {
        let mut command = place.command(&["doctor"]);
        command.env("PATH", place.join("bin")).env("DOCKER_HOST", "unix:///nowhere");
        let ran = common::Ran::of(command.output().unwrap()).expect(code);
        let found = ran.stdout.lines().any(|said| said.split_whitespace().collect::<Vec<_>>().join(" ").contains(line));
        assert!(found, "{line} is not in\n{}", ran.stdout);
    };

    spec("kind = \"nix\"");
    doctor(3, "missing nix not on PATH; a recipe needs it: install it");
    let nix = |script: &str| place.program("bin/nix", &format!("#!/bin/sh\n{script}\n"));
    nix("printf 'warning: old\\nerror: cannot connect to socket\\n' >&2; exit 1");
    doctor(3, "missing nix cannot connect to socket; a recipe needs Nix 2.4 or newer");
    nix(
        "case \"$*\" in *--rebuild*) echo 'error: no users to build as' >&2; exit 1;; *) echo 'nix (Nix) 2.8.0';; esac",
    );
    doctor(3, "missing nix no users to build as;");
    nix("echo 'nix (Nix) 2.8.0'");
    doctor(0, "ok nix 2.8.0, builds flakes");

    spec("kind = \"dockerfile\"");
    doctor(3, "missing docker engine");

    // Not one of its `tools`, and not where builds look.
    spec("kind = \"command\"\nrun = [\"no-such-make\"]\ninputs = [[\"no-such-cc\", \"-v\"]]");
    doctor(3, "missing no-such-make not on PATH");
    doctor(3, "missing no-such-cc not on PATH");
}

#[test]
fn schemas_are_printed() {
    for of in ["spec", "recipe", "results", "diff"] {
        let ran = Place::new().skew(&["schema", of]).expect(0);
        let schema: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(schema["properties"].is_object() || schema["oneOf"].is_array(), "{of}: {schema}");
    }
}

#[test]
fn a_store_that_cannot_be_used_is_said_to_be() {
    let place = Place::new();
    place.write("skew.toml", common::tiny::SPEC);
    std::fs::create_dir_all(place.join(".skew/journal.jsonl")).unwrap();
    let ran = place.skew(&["gc"]).expect(4);
    assert!(ran.stderr.contains("journal.jsonl"), "{}", ran.stderr);
}

#[test]
fn nobody_who_stops_reading_makes_it_fail() {
    let place = Place::new();
    let mut child = place.command(&["schema"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The reference is generated: `SKEW_BLESS=1 cargo test --test parts cli` writes it.
#[test]
fn the_cli_reference_is_what_the_binary_says() {
    let place = Place::new();
    let top = place.skew(&["--help"]).expect(0).stdout;
    let mut text = format!(
        "# The command line\n\nGenerated from `skew --help`; a test fails when it is stale.\n\n```text\n{top}```\n"
    );
    let verbs = top.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs = verbs.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for verb in verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help") {
        let help = place.skew(&[verb, "--help"]).expect(0).stdout;
        // What is the same for all is said once, above.
        let help = help.split("\nGlobal options:").next().unwrap_or_default();
        text.push_str(&format!("\n## skew {verb}\n\n```text\n{}\n```\n", help.trim_end()));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/cli.md");
    if std::env::var_os("SKEW_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written, text,
        "docs/reference/cli.md is stale: `SKEW_BLESS=1 cargo test --test parts cli` writes it anew"
    );
}

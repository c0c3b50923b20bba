//! The guide "Your first spec", done as it says: its specs are written where it says so, its commands are run in order in
//! one shell, and they print what it shows.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;
use skew_testing::needs::lacks;

use crate::common::{Place, Ran};

/// What the guide has its reader do.
#[derive(Debug, PartialEq)]
enum Step {
    /// A command, and what it shows: `…` is anything, as a line any lines.
    Run { command: String, shows: String },
    /// The spec is this.
    Spec(String),
    /// And this is added to it.
    Add(String),
}

/// The steps of a document: `console` blocks, and `toml` blocks that begin with what file they are.
fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in document.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a block's first line");
        let text = format!("{text}\n");
        match language {
            "console" => {
                for line in text.lines() {
                    match (line.strip_prefix("$ "), steps.last_mut()) {
                        (Some(command), _) => {
                            steps.push(Step::Run { command: command.to_owned(), shows: String::new() });
                        }
                        (None, Some(Step::Run { shows, .. })) => *shows += &format!("{line}\n"),
                        (None, _) => panic!("{line:?} is shown before any command"),
                    }
                }
            }
            "toml" if text.starts_with("# skew.toml\n") => steps.push(Step::Spec(text)),
            "toml" if text.starts_with("# skew.toml, at its end\n") => steps.push(Step::Add(text)),
            _ => {}
        }
    }
    steps
}

/// Between what one command printed and the next; a status is between it and the line's end.
const MARK: &str = "\u{1}guide\u{1}";

/// One shell that does everything: what a command leaves, such as its directory, is there for the next one.
fn script(steps: &[Step]) -> String {
    let mut script = "exec 2>&1\n".to_owned();
    for step in steps {
        let (sign, text) = match step {
            Step::Run { command, .. } => {
                // The status stays what it is, for `echo $?`.
                let _ = write!(script, "{command}\nstatus=$?; printf '%s%s\\n' '{MARK}' $status; (exit $status)\n");
                continue;
            }
            Step::Spec(text) => (">", text),
            Step::Add(text) => (">>", text),
        };
        let _ = write!(script, "cat {sign} skew.toml <<'END OF BLOCK'\n{text}END OF BLOCK\n");
    }
    script
}

/// What is shown, as a pattern of what is printed.
fn pattern(shows: &str) -> Regex {
    let line = |line: &str| match line {
        "…" => "(?:.*\n)*?".to_owned(),
        _ => format!("{}\n", line.split('…').map(regex::escape).collect::<Vec<_>>().join(".*")),
    };
    Regex::new(&format!("^{}$", shows.lines().map(line).collect::<String>())).expect("a pattern")
}

#[test]
fn whoever_follows_the_first_guide_finds_what_is_incompatible() {
    if lacks("whoever_follows_the_first_guide_finds_what_is_incompatible", "python3") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("docs/guides/first-spec.md")).expect("the guide");
    let steps = steps(&guide);
    assert!(steps.iter().any(|step| matches!(step, Step::Spec(_))) && steps.len() > 10, "{steps:#?}");

    // The reader's machine: an empty directory, a checkout of skew in the home, and skew installed.
    let place = Place::new();
    std::fs::create_dir(place.join("empty")).expect("a directory");
    std::os::unix::fs::symlink(root, place.join("home/skew")).expect("a checkout");
    let bin = Path::new(env!("CARGO_BIN_EXE_skew")).parent().expect("a directory");
    let path = std::env::join_paths(
        std::iter::once(bin.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let script = place.write("guide.sh", &script(&steps));
    let mut shell = Command::new("sh");
    // The environment that skew has in all tests.
    shell.env_clear().envs(place.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", path.expect("a PATH")).arg(script).current_dir(place.join("empty")).stdin(Stdio::null());
    let ran = Ran::of(shell.output().expect("a shell starts"));

    let mut printed = ran.stdout.split(MARK);
    let mut output = printed.next().expect("what the first command printed");
    let runs: Vec<_> = steps
        .iter()
        .filter_map(|step| if let Step::Run { command, shows } = step { Some((command, shows)) } else { None })
        .collect();
    for (number, (command, shows)) in runs.iter().enumerate() {
        let (status, next) = printed.next().and_then(|rest| rest.split_once('\n')).expect("a command's status");
        assert!(pattern(shows).is_match(output), "{command}\nshows in the guide\n{shows}\nbut printed\n{output}");
        let told = runs.get(number + 1).is_some_and(|(next, _)| *next == "echo $?");
        assert!(status == "0" || told, "{command} ended with {status}, and the guide does not say so:\n{output}");
        output = next;
    }

    let results = place.read("empty/chat/reports/chat/results.json");
    let results: serde_json::Value = serde_json::from_str(&results).expect("JSON");
    assert_eq!(results["system"], "chat");
    assert_eq!(results["findings"].as_array().map(Vec::len), Some(0), "{}", results["findings"]);
    let accepted = results["accepted"].as_array().expect("what is accepted");
    let cells: u64 = accepted.iter().filter_map(|finding| finding["cells"].as_u64()).sum();
    assert_eq!(cells, 4, "{accepted:#?}");
}

#[test]
fn a_document_is_its_steps() {
    let text = "x\n\n```console\n$ a b\nout\n$ cd c\n```\n\n```toml\nx = 1\n```\n\n```toml\n# skew.toml\nx = 1\n```\n";
    let run = |command: &str, shows: &str| Step::Run { command: command.to_owned(), shows: shows.to_owned() };
    assert_eq!(steps(text), [run("a b", "out\n"), run("cd c", ""), Step::Spec("# skew.toml\nx = 1\n".to_owned())]);
}

#[test]
fn what_is_shown_is_what_must_be_printed() {
    for (shows, printed, expect) in [
        ("", "", true),
        ("", "a\n", false),
        ("a\n", "a\n", true),
        ("a\n", "a\nb\n", false),
        ("…\nb …\n", "a\na\nb 17\n", true),
        ("…\nb\n…\n", "b\n", true),
        ("b.\n", "bc\n", false),
    ] {
        assert_eq!(pattern(shows).is_match(printed), expect, "{shows:?} {printed:?}");
    }
}

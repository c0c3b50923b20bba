//! What the end of a command means, and whose failure it is.

use std::time::Duration;

use skew_core::model::{NodeName, Outcome};
use skew_core::text::{count, duration};
use skew_deploy::{Output, Place};

use super::scene::Scene;

/// Bytes shown of each output of a command.
const SHOWN: usize = 700;

/// How shells, `env` and the kernel say that a program cannot be executed, after its name.
const REASONS: [&str; 8] = [
    ": command not found",
    ": not found",
    ": No such file or directory",
    ": Permission denied",
    ": Exec format error",
    ": cannot execute: required file not found",
    ": cannot execute binary file",
    ": bad interpreter",
];

impl Scene<'_> {
    /// What a command's end means: 0 ok, 77 unsupported, else failed. When the machine lacks a program for it, that is an
    /// error and says nothing about the version; what its image lacks is the version's failure.
    pub(super) fn outcome(&self, node: &NodeName, output: &Output) -> Outcome {
        match output.status {
            _ if output.timed_out => Outcome::Failed,
            Some(0) => Outcome::Ok,
            Some(77) => Outcome::Unsupported,
            Some(126 | 127) if self.machine_lacks(node, &String::from_utf8_lossy(&output.stderr)) => Outcome::Error,
            _ => Outcome::Failed,
        }
    }

    /// Whether a program that ended with 126 or 127 says that another, which the machine ought to have, cannot be executed.
    pub(super) fn machine_lacks(&self, node: &NodeName, printed: &str) -> bool {
        let places = self.network.places();
        // In a container every program is the image's.
        let on_machine = places.iter().any(|place| place.node == *node && !place.root.is_empty());
        on_machine && not_executed(printed).is_some_and(|program| is_machines(program, &places))
    }

    /// Whether a program that was to be started for a node is one that the machine ought to have.
    pub(super) fn is_machines(&self, node: &NodeName, program: &str) -> bool {
        let places = self.network.places();
        places.iter().any(|place| place.node == *node && !place.root.is_empty()) && is_machines(program, &places)
    }
}

/// The program of which the last such line says that it cannot be executed.
fn not_executed(printed: &str) -> Option<&str> {
    printed.lines().rev().find_map(|line| {
        let mut line = line.trim_end();
        if let Some((before, _)) = line.rsplit_once(" (os error ") {
            line = before;
        }
        if let Some((_, program)) = line.rsplit_once("command not found: ") {
            return Some(program);
        }
        let mut before = line;
        while let Some(rest) = REASONS.iter().find_map(|reason| before.strip_suffix(reason)) {
            before = rest;
        }
        let program = before.rsplit(": ").next().unwrap_or(before);
        (before.len() < line.len()).then(|| program.trim_matches(['\'', '"', '`', '‘', '’']))
    })
}

/// Whether a program lies neither in an image nor in a node's directory: it is the machine's.
fn is_machines(program: &str, places: &[Place]) -> bool {
    let is_below = |dir: &str| !dir.is_empty() && std::path::Path::new(program).starts_with(dir);
    let is_nodes = places.iter().any(|place| is_below(&place.root) || is_below(&place.dir));
    // What has a slash and is relative lies in the node's own directory.
    !is_nodes && (program.starts_with('/') || !program.contains('/'))
}

/// How a command that had to succeed ended instead. What stands first is what people look for.
pub(super) fn ended(output: &Output, within: Duration) -> String {
    match output.timed_out {
        true => format!("expected its end within {}, found it still running", duration(within)),
        false => format!("expected exit status 0, found {}", output.how()),
    }
}

/// A failed command: what was expected and found, where, and the end of what it printed.
pub(super) fn failure(expected_and_found: &str, place: &str, argv: &[String], output: &Output) -> String {
    format!("{expected_and_found} ({place}: {}){}", program(argv), output.printed(SHOWN))
}

/// Why a line that was not found in a log may be there all the same.
pub(super) fn unseen(lines: u64) -> String {
    let lines = count(lines, "line");
    format!("skew could not look at all of {lines} of the log, which were too many at once or too long")
}

/// The name of a command's program without its directory.
pub(super) fn program(argv: &[String]) -> &str {
    argv.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_program_that_is_missing_is_found() {
        for (printed, want) in [
            ("", None),
            ("client: the server hung up", None),
            ("sh: 1: curl: not found", Some("curl")),
            ("bash: line 1: curl: command not found", Some("curl")),
            ("zsh:1: command not found: curl", Some("curl")),
            ("env: ‘python3’: No such file or directory", Some("python3")),
            ("curl: No such file or directory (os error 2)", Some("curl")),
            ("/x/y: Permission denied (os error 13)", Some("/x/y")),
            ("bash: /x/tool: /opt/none: bad interpreter: No such file or directory", Some("/opt/none")),
            ("sh: 1: /images/node-0/tool: not found\nbye", Some("/images/node-0/tool")),
        ] {
            assert_eq!(not_executed(printed), want, "{printed}");
        }
    }

    #[test]
    fn what_lies_in_an_image_is_not_the_machines() {
        let places = [testing::place(&testing::plan(&["node-0@v1"]).seats[0], 0)];
        for (program, want) in [
            ("curl", true),
            ("/usr/bin/curl", true),
            ("/images/node-0/bin/tool", false),
            ("/images/node-01/bin/tool", true),
            ("bin/tool", false),
        ] {
            assert_eq!(is_machines(program, &places), want, "{program}");
        }
    }

    #[test]
    fn what_was_expected_and_found_comes_first() {
        let argv = ["/x/client.py".to_owned()];
        let output = Output { status: Some(1), stderr: b"client: the server hung up\n".to_vec(), ..Output::default() };
        assert_eq!(
            failure(&ended(&output, Duration::ZERO), "step 1 in client-0", &argv, &output),
            "expected exit status 0, found exit status 1 (step 1 in client-0: client.py)\nstderr: client: the server hung up"
        );
        let cut = Output { timed_out: true, stdout: b"so far".to_vec(), ..Output::default() };
        assert_eq!(
            failure(&ended(&cut, Duration::from_micros(1_945_842)), "init step 2", &argv, &cut),
            "expected its end within 1.9 s, found it still running (init step 2: client.py)\nstdout: so far"
        );
    }
}

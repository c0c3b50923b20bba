//! A system so small that a network of it takes no time: shell scripts that say up, and whom they can talk to.

use std::collections::BTreeSet;

use super::{Place, Ran, results};

/// A place with a repository of the system and a spec of it.
pub struct Tiny {
    pub place: Place,
}

/// Three versions, of which the newest does not understand the oldest.
pub const THREE: &[(&str, &str)] = &[("v1.0.0", ""), ("v1.1.0", ""), ("v2.0.0", "v1.0.0")];

/// The spec's text, to be edited by tests.
pub const SPEC: &str = r#"# which versions talk
[system]
name = "tiny"

[sources.tiny]
repository = "repo"
versions = { tags = "v{version}" }

[roles.node]
run = ["sh", "{{ root }}/node"]
ready = { log = "^up$", within = "60s" }
ports = { main = 7000 }
stop = { signal = "KILL" }

[roles.node.recipe]
kind = "command"
run = ["sh", "-c", "sh ./build"]
paths = ["build", "node", "talk"]
within = "1m"

[topology]
node = { seats = 3 }

[matrix]
strategy = "packed"

[[check]]
name = "talks"
from = "node"
to = "node"
steps = [
  { in = "from", run = ["sh", "{{ from.root }}/talk", "{{ to.version }}"] },
]
"#;

/// What [`SPEC`] gets for a driver that reports every pair, at a version of its own.
const DRIVER: &str = r#"
[roles.probe]
run = ["sh", "{{ root }}/probe"]
depends = ["node"]
pinned = "v1.0.0"

[roles.probe.recipe]
kind = "command"
run = ["sh", "-c", "cp probe $OUT/"]
paths = ["probe"]

[[driver]]
role = "probe"
complete = true
within = "60s"

[[check]]
name = "met"
from = "node"
to = "node"
driver = "probe"
"#;

/// Reports that everybody met everybody.
const PROBE: &str = r#"names=$(grep -o '"name":"node-[0-9]*"' "$SKEW_NETWORK" | grep -o 'node-[0-9]*')
for a in $names; do
  for b in $names; do
    [ "$a" = "$b" ] || echo "{\"skew\":\"observation\",\"check\":\"met\",\"from\":\"$a\",\"to\":\"$b\",\"result\":\"ok\"}"
  done
done
"#;

impl Tiny {
    /// The system at no version yet.
    pub fn new() -> Self {
        let place = Place::new();
        place.write("repo/README", "tiny\n");
        place.git("repo", &["init", "-q"]);
        place.git("repo", &["add", "."]);
        place.git("repo", &["commit", "-qm", "begin"]);
        place.write("skew.toml", SPEC);
        Self { place }
    }

    /// The system at some versions: each a label and whom it cannot talk to.
    pub fn with(versions: &[(&str, &str)]) -> Self {
        let tiny = Self::new();
        for (label, deaf_to) in versions {
            tiny.release(label, deaf_to);
        }
        tiny
    }

    /// The system with a driver, at some versions.
    pub fn driven(versions: &[(&str, &str)]) -> Self {
        let tiny = Self::new();
        tiny.place.write("repo/probe", PROBE);
        tiny.place.write("skew.toml", &format!("{SPEC}{DRIVER}"));
        tiny.edit("seats = 3 }", "seats = 3 }\nprobe = { count = 1 }");
        for (label, deaf_to) in versions {
            tiny.release(label, deaf_to);
        }
        tiny
    }

    /// The same system with the same records in another directory.
    pub fn copy(&self) -> Self {
        Self { place: self.place.copy() }
    }

    /// A new version: `deaf_to` are the versions it cannot talk to, `no-build` one that does not build.
    pub fn release(&self, label: &str, deaf_to: &str) {
        let build =
            if deaf_to == "no-build" { "echo 'no rule to make tiny' >&2; exit 2\n" } else { "cp node talk $OUT/\n" };
        let cases: String = deaf_to
            .split_whitespace()
            .map(|version| format!("  {version}) echo \"{label} cannot talk to $1\"; exit 1;;\n"))
            .collect();
        self.place.write("repo/build", build);
        self.place.write("repo/node", &format!("echo {label}\necho up\nexec sleep 600\n"));
        self.place.write("repo/talk", &format!("# {label}\ncase $1 in\n{cases}  *) exit 0;;\nesac\n"));
        self.commit(label);
        self.place.git("repo", &["tag", label]);
    }

    /// Everything in the repository's work tree, as a commit.
    pub fn commit(&self, message: &str) {
        self.place.git("repo", &["add", "."]);
        self.place.git("repo", &["commit", "-qm", message, "--allow-empty"]);
    }

    /// Replaces a part of the spec, which must be there.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = self.place.read("skew.toml");
        assert!(text.contains(from), "{from:?} is not in the spec");
        self.place.write("skew.toml", &text.replacen(from, to, 1));
    }

    pub fn skew(&self, args: &[&str]) -> Ran {
        self.place.skew(args)
    }

    /// The report's data of a sweep.
    pub fn results(&self) -> serde_json::Value {
        results::results(&self.place.join("reports/tiny/results.json"))
    }

    /// Lines of the journal of one kind: `attempt`, `build`, `sweep`.
    pub fn journal(&self, kind: &str) -> Vec<serde_json::Value> {
        self.journal_in(".skew", kind)
    }

    /// The same of another state directory.
    pub fn journal_in(&self, state: &str, kind: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.place.join(state).join("journal.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| line["entry"].get(kind).cloned())
            .collect()
    }
}

/// `cell = word` for every cell of a check, in order.
pub fn verdicts(results: &serde_json::Value, check: &str) -> Vec<String> {
    let told = results::cells(results, Some(check)).into_iter().map(results::told);
    let mut cells: Vec<String> = told.map(|(cell, word)| format!("{cell} = {word}")).collect();
    cells.sort();
    cells
}

/// The cells that attempts after the first `from` asked or observed anew, without repeats.
pub fn asked_since(tiny: &Tiny, from: usize) -> BTreeSet<String> {
    let attempts = tiny.journal("attempt");
    let cells =
        attempts[from..].iter().flat_map(|attempt| attempt["network"]["asks"].as_array().cloned().unwrap_or_default());
    cells
        .map(|cell| {
            let subject = &cell["subject"];
            let party =
                |p: &serde_json::Value| format!("{}@{}", p["role"].as_str().unwrap(), p["version"].as_str().unwrap());
            let subject = match (subject.get("alone"), subject.get("ordered")) {
                (Some(alone), _) => party(alone),
                (_, Some(pair)) => format!("{} -> {}", party(&pair[0]), party(&pair[1])),
                _ => subject.to_string(),
            };
            format!("{}: {subject}", cell["check"].as_str().unwrap())
        })
        .collect()
}

pub fn ids(tiny: &Tiny) -> Vec<String> {
    tiny.journal("attempt").iter().map(|attempt| attempt["id"].as_str().unwrap().to_owned()).collect()
}

/// What was seated in each attempt and why.
pub fn seated(tiny: &Tiny) -> Vec<(String, String)> {
    let describe = |attempt: &serde_json::Value| {
        let seats = attempt["network"]["seats"].as_array().unwrap().iter();
        let seats: Vec<&str> = seats.map(|seat| seat["party"]["version"].as_str().unwrap()).collect();
        (seats.join(" "), attempt["network"]["reason"]["kind"].as_str().unwrap().to_owned())
    };
    tiny.journal("attempt").iter().map(describe).collect()
}

/// No process, network or worktree of the system is there.
#[track_caller]
pub fn nothing_is_left(tiny: &Tiny) {
    let mine = tiny.place.path().to_string_lossy().into_owned();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let environ = String::from_utf8_lossy(&environ).into_owned();
        if environ.contains("SKEW_LABEL=") && environ.contains(&mine) {
            let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            panic!("process {pid} is left: {command:?}");
        }
    }
    for dir in [".skew/run/networks", ".skew/tmp/worktrees"] {
        let left: Vec<_> = std::fs::read_dir(tiny.place.join(dir)).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{dir}: {left:?}");
    }
}

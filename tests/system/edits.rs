//! What an edit costs: the table of what is asked again after each, with the real binary.

use crate::common;

use std::collections::BTreeSet;

use common::tiny::{THREE, Tiny, asked_since};

#[test]
fn a_new_tag_costs_only_its_own_cells() {
    let tiny = Tiny::with(THREE);
    tiny.skew(&["sweep"]).expect(1);
    let (attempts, builds) = (tiny.journal("attempt").len(), tiny.journal("build").len());
    tiny.release("v2.1.0", "v1.0.0");
    tiny.skew(&["sweep"]).expect(1);
    assert_eq!(tiny.journal("build").len(), builds + 1);
    let asked = asked_since(&tiny, attempts);
    assert!(!asked.is_empty() && asked.iter().all(|cell| cell.contains("v2.1.0")), "{asked:?}");
}

/// One edit: its name, what it does, and the cells that the next sweep asks again.
type Edit = (&'static str, fn(&Tiny), Again);

/// What is asked again.
enum Again {
    Nothing,
    Everything,
    Only(fn(&str) -> bool),
}

#[test]
fn each_edit_costs_exactly_the_cells_it_touches() {
    const LOG: &str = "\n[[expect]]\nname = \"quiet\"\nlog = { role = \"*\", never = \"panic\" }\n";
    fn append(tiny: &Tiny, text: &str) {
        let spec = tiny.place.read("skew.toml");
        tiny.place.write("skew.toml", &format!("{spec}{text}"));
    }
    fn talks(cell: &str) -> bool {
        cell.starts_with("talks")
    }
    fn quiet(cell: &str) -> bool {
        cell.starts_with("quiet")
    }
    let edits: [Edit; 17] = [
        ("a comment", |t| t.edit("# which versions talk", "# something else"), Again::Nothing),
        ("spaces", |t| t.edit("name = \"tiny\"", "name    =   \"tiny\""), Again::Nothing),
        (
            "a known failure",
            |t| append(t, "\n[[known]]\ncell = \"talks: node@v2.0.0 -> node@v1.0.0\"\nreason = \"old\"\n"),
            Again::Nothing,
        ),
        ("a bound", |t| append(t, "\n[limits]\nnetwork = \"3m\"\n"), Again::Nothing),
        ("a repeat policy", |t| append(t, "\n[repeats]\nflaky = 6\n"), Again::Nothing),
        ("seats", |t| t.edit("seats = 3", "seats = 2"), Again::Nothing),
        ("the strategy", |t| t.edit("\"packed\"", "\"pairs\""), Again::Nothing),
        ("a candidate", |t| t.edit("\"packed\"", "\"packed\"\ncandidate = \"v2.0.0\""), Again::Nothing),
        (
            "an unrelated commit under a tag",
            |t| {
                t.place.write("repo/README", "more\n");
                t.commit("docs");
                t.place.git("repo", &["tag", "-f", "v2.0.0"]);
            },
            Again::Nothing,
        ),
        ("the time of a recipe", |t| t.edit("within = \"1m\"", "within = \"2m\""), Again::Nothing),
        ("a recipe that gives the same files", |t| t.edit("sh ./build", "sh build"), Again::Nothing),
        ("a template", |t| t.edit("{{ root }}/node\"", "{{ root }}/node\", \"-v\""), Again::Everything),
        ("a port", |t| t.edit("main = 7000", "main = 7001"), Again::Everything),
        ("a step", |t| t.edit("{{ to.version }}\"", "{{ to.version }}\", \"x\""), Again::Only(talks)),
        ("a new expectation", |t| append(t, LOG), Again::Only(quiet)),
        (
            "one version's files",
            |t| {
                t.place.write("repo/node", "echo v2.0.0\necho up\necho hello\nexec sleep 600\n");
                t.commit("hello");
                t.place.git("repo", &["tag", "-f", "v2.0.0"]);
            },
            Again::Only(|cell| cell.contains("v2.0.0")),
        ),
        ("readiness", |t| t.edit("log = \"^up$\"", "log = \"up\""), Again::Everything),
    ];
    let swept = Tiny::with(THREE);
    swept.skew(&["sweep"]).expect(1);
    let everything = asked_since(&swept, 0);
    let attempts = swept.journal("attempt").len();
    cost(&swept, &everything, attempts, edits);
}

#[test]
fn edits_around_a_driver_cost_what_it_reports() {
    fn met(cell: &str) -> bool {
        cell.starts_with("met")
    }
    let swept = Tiny::driven(THREE);
    // A later version at which the driver is the same program, and one at which it is not.
    swept.place.write("repo/probe", &(swept.place.read("repo/probe") + "# another\n"));
    swept.commit("another probe");
    swept.place.git("repo", &["tag", "other"]);
    swept.skew(&["sweep"]).expect(1);
    let everything = asked_since(&swept, 0);
    assert!(everything.iter().any(|cell| met(cell)), "{everything:?}");
    let attempts = swept.journal("attempt").len();
    let edits: [Edit; 6] = [
        (
            "the same driver at another version",
            |t| t.edit("pinned = \"v1.0.0\"", "pinned = \"v1.1.0\""),
            Again::Nothing,
        ),
        ("another driver", |t| t.edit("pinned = \"v1.0.0\"", "pinned = \"other\""), Again::Everything),
        ("what a driver must report", |t| t.edit("complete = true", "complete = false"), Again::Only(met)),
        ("a count", |t| t.edit("probe = { count = 1 }", "probe = { count = 2 }"), Again::Everything),
        (
            "another check's step",
            |t| t.edit("{{ to.version }}\"", "{{ to.version }}\", \"x\""),
            Again::Only(|c| c.starts_with("talks")),
        ),
        (
            "a driver's environment",
            |t| t.edit("[roles.probe]", "[roles.probe]\nenv = { A = \"b\" }"),
            Again::Everything,
        ),
    ];
    cost(&swept, &everything, attempts, edits);
}

/// Does each edit to a copy of a system that was swept, sweeps again, and looks at what was asked.
fn cost<const N: usize>(swept: &Tiny, everything: &BTreeSet<String>, attempts: usize, edits: [Edit; N]) {
    for (name, edit, again) in edits {
        let tiny = swept.copy();
        edit(&tiny);
        let ran = tiny.skew(&["sweep"]);
        assert!(ran.code == 0 || ran.code == 1, "{name}: {}", ran.stderr);
        let asked = asked_since(&tiny, attempts);
        match again {
            Again::Nothing => assert!(asked.is_empty(), "{name}: {asked:?}"),
            Again::Everything => assert_eq!(asked, *everything, "{name}"),
            Again::Only(which) => {
                assert!(asked.iter().all(|cell| which(cell)), "{name}: {asked:?}");
                let expected: BTreeSet<String> = everything.iter().filter(|cell| which(cell)).cloned().collect();
                assert!(!asked.is_empty() && expected.is_subset(&asked), "{name}: {asked:?}");
            }
        }
    }
}

//! Wrong specs and what people are told about them: each `tests/spec_errors/NN-*.toml` has one snapshot beside it.
//!
//! A line `#! --set …`, `#! --env NAME=VALUE` or `#! --repository NAME=PATH` in a spec is given as an override.

use std::path::{Path, PathBuf};

use skew_spec::{Overrides, parse};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec_errors")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).expect("the directory of wrong specs");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cases.sort();
    cases
}

fn overrides(text: &str) -> Overrides {
    let mut overrides = Overrides::default();
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').expect("NAME=VALUE");
        (name.to_owned(), value.to_owned())
    };
    for directive in text.lines().filter_map(|line| line.strip_prefix("#! ")) {
        match directive.split_once(' ') {
            Some(("--set", set)) => overrides.set.push(set.to_owned()),
            Some(("--env", set)) => overrides.env.push(pair(set)),
            Some(("--repository", set)) => overrides.repositories.push(pair(set)),
            _ => panic!("unknown directive: {directive}"),
        }
    }
    overrides
}

#[test]
fn wrong_specs_are_explained() {
    let cases = cases();
    assert!(cases.len() >= 40, "only {} wrong specs", cases.len());
    for path in cases {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // Wrong specs need not be UTF-8 on disk, but they get here as text.
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let read = |file: &Path| std::fs::read_to_string(directory().join(file));
        let shown = format!("{name}.toml");
        let Err(errors) = parse(&text, Path::new(&shown), &overrides(&text), &read) else {
            panic!("{name} is a valid spec");
        };
        assert!(errors.iter().all(|error| !error.message().is_empty() && error.location().1 > 0), "{name}");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("spec_errors");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, errors.render(false, 110)));
    }
}

#[test]
fn every_error_has_a_hint() {
    let mut without: Vec<String> = Vec::new();
    for path in cases() {
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let read = |file: &Path| std::fs::read_to_string(directory().join(file));
        if let Err(errors) = parse(&text, Path::new("skew.toml"), &overrides(&text), &read) {
            without
                .extend(errors.iter().filter(|error| error.hint().is_none()).map(|error| error.message().to_owned()));
        }
    }
    assert!(without.is_empty(), "{without:#?}");
}

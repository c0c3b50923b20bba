//! What the documents promise: their links lead somewhere, their specs are specs, their words are the program's.

use std::path::{Path, PathBuf};

use skew_spec::Overrides;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document that people read: those at the top, below `docs` and below `examples`.
fn documents() -> Vec<PathBuf> {
    let is_document = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let top = std::fs::read_dir(root()).expect("the checkout").map(|entry| entry.expect("an entry").path());
    let below = ["docs", "examples"].into_iter().flat_map(|dir| walkdir::WalkDir::new(root().join(dir)));
    let below = below.map(|entry| entry.expect("an entry").into_path());
    let mut documents: Vec<_> = top.chain(below).filter(|path| is_document(path)).collect();
    documents.sort();
    documents
}

/// The fenced blocks of a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let after = document.split(fence.as_str()).skip(1);
    after.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = read(&document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || file.is_empty();
            if !elsewhere && !document.parent().expect("a directory").join(file).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_spec_in_the_readme_is_a_spec() {
    let blocks = blocks(&read(&root().join("README.md")), "toml");
    assert_eq!(blocks.len(), 1);
    let spec = skew_spec::parse(&blocks[0], &root().join("skew.toml"), &Overrides::default(), &|path| {
        std::fs::read_to_string(path)
    });
    let spec = spec.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(spec.system, "redis");
}

#[test]
fn the_specs_in_the_guides_are_toml() {
    for document in documents() {
        for block in blocks(&read(&document), "toml") {
            let table: Result<toml::Table, _> = block.parse();
            assert!(
                table.is_ok(),
                "{}: {}",
                document.display(),
                table.err().map(|e| e.to_string()).unwrap_or_default()
            );
        }
    }
}

#[test]
fn the_specs_shipped_with_the_project_are_specs() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("matrix")).expect("matrix/") {
        let path = entry.expect("an entry").path();
        skew_spec::load(&path, &Overrides::default()).unwrap_or_else(|errors| panic!("{}:\n{errors}", path.display()));
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn every_verdict_is_explained() {
    for document in ["README.md", "docs/guides/reading-a-report.md"] {
        let text = read(&root().join(document));
        for word in ["pass", "fail", "flaky", "interference", "broken", "unbuilt", "unsupported", "error", "untested"] {
            assert!(text.contains(&format!("| `{word}` |")), "{document} does not explain `{word}`");
        }
    }
}

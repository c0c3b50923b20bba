//! `--only`: which cells a person wants asked.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use skew_core::model::{Cell, CellId};

/// A pattern of cells.
#[derive(Debug, Clone)]
pub struct CellPattern {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Id(CellId, GlobMatcher),
    Cell(GlobMatcher),
    Party(GlobMatcher),
    Name(GlobMatcher),
}

/// Patterns that are malformed or match nothing.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It cannot be read.
    #[error("the pattern {text:?} is malformed")]
    Malformed {
        /// The pattern.
        text: String,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// It is well-formed, and no cell is like that.
    #[error("no cell matches {text:?}{}", closest.as_ref().map(|c| format!("; the closest is `{c}`")).unwrap_or_default())]
    Nothing {
        /// The pattern.
        text: String,
        /// The cell, party, check, role or version that looks most like it.
        closest: Option<String>,
    },
}

impl CellPattern {
    /// Reads a pattern: a cell's id, a glob over a cell's text (it holds `: `), a glob over a party (it holds `@`), or a
    /// glob over checks, roles and versions.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        // Sets are written in braces: those are no alternatives.
        let escaped = text.replace('{', "[{]").replace('}', "[}]");
        let glob = GlobBuilder::new(&escaped)
            .literal_separator(false)
            .build()
            .map_err(|source| PatternError::Malformed { text: text.to_owned(), source })?
            .compile_matcher();
        let kind = match CellId::new(text) {
            Some(id) => Kind::Id(id, glob),
            None if text.contains(": ") => Kind::Cell(glob),
            None if text.contains('@') => Kind::Party(glob),
            None => Kind::Name(glob),
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the cell is meant.
    pub fn matches(&self, cell: &Cell) -> bool {
        let names = |glob: &GlobMatcher| {
            glob.is_match(cell.check.as_str())
                || cell
                    .subject
                    .parties()
                    .iter()
                    .any(|p| glob.is_match(p.role.as_str()) || glob.is_match(p.version.as_str()))
        };
        match &self.kind {
            Kind::Id(id, glob) => cell.id() == *id || names(glob),
            Kind::Cell(glob) => glob.is_match(cell.to_string()),
            Kind::Party(glob) => cell.subject.parties().iter().any(|p| glob.is_match(p.to_string())),
            Kind::Name(glob) => names(glob),
        }
    }
}

/// The cells that any of the patterns means; an error for the first pattern that means none.
pub fn select(cells: &BTreeSet<Cell>, patterns: &[CellPattern]) -> Result<BTreeSet<Cell>, PatternError> {
    let mut selected = BTreeSet::new();
    for pattern in patterns {
        let before = cells.iter().filter(|cell| pattern.matches(cell));
        let mut any = false;
        for cell in before {
            any = true;
            selected.insert(cell.clone());
        }
        if !any {
            return Err(PatternError::Nothing { text: pattern.text.clone(), closest: closest(cells, pattern) });
        }
    }
    Ok(selected)
}

fn closest(cells: &BTreeSet<Cell>, pattern: &CellPattern) -> Option<String> {
    let candidates: BTreeSet<String> = match pattern.kind {
        Kind::Cell(_) => cells.iter().map(ToString::to_string).collect(),
        Kind::Party(_) => cells.iter().flat_map(|cell| cell.subject.parties()).map(ToString::to_string).collect(),
        Kind::Id(..) | Kind::Name(_) => cells
            .iter()
            .flat_map(|cell| {
                let parties = cell.subject.parties();
                let names = parties.into_iter().flat_map(|p| [p.role.to_string(), p.version.to_string()]);
                names.chain([cell.check.to_string()])
            })
            .collect(),
    };
    closest_name(&pattern.text, candidates)
}

/// The name that looks most like the text, if one does.
pub fn closest_name(text: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(text, &name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> BTreeSet<Cell> {
        [
            "pay: node@v1.0 -> node@v1.1",
            "pay: node@v1.1 -> notary@v1.0",
            "ready: doorman@redis/7.0",
            "pay: {node@v1.0, node@v1.1, notary@v1.0}",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect()
    }

    #[test]
    fn patterns_select() {
        let id = "ready: doorman@redis/7.0".parse::<Cell>().unwrap().id().to_string();
        for (pattern, expect) in [
            ("pay", 3),
            ("p*", 3),
            ("notary", 2),
            ("v1.1", 3),
            ("redis/*", 1),
            ("node@v1.0", 2),
            ("node@*", 3),
            ("pay: node@* -> *", 2),
            ("pay: {*", 1),
            ("*: *@v1.0 -> *", 1),
            (id.as_str(), 1),
        ] {
            let got = select(&cells(), &[CellPattern::new(pattern).unwrap()]).unwrap();
            assert_eq!(got.len(), expect, "{pattern}: {got:?}");
        }
    }

    #[test]
    fn several_patterns_are_a_union() {
        let patterns = [CellPattern::new("ready").unwrap(), CellPattern::new("notary").unwrap()];
        assert_eq!(select(&cells(), &patterns).unwrap().len(), 3);
    }

    #[test]
    fn a_pattern_that_means_nothing_names_the_closest() {
        let error = select(&cells(), &[CellPattern::new("notray").unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), "no cell matches \"notray\"; the closest is `notary`");
        assert!(CellPattern::new("[").is_err());
    }
}

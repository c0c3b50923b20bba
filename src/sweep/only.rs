//! `--only`: which cells a person wants asked.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use skew_core::model::{Cell, CellId};

/// A pattern of cells.
#[derive(Debug, Clone)]
pub struct CellPattern {
    text: String,
    kind: Kind,
    /// The axes that it names, as written, with their values; every value of the others is meant.
    axes: Vec<(String, GlobMatcher)>,
}

#[derive(Debug, Clone)]
enum Kind {
    Every,
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
    /// glob over checks, roles and versions. Values of axes follow, as ` [axis=value, …]`, or stand alone.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let malformed = |source| PatternError::Malformed { text: text.to_owned(), source };
        let (cells, axes) = with_axes(text);
        let glob = glob(cells).map_err(malformed)?;
        let kind = match CellId::new(cells) {
            Some(id) => Kind::Id(id, glob),
            None if cells.is_empty() && !axes.is_empty() => Kind::Every,
            None if cells.contains(": ") => Kind::Cell(glob),
            None if cells.contains('@') => Kind::Party(glob),
            None => Kind::Name(glob),
        };
        let axis = |(axis, value): (&str, &str)| Ok((axis.to_owned(), self::glob(value).map_err(malformed)?));
        let axes = axes.into_iter().map(axis).collect::<Result<_, PatternError>>()?;
        Ok(Self { text: text.to_owned(), kind, axes })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the cell is meant.
    pub fn matches(&self, cell: &Cell) -> bool {
        let is_at = |(axis, value): &(String, GlobMatcher)| {
            cell.axes.iter().any(|(name, at)| name.as_str() == axis && value.is_match(at))
        };
        self.is_like(cell) && self.axes.iter().all(is_at)
    }

    /// The same at any value of the axes.
    fn is_like(&self, cell: &Cell) -> bool {
        let names = |glob: &GlobMatcher| {
            glob.is_match(cell.check.as_str())
                || cell
                    .subject
                    .parties()
                    .iter()
                    .any(|p| glob.is_match(p.role.as_str()) || glob.is_match(p.version.as_str()))
        };
        match &self.kind {
            Kind::Every => true,
            Kind::Id(id, glob) => cell.id() == *id || names(glob),
            Kind::Cell(glob) => glob.is_match(format!("{}: {}", cell.check, cell.subject)),
            Kind::Party(glob) => cell.subject.parties().iter().any(|p| glob.is_match(p.to_string())),
            Kind::Name(glob) => names(glob),
        }
    }
}

fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    // Sets are written in braces: those are no alternatives.
    let escaped = text.replace('{', "[{]").replace('}', "[}]");
    Ok(GlobBuilder::new(&escaped).literal_separator(false).build()?.compile_matcher())
}

/// A pattern without the values of axes at its end, and these. A last class of characters, such as `v[12]`, is not them.
fn with_axes(text: &str) -> (&str, Vec<(&str, &str)>) {
    let listed = text
        .trim_end()
        .strip_suffix(']')
        .and_then(|text| text.strip_prefix('[').map(|axes| ("", axes)).or_else(|| text.rsplit_once(" [")));
    let read = listed.and_then(|(cells, axes)| {
        let axes = axes.split(',').map(|pair| pair.split_once('=')).collect::<Option<Vec<_>>>()?;
        Some((cells.trim_end(), axes.into_iter().map(|(axis, value)| (axis.trim(), value.trim())).collect()))
    });
    read.unwrap_or((text, Vec::new()))
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
    let (text, axes) = with_axes(&pattern.text);
    let values = || cells.iter().flat_map(|cell| cell.axes.iter().map(|(axis, value)| format!("{axis}={value}")));
    if cells.iter().any(|cell| pattern.is_like(cell)) {
        // Only the values of axes are in its way.
        let wrong =
            axes.iter().map(|(axis, value)| format!("{axis}={value}")).find(|text| values().all(|v| v != *text));
        return wrong.and_then(|text| closest_name(&text, values().collect::<BTreeSet<_>>()));
    }
    let candidates: BTreeSet<String> = match pattern.kind {
        Kind::Cell(_) => cells.iter().map(|cell| format!("{}: {}", cell.check, cell.subject)).collect(),
        Kind::Party(_) => cells.iter().flat_map(|cell| cell.subject.parties()).map(ToString::to_string).collect(),
        Kind::Every | Kind::Id(..) | Kind::Name(_) => cells
            .iter()
            .flat_map(|cell| {
                let parties = cell.subject.parties();
                let names = parties.into_iter().flat_map(|p| [p.role.to_string(), p.version.to_string()]);
                names.chain([cell.check.to_string()])
            })
            .collect(),
    };
    closest_name(text, candidates)
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
    fn patterns_name_values_of_axes() {
        let cells: BTreeSet<Cell> = ["database=h2, tls=off", "database=h2, tls=on", "database=postgres, tls=on"]
            .iter()
            .flat_map(|at| {
                let cell = |text: &str| format!("{text} [{at}]").parse().unwrap();
                [cell("pay: node@v1 -> node@v2"), cell("pay: node@v2 -> node@v1"), cell("ready: node@v1")]
            })
            .collect();
        for (pattern, expect) in [
            ("pay: node@v1 -> node@v2", 3),
            ("pay: node@v1 -> node@v2 [database=h2]", 2),
            ("pay: node@v1 -> node@v2 [tls=on, database=h2]", 1),
            ("pay: * [database=post*]", 2),
            ("pay: node@v[12] -> node@v[12]", 6),
            ("node@v1 [tls=off]", 3),
            ("ready [tls=on]", 2),
            ("[database=postgres]", 3),
            ("*", 9),
        ] {
            let got = select(&cells, &[CellPattern::new(pattern).unwrap()]).unwrap();
            assert_eq!(got.len(), expect, "{pattern}: {got:?}");
        }
        for (pattern, closest) in [
            ("pay [database=postgre]", "; the closest is `database=postgres`"),
            ("pay [databse=h2]", "; the closest is `database=h2`"),
            ("payy [database=h2]", "; the closest is `pay`"),
            ("[database=postgres, tls=off]", ""),
        ] {
            let error = select(&cells, &[CellPattern::new(pattern).unwrap()]).unwrap_err();
            assert_eq!(error.to_string(), format!("no cell matches {pattern:?}{closest}"));
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

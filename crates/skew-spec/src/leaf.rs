//! Values with a form of their own: durations, sizes, patterns, selectors, words.

use skew_core::text::shorten;
use std::borrow::Cow;
use std::path::{Component, Path};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use skew_core::model::Strategy;

use super::backend::BackendKind;
use super::decode::{Decode, Merge, Word, mismatch, parsed, text, word};
use super::problem::{Place, Problem, Sink, brief};
use super::tree::{Node, Value};
use super::types::{Per, Selector};

/// Declares a newtype with the schema of a string that has a form.
macro_rules! leaf {
    ($($(#[$doc:meta])* $name:ident($inner:ty), $json:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub(super) struct $name(pub $inner);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($json)
            }
        }

        impl Merge for $name {
            fn merge(&mut self, over: &Self) {
                self.clone_from(over);
            }
        }
    )*};
}

leaf! {
    /// `10s`, `1m30s`, `500ms`.
    Span(Duration), { "type": "string", "examples": ["10s", "1m30s"] };
    /// `512MiB`, or a number of bytes.
    Bytes(u64), { "type": ["string", "integer"], "minimum": 1, "examples": ["512MiB"] };
    /// A regular expression.
    Pattern(String), { "type": "string", "format": "regex" };
    /// A SHA-256 checksum in hex.
    Sha256(String), { "type": "string", "pattern": "^[0-9a-f]{64}$" };
    /// Which versions.
    Which(Selector), { "type": "string", "examples": ["redis:<7", ">=1.3, <2", "v1.2.0", "since 4f2a91c", "*"] };
    /// The versions a check exists at.
    Since(Selector), { "type": "string", "examples": ["1.3", "4f2a91c"] };
    /// A range of semantic versions.
    Range(semver::VersionReq), { "type": "string", "examples": [">=1.3, <2"] };
    /// A signal by name or number.
    Signal(i32), { "type": ["string", "integer"], "examples": ["TERM", "INT"] };
    /// Permission bits.
    Mode(u32), { "type": "integer", "minimum": 0, "maximum": 511 };
    /// A path that stays below the directory it is relative to.
    Below(String), { "type": "string" };
    /// Text that is not empty.
    Filled(String), { "type": "string", "minLength": 1 };
}

impl Decode for Span {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let text = text(node, "a duration such as \"10s\"", sink)?;
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => {
                let problem = Problem::new(node.at, "a duration must be longer than nothing", "zero");
                sink.push(problem.hint("write `500ms`, `10s` or `1m30s`"));
                None
            }
            Ok(duration) => Some(Self(duration)),
            Err(error) => {
                let problem =
                    Problem::new(node.at, format!("`{}` is not a duration", brief(text)), brief(&error.to_string()));
                sink.push(problem.hint("write `500ms`, `10s` or `1m30s`"));
                None
            }
        }
    }
}

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads a size: a number and a unit.
fn size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit || (unit.is_empty() && *name == "B"))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl Decode for Bytes {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let (read, shown) = match &node.value {
            Value::Integer(bytes) => (u64::try_from(*bytes).ok(), bytes.to_string()),
            Value::String(text, _) => (size(text.trim()), text.to_string()),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime | Value::Array(_) | Value::Table(_) => {
                mismatch(node, "a size such as \"512MiB\"", "write a whole number and a unit, in quotes", sink);
                return None;
            }
        };
        match read {
            Some(bytes) if bytes > 0 => Some(Self(bytes)),
            _ => {
                let problem = Problem::new(node.at, format!("`{}` is not a size", brief(&shown)), "not a size");
                sink.push(
                    problem.hint(
                        "write a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`, `kB`, `MB`, `GB`, `TB`",
                    ),
                );
                None
            }
        }
    }
}

impl Decode for Pattern {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let text = text(node, "a regular expression", sink)?;
        if let Err(error) = regex::Regex::new(text) {
            sink.push(bad_pattern(node, text, &error));
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

/// What is wrong with a regular expression, at the place in it where that can be told.
fn bad_pattern(node: &Node, text: &str, error: &regex::Error) -> Problem {
    // The error's last line says what is wrong; those before draw the expression, as the diagnostic does itself.
    let why = error.to_string();
    let why = why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
    Problem::new(node.at, format!("`{}` is not a regular expression", brief(text)), brief(&why))
        .hint("in TOML, write regular expressions in single quotes: '\\d+' needs no doubled backslashes")
}

impl Decode for Sha256 {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let text = text(node, "a SHA-256 checksum", sink)?;
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Some(Self(text.to_owned()));
        }
        let problem =
            Problem::new(node.at, format!("`{}` is not a SHA-256 checksum", brief(text)), "malformed checksum");
        sink.push(problem.hint("write the 64 lowercase hex digits that `sha256sum` prints"));
        None
    }
}

impl Decode for Which {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        selector(node, Selector::parse, sink).map(Self)
    }
}

impl Decode for Since {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        selector(node, Selector::parse_since, sink).map(Self)
    }
}

fn selector(node: &Node, parse: fn(&str) -> Result<Selector, super::SelectorError>, sink: &Sink) -> Option<Selector> {
    let text = text(node, "a version selector", sink)?;
    parse(text)
        .map_err(|error| {
            let problem = Problem::new(node.at, brief_message(&error.to_string()), "not a selector");
            sink.push(
                problem.hint(
                    "write a range (`>=1.3, <2`, `source:<7`), a label (`v1.2.0`), `since REV`, `until REV` or `*`",
                ),
            );
        })
        .ok()
}

/// An error's text, bounded and without control characters.
fn brief_message(text: &str) -> String {
    shorten(text, 300).chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

impl Decode for Range {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        parsed(node, "a range of versions", "write it as `>=6.0, <9`: comparisons with commas between them", sink)
            .map(Self)
    }
}

/// Signals people stop programs with.
const SIGNALS: [(&str, i32); 7] =
    [("HUP", 1), ("INT", 2), ("QUIT", 3), ("KILL", 9), ("USR1", 10), ("USR2", 12), ("TERM", 15)];

impl Decode for Signal {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        match &node.value {
            Value::Integer(number @ 1..=64) => Some(Self(i32::try_from(*number).unwrap_or_default())),
            Value::String(text, _) => {
                let name = text.strip_prefix("SIG").unwrap_or(text);
                let found = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| Self(*number));
                if found.is_none() {
                    sink.push(Problem::unknown(node.at, "signal", text, SIGNALS.iter().map(|(known, _)| *known)));
                }
                found
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime
            | Value::Array(_)
            | Value::Table(_) => {
                mismatch(
                    node,
                    "a signal",
                    "write its name in quotes, such as \"TERM\", or its number from 1 to 64",
                    sink,
                );
                None
            }
        }
    }
}

impl Decode for Mode {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        match node.value {
            Value::Integer(bits @ 0..=0o777) => u32::try_from(bits).ok().map(Self),
            Value::Integer(_) => {
                let problem = Problem::new(node.at, "permission bits must be from 0o000 to 0o777", "out of range");
                sink.push(problem.hint("write them in octal: `0o644`"));
                None
            }
            Value::String(..)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime
            | Value::Array(_)
            | Value::Table(_) => {
                mismatch(node, "permission bits", "write them in octal, without quotes: 0o644", sink);
                None
            }
        }
    }
}

/// Whether a path stays below the directory it is relative to.
pub(super) fn stays_below(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// A path that does not stay below.
pub(super) fn leads_elsewhere(at: Place, path: &str) -> Problem {
    Problem::new(at, format!("`{}` must be a relative path without `..`", brief(path)), "leads elsewhere")
        .hint("it is relative to a directory that skew makes, and stays in it")
}

impl Decode for Below {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let text = text(node, "a path", sink)?;
        if stays_below(text) {
            return Some(Self(text.to_owned()));
        }
        sink.push(leads_elsewhere(node.at, text));
        None
    }
}

impl Decode for Filled {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let text = text(node, "a string", sink)?;
        if text.trim().is_empty() {
            let problem = Problem::new(node.at, "this must not be empty", "empty");
            sink.push(problem.hint("write something, or remove the key"));
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

impl Word for Strategy {
    const WHAT: &'static str = "strategy";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("pairs", Self::Pairs),
        ("candidate", Self::Candidate),
        ("adjacent", Self::Adjacent),
        ("per-role", Self::PerRole),
        ("packed", Self::Packed),
    ];
}

impl Word for Per {
    const WHAT: &'static str = "group";
    const WORDS: &'static [(&'static str, Self)] = &[("major", Self::Major), ("minor", Self::Minor)];
}

/// What a check is about, when it is not a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(super) enum On {
    /// Every node of a role.
    Node,
    /// The network as a whole.
    Network,
}

impl Word for On {
    const WHAT: &'static str = "subject";
    const WORDS: &'static [(&'static str, Self)] = &[("node", Self::Node), ("network", Self::Network)];
}

macro_rules! words {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(node: &Node, sink: &Sink) -> Option<Self> {
                word(node, sink)
            }
        }
    )*};
}
words!(Strategy, Per, On, BackendKind);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("512MiB", Some(512 << 20)),
            ("512 MiB", Some(512 << 20)),
            ("1GB", Some(1_000_000_000)),
            ("100", Some(100)),
            ("", None),
            ("MiB", None),
            ("1.5GiB", None),
            ("1 parsec", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn paths_stay_below() {
        for (path, expected) in
            [("a/b", true), ("./a", true), ("", false), ("/a", false), ("a/../../b", false), ("..", false)]
        {
            assert_eq!(stays_below(path), expected, "{path}");
        }
    }
}

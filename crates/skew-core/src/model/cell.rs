//! Cells: check × subject × axis values, and their text form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AxisName, CheckName, DigestBuilder, RoleName, VersionId};

/// A role at a version: `notary@v1.2.0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Party {
    /// The role.
    pub role: RoleName,
    /// The version it is played at.
    pub version: VersionId,
}

impl Party {
    /// A role at a version.
    pub fn new(role: &RoleName, version: &VersionId) -> Self {
        Self { role: role.clone(), version: version.clone() }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.role, self.version)
    }
}

/// Whom a cell is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One party alone: `node@v1`.
    Alone(Party),
    /// The first towards the second: `node@v1 -> notary@v2`.
    Ordered(Party, Party),
    /// Both ways at once, smaller party first: `node@v1 <-> node@v2`.
    Symmetric(Party, Party),
    /// A set seated together: `{node@v1, node@v2, notary@v3}`.
    Set(BTreeSet<Party>),
}

impl Subject {
    /// Both ways at once; the order of the arguments does not matter.
    pub fn symmetric(a: Party, b: Party) -> Self {
        if a <= b { Self::Symmetric(a, b) } else { Self::Symmetric(b, a) }
    }

    /// The parties it names, each once, in the order of its text.
    pub fn parties(&self) -> Vec<&Party> {
        match self {
            Self::Alone(party) => vec![party],
            Self::Ordered(a, b) | Self::Symmetric(a, b) if a == b => vec![a],
            Self::Ordered(a, b) | Self::Symmetric(a, b) => vec![a, b],
            Self::Set(set) => set.iter().collect(),
        }
    }

    /// Whether every party has the same version: a diagonal cell.
    pub fn is_diagonal(&self) -> bool {
        let parties = self.parties();
        parties.iter().all(|p| p.version == parties[0].version)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone(party) => write!(f, "{party}"),
            Self::Ordered(a, b) => write!(f, "{a} -> {b}"),
            Self::Symmetric(a, b) => write!(f, "{a} <-> {b}"),
            Self::Set(set) => {
                f.write_str("{")?;
                for (i, party) in set.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{party}")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A value for every axis beyond versions; empty when the system has none.
pub type AxisPoint = BTreeMap<AxisName, String>;

/// The unit that gets a verdict. Text form: `check: a@v -> b@w`, then ` [axis=value, …]` where there are axes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// What must work.
    pub check: CheckName,
    /// For whom.
    pub subject: Subject,
    /// At which values of the axes beyond versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: AxisPoint,
}

impl Cell {
    /// A cell in a system without axes.
    pub fn new(check: &CheckName, subject: Subject) -> Self {
        Self { check: check.clone(), subject, axes: AxisPoint::new() }
    }

    /// The short, shell-safe id that reports print.
    pub fn id(&self) -> CellId {
        let digest = DigestBuilder::new("cell").text(&self.to_string()).finish();
        CellId(data_encoding::BASE32_NOPAD.encode(&digest.bytes()[..5]).to_ascii_lowercase())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.subject)?;
        if !self.axes.is_empty() {
            let values: Vec<String> = self.axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
            write!(f, " [{}]", values.join(", "))?;
        }
        Ok(())
    }
}

/// A cell's short id: eight characters of a-z and 2-7.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CellId(String);

impl CellId {
    /// Reads an id; `None` when the text is not one.
    pub fn new(text: &str) -> Option<Self> {
        let good = text.len() == 8 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        good.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Text that is not a cell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a cell: {why}; write `check: role@version -> role@version`")]
pub struct CellError {
    text: String,
    why: &'static str,
}

impl FromStr for Cell {
    type Err = CellError;

    fn from_str(text: &str) -> Result<Self, CellError> {
        let error = |why| CellError { text: text.chars().take(200).collect(), why };
        let (check, rest) = text.split_once(": ").ok_or_else(|| error("there is no `: ` after the check"))?;
        let check = CheckName::new(check.trim()).map_err(|_| error("the check's name is malformed"))?;
        let (subject, axes) = match rest.trim().strip_suffix(']').and_then(|r| r.rsplit_once(" [")) {
            Some((subject, axes)) => (subject, axes),
            None => (rest.trim(), ""),
        };
        let party = |text: &str| -> Result<Party, CellError> {
            let (role, version) = text.trim().split_once('@').ok_or_else(|| error("a party is `role@version`"))?;
            let role = RoleName::new(role).map_err(|_| error("a role's name is malformed"))?;
            if version.is_empty() || version.contains(char::is_whitespace) {
                return Err(error("a version is empty or holds a space"));
            }
            Ok(Party::new(&role, &VersionId::new(version)))
        };
        let subject = if let Some(set) = subject.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Subject::Set(set.split(", ").map(party).collect::<Result<_, _>>()?)
        } else if let Some((a, b)) = subject.split_once(" <-> ") {
            Subject::symmetric(party(a)?, party(b)?)
        } else if let Some((a, b)) = subject.split_once(" -> ") {
            Subject::Ordered(party(a)?, party(b)?)
        } else {
            Subject::Alone(party(subject)?)
        };
        let mut point = AxisPoint::new();
        for pair in axes.split(", ").filter(|pair| !pair.is_empty()) {
            let (axis, value) = pair.split_once('=').ok_or_else(|| error("an axis is `name=value`"))?;
            let axis = AxisName::new(axis).map_err(|_| error("an axis' name is malformed"))?;
            point.insert(axis, value.to_owned());
        }
        Ok(Self { check, subject, axes: point })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for text in [
            "pay: node@v1.0.0 -> node@v1.1.0",
            "pay: node@v1 <-> node@v2",
            "ready: notary@redis/7.0",
            "pay: {node@v1, node@v2, notary@v3}",
            "pay: node@v1 -> notary@v2 [database=h2, tls=on]",
        ] {
            assert_eq!(text.parse::<Cell>().map(|cell| cell.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn wrong_text_is_an_error() {
        for text in ["", "pay", "pay: node", "pay: node@", "p y: a@b", "pay: a@b -> c", "pay: a@b [x]"] {
            assert!(text.parse::<Cell>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_are_shell_safe_and_stable() {
        let cell: Cell = "pay: node@v1 -> node@v2".parse().unwrap();
        assert!(CellId::new(&cell.id().to_string()).is_some());
        assert_eq!(cell.id(), cell.clone().id());
    }
}

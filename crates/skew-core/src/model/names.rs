//! Names that were checked once and are trusted afterwards.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name that breaks the rules for names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} name {name:?} must be 1 to 63 characters of a-z, A-Z, 0-9, `-` and `_`, and start with a letter or digit"
)]
pub struct NameError {
    /// What was being named: `role`, `check`, …
    pub what: &'static str,
    /// The offending text.
    pub name: String,
}

fn well_formed(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 63
        && chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the text and makes it a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if well_formed(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, name: text.to_owned() })
                }
            }

            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A git repository that versions come from.
    SourceName,
    "source"
);
name!(
    /// A part a process can play in a system.
    RoleName,
    "role"
);
name!(
    /// A named thing that must work.
    CheckName,
    "check"
);
name!(
    /// One running instance in one network: role and index, e.g. `notary-0`.
    NodeName,
    "node"
);
name!(
    /// An axis of the matrix beyond versions.
    AxisName,
    "axis"
);
name!(
    /// An artefact mounted into a role's nodes.
    PartName,
    "part"
);
name!(
    /// A port of a role, by name.
    PortName,
    "port"
);

impl NodeName {
    /// The name of the `index`th node of a role.
    pub fn of(role: &RoleName, index: usize) -> Self {
        Self(format!("{role}-{index}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["node", "a", "0", "data-base_2"] {
            assert!(RoleName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "é", &"x".repeat(64)] {
            assert!(RoleName::new(bad).is_err(), "{bad}");
        }
    }
}

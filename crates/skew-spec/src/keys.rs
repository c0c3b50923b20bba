//! Keys of tables that have a form of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, FromKey, text};
use super::leaf::{leads_elsewhere, stays_below};
use super::problem::{Place, Problem, Sink, brief};
use super::tree::Node;

/// Declares a text that is checked when it is read.
macro_rules! key {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(super) struct $name(pub String);

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

key! {
    /// The name of an environment variable.
    EnvName;
    /// A glob.
    GlobKey;
    /// A path that stays below the directory it is relative to.
    PathKey;
}

impl FromKey for EnvName {
    fn from_key(key: &str, at: Place, sink: &Sink) -> Option<Self> {
        let mut chars = key.chars();
        let good = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if good {
            return Some(Self(key.to_owned()));
        }
        let problem = Problem::new(at, format!("`{}` cannot be the name of a variable", brief(key)), "malformed name");
        sink.push(problem.hint("a variable's name is made of A-Z, a-z, 0-9 and `_`, and does not start with a digit"));
        None
    }
}

impl Decode for EnvName {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        Self::from_key(text(node, "the name of a variable", sink)?, node.at, sink)
    }
}

impl JsonSchema for EnvName {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "EnvName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" })
    }
}

impl FromKey for GlobKey {
    fn from_key(key: &str, at: Place, sink: &Sink) -> Option<Self> {
        match globset::Glob::new(key) {
            Ok(_) => Some(Self(key.to_owned())),
            Err(error) => {
                let why = brief(&error.kind().to_string());
                let problem = Problem::new(at, format!("`{}` is not a glob", brief(key)), why);
                sink.push(
                    problem.hint(
                        "`*` stands for a part of a name, `**` for directories, `[ab]` for one of some characters",
                    ),
                );
                None
            }
        }
    }
}

impl FromKey for PathKey {
    fn from_key(key: &str, at: Place, sink: &Sink) -> Option<Self> {
        if stays_below(key) {
            return Some(Self(key.to_owned()));
        }
        sink.push(leads_elsewhere(at, key));
        None
    }
}

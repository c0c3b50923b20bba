//! A tree → raw types, reporting everything that does not fit.
//!
//! This is what serde would do, but serde stops at the first error and cannot say which of two files a value came
//! from. The `raw!` types derive their JSON Schema from the same fields, so that the two cannot disagree.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use skew_core::model::{AxisName, CheckName, NameError, PartName, PortName, RoleName, SourceName};

use super::problem::{Place, Problem, Sink, brief, list, suggest};
use super::tree::{Entry, Node, Value};

/// Something that a value can be read as.
pub(super) trait Decode: Sized {
    /// Reads it; what is wrong is reported, and `None` when nothing useful is left.
    fn decode(node: &Node, sink: &Sink) -> Option<Self>;
}

/// Something an override can change.
pub(super) trait Merge: Sized {
    /// Takes over what `over` says: tables that are maps key by key, everything else as a whole.
    fn merge(&mut self, over: &Self);
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub at: Place,
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Decode> Decode for At<T> {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        T::decode(node, sink).map(|value| Self { value, at: node.at })
    }
}

impl<T: Clone> Merge for At<T> {
    fn merge(&mut self, over: &Self) {
        self.clone_from(over);
    }
}

/// Lets a wrapper have the schema of what is in it.
macro_rules! transparent_schema {
    ($($wrapper:ident),*) => {$(
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )*};
}
transparent_schema!(At, Need);

/// A key that must be there.
#[derive(Debug, Clone)]
pub(super) struct Need<T>(pub T);

impl<T> Deref for Need<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A table whose fields are being taken.
pub(super) struct Taken<'a> {
    /// What is in it.
    pub entries: &'a [Entry],
    /// Where it was written.
    pub at: Place,
    /// What it is, for messages.
    pub what: &'static str,
    /// Whether a key that was written could not be read. What is missing then is not missed twice.
    pub broken: bool,
}

/// How a field is taken out of its table.
pub(super) trait Field: Sized {
    /// Takes it; `None` when the table is useless without it.
    fn take(table: &mut Taken<'_>, key: &str, sink: &Sink) -> Option<Self>;
}

fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| *entry.key == *key)
}

impl<T: Decode> Field for Option<T> {
    fn take(table: &mut Taken<'_>, key: &str, sink: &Sink) -> Option<Self> {
        let entry = find(table.entries, key);
        let value = entry.and_then(|entry| T::decode(&entry.node, sink));
        table.broken |= entry.is_some() && value.is_none();
        Some(value)
    }
}

impl<T: Decode> Field for Need<T> {
    fn take(table: &mut Taken<'_>, key: &str, sink: &Sink) -> Option<Self> {
        match find(table.entries, key) {
            Some(entry) => T::decode(&entry.node, sink).map(Need),
            None => {
                let message = format!("{} needs the key `{key}`", table.what);
                let problem = Problem::new(table.at, message, format!("`{key}` is missing"));
                sink.push(problem.hint(format!("add `{key} = …`")));
                None
            }
        }
    }
}

/// Declares raw structs: each knows its place, its JSON Schema, how it is read and how it is overridden. `merged` ones
/// are overridden field by field, `whole` ones as a whole because their fields are alternatives.
macro_rules! raw {
    ($(
        $(#[$meta:meta])*
        $mode:ident $name:ident ($what:literal) {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(crate) struct $name {
            /// Where the table was written.
            #[allow(dead_code)] // not every table is pointed at
            #[schemars(skip)]
            pub at: $crate::problem::Place,
            /// Whether a key that was written could not be read, and was reported.
            #[schemars(skip)]
            #[allow(dead_code)] // not every table misses keys
            pub broken: bool,
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::decode::Decode for $name {
            fn decode(node: &$crate::tree::Node, sink: &$crate::problem::Sink) -> Option<Self> {
                use $crate::decode::{Field, Taken, entries, key, known_keys};
                let mut table = Taken { entries: entries(node, $what, sink)?, at: node.at, what: $what, broken: false };
                known_keys(table.entries, &[$(key(stringify!($field))),*], $what, sink);
                // Every field is read before any is given up on, so that all problems are found.
                $(let $field = Field::take(&mut table, key(stringify!($field)), sink);)*
                Some(Self { at: node.at, broken: table.broken, $($field: $field?,)* })
            }
        }

        raw!(@merge $mode $name { $($field)* });
    )*};
    (@merge merged $name:ident { $($field:ident)* }) => {
        impl $crate::decode::Merge for $name {
            fn merge(&mut self, over: &Self) {
                self.broken |= over.broken;
                $($crate::decode::Merge::merge(&mut self.$field, &over.$field);)*
            }
        }
    };
    (@merge whole $name:ident { $($field:ident)* }) => {
        impl $crate::decode::Merge for $name {
            fn merge(&mut self, over: &Self) {
                self.clone_from(over);
            }
        }
    };
    (@merge fixed $name:ident { $($field:ident)* }) => {};
}
pub(super) use raw;

/// A field's name as a key: `r#in` is `in`.
pub(super) fn key(field: &str) -> &str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// The entries of a table; anything else is reported.
pub(super) fn entries<'a>(node: &'a Node, what: &str, sink: &Sink) -> Option<&'a [Entry]> {
    match &node.value {
        Value::Table(entries) => Some(entries),
        Value::String(..)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime
        | Value::Array(_) => {
            mismatch(
                node,
                "a table",
                &format!("{what} is a table: write `{{ key = value }}`, or a section of its own"),
                sink,
            );
            None
        }
    }
}

/// Reports keys that are not among the known ones.
pub(super) fn known_keys(entries: &[Entry], known: &[&str], what: &str, sink: &Sink) {
    for entry in entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
        let message = format!("unknown key `{}` in {what}", brief(&entry.key));
        sink.push(Problem::new(entry.key_at, message, "not a key here").hint(suggest("key", &entry.key, known)));
    }
}

/// Reports a value of the wrong kind.
pub(super) fn mismatch(node: &Node, expected: &str, hint: &str, sink: &Sink) {
    let message = format!("expected {expected}, found {}", node.kind());
    sink.push(Problem::new(node.at, message, format!("this is {}", node.kind())).hint(hint));
}

/// The text of a string; anything else is reported.
pub(super) fn text<'a>(node: &'a Node, expected: &str, sink: &Sink) -> Option<&'a str> {
    match (&node.value, &node.written) {
        (Value::String(text, _), _) | (_, Some(text)) => Some(text),
        (_, None) => {
            mismatch(node, expected, "put it in quotes", sink);
            None
        }
    }
}

impl Decode for String {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        text(node, "a string", sink).map(str::to_owned)
    }
}

impl Decode for bool {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        if let Value::Boolean(value) = node.value {
            return Some(value);
        }
        mismatch(node, "`true` or `false`", "write it without quotes", sink);
        None
    }
}

impl Decode for f64 {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        match node.value {
            Value::Float(value) if value.is_finite() => Some(value),
            #[allow(clippy::cast_precision_loss)] // shares of a core and of observations are small
            Value::Integer(value) => Some(value as f64),
            Value::Float(_)
            | Value::String(..)
            | Value::Boolean(_)
            | Value::Datetime
            | Value::Array(_)
            | Value::Table(_) => {
                mismatch(node, "a finite number", "write it without quotes", sink);
                None
            }
        }
    }
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(node: &Node, sink: &Sink) -> Option<Self> {
                let Value::Integer(value) = node.value else {
                    mismatch(node, "an integer", "write it without quotes and without a fraction", sink);
                    return None;
                };
                let read = <$type>::try_from(value).ok();
                if read.is_none() {
                    let hint = match i64::try_from(<$type>::MAX) {
                        Ok(max) if value > max => format!("at most {max}"),
                        _ => format!("at least {}", <$type>::MIN),
                    };
                    sink.push(Problem::new(node.at, format!("{value} is out of range"), "out of range").hint(hint));
                }
                read
            }
        }
    )*};
}
integer!(u16, u32, u64, usize, i32);

macro_rules! names {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(node: &Node, sink: &Sink) -> Option<Self> {
                let text = text(node, "a name", sink)?;
                <$type>::new(text).map_err(|error| bad_name(node.at, &error, sink)).ok()
            }
        }
    )*};
}
names!(SourceName, RoleName, CheckName, AxisName, PartName, PortName);

fn bad_name(at: Place, error: &NameError, sink: &Sink) {
    sink.push(
        Problem::new(at, format!("`{}` cannot be the name of a {}", brief(&error.name), error.what), "malformed name")
            .hint("a name is 1 to 63 characters of a-z, A-Z, 0-9, `-` and `_`, and starts with a letter or digit"),
    );
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let Value::Array(items) = &node.value else {
            mismatch(node, "an array", "put it in brackets: `[…]`", sink);
            return None;
        };
        let read: Self = items.iter().filter_map(|item| T::decode(item, sink)).collect();
        // Nothing is left of what was there: that is not the same as nothing.
        (!read.is_empty() || items.is_empty()).then_some(read)
    }
}

/// One value, or an array of them, as a list.
#[derive(Debug, Clone)]
pub(super) struct OneOrMore<T>(pub Vec<T>);

impl<T: Decode> Decode for OneOrMore<T> {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        match &node.value {
            Value::Array(_) => Vec::decode(node, sink).map(Self),
            _ => T::decode(node, sink).map(|one| Self(vec![one])),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMore{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// A table whose keys are names or free text, in the order written.
#[derive(Debug, Clone)]
pub(super) struct Map<K, T> {
    /// What could be read.
    pub entries: Vec<(At<K>, T)>,
    /// Keys whose values could not: they exist, so that references to them are not reported again.
    pub broken: Vec<String>,
}

impl<K, T> Default for Map<K, T> {
    fn default() -> Self {
        Self { entries: Vec::new(), broken: Vec::new() }
    }
}

impl<K: AsRef<str>, T> Map<K, T> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&T> {
        self.entries.iter().find(|(name, _)| name.value.as_ref() == key).map(|(_, value)| value)
    }

    /// The keys, those with unreadable values included.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.value.as_ref()).chain(self.broken.iter().map(String::as_str))
    }

    /// Whether the key was written.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys().any(|name| name == key)
    }
}

impl<K: FromKey, T: Decode> Decode for Map<K, T> {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let mut map = Self::default();
        for entry in entries(node, "names and values", sink)? {
            let key = K::from_key(&entry.key, entry.key_at, sink);
            match (key, T::decode(&entry.node, sink)) {
                (Some(value), Some(decoded)) => map.entries.push((At { value, at: entry.key_at }, decoded)),
                _ => map.broken.push(entry.key.to_string()),
            }
        }
        Some(map)
    }
}

impl<K: AsRef<str> + Clone, T: Merge + Clone> Merge for Map<K, T> {
    fn merge(&mut self, over: &Self) {
        for (key, value) in &over.entries {
            match self.entries.iter_mut().find(|(name, _)| name.value.as_ref() == key.value.as_ref()) {
                Some((_, mine)) => mine.merge(value),
                None => self.entries.push((key.clone(), value.clone())),
            }
        }
        self.broken.extend(over.broken.iter().cloned());
    }
}

impl<K, T: JsonSchema> JsonSchema for Map<K, T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": values })
    }
}

/// Something a key can be read as.
pub(super) trait FromKey: Sized {
    /// Reads it; what is wrong is reported.
    fn from_key(key: &str, at: Place, sink: &Sink) -> Option<Self>;
}

impl FromKey for String {
    fn from_key(key: &str, _: Place, _: &Sink) -> Option<Self> {
        Some(key.to_owned())
    }
}

macro_rules! key_names {
    ($($type:ty),*) => {$(
        impl FromKey for $type {
            fn from_key(key: &str, at: Place, sink: &Sink) -> Option<Self> {
                <$type>::new(key).map_err(|error| bad_name(at, &error, sink)).ok()
            }
        }
    )*};
}
key_names!(SourceName, RoleName, CheckName, AxisName, PartName, PortName);

impl<T: Merge + Clone> Merge for Option<T> {
    fn merge(&mut self, over: &Self) {
        match (self.as_mut(), over) {
            (Some(mine), Some(over)) => mine.merge(over),
            (None, Some(over)) => *self = Some(over.clone()),
            (_, None) => {}
        }
    }
}

impl<T: Clone> Merge for Vec<T> {
    fn merge(&mut self, over: &Self) {
        self.clone_from(over);
    }
}

/// A string that is one of a few words.
pub(super) trait Word: Sized + Copy + 'static {
    /// What it is, for messages.
    const WHAT: &'static str;
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];
}

/// Reads one of a few words.
pub(super) fn word<T: Word>(node: &Node, sink: &Sink) -> Option<T> {
    let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
    let text = text(node, &format!("one of {}", list(&words)), sink)?;
    let found = T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        sink.push(Problem::unknown(node.at, T::WHAT, text, words));
    }
    found
}

/// Reads a string by parsing it; the error's text is the message.
pub(super) fn parsed<T>(node: &Node, expected: &str, hint: &str, sink: &Sink) -> Option<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let text = text(node, expected, sink)?;
    text.parse()
        .map_err(|error| {
            sink.push(
                Problem::new(node.at, format!("`{}` is not {expected}", brief(text)), brief(&format!("{error}")))
                    .hint(hint),
            )
        })
        .ok()
}

//! TOML as a tree in which every key and value knows where it was written.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Sink, brief};

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where.
    pub at: Place,
    /// What.
    pub value: Value,
    /// The same as text, when it came from outside a file: `--set matrix.candidate=7.0` means a label.
    pub written: Option<Arc<str>>,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Text, and how many bytes after the value's start it stands as it is; `None` when it was written with escapes.
    String(Arc<str>, Option<u8>),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A date or time; nothing in a spec is one.
    Datetime,
    /// Values in order.
    Array(Vec<Node>),
    /// Values by key, in the order written.
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Where the key was written.
    pub key_at: Place,
    /// The value.
    pub node: Node,
}

impl Node {
    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::String(..) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::Datetime => "a date",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }
}

/// Reads the `index`th text; what is not TOML is reported, all of it.
pub(super) fn parse(text: &str, index: u32, sink: &Sink) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(from_table(table.get_ref(), Place::new(index, 0..text.len().min(1)), text, index, sink));
    }
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        // An empty span at the very end has nothing to point at.
        let span = if span.start >= text.len() { text.len().saturating_sub(1)..text.len() } else { span };
        let message = format!("malformed TOML: {}", brief(error.message()));
        let hint = match error.message() {
            "duplicate key" => "remove one of them; tables of one name are written once, or as `[[name]]` each time",
            _ => "text stands in quotes, lists in `[…]`, tables in `{…}` or below a `[name]`",
        };
        sink.push(Problem::new(Place::new(index, span), message, "here").hint(hint));
    }
    None
}

fn from_table(table: &DeTable<'_>, at: Place, source: &str, index: u32, sink: &Sink) -> Node {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().as_ref().into(),
            key_at: Place::new(index, key.span()),
            node: from_value(value, source, index, sink),
        })
        .collect();
    // The parser sorts keys by name; people think in the order they wrote.
    entries.sort_by_key(|entry| entry.key_at.start);
    Node { at, value: Value::Table(entries), written: None }
}

fn from_value(value: &Spanned<DeValue<'_>>, source: &str, index: u32, sink: &Sink) -> Node {
    let at = Place::new(index, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => {
            Value::String(text.as_ref().into(), verbatim(source.get(value.span()).unwrap_or_default(), text))
        }
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Integer(integer),
            Err(_) => {
                let problem = Problem::new(at, "integer does not fit into 64 bits", "out of range");
                sink.push(problem.hint("no key of a spec needs a number this large"));
                Value::Integer(0)
            }
        },
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(array) => Value::Array(array.iter().map(|item| from_value(item, source, index, sink)).collect()),
        DeValue::Table(table) => return from_table(table, at, source, index, sink),
    };
    Node { at, value, written: None }
}

/// How many bytes of quotes stand before the text in what was written, when the text follows unchanged.
fn verbatim(written: &str, text: &str) -> Option<u8> {
    let quotes: u8 = if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 };
    let newline = match written.as_bytes().get(usize::from(quotes)..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([b'\n', ..]) => 1,
        _ => 0,
    };
    let offset = quotes + newline;
    written.get(usize::from(offset)..)?.starts_with(text).then_some(offset)
}

//! Templates: their syntax when they are read, and every name in them against a sample of what will be there.
//!
//! Rendering itself is the scenario's. Here each template is rendered once with made-up addresses and outputs, so that
//! `nodes.primary[0].adress` is an error of the spec and not of the first network.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use skew_core::model::RoleName;

use super::decode::{Decode, Merge, text};
use super::problem::{Place, Problem, Sink, brief, suggest};
use super::tree::{Node, Value as Toml};
use super::types::Template;

/// What `self`, `from`, `to`, `nodes.R[…]` and `peers.R[…]` have.
pub(super) const NODE_KEYS: [&str; 10] =
    ["name", "role", "version", "address", "bind", "ports", "root", "data", "dir", "index"];
/// What stands everywhere.
const EVERYWHERE: [&str; 10] =
    ["self", "nodes", "peers", "root", "axes", "seed", "nonce", "version", "network", "system"];
/// No expression may be longer, in bytes: the parser recurses, and a stack is finite.
const TAG_LIMIT: usize = 2000;
/// What stands only in the steps of some checks.
const IN_STEPS: [&str; 4] = ["from", "to", "via", "node"];

/// Whether a name means something in templates, so that no output can be kept under it.
pub(super) fn is_taken(name: &str) -> bool {
    EVERYWHERE.contains(&name) || IN_STEPS.contains(&name) || name == "secret"
}

/// A sample has at most so many nodes of a role.
const SAMPLE_NODES: usize = 64;

/// The environment that every template of a spec is rendered in: undefined names are errors, nothing is escaped.
///
/// The scenario adds the function `secret` and the values.
pub fn template_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("minijinja's own delimiters"));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
}

/// A template as written, known to parse.
#[derive(Debug, Clone)]
pub(super) struct RawTemplate {
    /// Its text.
    pub text: String,
    at: Place,
    verbatim: Option<u8>,
}

impl RawTemplate {
    /// A whole file as a template; what is wrong with it is reported.
    pub(crate) fn file(text: &str, at: Place, sink: &Sink) -> Option<Self> {
        let template = Self { text: text.to_owned(), at, verbatim: Some(0) };
        template.parses(sink).then_some(template)
    }

    /// The resolved template.
    pub(crate) fn resolve(&self) -> Template {
        Template(self.text.clone())
    }

    /// Where it was written.
    pub(crate) fn at(&self) -> Place {
        self.at
    }

    /// Whether it is the same whatever is filled in.
    pub(crate) fn is_constant(&self) -> bool {
        !self.text.contains("{{") && !self.text.contains("{%") && !self.text.contains("{#")
    }

    /// Where a part of its text was written, or all of it when escapes stand in between.
    fn part(&self, range: Range<usize>) -> Place {
        match self.verbatim {
            Some(offset) => self.at.within(range.start + usize::from(offset)..range.end + usize::from(offset)),
            None => self.at,
        }
    }

    fn parses(&self, sink: &Sink) -> bool {
        if let Some(range) = long_tag(&self.text) {
            let message = format!("malformed template: an expression is longer than {TAG_LIMIT} bytes");
            let problem = Problem::new(self.part(range), message, "begins here");
            sink.push(problem.hint("split it, or put what is constant outside of `{{ … }}`"));
            return false;
        }
        let environment = template_environment();
        let Err(error) = environment.template_from_str(&self.text) else { return true };
        let at = error.range().map_or(self.at, |range| self.part(range));
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let problem = Problem::new(at, format!("malformed template: {}", brief(&why)), "here");
        sink.push(problem.hint("values stand in `{{ … }}`; a literal brace pair is written `{{ \"{{\" }}`"));
        false
    }
}

impl Decode for RawTemplate {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let text = text(node, "a string", sink)?.to_owned();
        let verbatim = match node.value {
            Toml::String(_, verbatim) => verbatim,
            _ => None,
        };
        let template = Self { text, at: node.at, verbatim };
        template.parses(sink).then_some(template)
    }
}

impl Merge for RawTemplate {
    fn merge(&mut self, over: &Self) {
        self.clone_from(over);
    }
}

impl JsonSchema for RawTemplate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A role as templates see it.
#[derive(Debug, Clone)]
pub(super) struct SampleRole {
    /// Its name.
    pub name: RoleName,
    /// How many nodes there are at most.
    pub nodes: usize,
    /// Its ports.
    pub ports: Vec<String>,
}

/// What there is to be seen by any template of a spec.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// The roles of the topology.
    pub roles: Vec<SampleRole>,
    /// The axes, those of parts included, each with its values.
    pub axes: BTreeMap<String, Vec<String>>,
}

/// Where a template stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'a> {
    /// The role whose node `self` is.
    pub me: Option<&'a RoleName>,
    /// Nodes beside those that stand everywhere: `from`, `to`, `node`, with the role of each.
    pub names: Vec<(&'a str, &'a RoleName)>,
    /// In a check between two nodes, the roles that take part.
    pub via: Option<&'a [RoleName]>,
    /// Outputs of earlier steps.
    pub captures: BTreeSet<&'a str>,
}

impl Sample {
    /// Reports names in a template that are not there.
    pub(crate) fn check(&self, template: &RawTemplate, scope: &Scope<'_>, sink: &Sink) {
        if template.is_constant() {
            return;
        }
        let mut environment = template_environment();
        environment.add_function("secret", |_: String| "secret");
        let Ok(parsed) = environment.template_from_str(&template.text) else { return };
        let globals: BTreeSet<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
        let mut known: Vec<&str> = EVERYWHERE.to_vec();
        known.extend(scope.names.iter().map(|(name, _)| *name));
        known.extend(scope.via.map(|_| "via"));
        known.extend(&scope.captures);
        let mut roots: Vec<String> = parsed.undeclared_variables(false).into_iter().collect();
        roots.retain(|root| !known.contains(&root.as_str()) && !globals.contains(root));
        roots.sort();
        for root in &roots {
            let at = word_in_tags(&template.text, root).map_or(template.at(), |range| template.part(range));
            let problem = Problem::new(at, format!("`{}` is not defined in this template", brief(root)), "not defined");
            sink.push(problem.hint(undefined_hint(root, &known)));
        }
        if !roots.is_empty() {
            return;
        }
        // A role that no network has was reported where it is named.
        let Some(context) = self.context(scope) else { return };
        // Outputs of steps are made up, so only what cannot depend on them is reported.
        let Err(error) = parsed.render(&context) else { return };
        let range = error.range().filter(|range| template.text.get(range.clone()).is_some());
        match error.kind() {
            ErrorKind::UndefinedError => {
                let whole = range.map(|range| with_what_precedes(&template.text, range));
                let written = whole.clone().map_or("", |range| template.text[range].trim());
                let (name, hint) = undefined(&environment, written, &context);
                let at = whole.map_or(template.at(), |range| template.part(range.start..range.start + name.len()));
                let message = format!("`{}` is not defined in this template", brief(name));
                sink.push(Problem::new(at, message, "not defined").hint(hint));
            }
            ErrorKind::UnknownFilter
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownMethod => {
                let at = range.map_or(template.at(), |range| template.part(range));
                let message = format!("wrong template: {}", brief(error.detail().unwrap_or("unknown name")));
                sink.push(
                    Problem::new(at, message, "unknown")
                        .hint("filters and tests are those of Jinja: `upper`, `length`, `join`, …"),
                );
            }
            _ => {}
        }
    }

    fn context(&self, scope: &Scope<'_>) -> Option<Value> {
        let nodes = |without: Option<&RoleName>| {
            map(self.roles.iter().map(|role| {
                let count = role.nodes.min(SAMPLE_NODES).saturating_sub(usize::from(without == Some(&role.name)));
                (role.name.as_str(), vec![node(role); count].into())
            }))
        };
        let me = self.role(scope.me?)?;
        let mut context: BTreeMap<String, Value> = BTreeMap::new();
        let mut set = |name: &str, value: Value| context.insert(name.to_owned(), value);
        set("self", node(me));
        set("nodes", nodes(None));
        set("peers", nodes(scope.me));
        set("seed", 1.into());
        let value = |values: &Vec<String>| values.first().map_or("", String::as_str).into();
        set("axes", map(self.axes.iter().map(|(name, values)| (name.as_str(), value(values)))));
        for name in ["root", "nonce", "version", "network", "system"] {
            set(name, name.into());
        }
        for (name, role) in &scope.names {
            set(name, node(self.role(role)?));
        }
        if let Some(via) = scope.via {
            let mut values: BTreeMap<String, Value> = BTreeMap::new();
            for role in via.iter().filter_map(|role| self.role(role)).rev() {
                // The first one's values stand there too: with one role, `via.address` is enough.
                values.extend(node_values(role).map(|(key, value)| (key.to_owned(), value)));
                values.insert(role.name.to_string(), node(role));
            }
            set("via", values.into());
        }
        for name in &scope.captures {
            set(name, "1".into());
        }
        Some(context.into())
    }

    fn role(&self, name: &RoleName) -> Option<&SampleRole> {
        self.roles.iter().find(|role| role.name == *name)
    }
}

/// Errors point at the end of `self.ports.api`: the names before it belong to what is wrong.
fn with_what_precedes(text: &str, range: Range<usize>) -> Range<usize> {
    let belongs = |c: char| c.is_alphanumeric() || "_.[]'\"".contains(c);
    let start = text[..range.start]
        .rfind(|c| !belongs(c))
        .map_or(0, |index| index + text[index..].chars().next().map_or(0, char::len_utf8));
    start..range.end
}

/// The shortest beginning of an expression that is not defined, and what could stand there instead.
fn undefined<'a>(environment: &Environment<'_>, written: &'a str, context: &Value) -> (&'a str, String) {
    let ends = written.char_indices().filter(|(_, c)| ".[".contains(*c)).map(|(index, _)| index).chain([written.len()]);
    let mut parent: Option<(&str, Value)> = None;
    for end in ends {
        let name = &written[..end];
        let value = environment.compile_expression(name).and_then(|expression| expression.eval(context));
        match (value, parent) {
            (Ok(value), _) if !value.is_undefined() => parent = Some((name, value)),
            (_, None) => return (name, suggest("name", name, &EVERYWHERE)),
            (_, Some((before, value))) => {
                let last = name[before.len()..].trim_matches(['.', '[', ']', '\'', '"']);
                return (name, instead(before, &value, last));
            }
        }
    }
    (written, "every name in a template must be defined".to_owned())
}

/// What could stand after an expression instead.
fn instead(parent: &str, value: &Value, name: &str) -> String {
    let parent = brief(parent);
    match value.kind() {
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter().map(Iterator::collect).unwrap_or_default();
            let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
            if keys.is_empty() { format!("`{parent}` is empty") } else { suggest("name", name, &keys) }
        }
        ValueKind::Seq => {
            format!("`{parent}` is a list of {}, the first is `{parent}[0]`", value.len().unwrap_or_default())
        }
        _ => format!("`{parent}` is plain text or a number, nothing is in it"),
    }
}

fn node(role: &SampleRole) -> Value {
    map(node_values(role))
}

fn node_values(role: &SampleRole) -> impl Iterator<Item = (&'static str, Value)> {
    let ports = map(role.ports.iter().map(|port| (port.as_str(), 1.into())));
    NODE_KEYS.into_iter().map(move |key| match key {
        "ports" => (key, ports.clone()),
        "index" => (key, 0.into()),
        _ => (key, key.into()),
    })
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Value {
    entries.map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<String, Value>>().into()
}

/// The beginning of the first `{{ … }}` or `{% … %}` that is too long.
fn long_tag(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(start) = text[at..].find(['{']).map(|start| at + start) {
        let close = match text.as_bytes().get(start + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            _ => {
                at = start + 1;
                continue;
            }
        };
        let end = text[start..].find(close).map_or(text.len(), |end| start + end);
        if end - start > TAG_LIMIT {
            return Some(start..start + 2);
        }
        at = end;
    }
    None
}

fn undefined_hint(root: &str, known: &[&str]) -> String {
    match root {
        "from" | "to" | "via" => format!("`{root}` stands only in the steps of a check between two nodes"),
        "node" => "`node` stands only in the steps of a check with `on = \"node\"`; here it may be `self`".to_owned(),
        _ => suggest("name", root, known),
    }
}

/// Where a name first stands by itself within `{{ … }}` or `{% … %}`.
fn word_in_tags(text: &str, word: &str) -> Option<Range<usize>> {
    let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
    text.match_indices(word).map(|(start, _)| start..start + word.len()).find(|range| {
        let before = &text[..range.start];
        let opened = before.rfind("{{").max(before.rfind("{%"));
        let closed = before.rfind("}}").max(before.rfind("%}"));
        opened > closed
            && boundary(before.chars().next_back())
            && text[range.end..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_')
    })
}

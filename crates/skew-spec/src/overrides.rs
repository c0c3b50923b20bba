//! Values from the command line and the environment, put into the tree before anything is read from it.

use skew_core::model::RegistryUrl;

use super::problem::{Place, Problem, Sink, Text, Texts, brief, suggest};
use super::tree::{Entry, Node, Value, parse};

/// Values that replace those of the spec's file. Later ones win; variables come before arguments.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `path=value` from `--set`: a dotted path, and a TOML value or else text. An item of an array is named by its
    /// index or its `name`: `check.replicates.within=5s`.
    pub set: Vec<String>,
    /// Environment variables. Those called `SKEW_` and a path with `__` between its keys count, whatever their case:
    /// `SKEW_MATRIX__CANDIDATE=v2`. The others are ignored.
    pub env: Vec<(String, String)>,
    /// `--repository SOURCE=PATH`: the source's name and a URL or an absolute path.
    pub repositories: Vec<(String, String)>,
}

impl Overrides {
    /// Whether they say that a registry speaks plain HTTP: for what is asked of it before there is a spec. What is wrong
    /// with them is told when they are put into one.
    pub fn insecure(&self, host: &str) -> bool {
        let sink = Sink::default();
        let mut texts: Texts = vec![Text { name: String::new(), dir: ".".into(), body: "".into() }];
        let mut root = Node { at: Place::new(0, 0..0), value: Value::Table(Vec::new()), written: None };
        Self { repositories: Vec::new(), ..self.clone() }.apply(&mut root, &mut texts, &sink);
        let Some(registry) = child(&root, "registry") else { return false };
        let of_host = match child(registry, "url").map(|url| &url.value) {
            Some(Value::String(url, _)) => url.parse::<RegistryUrl>().is_ok_and(|url| url.host == host),
            Some(_) | None => false,
        };
        of_host && matches!(child(registry, "insecure").map(|node| &node.value), Some(Value::Boolean(true)))
    }

    /// Puts all of them into the tree.
    pub(super) fn apply(&self, root: &mut Node, texts: &mut Texts, sink: &Sink) {
        for (name, value) in &self.env {
            let Some(path) = name.strip_prefix("SKEW_").filter(|path| path.contains("__")) else { continue };
            let keys: Vec<&str> = path.split("__").collect();
            if keys.iter().any(|key| key.is_empty()) {
                continue;
            }
            let index = add(texts, name.clone(), value.clone());
            let at = Place::new(index, 0..value.len());
            let keys: Vec<Key> = keys.into_iter().map(|key| Key { text: key.to_owned(), at, loose: true }).collect();
            put(root, &keys, value_of(value, index, 0), sink);
        }
        for set in &self.set {
            let index = add(texts, format!("--set {set}"), set.clone());
            let whole = Place::new(index, 0..set.len());
            let Some((path, value)) = split(set) else {
                let problem = Problem::new(whole, "an override needs a path and a value", "no `=` after a path");
                sink.push(problem.hint("write `--set limits.jobs=2`"));
                continue;
            };
            let Some(keys) = keys(path, whole) else {
                let problem = Problem::new(
                    Place::new(index, 0..path.len()),
                    format!("`{}` is not a path of keys", brief(path)),
                    "malformed path",
                );
                sink.push(
                    problem.hint("write keys with dots between them, quoted where they hold dots: `env.\"a.b\"`"),
                );
                continue;
            };
            put(root, &keys, value_of(value, index, set.len() - value.len()), sink);
        }
        for (source, repository) in &self.repositories {
            let text = format!("{source}={repository}");
            let index = add(texts, format!("--repository {text}"), text.clone());
            let at = Place::new(index, 0..source.len());
            let sources = child(root, "sources");
            let known = sources.map(|sources| keys_of(sources)).unwrap_or_default();
            if !known.contains(&source.as_str()) {
                sink.push(Problem::unknown(at, "source", source, known));
                continue;
            }
            let keys: Vec<Key> = ["sources", source, "repository"]
                .iter()
                .map(|key| Key { text: (*key).to_owned(), at, loose: false })
                .collect();
            let at = Place::new(index, source.len() + 1..text.len());
            put(
                root,
                &keys,
                Node { at, value: Value::String(repository.as_str().into(), Some(0)), written: None },
                sink,
            );
        }
    }
}

struct Key {
    text: String,
    at: Place,
    /// Whether case and `-` / `_` do not matter, as in a variable.
    loose: bool,
}

impl Key {
    fn is(&self, key: &str) -> bool {
        if self.loose {
            key.len() == self.text.len() && key.bytes().zip(self.text.bytes()).all(|(a, b)| fold(a) == fold(b))
        } else {
            key == self.text
        }
    }

    fn new_key(&self) -> String {
        if self.loose { self.text.to_ascii_lowercase() } else { self.text.clone() }
    }
}

fn fold(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
}

fn add(texts: &mut Texts, name: String, body: String) -> u32 {
    let dir = texts[0].dir.clone();
    texts.push(Text { name, dir, body: body.into() });
    u32::try_from(texts.len() - 1).unwrap_or(u32::MAX)
}

/// Splits at the first `=` outside quotes.
fn split(set: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (index, c) in set.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '=') => return Some((set[..index].trim(), &set[index + 1..])).filter(|(path, _)| !path.is_empty()),
            _ => {}
        }
    }
    None
}

/// The keys of a dotted path, read by the TOML parser itself.
fn keys(path: &str, at: Place) -> Option<Vec<Key>> {
    let sink = Sink::default();
    let mut node = parse(&format!("{path} = 0"), 0, &sink)?;
    let mut keys = Vec::new();
    while let Value::Table(entries) = node.value {
        let [entry] = <[Entry; 1]>::try_from(entries).ok()?;
        keys.push(Key { text: entry.key.to_string(), at, loose: false });
        node = entry.node;
    }
    Some(keys)
}

/// A TOML value, else text.
fn value_of(value: &str, index: u32, offset: usize) -> Node {
    const PREFIX: &str = "v = ";
    let sink = Sink::default();
    let at = Place::new(index, offset..offset + value.len());
    if let Some(Node { value: Value::Table(entries), .. }) = parse(&format!("{PREFIX}{value}"), index, &sink)
        && let Ok([entry]) = <[Entry; 1]>::try_from(entries)
        && sink.is_empty()
        && *entry.key == *"v"
        && !matches!(entry.node.value, Value::Datetime)
    {
        let mut node = entry.node;
        relocate(&mut node, at);
        if !matches!(node.value, Value::String(..) | Value::Array(_) | Value::Table(_)) {
            node.written = Some(value.trim().into());
        }
        return node;
    }
    Node { at, value: Value::String(value.into(), Some(0)), written: None }
}

/// The value was parsed out of its place: all of it is where the override is.
fn relocate(node: &mut Node, at: Place) {
    node.at = at;
    match &mut node.value {
        Value::String(_, verbatim) => *verbatim = None,
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, at)),
        Value::Table(entries) => entries.iter_mut().for_each(|entry| {
            entry.key_at = at;
            relocate(&mut entry.node, at);
        }),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime => {}
    }
}

fn child<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Table(entries) => entries.iter().find(|entry| *entry.key == *key).map(|entry| &entry.node),
        _ => None,
    }
}

fn keys_of(node: &Node) -> Vec<&str> {
    match &node.value {
        Value::Table(entries) => entries.iter().map(|entry| &*entry.key).collect(),
        _ => Vec::new(),
    }
}

/// Puts a value at a path, making tables on the way.
fn put(node: &mut Node, keys: &[Key], value: Node, sink: &Sink) {
    let Some((key, rest)) = keys.split_first() else {
        *node = value;
        return;
    };
    match &mut node.value {
        Value::Table(entries) => {
            let found = entries.iter().position(|entry| key.is(&entry.key));
            let index = found.unwrap_or_else(|| {
                let empty = Node { at: key.at, value: Value::Table(Vec::new()), written: None };
                entries.push(Entry { key: key.new_key().into(), key_at: key.at, node: empty });
                entries.len() - 1
            });
            put(&mut entries[index].node, rest, value, sink);
        }
        Value::Array(items) => {
            let names: Vec<String> = items
                .iter()
                .enumerate()
                .map(|(index, item)| name_of(item).unwrap_or_else(|| index.to_string()))
                .collect();
            let by_name = names.iter().position(|name| key.is(name));
            let index = by_name.or_else(|| key.text.parse().ok().filter(|index| *index < items.len()));
            match index {
                Some(index) => put(&mut items[index], rest, value, sink),
                None => {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    let problem = Problem::new(
                        key.at,
                        format!("there is no item `{}` to override", brief(&key.text)),
                        "no such item",
                    );
                    sink.push(problem.hint(suggest("item", &key.text, &names)));
                }
            }
        }
        // A value in the way is replaced by the table that the path says is there.
        Value::String(..) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime => {
            *node = Node { at: key.at, value: Value::Table(Vec::new()), written: None };
            put(node, keys, value, sink);
        }
    }
}

fn name_of(item: &Node) -> Option<String> {
    match &child(item, "name")?.value {
        Value::String(name, _) => Some(name.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_insecure_where_somebody_says_so_of_it() {
        let check = |set: &[&str], env: &[(&str, &str)], expect: bool| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let set = set.iter().map(|set| (*set).to_owned()).collect();
            let overrides = Overrides { set, env: env.iter().map(own).collect(), ..Overrides::default() };
            assert_eq!(overrides.insecure("r.example:5000"), expect, "{overrides:?}");
        };
        let url = "registry={ url = \"r.example:5000/a\" }";
        check(&[], &[], false);
        check(&[url], &[], false);
        check(&["registry.insecure=true"], &[], false);
        check(&[url, "registry.insecure=true"], &[], true);
        check(&["registry.insecure=true", "registry.url=\"other.example/a\""], &[], false);
        check(&[url, "registry.insecure=yes", "no path"], &[], false);
        check(&["registry.url=\"r.example:5000\""], &[("SKEW_REGISTRY__INSECURE", "true")], true);
    }
}

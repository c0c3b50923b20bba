//! Which nodes' versions a template may print: what it says then differs between two versions, whatever they are built of.
//!
//! The answer errs towards "may": a node that is used as a whole, such as `{{ self | tojson }}`, or by a key that is
//! computed, prints everything that it has.

use std::collections::{BTreeMap, BTreeSet};

use super::template::NODE_KEYS;

/// Whose version a template may print.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum VersionOf {
    /// The node that it is rendered for.
    Own,
    /// The nodes of the check that are called this: `from`, `to`, `node` or `via`.
    Named(String),
    /// The nodes of a role.
    Role(String),
    /// Every node.
    Every,
}

/// Whose versions a template may print.
pub(super) fn version_reads(template: &str) -> BTreeSet<VersionOf> {
    let mut reads = Reads::default();
    if template.contains("{{") || template.contains("{%") {
        tags(template).iter().for_each(|tag| reads.tag(tag));
    }
    reads.found
}

/// A piece of what stands within `{{ … }}` or `{% … %}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A name or a number.
    Word(&'a str),
    /// A text in quotes.
    Text(&'a str),
    /// Anything else.
    Sign(char),
}

/// The tokens of each tag. What stands in comments is never printed.
fn tags(template: &str) -> Vec<Vec<Token<'_>>> {
    let mut tags = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let body = &rest[start + 1..];
        rest = match body.chars().next() {
            Some('#') => body.find("#}").map_or("", |end| &body[end + 2..]),
            Some(kind @ ('{' | '%')) => {
                let (tokens, rest) = tokens(&body[1..], if kind == '{' { "}}" } else { "%}" });
                tags.push(tokens);
                rest
            }
            Some(_) | None => body,
        };
    }
    tags
}

/// The tokens up to the end of a tag, and what follows it.
fn tokens<'a>(text: &'a str, end: &str) -> (Vec<Token<'a>>, &'a str) {
    let mut tokens = Vec::new();
    let mut rest = text;
    // A map may end where a tag does: `{{ {"a": {}} }}`.
    let mut open = 0_usize;
    while let Some(first) = rest.chars().next() {
        if open == 0 && rest.starts_with(end) {
            return (tokens, &rest[end.len()..]);
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '"' | '\'' => {
                let mut escaped = false;
                let close = rest[1..].find(|c| {
                    let ends = c == first && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let text = &rest[1..close.map_or(rest.len(), |close| close + 1)];
                tokens.push(Token::Text(text));
                (text.len() + 2).min(rest.len())
            }
            first if is_word(first) => {
                let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
                tokens.push(Token::Word(word));
                word.len()
            }
            first => {
                match first {
                    '{' => open += 1,
                    '}' => open = open.saturating_sub(1),
                    _ => {}
                }
                if !first.is_whitespace() {
                    tokens.push(Token::Sign(first));
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    (tokens, "")
}

#[derive(Default)]
struct Reads {
    found: BTreeSet<VersionOf>,
    /// The variables of loops over nodes.
    variables: BTreeMap<String, BTreeSet<VersionOf>>,
}

impl Reads {
    fn tag(&mut self, tag: &[Token<'_>]) {
        for (at, token) in tag.iter().enumerate() {
            let Token::Word(word) = token else { continue };
            let before = at.checked_sub(1).map(|before| tag[before]);
            let is_argument = tag.get(at + 1) == Some(&Token::Sign('=')) && tag.get(at + 2) != Some(&Token::Sign('='));
            // A key, a filter, or the name of an argument or a new variable is no node.
            if matches!(before, Some(Token::Sign('.' | '|'))) || is_argument {
                continue;
            }
            let after = &tag[at + 1..];
            match *word {
                "version" => self.found([VersionOf::Own]),
                "self" => self.node(&[VersionOf::Own], after),
                "from" | "to" | "node" => self.node(&[VersionOf::Named((*word).to_owned())], after),
                "via" => self.via(after),
                "nodes" | "peers" => match key(after) {
                    Some((role, after)) => self.list(&VersionOf::Role(role.to_owned()), tag, at, after),
                    None => self.found([VersionOf::Every]),
                },
                "loop" => {
                    if let Some(("previtem" | "nextitem", after)) = key(after) {
                        self.node(&[VersionOf::Every], after);
                    }
                }
                // It prints everything that there is.
                "debug" => self.found([VersionOf::Every]),
                word => {
                    if let Some(whose) = self.variables.get(word) {
                        let whose: Vec<VersionOf> = whose.iter().cloned().collect();
                        self.node(&whose, after);
                    }
                }
            }
        }
    }

    fn found(&mut self, whose: impl IntoIterator<Item = VersionOf>) {
        self.found.extend(whose);
    }

    /// A node: of its keys only the version says which version it is.
    fn node(&mut self, whose: &[VersionOf], after: &[Token<'_>]) {
        if !key(after).is_some_and(|(key, _)| is_harmless(key)) {
            self.found(whose.iter().cloned());
        }
    }

    /// `via` has the keys of a node, and nodes by their roles.
    fn via(&mut self, after: &[Token<'_>]) {
        let via = [VersionOf::Named("via".to_owned())];
        match key(after) {
            Some((name, after)) if is_harmless(name) && !matches!(key(after), Some(("version", _))) => {}
            Some((_, after)) => self.node(&via, after),
            None => self.found(via),
        }
    }

    /// The nodes of a role, named in `tag` at the token `at`.
    fn list(&mut self, whose: &VersionOf, tag: &[Token<'_>], at: usize, after: &[Token<'_>]) {
        match after {
            [Token::Sign('['), ..] => match bracketed(after) {
                Some((inside, after)) if inside.contains(&Token::Sign(':')) => self.list(whose, tag, at, after),
                Some((_, after)) => self.node(std::slice::from_ref(whose), after),
                None => self.found([whose.clone()]),
            },
            [Token::Sign('|'), Token::Word("length" | "count"), ..] => {}
            [Token::Sign('|'), Token::Word("reverse" | "list"), after @ ..] => self.list(whose, tag, at, after),
            [Token::Sign('|'), Token::Word("first" | "last"), after @ ..] => {
                let closed = after.iter().take_while(|token| **token == Token::Sign(')')).count();
                self.node(std::slice::from_ref(whose), &after[closed..]);
            }
            [
                Token::Sign('|'),
                Token::Word("map"),
                Token::Sign('('),
                Token::Word("attribute"),
                Token::Sign('='),
                Token::Text(key),
                Token::Sign(')'),
                ..,
            ] if is_harmless(key.split('.').next().unwrap_or_default()) => {}
            [] | [Token::Word("if"), ..] | [Token::Sign('-')] => match tag[..at] {
                [Token::Word("for"), Token::Word(variable), Token::Word("in")]
                | [Token::Sign('-'), Token::Word("for"), Token::Word(variable), Token::Word("in")] => {
                    self.variables.entry(variable.to_owned()).or_default().insert(whose.clone());
                }
                _ => self.found([whose.clone()]),
            },
            _ => self.found([whose.clone()]),
        }
    }
}

/// Whether a key of a node tells nothing about its version.
fn is_harmless(key: &str) -> bool {
    key != "version" && NODE_KEYS.contains(&key)
}

/// The key that is asked for next, as `.key` or `["key"]`, and what follows it.
fn key<'a, 'b>(after: &'b [Token<'a>]) -> Option<(&'a str, &'b [Token<'a>])> {
    match after {
        [Token::Sign('.'), Token::Word(key), after @ ..]
        | [Token::Sign('['), Token::Text(key), Token::Sign(']'), after @ ..] => Some((key, after)),
        _ => None,
    }
}

/// What stands in the brackets that open here, and what follows them.
fn bracketed<'a, 'b>(after: &'b [Token<'a>]) -> Option<(&'b [Token<'a>], &'b [Token<'a>])> {
    let mut open = 0_usize;
    for (at, token) in after.iter().enumerate() {
        match token {
            Token::Sign('[' | '(') => open += 1,
            Token::Sign(']' | ')') => open = open.saturating_sub(1),
            Token::Word(_) | Token::Text(_) | Token::Sign(_) => {}
        }
        if open == 0 {
            return Some((&after[1..at], &after[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose versions a template may print, in words.
    #[track_caller]
    fn check(template: &str, expect: &str) {
        let words: Vec<String> = version_reads(template)
            .iter()
            .map(|whose| match whose {
                VersionOf::Own => "own".to_owned(),
                VersionOf::Named(name) => name.clone(),
                VersionOf::Role(role) => format!("role {role}"),
                VersionOf::Every => "every".to_owned(),
            })
            .collect();
        assert_eq!(words.join(", "), expect, "{template}");
        // What is printed is seen in every way to write it.
        super::super::template::template_environment()
            .template_from_str(template)
            .unwrap_or_else(|error| panic!("{template}: {error}"));
    }

    #[test]
    fn what_every_spec_has_names_no_version() {
        for template in [
            "",
            "version self.version",
            "{{ self.bind }}:{{ self.ports.api }} {{ root }}/{{ self['data'] }} {{ seed }} {{ nonce }} {{ network }}",
            "{{ nodes.doorman[0].address }}:{{ nodes['doorman'][0].ports.api }}",
            "{{ nodes.node | length }} {{ (peers.node | first).address }} {{ nodes.node[self.index].name }}",
            "{% for peer in peers.node %}{{ peer.address }},{% endfor %}",
            "{%- for peer in peers.node if peer.name != self.name -%}{{ peer.address }}{%- endfor -%}",
            "{% for peer in peers.node[1:] | reverse %}{{ peer.address }}{% if not loop.last %},{% endif %}{% endfor %}",
            "{{ nodes.node | map(attribute='address') | join(',') }}",
            "{{ from.address }} {{ to.ports.api }} {{ node.name }} {{ via.address }} {{ via.notary.address }}",
            "{# {{ self.version }} #}{{ axes.version }} {{ secret('version') }} {{ \"self.version }}\" }}",
            "{{ '{{ self.version }}' }} { self.version }",
        ] {
            check(template, "");
        }
    }

    #[test]
    fn versions_that_are_named_are_seen() {
        for (template, expect) in [
            ("{{ version }}", "own"),
            ("{{ self.version }}", "own"),
            ("{{self['version']|upper}}", "own"),
            ("{{ self[\"version\"] }}", "own"),
            ("{% if self.version == 'v2' %}--new{% endif %}", "own"),
            ("{{ \"}}\" }}{{ self.version }}", "own"),
            ("{{ {'a': {}} }}{{ self.version }}", "own"),
            ("{{ from.version }} {{ to.version }}", "from, to"),
            ("{{ node.version }}", "node"),
            ("{{ via.version }}", "via"),
            ("{{ via.notary.version }}", "via"),
            ("{{ nodes.server[0].version }}", "role server"),
            ("{{ (nodes.server | last).version }}", "role server"),
            ("{{ nodes.server[1:][0].version }}", "role server"),
            ("{% for peer in peers.node %}{{ peer.name }}@{{ peer.version }}{% endfor %}", "role node"),
            ("{{ peers.node | map(attribute='version') | join(',') }}", "role node"),
        ] {
            check(template, expect);
        }
    }

    #[test]
    fn nodes_that_are_used_as_a_whole_may_print_their_versions() {
        for (template, expect) in [
            ("{{ self }}", "own"),
            ("{{ self | tojson }}", "own"),
            ("{{ self | attr('version') }}", "own"),
            ("{{ self['ver' ~ 'sion'] }}", "own"),
            ("{{ self[axes.key] }}", "own"),
            ("{% for key, value in self | items %}{{ value }}{% endfor %}", "own"),
            ("{{ self.items() }}", "own"),
            ("{% set me = self %}{{ me.version }}", "own"),
            ("{% with me = self %}{{ me.version }}{% endwith %}", "own"),
            ("{% macro of(node) %}{{ node.version }}{% endmacro %}{{ of(self) }}", "own, node"),
            ("{{ via }}", "via"),
            ("{{ via | tojson }}", "via"),
            ("{{ via.notary }}", "via"),
            ("{{ nodes }}", "every"),
            ("{{ nodes | tojson }}", "every"),
            ("{{ nodes[self.role][0].version }}", "every"),
            ("{% for role, list in nodes | items %}{{ list }}{% endfor %}", "every"),
            ("{{ nodes.node }}", "role node"),
            ("{{ nodes.node | tojson }}", "role node"),
            ("{{ nodes.node[0] }}", "role node"),
            ("{{ nodes.node | first }}", "role node"),
            ("{{ nodes.node + nodes.notary }}", "role node, role notary"),
            ("{% for n in nodes.node %}{{ n }}{% endfor %}", "role node"),
            ("{% for n in nodes.node %}{% for v in n.values() %}{{ v }}{% endfor %}{% endfor %}", "role node"),
            ("{% for n in peers.node %}{{ loop.previtem }}{% endfor %}", "every"),
            ("{{ debug() }}", "every"),
        ] {
            check(template, expect);
        }
    }
}

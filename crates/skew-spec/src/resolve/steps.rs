//! The steps of checks.

use std::collections::BTreeSet;

use skew_core::model::{PortName, RoleName, Scope};

use super::resolver::Resolver;
use super::roles::status_is_one;
use crate::decode::At;
use crate::problem::{Place, Problem, brief};
use crate::raw::RawStep;
use crate::template::{RawTemplate, Scope as Names, is_taken};
use crate::types::{Action, Step, StepNode, Template};

/// Resolves the steps of a check.
pub(crate) fn resolve(resolver: &Resolver<'_>, raws: &At<Vec<RawStep>>, scope: &Scope) -> Vec<Step> {
    if raws.is_empty() {
        resolver.problem(raws.at, "a check needs at least one step", "empty", "add `{ in = \"from\", run = […] }`");
    }
    let mut captures: BTreeSet<&str> = BTreeSet::new();
    let mut steps = Vec::new();
    for raw in &raws.value {
        let one = OneStep { resolver, scope, captures: captures.clone() };
        steps.extend(one.resolve(raw));
        if let Some(capture) = &raw.capture
            && one.capture(capture)
        {
            captures.insert(&capture.value);
        }
    }
    steps
}

struct OneStep<'a> {
    resolver: &'a Resolver<'a>,
    scope: &'a Scope,
    captures: BTreeSet<&'a str>,
}

impl OneStep<'_> {
    fn resolve(&self, raw: &RawStep) -> Option<Step> {
        let node = self.node(raw)?;
        let me = self.role_of(&node);
        let action = self.action(raw, me)?;
        if let (Action::Run { .. } | Action::Log { .. }, Some(role)) = (&action, me) {
            self.is_ours(raw, role);
        }
        Some(Step {
            node,
            action,
            within: raw.within.as_ref().map(|within| within.value.0),
            capture: raw.capture.as_ref().map(|capture| capture.value.clone()),
        })
    }

    fn node(&self, raw: &RawStep) -> Option<StepNode> {
        let written = raw.r#in.as_ref();
        let word = written.map(|word| word.value.as_str());
        let node = match (self.scope, word) {
            (Scope::Pair { .. }, None | Some("from")) | (Scope::Node { .. }, None | Some("node")) => {
                return Some(StepNode::From);
            }
            (Scope::Pair { .. }, Some("to")) => return Some(StepNode::To),
            (Scope::Pair { via, .. }, Some(name)) => match via.iter().find(|role| role.as_str() == name) {
                Some(role) => return Some(StepNode::Via(role.clone())),
                None => name,
            },
            (Scope::Node { .. } | Scope::Network, Some(name)) => name,
            (Scope::Network, None) => {
                self.resolver.problem(
                    raw.at,
                    "a step of a check on the network needs the key `in`",
                    "`in` is missing",
                    "name a role: the step is done in its first node",
                );
                return None;
            }
        };
        let at = written?.at;
        let seated = self.resolver.seated();
        if seated.contains(&node) {
            return RoleName::new(node).ok().map(StepNode::Role);
        }
        let words: &[&str] = match self.scope {
            Scope::Pair { .. } => &["from", "to"],
            Scope::Node { .. } => &["node"],
            Scope::Network => &[],
        };
        let valid = words.iter().copied().chain(seated);
        self.resolver.sink.push(Problem::unknown(at, "node", node, valid));
        None
    }

    /// Nothing runs in a node that exists without skew, and nobody hears it.
    fn is_ours(&self, raw: &RawStep, role: &RoleName) {
        let is_external = |name: &RoleName| {
            self.resolver.defs.role(name.as_str(), &|_| false).is_some_and(|role| role.external.is_some())
        };
        if is_external(role) {
            let message = format!("this step needs skew to run `{role}`, which is external");
            let hint = "do the step in another node, or ask the external one by `http`";
            self.resolver.problem(raw.at, message, "not possible there", hint);
        }
    }

    /// The role of the node that a step is done in.
    fn role_of<'b>(&'b self, node: &'b StepNode) -> Option<&'b RoleName> {
        match (node, self.scope) {
            (StepNode::From, Scope::Pair { from, .. }) => Some(from),
            (StepNode::To, Scope::Pair { to, .. }) => Some(to),
            (StepNode::From, Scope::Node { roles }) => roles.first(),
            (StepNode::Via(role) | StepNode::Role(role), _) => Some(role),
            (StepNode::From | StepNode::To, Scope::Node { .. } | Scope::Network) => None,
        }
    }

    fn template(&self, template: &RawTemplate, me: Option<&RoleName>) -> Template {
        if let Some(sample) = self.resolver.sample {
            let (names, via) = match self.scope {
                Scope::Pair { from, to, via, .. } => (vec![("from", from), ("to", to)], Some(via.as_slice())),
                Scope::Node { roles } => (roles.first().map(|role| ("node", role)).into_iter().collect(), None),
                Scope::Network => (Vec::new(), None),
            };
            sample.check(template, &Names { me, names, via, captures: self.captures.clone() }, self.resolver.sink);
        }
        template.resolve()
    }

    /// A template that is a regular expression once it is rendered; told now when nothing is filled in.
    fn pattern(&self, template: &RawTemplate, me: Option<&RoleName>) -> Template {
        if template.is_constant()
            && let Err(error) = regex::Regex::new(&template.text)
        {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
            let message = format!("`{}` is not a regular expression", brief(&template.text));
            self.resolver.problem(
                template.at(),
                message,
                brief(&why),
                "in TOML, write regular expressions in single quotes",
            );
        }
        self.template(template, me)
    }

    fn action(&self, raw: &RawStep, me: Option<&RoleName>) -> Option<Action> {
        let given = [raw.run.is_some(), raw.http.is_some(), raw.log.is_some()].iter().filter(|given| **given).count();
        if given != 1 {
            let label = if given == 0 { "none is given" } else { "several are given" };
            self.resolver.missing(
                raw.broken,
                raw.at,
                "a step needs one of `run`, `http` and `log`",
                label,
                "one step does one thing",
            );
            return None;
        }
        self.misplaced(raw);
        if let Some(run) = &raw.run {
            if run.is_empty() {
                self.resolver.problem(run.at, "this runs nothing", "empty", "name the program and its arguments");
            }
            return Some(Action::Run {
                run: run.iter().map(|template| self.template(template, me)).collect(),
                stdout: raw.stdout.as_ref().map(|template| self.template(template, me)),
                stdout_matches: raw.stdout_matches.as_ref().map(|template| self.pattern(template, me)),
            });
        }
        if let Some(port) = &raw.http {
            self.port(port, me);
            if let Some(status) = &raw.status {
                status_is_one(self.resolver, status);
            }
            for (pointer, _) in raw.json.iter().flat_map(|json| &json.entries) {
                if !pointer.value.is_empty() && !pointer.value.starts_with('/') {
                    let message = format!("`{}` is not a JSON pointer", brief(&pointer.value));
                    self.resolver.problem(
                        pointer.at,
                        message,
                        "no `/`",
                        format!("write `/{}`: keys with `/` between them", brief(&pointer.value).replace('.', "/")),
                    );
                }
            }
            if let Some(path) = raw.path.as_ref().filter(|path| !path.text.starts_with(['/', '{'])) {
                self.resolver.problem(
                    path.at(),
                    "the path of a URL begins with `/`",
                    "no `/`",
                    format!("write `/{}`", brief(&path.text)),
                );
            }
            return Some(Action::Http {
                method: self.method(raw),
                port: port.value.clone(),
                path: raw.path.as_ref().map_or_else(|| Template("/".to_owned()), |path| self.template(path, me)),
                body: raw.body.as_ref().map(|body| self.template(body, me)),
                status: raw.status.as_ref().map(|status| status.value),
                json: raw
                    .json
                    .iter()
                    .flat_map(|json| &json.entries)
                    .map(|(key, value)| (key.value.clone(), self.template(value, me)))
                    .collect(),
            });
        }
        raw.log.as_ref().map(|log| Action::Log { matches: self.pattern(log, me) })
    }

    fn method(&self, raw: &RawStep) -> String {
        let Some(method) = &raw.method else { return "GET".to_owned() };
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        if !known.contains(&method.value.0.as_str()) {
            self.resolver.sink.push(Problem::unknown(method.at, "method", &method.value.0, known));
        }
        method.value.0.clone()
    }

    fn port(&self, port: &At<PortName>, me: Option<&RoleName>) {
        let Some((sample, me)) = self.resolver.sample.zip(me) else { return };
        let Some(role) = sample.roles.iter().find(|role| role.name == *me) else { return };
        if !role.ports.contains(&port.value.to_string()) {
            self.resolver.sink.push(Problem::unknown(
                port.at,
                "port",
                port.as_str(),
                role.ports.iter().map(String::as_str),
            ));
        }
    }

    /// Keys of one kind of step in another.
    fn misplaced(&self, raw: &RawStep) {
        let report = |key: &str, at: Option<Place>, owner: &str| {
            if let Some(at) = at {
                self.resolver.problem(
                    at,
                    format!("`{key}` belongs to a step with {owner}"),
                    "without effect",
                    "remove it",
                );
            }
        };
        if raw.run.is_none() {
            report("stdout", raw.stdout.as_ref().map(RawTemplate::at), "`run`");
            report("stdout_matches", raw.stdout_matches.as_ref().map(RawTemplate::at), "`run`");
        }
        if raw.http.is_none() {
            report("method", raw.method.as_ref().map(|method| method.at), "`http`");
            report("path", raw.path.as_ref().map(RawTemplate::at), "`http`");
            report("body", raw.body.as_ref().map(RawTemplate::at), "`http`");
            report("status", raw.status.as_ref().map(|status| status.at), "`http`");
            report("json", raw.json.as_ref().and_then(|json| json.entries.first()).map(|(key, _)| key.at), "`http`");
        }
        if raw.log.is_some() {
            report("capture", raw.capture.as_ref().map(|capture| capture.at), "`run` or `http`");
        }
    }

    /// Whether later steps can use the name of an output; it is reported when not.
    fn capture(&self, capture: &At<String>) -> bool {
        let name = capture.as_str();
        let mut chars = name.chars();
        let good = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        let (message, label, hint) = if !good {
            let message = format!("`{}` cannot be the name of an output", brief(name));
            (message, "malformed name", "use a-z, A-Z, 0-9 and `_`: later steps write `{{ NAME }}`")
        } else if is_taken(name) {
            (format!("`{name}` means something else in templates"), "taken", "choose another name")
        } else if self.captures.contains(name) {
            (format!("an earlier step keeps its output as `{name}`"), "again", "choose another name")
        } else {
            return true;
        };
        self.resolver.problem(capture.at, message, label, hint);
        false
    }
}

//! Roles: what holds at a version once overrides and `extends` are applied.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use skew_core::model::{CheckName, PartName, PortName, RoleName, SourceName};

use super::resolver::{BUILT_IN, Resolver, WITHIN, check_names};
use super::{lineage, recipes};
use crate::decode::At;
use crate::definitions::Active;
use crate::problem::{Problem, brief};
use crate::raw::{Argv, RawConfig, RawPart, RawReady, RawRole};
use crate::template::{RawTemplate, Scope};
use crate::types::{ConfigFile, InitStep, Part, PartVersion, Ready, ReadyKind, Resources, Role, Stop, Template};

/// How long a node gets to stop when its role does not say.
const GRACE: Duration = Duration::from_secs(10);
/// The signal that asks a node to stop when its role does not say: TERM.
const SIGNAL: i32 = 15;
/// Resolves all roles as they are where no override applies, and tries every override.
pub(crate) fn resolve(resolver: &Resolver<'_>) -> IndexMap<RoleName, Role> {
    let mut roles = IndexMap::new();
    for (name, raw) in resolver.defs.roles() {
        lineage::check(resolver, name, raw);
        if let Some(role) = at(resolver, &name.value, &|_| false) {
            roles.insert(name.value.clone(), role);
        }
        // What one override breaks, and what all of them break together, is told now and not in the sweep.
        let touching = resolver.defs.touching(name.as_str());
        for index in &touching {
            at(resolver, &name.value, &|other| other == *index);
        }
        if touching.len() > 1 {
            at(resolver, &name.value, &|_| true);
        }
    }
    lineage::part_axes(resolver, &roles);
    roles
}

/// A role with some overrides; for a role that does not exist, `None`.
pub(crate) fn at(resolver: &Resolver<'_>, name: &RoleName, active: Active<'_>) -> Option<Role> {
    let raw = resolver.defs.role(name.as_str(), active)?;
    let seated = resolver.seated().contains(&name.as_str());
    // Names in templates are looked up only for roles that nodes play: what a base role means, its heirs decide.
    let one = One { resolver: *resolver, name, active, seated };
    let recipe = raw.recipe.as_ref().and_then(|recipe| recipes::resolve(resolver, recipe, active));
    let run: Vec<Template> = one.argv(raw.run.as_ref()).into_iter().chain(one.argv(raw.args.as_ref())).collect();
    let external = external(resolver, name, &raw);
    if seated
        && external.is_empty()
        && run.is_empty()
        && recipe.as_ref().is_none_or(|recipe| recipe.entrypoint.is_empty())
        && !raw.broken
        && raw.recipe.is_some() == recipe.is_some()
    {
        let hint = "add `run = [\"{{ root }}/…\"]` to the role, or `entrypoint` to its recipe";
        resolver.problem(
            raw.at,
            format!("role `{name}` has nothing to run"),
            "neither `run` nor an `entrypoint`",
            hint,
        );
    }
    Some(Role {
        name: name.clone(),
        external,
        version: lineage::version(&raw),
        sources: raw.sources.iter().flat_map(|sources| &sources.value).map(|source| source.value.clone()).collect(),
        versions: raw.versions.as_ref().map(|versions| versions.value.0.clone()),
        run,
        env: raw
            .env
            .iter()
            .flat_map(|env| &env.entries)
            .map(|(key, value)| (key.value.0.clone(), one.template(value)))
            .collect(),
        ports: one.ports(&raw),
        ready: raw.ready.as_ref().and_then(|ready| one.ready(ready, &raw)),
        init: one.init(&raw),
        depends: raw.depends.iter().flat_map(|depends| &depends.value).map(|role| role.value.clone()).collect(),
        config: one.config(&raw),
        parts: one.parts(&raw),
        resources: one.resources(&raw),
        stop: Stop {
            signal: raw.stop.as_ref().and_then(|stop| stop.signal.as_ref()).map_or(SIGNAL, |signal| signal.0),
            grace: raw.stop.as_ref().and_then(|stop| stop.grace.as_ref()).map_or(GRACE, |grace| grace.0),
        },
        recipe,
    })
}

/// The addresses of a role that exists already; what would need skew to run it makes no sense for it.
fn external(resolver: &Resolver<'_>, name: &RoleName, raw: &RawRole) -> Vec<String> {
    let Some(external) = &raw.external else { return Vec::new() };
    let ready = raw.ready.as_ref();
    let useless = [
        ("recipe", raw.recipe.as_ref().map(|key| key.at)),
        ("run", raw.run.as_ref().map(|key| key.at)),
        ("args", raw.args.as_ref().map(|key| key.at)),
        ("follows", raw.follows.as_ref().map(|key| key.at)),
        ("init", raw.init.as_ref().and_then(|steps| steps.first()).map(|step| step.run.0.at)),
        ("log", ready.and_then(|ready| ready.log.as_ref()).map(|key| key.at)),
        ("command", ready.and_then(|ready| ready.command.as_ref()).map(|key| key.at)),
    ];
    for (key, at) in useless {
        if let Some(at) = at {
            let message = format!("`{key}` means nothing for the external role `{name}`");
            resolver.problem(at, message, "skew does not run it", format!("remove `{key}`, or `external`"));
        }
    }
    let hosts: Vec<String> = external.value.0.iter().map(|host| host.value.0.clone()).collect();
    let topology = resolver.defs.spec.topology.as_ref();
    let count = topology.and_then(|topology| topology.get(name.as_str())).and_then(|count| count.count.as_ref());
    match count {
        Some(count) if count.value != hosts.len() => resolver.problem(
            external.at,
            format!("role `{name}` has {} nodes and {} addresses", count.value, hosts.len()),
            "one address a node",
            format!("write `{name} = {{ count = {} }}` in `[topology]`", hosts.len()),
        ),
        Some(_) => {}
        None if resolver.seated().contains(&name.as_str()) => resolver.problem(
            external.at,
            format!("the external role `{name}` needs a `count`"),
            "its nodes are what they are",
            format!("write `{name} = {{ count = {} }}` in `[topology]`", hosts.len()),
        ),
        None => {}
    }
    if raw.ports.is_none() {
        resolver.problem(
            external.at,
            format!("the external role `{name}` has no ports"),
            "where would it be reached?",
            "add `ports = { name = NUMBER }` to the role",
        );
    }
    hosts
}

/// One role being resolved.
struct One<'a> {
    resolver: Resolver<'a>,
    name: &'a RoleName,
    active: Active<'a>,
    seated: bool,
}

impl One<'_> {
    fn template(&self, template: &RawTemplate) -> Template {
        if let Some(sample) = self.resolver.sample.filter(|_| self.seated) {
            sample.check(template, &Scope { me: Some(self.name), ..Scope::default() }, self.resolver.sink);
        }
        template.resolve()
    }

    fn argv(&self, argv: Option<&Argv>) -> Vec<Template> {
        argv.iter().flat_map(|argv| &argv.value).map(|template| self.template(template)).collect()
    }

    /// A command that must not be empty.
    fn command(&self, argv: &Argv) -> Vec<Template> {
        if argv.is_empty() {
            self.resolver.problem(
                argv.at,
                "this runs nothing",
                "empty",
                "name the program and its arguments: `[\"{{ root }}/bin/x\", \"arg\"]`",
            );
        }
        self.argv(Some(argv))
    }

    fn ports(&self, raw: &RawRole) -> BTreeMap<PortName, u16> {
        let mut ports: BTreeMap<PortName, u16> = BTreeMap::new();
        for (name, port) in raw.ports.iter().flat_map(|ports| &ports.entries) {
            if port.value == 0 {
                self.resolver.problem(
                    port.at,
                    "0 is not a port",
                    "not a port",
                    "ports are from 1 to 65535; peers must know them",
                );
            }
            if let Some((other, _)) = ports.iter().find(|(_, number)| **number == port.value) {
                let message =
                    format!("ports `{other}` and `{}` of role `{}` are both {}", name.value, self.name, port.value);
                self.resolver.problem(port.at, message, "taken", "give each port a number of its own");
            }
            ports.insert(name.value.clone(), port.value);
        }
        ports
    }

    fn port(&self, port: &At<PortName>, raw: &RawRole) {
        let known: Vec<&str> = raw.ports.iter().flat_map(|ports| ports.keys()).collect();
        // A base role without ports leaves them to its heirs.
        if !known.contains(&port.as_str()) && (self.seated || !known.is_empty()) {
            self.resolver.sink.push(Problem::unknown(port.at, "port", port.as_str(), known));
        }
    }

    fn ready(&self, ready: &RawReady, raw: &RawRole) -> Option<Ready> {
        let within = ready.within.as_ref().map_or(WITHIN, |within| within.0);
        let mut kinds: Vec<ReadyKind> = Vec::new();
        if let Some(port) = &ready.tcp {
            self.port(port, raw);
            kinds.push(ReadyKind::Tcp(port.value.clone()));
        }
        if let Some(port) = &ready.http {
            self.port(port, raw);
            let path = ready.path.as_ref().map_or_else(|| "/".to_owned(), |path| path.value.0.clone());
            if let Some(written) = ready.path.as_ref().filter(|path| !path.value.0.starts_with('/')) {
                self.resolver.problem(
                    written.at,
                    "the path of a URL begins with `/`",
                    "no `/`",
                    format!("write `/{}`", brief(&path)),
                );
            }
            if let Some(status) = &ready.status {
                status_is_one(&self.resolver, status);
            }
            kinds.push(ReadyKind::Http {
                port: port.value.clone(),
                path,
                status: ready.status.as_ref().map(|status| status.value),
            });
        } else {
            for (key, at) in [
                ("path", ready.path.as_ref().map(|path| path.at)),
                ("status", ready.status.as_ref().map(|status| status.at)),
            ] {
                if let Some(at) = at {
                    self.resolver.problem(
                        at,
                        format!("`{key}` belongs to `http`"),
                        "without effect",
                        "add `http = \"PORT\"`, or remove it",
                    );
                }
            }
        }
        kinds.extend(ready.log.as_ref().map(|log| ReadyKind::Log(log.value.0.clone())));
        kinds.extend(ready.command.as_ref().map(|command| ReadyKind::Command(self.command(command))));
        match &ready.started {
            Some(started) if !started.value => {
                self.resolver.problem(
                    started.at,
                    "`started` can only be true",
                    "false",
                    "remove it, and say what else makes the node ready",
                );
                return None;
            }
            Some(_) => kinds.push(ReadyKind::Started),
            None => {}
        }
        if kinds.len() != 1 {
            let label = if kinds.is_empty() { "none is given" } else { "several are given" };
            let message = "`ready` needs one of `tcp`, `http`, `log`, `command` and `started`";
            self.resolver.missing(
                ready.broken && kinds.is_empty(),
                ready.at,
                message,
                label,
                "for example `ready = { tcp = \"api\", within = \"10s\" }`",
            );
        }
        let settle = ready.settle.as_ref().map(|settle| settle.value.0);
        if let Some(written) = &ready.settle {
            if ready.started.is_none() {
                self.resolver.problem(
                    written.at,
                    "`settle` belongs to `started`",
                    "without effect",
                    "add `started = true`, or remove it",
                );
            } else if written.value.0 > within {
                self.resolver.problem(
                    written.at,
                    "`settle` is longer than `within`",
                    "never over in time",
                    "make `within` longer, or `settle` shorter",
                );
            }
        }
        kinds.pop().map(|kind| Ready { kind, within, settle })
    }

    fn init(&self, raw: &RawRole) -> Vec<InitStep> {
        let mut steps: Vec<InitStep> = Vec::new();
        for step in raw.init.iter().flatten() {
            if let Some(check) = &step.check {
                self.init_check(check, raw);
                if steps.iter().any(|other| other.check.as_ref() == Some(&check.value)) {
                    self.resolver.problem(
                        check.at,
                        format!("two `init` steps are check `{}`", check.value),
                        "again",
                        "one step is one observation",
                    );
                }
            }
            steps.push(InitStep {
                run: self.command(&step.run.0),
                within: step.within.as_ref().map_or(WITHIN, |within| within.0),
                check: step.check.as_ref().map(|check| check.value.clone()),
            });
        }
        steps
    }

    /// The check that an `init` step is must say so too, and its `to` must be running by then.
    fn init_check(&self, name: &At<CheckName>, raw: &RawRole) {
        let resolver = &self.resolver;
        let Some(check) = resolver.defs.spec.check.iter().flatten().find(|check| check.name.value == name.value) else {
            let names = check_names(resolver).into_iter().chain(BUILT_IN).filter(|name| !BUILT_IN.contains(name));
            resolver.sink.push(Problem::unknown(name.at, "check", name.as_str(), names));
            return;
        };
        if !check.init.as_ref().is_some_and(|init| init.value) {
            let message = format!("check `{}` is not done by an `init` step", name.value);
            resolver.problem(
                name.at,
                message,
                "not an init check",
                format!("add `init = true` to the check `{}`", name.value),
            );
            return;
        }
        let Some(to) = &check.to else { return };
        if self.seated && !self.depends_on(raw, to.as_str()) {
            let message = format!("`{}` may not be ready when this runs", to.value);
            resolver.problem(
                name.at,
                message,
                format!("the check is towards `{}`", to.value),
                format!("add `depends = [\"{}\"]` to role `{}`", to.value, self.name),
            );
        }
    }

    fn depends_on(&self, raw: &RawRole, target: &str) -> bool {
        let mut open: Vec<String> =
            raw.depends.iter().flat_map(|depends| &depends.value).map(|role| role.to_string()).collect();
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = open.pop() {
            if name == target {
                return true;
            }
            if seen.contains(&name) {
                continue;
            }
            if let Some(role) = self.resolver.defs.role(&name, &|_| false) {
                open.extend(role.depends.iter().flat_map(|depends| &depends.value).map(|role| role.to_string()));
            }
            seen.push(name);
        }
        false
    }

    fn config(&self, raw: &RawRole) -> BTreeMap<String, ConfigFile> {
        let mut files = BTreeMap::new();
        for (path, config) in raw.config.iter().flat_map(|config| &config.entries) {
            let file = match config {
                RawConfig::Text(text) => Some(ConfigFile { template: self.template(text), secret: false, mode: 0o644 }),
                RawConfig::Table(table) => {
                    let template = match (&table.text, &table.file) {
                        (Some(text), None) => Some(self.template(text)),
                        (None, Some(file)) => {
                            let full = self.resolver.defs.join(&file.value.0, file.at);
                            self.resolver
                                .defs
                                .templates
                                .get(&full)
                                .and_then(Option::as_ref)
                                .map(|text| self.template(text))
                        }
                        (text, _) => {
                            let label = if text.is_some() { "both are given" } else { "neither is given" };
                            let message =
                                format!("config file `{}` needs either `text` or `file`", brief(&path.value.0));
                            self.resolver.missing(
                                table.broken,
                                table.at,
                                message,
                                label,
                                "`text` holds the template, `file` names it",
                            );
                            None
                        }
                    };
                    let secret = table.secret.unwrap_or(false);
                    let mode = table.mode.as_ref().map_or(if secret { 0o600 } else { 0o644 }, |mode| mode.value.0);
                    template.map(|template| ConfigFile { template, secret, mode })
                }
            };
            files.extend(file.map(|file| (path.value.0.clone(), file)));
        }
        files
    }

    fn parts(&self, raw: &RawRole) -> BTreeMap<PartName, Part> {
        let parts = raw.parts.iter().flat_map(|parts| &parts.entries);
        parts.filter_map(|(name, part)| Some((name.value.clone(), self.part(&name.value, part, raw)?))).collect()
    }

    fn part(&self, name: &PartName, raw: &RawPart, role: &RawRole) -> Option<Part> {
        let resolver = &self.resolver;
        if let Some(source) = &raw.source {
            let sources = lineage::source_names(resolver);
            if !sources.contains(&source.as_str()) {
                resolver.sink.push(Problem::unknown(source.at, "source", source.as_str(), sources));
            }
        }
        let version = match (&raw.pinned, &raw.versions) {
            (Some(pinned), Some(versions)) => {
                resolver.sink.push(
                    Problem::new(versions.at, format!("part `{name}` is pinned and an axis"), "versions here")
                        .also(pinned.at, "pinned here")
                        .hint("its version has one origin: remove one of them"),
                );
                PartVersion::Pinned(pinned.value.0.clone())
            }
            (Some(pinned), None) => PartVersion::Pinned(pinned.value.0.clone()),
            (None, Some(versions)) => {
                if versions.is_empty() {
                    resolver.problem(
                        versions.at,
                        format!("part `{name}` has no versions"),
                        "empty",
                        "list at least one, or remove the key",
                    );
                }
                PartVersion::Axis(versions.iter().map(|version| version.value.0.clone()).collect())
            }
            (None, None) => PartVersion::Follows,
        };
        let mine: Vec<&SourceName> =
            role.sources.iter().flat_map(|sources| &sources.value).map(|source| &source.value).collect();
        if let Some(source) = &raw.source
            && version == PartVersion::Follows
            && mine != [&source.value]
            && lineage::source_names(resolver).len() > 1
        {
            let message = format!("part `{name}` has a source of its own and so cannot have the node's version");
            resolver.problem(
                source.at,
                message,
                "another source",
                "add `pinned = \"REV\"` or `versions = [\"REV\", …]`",
            );
        }
        let Some(recipe) = &raw.recipe else {
            resolver.missing(
                raw.broken,
                raw.at,
                format!("part `{name}` needs the key `recipe`"),
                "`recipe` is missing",
                "how is it built?",
            );
            return None;
        };
        Some(Part {
            name: name.clone(),
            recipe: recipes::resolve(resolver, recipe, self.active)?,
            source: raw.source.as_ref().map(|source| source.value.clone()),
            version,
            path: raw.path.as_ref().map_or_else(|| name.to_string(), |path| path.value.0.clone()),
        })
    }

    fn resources(&self, raw: &RawRole) -> Resources {
        let Some(raw) = &raw.resources else { return Resources::default() };
        let cpu = raw.cpu.as_ref().and_then(|cpu| {
            if !(0.001..=10_000.0).contains(&cpu.value) {
                self.resolver.problem(
                    cpu.at,
                    format!("`{}` is not a number of cores", cpu.value),
                    "out of range",
                    "from 0.001 to 10000",
                );
                return None;
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the range was checked
            Some((cpu.value * 1000.0).round() as u32)
        });
        if let Some(files) = raw.files.as_ref().filter(|files| files.value < 16) {
            self.resolver.problem(
                files.at,
                "a program needs at least 16 open files",
                "too few",
                "its log and its listening socket are among them",
            );
        }
        Resources {
            memory: raw.memory.as_ref().map(|memory| memory.value.0),
            cpu_millis: cpu,
            files: raw.files.as_ref().map(|files| files.value),
        }
    }
}

/// An HTTP status has three digits.
pub(super) fn status_is_one(resolver: &Resolver<'_>, status: &At<u16>) {
    if !(100..=599).contains(&status.value) {
        resolver.problem(
            status.at,
            format!("{} is not an HTTP status", status.value),
            "out of range",
            "from 100 to 599",
        );
    }
}

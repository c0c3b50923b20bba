//! The spec as written: what may stand where, nothing resolved. The doc comments are the JSON Schema's descriptions.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use skew_core::model::{AxisName, CheckName, PartName, PortName, RoleName, SourceName, Strategy};

use super::backend::BackendKind;
use super::decode::{At, Decode, Map, Merge, Need, OneOrMore, mismatch, raw};
use super::keys::{EnvName, PathKey};
use super::leaf::{Below, Bytes, Filled, Mode, On, Pattern, Range, Signal, Since, Span, Which};
use super::problem::Sink;
use super::raw_recipe::{RawRecipe, RawRecipePatch};
use super::template::RawTemplate;
use super::tree::{Node, Value};
use super::types::Per;

/// A program and its arguments.
pub(super) type Argv = At<Vec<RawTemplate>>;

raw! {
    /// A spec: which versions of which roles must work together, and how that is found out.
    fixed RawSpec("the spec") {
        /// The system under test.
        #[schemars(required)]
        system: Option<RawSystem>,
        /// Where versions come from, by name.
        sources: Option<Map<SourceName, RawSource>>,
        /// The parts that processes can play, by name.
        roles: Option<Map<RoleName, RawRole>>,
        /// How many nodes play each role.
        topology: Option<Map<RoleName, RawCount>>,
        /// Which cells are asked, and by what kind of networks.
        matrix: Option<RawMatrix>,
        /// What must work.
        check: Option<Vec<RawCheck>>,
        /// Roles that drive the network and report observations.
        driver: Option<Vec<RawDriver>>,
        /// What must hold for every node.
        expect: Option<Vec<RawExpect>>,
        /// Accepted failures.
        known: Option<Vec<RawKnown>>,
        /// Overrides by version; later ones win.
        when: Option<Vec<RawWhen>>,
        /// Axes beyond versions: name → values.
        axes: Option<Map<AxisName, At<Vec<At<Filled>>>>>,
        /// Where networks run.
        backend: Option<RawBackend>,
        /// How long and how much.
        limits: Option<RawLimits>,
        /// When a cell is decided.
        repeats: Option<RawRepeats>,
        /// Where images are pushed to and taken from.
        registry: Option<RawRegistry>,
    }

    /// Where images are pushed to, and taken from instead of building them.
    fixed RawRegistry("`[registry]`") {
        /// `HOST[:PORT]/PREFIX`; images are at `PREFIX/SYSTEM/ROLE`.
        url: Need<At<Filled>>,
        /// Whether it speaks plain HTTP; on this machine's loopback it does anyway.
        insecure: Option<bool>,
    }

    /// The system under test.
    fixed RawSystem("`[system]`") {
        /// Its name; reports land in a directory called that.
        name: Need<At<Filled>>,
    }

    /// A git repository and the versions wanted from it.
    fixed RawSource("a source") {
        /// A URL, or a path relative to the spec.
        #[schemars(required)]
        repository: Option<At<Filled>>,
        /// Which versions: the union of what is listed and what is matched.
        versions: Option<RawVersions>,
    }

    /// Which versions of a source are wanted.
    fixed RawVersions("`versions` of a source") {
        /// Tags, branches, commits, or ranges `A..B` of them; `-` reads more from standard input.
        revisions: Option<Vec<At<Filled>>>,
        /// A pattern of tags with `{version}` in it, such as `v{version}`.
        tags: Option<At<String>>,
        /// Only tags in this range of semantic versions.
        range: Option<At<Range>>,
        /// Keep only the newest so many tags, of each group when `per` is given.
        newest: Option<At<usize>>,
        /// Group tags by major or minor version.
        per: Option<At<Per>>,
        /// A file of revisions, one a line, relative to the spec; `-` is standard input.
        file: Option<At<Filled>>,
        /// Read more revisions from standard input, one a line.
        stdin: Option<bool>,
    }

    /// A part that a process can play.
    merged RawRole("a role") {
        /// Another role whose keys hold here too, unless they are given anew; `args` are appended.
        extends: Option<At<RoleName>>,
        /// How its image is built: a recipe's file relative to the spec, or the recipe itself.
        recipe: Option<At<RecipeRef>>,
        /// Where it is already: the address or host name of each of its nodes. It is reached at its `ports`, and never
        /// started, stopped or wiped.
        external: Option<At<OneOrMore<At<Filled>>>>,
        /// The program and its arguments.
        run: Option<Argv>,
        /// More arguments, after those of `run`.
        args: Option<Argv>,
        /// Its ports by name.
        ports: Option<Map<PortName, At<u16>>>,
        /// When a node is ready; without it, when it is still alive two seconds after it started, which proves little.
        ready: Option<RawReady>,
        /// What runs in each node when its dependencies are ready and before it starts.
        init: Option<Vec<RawInit>>,
        /// Roles that must be ready before it starts.
        depends: Option<At<Vec<At<RoleName>>>>,
        /// The environment of its nodes.
        env: Option<Map<EnvName, RawTemplate>>,
        /// Files rendered into the node's directory before it starts: path → text, or a table.
        config: Option<Map<PathKey, RawConfig>>,
        /// Keeps it at this revision for good.
        pinned: Option<At<Filled>>,
        /// Gives it the version of another role, one node beside each of its nodes.
        follows: Option<At<RoleName>>,
        /// The versions it exists for.
        versions: Option<At<Which>>,
        /// The sources its versions come from; all when not given.
        sources: Option<At<Vec<At<SourceName>>>>,
        /// Artefacts with versions of their own, mounted into its nodes.
        parts: Option<Map<PartName, RawPart>>,
        /// Limits of each node.
        resources: Option<RawResources>,
        /// How it is asked to stop.
        stop: Option<RawStop>,
    }

    /// When a node is ready: one of `tcp`, `http`, `log`, `command` and `started`.
    whole RawReady("`ready`") {
        /// The name of a port that accepts connections.
        tcp: Option<At<PortName>>,
        /// The name of a port that answers a GET.
        http: Option<At<PortName>>,
        /// With `http`: the path, `/` when not given.
        path: Option<At<Filled>>,
        /// With `http`: the status to wait for; 200 to 299 when not given.
        status: Option<At<u16>>,
        /// A regular expression that a line of its log matches.
        log: Option<At<Pattern>>,
        /// A command in the node that exits with 0.
        command: Option<Argv>,
        /// It is still alive `settle` after it started. That proves little: a program that answers nobody passes.
        started: Option<At<bool>>,
        /// With `started`: how long it must stay alive; 2s when not given, or `within` if that is shorter.
        settle: Option<At<Span>>,
        /// How long it may take; 30s when not given.
        within: Option<At<Span>>,
    }

    /// Something that runs in a node before it starts.
    fixed RawInit("an `init` step") {
        /// The program and its arguments.
        run: Need<Argv>,
        /// How long it may take; 30s when not given.
        within: Option<At<Span>>,
        /// The check that its result is an observation of.
        check: Option<At<CheckName>>,
    }

    /// A file rendered into a node's directory: one of `text` and `file`.
    whole RawConfigTable("a config file") {
        /// The template's text.
        text: Option<RawTemplate>,
        /// The template's file, relative to the spec.
        file: Option<At<Filled>>,
        /// Whether it holds secrets.
        secret: Option<bool>,
        /// Permission bits; 0o644 when not given, 0o600 for a secret.
        mode: Option<At<Mode>>,
    }

    /// An artefact with versions of its own.
    merged RawPart("a part") {
        /// How it is built: a recipe's file relative to the spec, or the recipe itself.
        recipe: Option<At<RecipeRef>>,
        /// Where its versions come from; the role's source when not given.
        source: Option<At<SourceName>>,
        /// Keeps it at this revision for good; without `pinned` and `versions` it has the node's own version.
        pinned: Option<At<Filled>>,
        /// These revisions, as an axis named after the part.
        versions: Option<At<Vec<At<Filled>>>>,
        /// The directory below the node's image root where its files appear; its name when not given.
        path: Option<At<Below>>,
    }

    /// Limits of each node.
    merged RawResources("`resources`") {
        /// Memory.
        memory: Option<At<Bytes>>,
        /// Cores, such as 0.5.
        cpu: Option<At<f64>>,
        /// Open files.
        files: Option<At<u64>>,
    }

    /// How a node is asked to stop.
    merged RawStop("`stop`") {
        /// The signal; TERM when not given.
        signal: Option<At<Signal>>,
        /// How long it gets before it is killed; 10s when not given.
        grace: Option<At<Span>>,
    }

    /// How many nodes play a role: one of `count` and `seats`.
    fixed RawCount("a role of the topology") {
        /// Structural: the network needs exactly this many.
        count: Option<At<usize>>,
        /// Capacity: as many versions at once as there are seats.
        seats: Option<At<usize>>,
    }

    /// Which cells are asked, and by what kind of networks.
    fixed RawMatrix("`[matrix]`") {
        /// The strategy; `pairs` when not given.
        strategy: Option<At<Strategy>>,
        /// The version that a release gate is about: a label, `source/label`, or a revision.
        candidate: Option<At<Filled>>,
        /// With `adjacent`: how many versions apart it looks; 1 when not given.
        window: Option<At<usize>>,
    }

    /// Something that must work: between every ordered pair of nodes in two roles, on every node of one, or on the network.
    fixed RawCheck("a check") {
        /// Its name.
        name: Need<At<CheckName>>,
        /// The role that acts.
        from: Option<At<RoleName>>,
        /// The role acted upon.
        to: Option<At<RoleName>>,
        /// Roles that take part.
        via: Option<Vec<At<RoleName>>>,
        /// Whether one verdict holds for both directions.
        symmetric: Option<At<bool>>,
        /// `node` or `network`, instead of `from` and `to`.
        on: Option<At<On>>,
        /// With `on = "node"`: the role.
        role: Option<At<RoleName>>,
        /// Whether an ok shows that exactly the named nodes understood each other; true when not given.
        direct: Option<bool>,
        /// Checks that must have worked for the same parties.
        after: Option<OneOrMore<At<CheckName>>>,
        /// The versions it exists at: a version number and later ones, a selector, or a revision and what contains it.
        since: Option<At<Since>>,
        /// What is done, one after the other.
        steps: Option<At<Vec<RawStep>>>,
        /// The driver that reports it.
        driver: Option<At<RoleName>>,
        /// Whether it is an `init` step of the role `from`.
        init: Option<At<bool>>,
        /// How long all steps may take between one pair of nodes; 30s when not given.
        within: Option<At<Span>>,
    }

    /// One step of a check: one of `run`, `http` and `log`.
    fixed RawStep("a step") {
        /// The node: `from`, `to`, `node` or the name of a role.
        r#in: Option<At<String>>,
        /// A command: 0 ok, 77 unsupported, else failed; error when this machine lacks a program for it.
        run: Option<Argv>,
        /// With `run`: what its standard output must be.
        stdout: Option<RawTemplate>,
        /// With `run`: a regular expression that its standard output must match.
        stdout_matches: Option<RawTemplate>,
        /// The name of a port that gets a request.
        http: Option<At<PortName>>,
        /// With `http`: the method, `GET` when not given.
        method: Option<At<Filled>>,
        /// With `http`: path and query, `/` when not given.
        path: Option<RawTemplate>,
        /// With `http`: the body.
        body: Option<RawTemplate>,
        /// With `http`: the status to expect; 200 to 299 when not given.
        status: Option<At<u16>>,
        /// With `http`: JSON pointers into the answer, and what must stand there.
        json: Option<Map<String, RawTemplate>>,
        /// A regular expression that a line of the node's log must match.
        log: Option<RawTemplate>,
        /// How long it may take; it is repeated until then when it expects something.
        within: Option<At<Span>>,
        /// With `run` and `http`: the name under which its output is kept for later steps.
        capture: Option<At<String>>,
    }

    /// A role whose nodes drive the network and report observations.
    fixed RawDriver("a driver") {
        /// The role.
        role: Need<At<RoleName>>,
        /// Whether an observation that is missing twice is a failure.
        complete: Option<bool>,
        /// How long it may take; 2m when not given.
        within: Option<At<Span>>,
    }

    /// Something that must hold: one of `log`, `exit` and `errors`.
    fixed RawExpect("an expectation") {
        /// With `log`: the check's name that it is reported under.
        name: Option<At<CheckName>>,
        /// The role; `*`, the default, is all.
        role: Option<At<String>>,
        /// Of the log's lines.
        log: Option<RawExpectLog>,
        /// Of exits by themselves.
        exit: Option<RawExpectExit>,
        /// Of a check's observations.
        errors: Option<RawExpectErrors>,
    }

    /// Of the log's lines: either `never`, or `matches` and `within`.
    fixed RawExpectLog("`log`") {
        /// The role; `*`, the default, is all.
        role: Option<At<String>>,
        /// No line matches this regular expression.
        never: Option<At<Pattern>>,
        /// A line matches this regular expression in time.
        matches: Option<At<Pattern>>,
        /// How long after the start.
        within: Option<At<Span>>,
    }

    /// Of exits by themselves.
    fixed RawExpectExit("`exit`") {
        /// The role; `*`, the default, is all.
        role: Option<At<String>>,
        /// The statuses that are no failure.
        allow: Need<At<Vec<i32>>>,
    }

    /// Of a check's observations.
    fixed RawExpectErrors("`errors`") {
        /// The check.
        check: Need<At<CheckName>>,
        /// The share that may fail between the same nodes, from 0 to 1.
        at_most: Need<At<f64>>,
    }

    /// An accepted failure; reported when it stops failing.
    fixed RawKnown("a known failure") {
        /// Its cells: `check: role@selector -> role@selector`, then ` [axis=value, …]` where not every value is meant.
        cell: Need<At<String>>,
        /// Why it is accepted.
        reason: Need<At<Filled>>,
        /// Where it is discussed.
        link: Option<At<Filled>>,
    }

    /// Overrides for some versions.
    fixed RawWhen("an override") {
        /// The versions.
        versions: Need<At<Which>>,
        /// Keys of roles.
        roles: Option<Map<RoleName, RawRole>>,
        /// Keys of checks.
        checks: Option<Map<CheckName, RawCheckPatch>>,
        /// Keys of recipes, by the path that roles use.
        recipes: Option<Map<String, RawRecipePatch>>,
    }

    /// What of a check can differ between versions.
    merged RawCheckPatch("an override of a check") {
        /// What is done, one after the other.
        steps: Option<At<Vec<RawStep>>>,
        /// How long all steps may take between one pair of nodes.
        within: Option<At<Span>>,
    }

    /// Where networks run.
    fixed RawBackend("`[backend]`") {
        /// Which backend: `process` when not given.
        kind: Option<At<BackendKind>>,
        /// What holds on Docker.
        docker: Option<RawDocker>,
        /// What holds on Kubernetes.
        kubernetes: Option<RawKubernetes>,
    }

    /// What holds on Docker.
    fixed RawDocker("`[backend.docker]`") {
        /// The range that networks take their addresses from; 198.18.0.0/16 when not given.
        addresses: Option<At<Filled>>,
    }

    /// What holds on Kubernetes.
    fixed RawKubernetes("`[backend.kubernetes]`") {
        /// The kubeconfig, relative to the spec; `$KUBECONFIG`, `~/.kube/config`, or the pod's own account when not given.
        kubeconfig: Option<At<Filled>>,
        /// The kubeconfig's context; its current one when not given.
        context: Option<At<Filled>>,
        /// A namespace that exists and that all networks share; one for each network when not given.
        namespace: Option<At<Filled>>,
        /// The storage class of nodes' volumes; the cluster's default when not given.
        storage_class: Option<At<Filled>>,
        /// The pull secret that pods name, such as `regsecret`.
        pull_secret: Option<At<Filled>>,
        /// Whether that secret is made from the Docker config.
        create_pull_secret: Option<bool>,
    }

    /// How long and how much.
    fixed RawLimits("`[limits]`") {
        /// How long one network may take; 5m when not given.
        network: Option<At<Span>>,
        /// How long the whole sweep may take.
        sweep: Option<At<Span>>,
        /// Networks at once; what cores and memory allow when not given.
        jobs: Option<At<usize>>,
        /// Builds at once.
        build_jobs: Option<At<usize>>,
        /// Evidence older than this is gathered again.
        recheck: Option<At<Span>>,
        /// Bytes kept of each node's log; 16MiB when not given.
        log_bytes: Option<At<Bytes>>,
        /// Networks that may ask one cell before it is given up.
        attempts: Option<At<usize>>,
        /// Times that a failure of infrastructure is tried again.
        retries: Option<At<usize>>,
    }

    /// When a cell is decided.
    fixed RawRepeats("`[repeats]`") {
        /// Failures that convict.
        convict: Option<At<usize>>,
        /// Networks with both results before a cell is flaky.
        flaky: Option<At<usize>>,
        /// Networks that may be spent to tell one interference from flaking.
        contrast: Option<At<usize>>,
        /// The chance that something innocent is named, for each cell under test: 0.01 is 1 %.
        error: Option<At<f64>>,
    }
}

/// A recipe's file, or the recipe itself.
#[derive(Debug, Clone)]
pub(super) enum RecipeRef {
    /// A path as written.
    File(String),
    /// The recipe itself.
    Inline(RawRecipe),
}

impl Decode for RecipeRef {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        match &node.value {
            Value::String(path, _) => Some(Self::File(path.to_string())),
            Value::Table(_) => RawRecipe::decode(node, sink).map(Self::Inline),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime | Value::Array(_) => {
                mismatch(
                    node,
                    "a recipe's path, or a table",
                    "name its file in quotes, or write `{ kind = \"command\", … }`",
                    sink,
                );
                None
            }
        }
    }
}

impl JsonSchema for RecipeRef {
    fn schema_name() -> Cow<'static, str> {
        "RecipeRef".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let recipe = generator.subschema_for::<RawRecipe>();
        json_schema!({ "anyOf": [{ "type": "string" }, recipe] })
    }
}

/// A config file: its text, or a table.
#[derive(Debug, Clone)]
pub(super) enum RawConfig {
    /// The template's text.
    Text(RawTemplate),
    /// A table.
    Table(Box<RawConfigTable>),
}

impl Decode for RawConfig {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        match &node.value {
            Value::String(..) => RawTemplate::decode(node, sink).map(Self::Text),
            Value::Table(_) => RawConfigTable::decode(node, sink).map(|table| Self::Table(Box::new(table))),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime | Value::Array(_) => {
                mismatch(node, "a template's text, or a table", "write it in quotes, or `{ file = \"…\" }`", sink);
                None
            }
        }
    }
}

impl Merge for RawConfig {
    fn merge(&mut self, over: &Self) {
        self.clone_from(over);
    }
}

impl JsonSchema for RawConfig {
    fn schema_name() -> Cow<'static, str> {
        "ConfigFile".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<RawConfigTable>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

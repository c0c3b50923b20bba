//! Tests of the whole way from text to [`Spec`]; wrong specs are in `tests/spec_errors`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use skew_core::model::{CheckName, CommitId, Count, RoleName, Scope, SourceName, Strategy, Version, VersionId};

use super::*;

/// A file system of a few texts.
fn files(files: &'static [(&'static str, &'static str)]) -> impl Fn(&Path) -> io::Result<String> {
    move |path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

const FILES: &[(&str, &str)] = &[
    ("images/server.toml", include_str!("../tests/spec_valid/images/server.toml")),
    ("images/fixed.patch", ""),
    ("images/gcc.patch", ""),
    ("matrix/old.patch", ""),
    ("matrix/server.conf", "bind {{ self.bind }}\nname {{ self.name }}\n"),
    ("matrix/releases.txt", "# what is out there\nv0.9.0\nv0.9.1 # the last one\n\n"),
];

fn full(overrides: &Overrides) -> Spec {
    match parse(
        include_str!("../tests/spec_valid/matrix/full.toml"),
        Path::new("matrix/full.toml"),
        overrides,
        &files(FILES),
    ) {
        Ok(spec) => spec,
        Err(errors) => panic!("{}", errors.render(false, 120)),
    }
}

fn version(source: &str, label: &str, semver: &str, contains: &[&str]) -> Version {
    Version {
        id: VersionId::new(&format!("{source}/{label}")),
        source: SourceName::new(source).unwrap(),
        label: label.to_owned(),
        labels: vec![label.to_owned()],
        commit: CommitId::new(&"a".repeat(40)).unwrap(),
        semver: semver::Version::parse(semver).ok(),
        time: 0,
        order: 0,
        contains: contains.iter().map(|revision| (*revision).to_owned()).collect(),
    }
}

fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

fn check(name: &str) -> CheckName {
    CheckName::new(name).unwrap()
}

fn texts(templates: &[Template]) -> Vec<&str> {
    templates.iter().map(|template| template.0.as_str()).collect()
}

fn command(recipe: &Recipe) -> &CommandRecipe {
    match &recipe.kind {
        RecipeKind::Command(command) => command,
        other => panic!("no command recipe: {other:?}"),
    }
}

#[test]
fn a_spec_with_every_key_is_read() {
    let spec = full(&Overrides::default());
    insta::assert_debug_snapshot!("full_sources", spec.sources);
    insta::assert_debug_snapshot!("full_roles", spec.roles);
    insta::assert_debug_snapshot!("full_checks", (&spec.checks, &spec.drivers, &spec.expects, &spec.known));
    insta::assert_debug_snapshot!(
        "full_rest",
        (&spec.system, &spec.topology, &spec.axes, &spec.matrix, &spec.whens, &spec.backend, &spec.limits)
    );
}

#[test]
fn roles_are_as_they_hold_at_a_version() {
    let spec = full(&Overrides::default());
    let (old, new) = (version("core", "v1.1.0", "1.1.0", &[]), version("core", "v2.0.0", "2.0.0", &["4f2a91c"]));
    let args = |version: &Version| spec.role_at(&role("node"), version).run.clone();
    assert_eq!(texts(&args(&old))[5..], ["--legacy"], "an override replaces a list");
    assert_eq!(texts(&args(&new))[5..], texts(&spec.roles["node"].run)[5..]);
    for name in ["server", "node", "doorman"] {
        let role = spec.role_at(&role(name), &old);
        assert_eq!(role.env["LOG"].0, "trace", "{name}: heirs of an overridden role have the override too");
        assert_eq!(role.env.len(), 3, "{name}: a map is overridden key by key");
        assert_eq!(spec.role_at(&self::role(name), &new).env["LOG"].0, "debug");
    }
    assert_eq!(spec.role_at(&role("node"), &old).parts["app"].path, "opt/legacy");
    let port = |version: &Version| spec.role_at(&role("node"), version).ports.len();
    assert_eq!((port(&old), port(&new)), (2, 3), "`since` goes by ancestry");
    let both = version("core", "v1.1.9", "1.1.9", &["4f2a91c"]);
    let role_then = spec.role_at(&role("node"), &both);
    assert_eq!((role_then.ports.len(), role_then.env["LOG"].0.as_str()), (3, "trace"), "overrides add up");
    assert!(
        std::sync::Arc::ptr_eq(&role_then, &spec.role_at(&role("node"), &both)),
        "the same role is not resolved twice"
    );
    let elsewhere = version("apps", "v1.1.0", "1.1.0", &[]);
    assert_eq!(spec.role_at(&role("server"), &elsewhere).env["LOG"].0, "debug", "a selector is for its source");
}

#[test]
fn recipes_are_as_they_hold_at_a_version() {
    let spec = full(&Overrides::default());
    let patches = |semver: &str| {
        let recipe = spec.recipe_at(&role("node"), &version("core", "x", semver, &[])).unwrap();
        let command = command(&recipe);
        let patches: Vec<String> = command.patches.iter().map(|patch| patch.display().to_string()).collect();
        (patches, command.env["CFLAGS"].clone())
    };
    assert_eq!(patches("2.0.0"), (vec!["images/fixed.patch".to_owned()], "-O1".to_owned()));
    let old = vec!["images/gcc.patch".to_owned(), "matrix/old.patch".to_owned()];
    assert_eq!(patches("1.1.0"), (old, "-O0".to_owned()), "paths are relative to the file they are written in");
}

#[test]
fn checks_are_as_they_hold_between_versions() {
    let spec = full(&Overrides::default());
    let (old, new) = (version("core", "v1.1.0", "1.1.0", &[]), version("core", "v2.0.0", "2.0.0", &["4f2a91c"]));
    let steps = |parties: &[&Version]| match spec.check_at(&check("stores"), parties).how {
        CheckHow::Steps(steps) => steps.len(),
        CheckHow::Driver(_) | CheckHow::Init => panic!("steps"),
    };
    assert_eq!((steps(&[&new, &new]), steps(&[&new, &old]), steps(&[&old, &new])), (5, 1, 1));
    assert_eq!(spec.check_at(&check("stores"), &[&new]).within, Duration::from_secs(5));
    assert_eq!(spec.check_at(&check("stores"), &[&old]).within, Duration::from_secs(90));
}

#[test]
fn selectors_name_the_revisions_that_must_be_looked_up() {
    let mentioned = full(&Overrides::default()).mentioned_revisions();
    let names: Vec<_> =
        mentioned.iter().map(|(source, names)| (source.as_ref().map(SourceName::as_str), names)).collect();
    let hash = BTreeSet::from(["4f2a91c".to_owned()]);
    assert_eq!(names, [(None, &hash), (Some("core"), &hash)]);
}

/// What an edit changes: the digests of `node` and of `driver` at an old and a new version, and of all checks.
fn digests(spec: &Spec) -> BTreeMap<String, skew_core::model::Digest> {
    let (old, new) = (version("core", "v1.1.0", "1.1.0", &[]), version("core", "v2.0.0", "2.0.0", &["4f2a91c"]));
    let mut digests = BTreeMap::new();
    for name in ["node", "driver"] {
        for version in [&old, &new] {
            digests.insert(format!("{name}@{}", version.label), spec.role_digest(&role(name), version));
        }
    }
    for name in ["pay", "registers", "stores", "log", "announces", "exit", "ready"] {
        digests.insert(name.to_owned(), spec.check_digest(&check(name)));
    }
    digests
}

#[test]
fn digests_change_with_what_they_stand_for() {
    let before = digests(&full(&Overrides::default()));
    let cases: [(&str, &[&str]); 22] = [
        ("roles.server.run=['other']", &["node@v1.1.0", "node@v2.0.0"]),
        ("roles.server.ports.api=9", &["node@v1.1.0", "node@v2.0.0"]),
        ("roles.node.env.LOG='x'", &["node@v1.1.0", "node@v2.0.0"]),
        ("roles.server.env.LOG='x'", &["node@v2.0.0"]),
        ("roles.server.stop.grace='1s'", &["node@v1.1.0", "node@v2.0.0"]),
        ("roles.server.parts.params.path='x'", &["node@v1.1.0", "node@v2.0.0"]),
        ("roles.server.parts.params.pinned='p2'", &[]),
        ("roles.node.recipe={ kind = 'prebuilt', path = 'x' }", &[]),
        ("roles.node.versions='>=1'", &[]),
        ("when.0.roles.node.args=['--older']", &["node@v1.1.0"]),
        ("when.0.versions='core:<1.0'", &["node@v1.1.0", "stores"]),
        ("check.stores.within='1s'", &["stores"]),
        ("check.stores.since='1.2'", &[]),
        ("check.pay.direct=true", &[]),
        ("check.pay.via=[]", &["pay"]),
        ("driver.0.within='1m'", &["pay"]),
        ("expect.3.errors.at_most=0.5", &["pay"]),
        ("expect.2.exit.allow=[1]", &["exit"]),
        ("expect.0.log.never='x'", &["log"]),
        ("known.0.reason='x'", &[]),
        ("limits.attempts=3", &[]),
        ("topology.node.seats=5", &[]),
    ];
    for (set, expected) in cases {
        let after = digests(&full(&Overrides { set: vec![set.to_owned()], ..Overrides::default() }));
        let changed: Vec<&str> =
            before.iter().filter(|(name, digest)| after[*name] != **digest).map(|(name, _)| name.as_str()).collect();
        assert_eq!(changed, expected, "{set}");
    }
}

#[test]
fn values_are_overridden_from_outside() {
    let overrides = Overrides {
        set: [
            "limits.jobs=7",
            "system.name=other",
            "matrix.candidate=2.0",
            "roles.server.env.\"NEW\"=a b",
            "check.stores.within=3s",
            "known.1.reason=because",
        ]
        .map(str::to_owned)
        .into(),
        env: [
            ("SKEW_LIMITS__JOBS", "5"),
            ("SKEW_LIMITS__BUILD_JOBS", "6"),
            ("SKEW_TOPOLOGY__NODE__SEATS", "8"),
            ("SKEW_STATE", "x"),
            ("SKEW___A", "x"),
            ("PATH", "x"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        repositories: vec![("core".to_owned(), "/srv/core".to_owned())],
    };
    let spec = full(&overrides);
    assert_eq!(spec.limits.jobs, Some(7), "the command line wins over a variable");
    assert_eq!(spec.limits.build_jobs, Some(6));
    assert_eq!(spec.system, "other", "a value that is no TOML is text");
    assert_eq!(spec.matrix.candidate.as_deref(), Some("2.0"), "where a label is wanted, a number is one");
    assert_eq!(spec.topology["node"], Count::Seats(8));
    assert_eq!(spec.roles["server"].env["NEW"].0, "a b");
    assert_eq!(spec.checks.iter().find(|other| other.name == check("stores")).unwrap().within, Duration::from_secs(3));
    assert_eq!(spec.known[1].reason, "because");
    assert_eq!(spec.sources["core"].repository, "/srv/core");
    assert_ne!(spec.digest, full(&Overrides::default()).digest);
}

#[test]
fn a_small_spec_has_sensible_defaults() {
    let text = r#"
        system = { name = "small" }
        sources.git = { repository = ".", versions = { tags = "v{version}" } }
        roles.node = { run = ["node"] }
        topology.node = { count = 2 }
        check = [{ name = "talks", from = "node", to = "node", steps = [{ run = ["ping", "{{ to.address }}"] }] }]
    "#;
    let spec = parse(text, Path::new("skew.toml"), &Overrides::default(), &files(&[])).unwrap();
    let node = &spec.roles["node"];
    assert_eq!(spec.matrix.strategy, Strategy::Pairs);
    assert_eq!(node.version, RoleVersion::Matrix);
    assert_eq!((node.ready.clone(), node.stop.signal, node.stop.grace), (None, 15, Duration::from_secs(10)));
    assert_eq!(spec.limits.bounds, skew_core::model::Bounds::default());
    let talks = &spec.checks[0];
    assert!(talks.direct);
    assert!(matches!(&talks.scope, Scope::Pair { symmetric: false, .. }));
    assert_eq!(talks.within, Duration::from_secs(30));
}

#[test]
fn schemas_know_every_key_of_the_full_spec() {
    let schema = schema();
    let spec: serde_json::Value = toml::from_str(include_str!("../tests/spec_valid/matrix/full.toml")).unwrap();
    let recipe: serde_json::Value = toml::from_str(include_str!("../tests/spec_valid/images/server.toml")).unwrap();
    let mut unknown = Vec::new();
    unknown_keys(&schema, &schema, &spec, "spec", &mut unknown);
    let schema = recipe_schema();
    unknown_keys(&schema, &schema, &recipe, "recipe", &mut unknown);
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// Walks a value along its schema and collects keys that no alternative allows.
fn unknown_keys(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
    at: &str,
    unknown: &mut Vec<String>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return unknown_keys(root, target, value, at, unknown);
    }
    for alternatives in ["anyOf", "oneOf"] {
        let Some(alternatives) = schema[alternatives].as_array() else { continue };
        let tried: Vec<Vec<String>> = alternatives
            .iter()
            .map(|alternative| {
                let mut unknown = Vec::new();
                unknown_keys(root, alternative, value, at, &mut unknown);
                unknown
            })
            .collect();
        return unknown.extend(tried.into_iter().min_by_key(Vec::len).unwrap_or_default());
    }
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                let at = format!("{at}.{key}");
                match (&schema["properties"][key], &schema["additionalProperties"]) {
                    (serde_json::Value::Null, serde_json::Value::Null | serde_json::Value::Bool(false)) => {
                        unknown.push(at)
                    }
                    (serde_json::Value::Null, any) => unknown_keys(root, any, value, &at, unknown),
                    (property, _) => unknown_keys(root, property, value, &at, unknown),
                }
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| unknown_keys(root, &schema["items"], item, at, unknown))
        }
        _ => {}
    }
}

/// The specs that are shipped must be valid wherever they are read from.
#[test]
fn shipped_specs_are_valid() {
    let matrix = skew_testing::repository("matrix");
    let entries = std::fs::read_dir(&matrix).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| Vec::new());
    for path in entries.into_iter().map(|entry| entry.path()).filter(|path| path.extension() == Some("toml".as_ref())) {
        let spec = load(&path, &Overrides::default()).unwrap_or_else(|errors| panic!("{}", errors.render(false, 120)));
        assert!(spec.dir.is_absolute(), "{}", path.display());
        for recipe in spec.roles.values().filter_map(|role| role.recipe.as_ref()) {
            assert!(recipe.path.is_file(), "{}", recipe.path.display());
        }
    }
}

/// Valid TOML with one piece replaced by another, to get past the parser and into the resolver.
fn mutated(text: &str, at: usize, remove: usize, insert: &str) -> String {
    let boundary = |mut index: usize| {
        while !text.is_char_boundary(index) {
            index -= 1;
        }
        index
    };
    let start = boundary(at % (text.len() + 1));
    let end = boundary((start + remove).min(text.len()));
    format!("{}{insert}{}", &text[..start], &text[end.max(start)..])
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,300}", set in ".{0,40}") {
        let overrides = Overrides { set: vec![set], ..Overrides::default() };
        if let Err(errors) = parse(&text, Path::new("skew.toml"), &overrides, &files(&[])) {
            errors.render(false, 80);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(errors) = parse(&text, Path::new("skew.toml"), &Overrides::default(), &files(&[])) {
            errors.render(true, 80);
        }
    }

    #[test]
    fn mutated_specs_never_panic(
        at in proptest::num::usize::ANY,
        remove in 0_usize..60,
        insert in proptest::sample::select(vec!["", "\"", "x", "0", "-1", "{{", "}}", "{%", "[", "]", "{", "}", "=", ".", "\n", "é", "\u{1b}", "true", "node", "'''", "[[check]]\n", "99999999999999999999"]),
        version_at in ("core|apps|x", "[0-9a-z.]{1,6}"),
    ) {
        let text = mutated(include_str!("../tests/spec_valid/matrix/full.toml"), at, remove, insert);
        match parse(&text, Path::new("matrix/full.toml"), &Overrides::default(), &files(FILES)) {
            Err(errors) => {
                let rendered = errors.render(false, 80);
                proptest::prop_assert!(!rendered.chars().any(|c| c.is_control() && c != '\n'), "{rendered:?}");
            }
            Ok(spec) => {
                let source = SourceName::new(&version_at.0).unwrap();
                let version = version(source.as_str(), "v1", &version_at.1, &[]);
                for name in spec.roles.keys() {
                    spec.role_digest(name, &version);
                }
                for check in &spec.checks {
                    spec.check_digest(&check.name);
                    spec.check_at(&check.name, &[&version]);
                }
            }
        }
    }
}

#[test]
fn deep_nesting_is_an_error_or_fine() {
    let big = |template: &str| {
        format!(
            "system = {{ name = 'deep' }}\nsources.git = {{ repository = '.', versions = {{ revisions = ['a'] }} }}\n\
             roles.node = {{ run = ['node', '''{template}'''] }}\ntopology.node = {{ count = 2 }}\n"
        )
    };
    let n = 50_000;
    for text in [
        big(&format!("{{{{ self{} }}}}", ".b".repeat(n))),
        big(&format!("{{{{ {} }}}}", "not ".repeat(n))),
        big(&format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n))),
        big(&format!("{{{{ 1 {} }}}}", "+ 1 ".repeat(n))),
        big(&format!("{}{}", "{% if 1 %}".repeat(n), "{% endif %}".repeat(n))),
        format!("a = {}", "[".repeat(n)),
        format!("{}b = 1", "a.".repeat(n)),
        format!("a = {}", "{ a = ".repeat(n)),
    ] {
        if let Err(errors) = parse(&text, Path::new("skew.toml"), &Overrides::default(), &files(&[])) {
            errors.render(false, 80);
        }
    }
}

#[test]
fn a_spec_that_is_not_there_is_one_error_with_a_hint() {
    let errors = load(Path::new("nowhere/skew.toml"), &Overrides::default()).unwrap_err();
    let only: Vec<_> = errors.iter().map(|error| (error.location(), error.hint().is_some())).collect();
    assert_eq!(only, [(("nowhere/skew.toml", 1), true)]);
    assert!(errors.render(false, 80).contains("failed to read the spec"));
}

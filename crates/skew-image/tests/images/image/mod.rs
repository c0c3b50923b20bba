//! Images: recipes of real repositories to OCI images.

mod content;
mod layout;

use crate::repo;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use repo::{Repo, spec, tagged};
use skew_core::model::{Digest, Fault, Version};
use skew_host::Cancel;
use skew_image::source::{Facts, Options, Repository, resolve};
use skew_image::{BuildError, Builder, Built, Input, Layout, LayoutError, Site, checkout};
use skew_spec::{CommandRecipe, PrebuiltRecipe, Recipe, RecipeKind};

/// Everything around builds of one repository.
struct Shop {
    dir: PathBuf,
    builder: Builder,
    layout: Layout,
    repository: Repository,
    versions: Vec<Version>,
    cancel: Cancel,
}

impl Shop {
    fn new(dir: &Path, repo: &Repo) -> Self {
        let spec = spec(&[("app", &repo.dir, tagged("v{version}"))]);
        let cache = dir.join("git");
        let options = Options { cache: &cache, offline: false, stdin: None };
        let mut resolved = resolve(&spec, &options).unwrap();
        Self {
            dir: dir.to_owned(),
            builder: Builder::new(std::env::vars()),
            layout: Layout::open(&dir.join("layout")).unwrap(),
            repository: resolved.repositories.remove("app").unwrap(),
            versions: resolved.versions,
            cancel: Cancel::new(),
        }
    }

    fn version(&self, label: &str) -> &Version {
        self.versions.iter().find(|v| v.label == label).unwrap()
    }

    fn facts(&self, recipe: &Recipe, label: &str) -> Facts {
        let commit = &self.version(label).commit;
        self.repository.facts(commit, &recipe.paths).unwrap()
    }

    fn key(&self, recipe: &Recipe, label: &str) -> Digest {
        let facts = self.facts(recipe, label);
        let input = Input { recipe, version: self.version(label), facts: &facts };
        self.builder.key(&input).unwrap()
    }

    fn build(&self, recipe: &Recipe, label: &str) -> Result<Built, BuildError> {
        self.build_in("trees", recipe, label)
    }

    fn build_in(&self, trees: &str, recipe: &Recipe, label: &str) -> Result<Built, BuildError> {
        let facts = self.facts(recipe, label);
        let version = self.version(label);
        let trees = self.dir.join(trees);
        let worktree = self.repository.worktree(&version.commit, checkout(recipe), &trees, label).unwrap();
        let input = Input { recipe, version, facts: &facts };
        let site = Site {
            checkout: &worktree.checkout(),
            scratch: worktree.scratch(),
            caches: &self.dir.join("caches"),
            log: &self.log(),
            log_bytes: 1 << 20,
            layout: &self.layout,
            cancel: &self.cancel,
        };
        self.builder.build(&input, &self.builder.key(&input)?, &site)
    }

    fn log(&self) -> PathBuf {
        self.dir.join("logs/build.log")
    }

    /// The files of an image: path → content, with `*` for what may be executed and `->` for links.
    fn files(&self, built: &Built) -> BTreeMap<String, String> {
        let into = self.dir.join(format!("unpacked-{}", built.manifest.short()));
        self.layout.unpack(&built.manifest, &into).unwrap();
        walkdir::WalkDir::new(&into)
            .min_depth(1)
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| !entry.file_type().is_dir())
            .map(|entry| {
                use std::os::unix::fs::PermissionsExt as _;
                let below = entry.path().strip_prefix(&into).unwrap();
                let text = if entry.file_type().is_symlink() {
                    format!("-> {}", fs::read_link(entry.path()).unwrap().display())
                } else {
                    let mode = entry.metadata().unwrap().permissions().mode();
                    let star = if mode & 0o111 != 0 { "*" } else { "" };
                    format!("{star}{}", fs::read_to_string(entry.path()).unwrap())
                };
                (below.display().to_string(), text)
            })
            .collect()
    }
}

/// A change of a recipe.
type Edit<'a> = dyn Fn(&mut Recipe, &mut CommandRecipe) + 'a;

fn history(dir: &Path) -> Repo {
    let repo = Repo::new(dir.join("repo"));
    repo.write("build.sh", "#!/bin/sh\nmkdir -p $OUT/bin && cp program $OUT/bin/\n");
    repo.commit("program", "one\n");
    repo.tag("v1.0.0");
    repo.commit("program", "two\n");
    repo.tag("v1.1.0");
    repo.commit("docs/x", "docs\n");
    repo.tag("v1.2.0");
    repo
}

fn command(script: &str) -> CommandRecipe {
    CommandRecipe { tools: vec!["sh".to_owned()], ..repo::command(script) }
}

fn recipe(command: CommandRecipe) -> Recipe {
    Recipe {
        path: "recipe.toml".into(),
        kind: RecipeKind::Command(command),
        paths: Vec::new(),
        entrypoint: vec!["bin/program".to_owned()],
    }
}

fn unbuilt(result: Result<Built, BuildError>) -> (String, Vec<String>) {
    match result {
        Err(BuildError::Unbuilt { detail, tail }) => (detail, tail),
        other => panic!("{other:?} is not unbuilt"),
    }
}

fn broken(result: Result<Built, BuildError>) -> (Fault, String) {
    match result {
        Err(BuildError::Infrastructure { fault, detail }) => (fault, detail),
        other => panic!("{other:?} is no failure of the infrastructure"),
    }
}

/// Issue 3, done when 6.
#[test]
fn two_builds_elsewhere_and_later_are_the_same_image() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let script = "mkdir -p $OUT/bin $OUT/empty; cp program $OUT/bin/program; chmod 4711 $OUT/bin/program
        ln -s program $OUT/bin/link; ln $OUT/bin/program $OUT/bin/same; touch $OUT/bin/$SKEW_VERSION
        echo $SOURCE_DATE_EPOCH > $OUT/epoch";
    let recipe = recipe(command(script));
    let one = Shop::new(&dir.path().join("one"), &repo);
    let first = one.build(&recipe, "v1.1.0").unwrap();
    // Another second, so that every time that could get in would differ.
    let second = Instant::now() + Duration::from_millis(1100);
    while Instant::now() < second {
        std::thread::yield_now();
    }
    let two = Shop::new(&dir.path().join("a/longer/place/two"), &repo);
    assert_eq!(two.build_in("other-trees", &recipe, "v1.1.0").unwrap(), first);
    assert_eq!(one.build_in("more-trees", &recipe, "v1.1.0").unwrap(), first);
    assert_eq!(one.key(&recipe, "v1.1.0"), two.key(&recipe, "v1.1.0"));
    assert_eq!(
        one.files(&first),
        BTreeMap::from(
            [
                ("bin/program", "*two\n"),
                ("bin/same", "*two\n"),
                ("bin/link", "-> program"),
                ("bin/v1.1.0", ""),
                ("epoch", "1600000120\n"),
            ]
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
        )
    );
}

#[test]
fn the_same_program_has_the_same_content_whatever_its_commit() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let mut recipe = recipe(command("sh build.sh"));
    recipe.paths = vec!["program".to_owned(), "build.sh".to_owned()];
    let (old, new) = (shop.build(&recipe, "v1.1.0").unwrap(), shop.build(&recipe, "v1.2.0").unwrap());
    assert_eq!(old.content, new.content);
    assert_ne!(old.manifest, new.manifest, "the annotations tell the commits apart");
    assert_eq!(shop.key(&recipe, "v1.1.0"), shop.key(&recipe, "v1.2.0"));
    assert_ne!(old.content, shop.build(&recipe, "v1.0.0").unwrap().content);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(shop.layout.blob(&new.manifest)).unwrap()).unwrap();
    let annotation = |name: &str| manifest["annotations"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(annotation("revision"), shop.version("v1.2.0").commit.as_str());
    assert_eq!(annotation("version"), "v1.2.0");
    assert_eq!(annotation("created"), "2020-09-13T12:28:40Z");
}

#[test]
fn keys_hold_everything_that_can_change_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let patch = dir.path().join("x.patch");
    fs::write(&patch, "one").unwrap();
    let beside = dir.path().join("recipes");
    fs::create_dir_all(&beside).unwrap();
    fs::write(beside.join("build.sh"), ". $SKEW_RECIPE/lib.sh").unwrap();
    fs::write(beside.join("lib.sh"), "one").unwrap();
    let base = || {
        let mut command = command("sh $SKEW_RECIPE/build.sh");
        command.patches = vec![patch.clone()];
        command.inputs = vec![vec!["cat".to_owned(), beside.join("input").display().to_string()]];
        let mut recipe = recipe(command);
        recipe.path = beside.join("r.toml");
        recipe.paths = vec!["program".to_owned()];
        recipe
    };
    fs::write(beside.join("input"), "one").unwrap();
    let key = shop.key(&base(), "v1.1.0");
    let edit = |change: &Edit<'_>| {
        let mut recipe = base();
        let RecipeKind::Command(mut command) = recipe.kind.clone() else { unreachable!() };
        change(&mut recipe, &mut command);
        recipe.kind = RecipeKind::Command(command);
        shop.key(&recipe, "v1.1.0")
    };
    assert_eq!(edit(&|_, _| {}), key);
    let same: [&Edit<'_>; 2] =
        [&|_, c| c.within = Duration::from_secs(1), &|_, c| c.pass_env = vec!["NOT_SET_HERE".to_owned()]];
    for change in same {
        assert_eq!(edit(change), key);
    }
    let changes: [&Edit<'_>; 11] = [
        &|_, c| c.run.push("x".to_owned()),
        &|_, c| c.env = BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        &|_, c| c.pass_env = vec!["HOME".to_owned()],
        &|_, c| c.tools.push("cat".to_owned()),
        &|_, c| c.inputs.push(vec!["uname".to_owned()]),
        &|_, c| c.caches = BTreeMap::from([("CACHE".to_owned(), "c".to_owned())]),
        &|_, c| c.patches.push(patch.clone()),
        &|_, c| c.files = BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        &|_, c| c.submodules = true,
        &|r, _| r.entrypoint = Vec::new(),
        &|r, _| r.paths = Vec::new(),
    ];
    let mut keys = BTreeSet::from([key]);
    for (index, change) in changes.iter().enumerate() {
        assert!(keys.insert(edit(change)), "change {index} does not change the key");
    }
    // Files that the recipe uses, and what its inputs print; another builder, as outputs are asked once.
    let mut count = keys.len();
    for file in [&patch, &beside.join("build.sh"), &beside.join("lib.sh"), &beside.join("input")] {
        let text = fs::read_to_string(file).unwrap();
        fs::write(file, format!("{text} ")).unwrap();
        let shop = Shop::new(&dir.path().join("other"), &repo);
        keys.insert(shop.key(&base(), "v1.1.0"));
        count += 1;
        assert_eq!(keys.len(), count, "{}", file.display());
    }
    // Versions: the trees of the paths, and nothing else of a commit.
    let shop = Shop::new(&dir.path().join("third"), &repo);
    assert_eq!(shop.key(&base(), "v1.1.0"), shop.key(&base(), "v1.2.0"));
    assert_ne!(shop.key(&base(), "v1.0.0"), shop.key(&base(), "v1.1.0"));
    // A recipe that is told the version builds each.
    fs::write(beside.join("lib.sh"), "echo $SKEW_VERSION").unwrap();
    assert_ne!(shop.key(&base(), "v1.1.0"), shop.key(&base(), "v1.2.0"));
}

#[test]
fn builds_see_a_scrubbed_environment() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let mut shop = Shop::new(&dir.path().join("shop"), &repo);
    let env = [("PATH", "/usr/bin:/bin"), ("SECRET", "s"), ("PASSED", "p")];
    shop.builder = Builder::new(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut command =
        command("env | sort > $OUT/env; ls -A $HOME | wc -l > $OUT/home; pwd > $OUT/pwd; echo $SOURCE >> $OUT/pwd");
    command.pass_env = vec!["PASSED".to_owned(), "NOT_SET".to_owned()];
    command.env = BTreeMap::from([("OWN".to_owned(), "o".to_owned())]);
    command.caches = BTreeMap::from([("CACHE".to_owned(), "c".to_owned())]);
    let files = shop.files(&shop.build(&recipe(command), "v1.1.0").unwrap());
    let names: Vec<&str> = files["env"].lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(
        names,
        [
            "CACHE",
            "HOME",
            "LC_ALL",
            "OUT",
            "OWN",
            "PASSED",
            "PATH",
            "PWD",
            "SKEW_BUILD",
            "SKEW_COMMIT",
            "SKEW_RECIPE",
            "SKEW_VERSION",
            "SOURCE",
            "SOURCE_DATE_EPOCH",
            "TMPDIR",
            "TZ",
        ]
    );
    assert_eq!(files["home"].trim(), "0");
    let places: BTreeSet<&str> = files["pwd"].lines().collect();
    assert_eq!(places.len(), 1, "the command runs in $SOURCE");
}

#[test]
fn failed_builds_are_unbuilt_with_the_end_of_their_log() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let build = |script: &str| shop.build(&recipe(command(script)), "v1.0.0");
    let (detail, tail) = unbuilt(build("echo out; printf '\\033[31merr\\033[0m\\n' >&2; exit 3"));
    assert_eq!(
        (detail.as_str(), &*tail),
        ("the build exited with status 3", &["out".to_owned(), "err".to_owned()][..])
    );
    assert!(fs::read_to_string(shop.log()).unwrap().starts_with("out\n"));
    let (detail, tail) = unbuilt(build("i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; kill -TERM $$"));
    assert!(detail.contains("signal 15"), "{detail}");
    assert_eq!((tail.len(), tail.last().unwrap().as_str()), (40, "line 499"));
    assert!(unbuilt(build("true")).0.contains("nothing into $OUT"));
    assert!(unbuilt(build("no-such-command")).0.contains("did not find a command"));
    assert!(unbuilt(build("mkfifo $OUT/pipe")).0.contains("a device, a pipe or a socket"));
    assert!(unbuilt(build("ln -s $SOURCE/program $OUT/x")).0.contains("copy the file instead"));
    let with = |change: &dyn Fn(&mut CommandRecipe)| {
        let mut command = command("echo x > $OUT/x");
        change(&mut command);
        shop.build(&recipe(command), "v1.0.0")
    };
    let (detail, _) = unbuilt(with(&|c| c.run = vec!["./no-such-script".to_owned()]));
    assert!(detail.contains("no ./no-such-script at this version"), "{detail}");
    let (detail, _) = unbuilt(with(&|c| c.run = vec!["./program".to_owned()]));
    assert!(detail.contains("not executable"), "{detail}");
    let (detail, _) = unbuilt(with(&|c| c.files = BTreeMap::from([("no/*.so".to_owned(), "lib".to_owned())])));
    assert!(detail.contains("no/*.so") && detail.contains("matches nothing"), "{detail}");
}

#[test]
fn a_build_that_hangs_is_ended_with_everything_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let pids = dir.path().join("pids");
    let script =
        format!("trap '' TERM; setsid sleep 600 & echo $! >> {0}; sleep 600 & echo $! >> {0}; wait", pids.display());
    let mut begun = String::new();
    // A machine so slow that it does not begin in time gets more.
    for (within, told) in [(500, "500 ms"), (5000, "5 s"), (50_000, "50 s")] {
        fs::write(&pids, "").unwrap();
        let mut hanging = command(&script);
        hanging.within = Duration::from_millis(within);
        let started = Instant::now();
        let (detail, _) = unbuilt(shop.build(&recipe(hanging), "v1.0.0"));
        assert!(detail.contains(&format!("did not end within {told}")) && detail.contains("`within`"), "{detail}");
        assert!(started.elapsed() < Duration::from_secs(300));
        begun = fs::read_to_string(&pids).unwrap();
        if begun.lines().count() == 2 {
            break;
        }
    }
    assert_eq!(begun.lines().count(), 2);
    for pid in begun.lines() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z"), "{stat}");
    }
    // What a build that succeeds leaves running is ended as well, and cannot keep it from ending.
    let started = Instant::now();
    let leaving = command("echo x > $OUT/x; setsid sleep 600 & sleep 600 &");
    shop.build(&recipe(leaving), "v1.0.0").unwrap();
    assert!(started.elapsed() < Duration::from_secs(300));
}

#[test]
fn failures_of_the_machine_are_not_the_versions() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let with = |change: &dyn Fn(&mut CommandRecipe)| {
        let mut command = command("echo x > $OUT/x");
        change(&mut command);
        shop.build(&recipe(command), "v1.0.0")
    };
    let script = |script: &str| shop.build(&recipe(command(script)), "v1.0.0");
    let (fault, detail) = broken(with(&|c| c.run = vec!["no-such-tool".to_owned()]));
    assert_eq!(fault, Fault::Image);
    assert!(detail.contains("declare it in the recipe's `tools`"), "{detail}");
    let (fault, _) = broken(with(&|c| c.patches = vec!["/no/such.patch".into()]));
    assert_eq!(fault, Fault::Image);
    let (fault, _) = broken(with(&|c| c.caches = BTreeMap::from([("C".to_owned(), "../x".to_owned())])));
    assert_eq!(fault, Fault::Image);
    let (fault, detail) = broken(script("echo 'cp: error writing: No space left on device'; exit 1"));
    assert_eq!(fault, Fault::Disk);
    assert!(detail.contains("free some space"), "{detail}");
    assert_eq!(broken(script("kill -KILL $$")).0, Fault::Memory);
    assert_eq!(
        broken(script("echo 'gcc: fatal error: Killed signal terminated program cc1'; exit 1")).0,
        Fault::Memory
    );
    assert_eq!(broken(script("echo 'fatal: Could not resolve host: example.org'; exit 128")).0, Fault::Image);
    // The same words in a build that works mean nothing.
    script("echo 'No space left on device'; echo x > $OUT/x").unwrap();
    shop.cancel.cancel();
    assert_eq!(broken(script("sleep 600")).0, Fault::Deadline);
}

#[test]
fn patches_change_the_checkout_first() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let patch = dir.path().join("fix.patch");
    let text = "--- a/program\n+++ b/program\n@@ -1 +1 @@\n-one\n+patched\n";
    fs::write(&patch, text).unwrap();
    let mut with_patch = command("sh build.sh");
    with_patch.patches = vec![patch];
    let recipe = recipe(with_patch);
    let (detail, _) = unbuilt(shop.build(&recipe, "v1.1.0"));
    assert!(detail.contains("fix.patch does not apply"), "{detail}");
    let built = shop.build(&recipe, "v1.0.0").unwrap();
    assert_eq!(shop.files(&built)["bin/program"], "patched\n");
}

#[test]
fn files_of_the_checkout_go_into_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repo::new(dir.path().join("repo"));
    for path in ["a/b/x.so", "a/b/c/y.so", "a/z.txt", "conf/one", "conf/deep/two", "README"] {
        repo.write(path, path);
    }
    repo.commit("LICENSE", "licence");
    repo.tag("v1.0.0");
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let mut command = command("echo made > made");
    let files = [
        ("a/**/*.so", "lib"),
        ("a/*.txt", ""),
        ("conf", "etc/app"),
        ("README", "doc/"),
        ("LICENSE", "copying"),
        ("made", "bin/"),
    ];
    command.files = files.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
    let built = shop.build(&recipe(command), "v1.0.0").unwrap();
    let names: Vec<String> = shop.files(&built).into_keys().collect();
    assert_eq!(
        names,
        ["bin/made", "copying", "doc/README", "etc/app/deep/two", "etc/app/one", "lib/b/c/y.so", "lib/b/x.so", "z.txt"]
    );
}

#[test]
fn caches_are_kept_between_versions_one_build_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let mut caching = command(
        "mkdir $CACHE/busy || exit 9; echo x >> $CACHE/count; sleep 0.2; cp $CACHE/count $OUT/; rmdir $CACHE/busy",
    );
    caching.caches = BTreeMap::from([("CACHE".to_owned(), "shared".to_owned())]);
    let recipe = recipe(caching);
    let counts: BTreeSet<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = ["v1.0.0", "v1.1.0", "v1.2.0"]
            .map(|label| {
                let (shop, recipe) = (&shop, &recipe);
                scope.spawn(move || shop.build(recipe, label).unwrap())
            })
            .into();
        threads.into_iter().map(|t| shop.files(&t.join().unwrap())["count"].lines().count()).collect()
    });
    assert_eq!(counts, BTreeSet::from([1, 2, 3]));
}

#[test]
fn prebuilt_directories_and_tarballs() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let shop = Shop::new(&dir.path().join("shop"), &repo);
    let files = dir.path().join("releases/app-1.0.0");
    fs::create_dir_all(files.join("bin")).unwrap();
    fs::write(files.join("bin/program"), "prebuilt").unwrap();
    let prebuilt = |path: &str, sha256: &[(&str, &str)], strip| Recipe {
        path: "p.toml".into(),
        kind: RecipeKind::Prebuilt(PrebuiltRecipe {
            path: dir.path().join(path).display().to_string(),
            sha256: sha256.iter().map(|(label, hex)| ((*label).to_owned(), (*hex).to_owned())).collect(),
            strip,
        }),
        paths: Vec::new(),
        entrypoint: Vec::new(),
    };
    let from_dir = prebuilt("releases/app-{version}", &[], 0);
    let built = shop.build(&from_dir, "v1.0.0").unwrap();
    assert_eq!(shop.files(&built)["bin/program"], "prebuilt");
    let key = shop.key(&from_dir, "v1.0.0");
    fs::write(files.join("bin/program"), "changed").unwrap();
    assert_ne!(shop.key(&from_dir, "v1.0.0"), key);
    fs::write(files.join("bin/program"), "prebuilt").unwrap();
    assert_eq!(shop.key(&from_dir, "v1.0.0"), key);
    assert_eq!(broken(shop.build(&from_dir, "v1.1.0")).0, Fault::Image);

    let tar = dir.path().join("releases/v1.0.0.tar.gz");
    let gzip = flate2::write::GzEncoder::new(fs::File::create(&tar).unwrap(), flate2::Compression::default());
    let mut tarball = tar::Builder::new(gzip);
    tarball.append_dir_all("app-1.0.0", &files).unwrap();
    tarball.into_inner().unwrap().finish().unwrap();
    let sum = Digest::of(&fs::read(&tar).unwrap()).hex();
    let path = "releases/{label}.tar.gz";
    let same = shop.build(&prebuilt(path, &[("v1.0.0", &sum)], 1), "v1.0.0").unwrap();
    assert_eq!(same.content, built.content);
    let (_, detail) = broken(shop.build(&prebuilt(path, &[], 1), "v1.0.0"));
    assert!(detail.contains(&format!("add `sha256.\"v1.0.0\" = \"{sum}\"`")), "{detail}");
    let (_, detail) = broken(shop.build(&prebuilt(path, &[("v1.0.0", &"0".repeat(64))], 1), "v1.0.0"));
    assert!(detail.contains("has the checksum") && detail.contains(&sum), "{detail}");
    let (_, detail) = broken(shop.build(&prebuilt(path, &[("v1.0.0", &sum)], 9), "v1.0.0"));
    assert!(detail.contains("is `strip` too large?"), "{detail}");
    let (_, detail) = broken(shop.build(&prebuilt("repo/program", &[], 0), "v1.0.0"));
    assert!(detail.contains("is no directory and no .tar"), "{detail}");
}

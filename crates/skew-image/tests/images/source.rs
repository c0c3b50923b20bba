//! Sources and versions, against real repositories and the real `git`.

use crate::repo;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use repo::{Repo, git, listed, spec, tagged};
use skew_core::model::Version;
use skew_image::source::{Checkout, Options, Resolved, SourceErrorKind, SourceErrors, resolve};
use skew_spec::{Per, Selector, SelectorKind, Spec, Versions, When};

pub(crate) fn run(spec: &Spec, cache: &Path) -> Result<Resolved, SourceErrors> {
    resolve(spec, &Options { cache, offline: false, stdin: None })
}

fn labels(versions: &[Version]) -> String {
    let labels: Vec<&str> = versions.iter().map(|v| v.id.as_str()).collect();
    labels.join(" ")
}

/// Resolves versions of one source and compares the labels, oldest first.
fn check(repo: &Path, versions: Versions, expect: &str) -> Resolved {
    let cache = tempfile::tempdir().unwrap();
    let resolved = run(&spec(&[("app", repo, versions)]), cache.path()).unwrap();
    assert_eq!(labels(&resolved.versions), expect);
    let orders: Vec<u32> = resolved.versions.iter().map(|v| v.order).collect();
    assert_eq!(orders, (0..u32::try_from(orders.len()).unwrap()).collect::<Vec<_>>());
    resolved
}

/// Resolves versions of one source that are wrong.
fn refuse(repo: &Path, versions: Versions) -> String {
    let cache = tempfile::tempdir().unwrap();
    let errors = run(&spec(&[("app", repo, versions)]), cache.path()).unwrap_err();
    assert!(errors.0.iter().all(|e| e.kind == SourceErrorKind::Wrong && e.hint.is_some()), "{errors}");
    errors.to_string()
}

/// v1.0.0 — v1.1.0 — (a commit) — v2.0.0-rc1 — v2.0.0 — `main`
///              └ v1.0.1 is on a branch of v1.0.0, made last
pub(crate) fn history(dir: &Path) -> Repo {
    let repo = Repo::new(dir.join("repo"));
    repo.commit("src/a", "one");
    repo.tag("v1.0.0");
    repo.commit("src/a", "two");
    repo.tag("v1.1.0");
    repo.commit("docs/x", "between");
    repo.commit("src/a", "rc");
    repo.git(&["tag", "v2.0.0-rc1"]);
    repo.commit("src/a", "three");
    repo.tag("v2.0.0");
    repo.commit("src/b", "newest");
    repo.git(&["checkout", "-q", "-b", "release/1.0", "v1.0.0"]);
    repo.commit("src/a", "fix");
    repo.tag("v1.0.1");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["tag", "not-a-version", "v1.0.0"]);
    repo
}

#[test]
fn tags_by_pattern_range_and_newest() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    check(&repo.dir, tagged("v{version}"), "v1.0.0 v1.0.1 v1.1.0 v2.0.0-rc1 v2.0.0");
    let of = |range: Option<&str>, newest, per| Versions {
        range: range.map(str::to_owned),
        newest,
        per,
        ..tagged("v{version}")
    };
    check(&repo.dir, of(Some(">=1.0.1, <3"), None, None), "v1.0.1 v1.1.0 v2.0.0");
    check(&repo.dir, of(Some("*"), Some(2), None), "v1.1.0 v2.0.0");
    check(&repo.dir, of(Some(">=1"), Some(1), Some(Per::Minor)), "v1.0.1 v1.1.0 v2.0.0");
    check(&repo.dir, of(Some(">=2.0.0-rc0"), None, None), "v2.0.0-rc1 v2.0.0");
    let error = refuse(&repo.dir, of(Some(">=9"), None, None));
    assert!(error.contains("in `>=9`") && error.contains("it has v2.0.0, v2.0.0-rc1, v1.1.0"), "{error}");
    let error = refuse(&repo.dir, tagged("release-{version}"));
    assert!(error.contains("no tag matches `release-{version}`"), "{error}");
    let error = refuse(&repo.dir, of(Some("=>1"), None, None));
    assert!(error.contains("write it like"), "{error}");
}

#[test]
fn revisions_of_every_kind() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let between = repo.git(&["rev-parse", "v2.0.0-rc1~1"]);
    let rc = repo.git(&["rev-parse", "v2.0.0-rc1"]);
    let short = &between[..8];
    let resolved = check(
        &repo.dir,
        listed(&["main", "v1.1.0", short, "release/1.0", "refs/tags/v1.0.0", "v2.0.0~1"]),
        &format!("v1.0.0 release/1.0 v1.1.0 {} {} main", &between[..10], &rc[..10]),
    );
    let by_label: BTreeMap<&str, &Version> = resolved.versions.iter().map(|v| (v.label.as_str(), v)).collect();
    // The peeled commit of an annotated tag; the semver of the nearest ancestor tag.
    assert_eq!(by_label["v1.1.0"].commit.as_str(), repo.git(&["rev-parse", "v1.1.0^{commit}"]));
    assert_eq!(by_label[&between[..10]].semver.as_ref().unwrap().to_string(), "1.1.0");
    assert_eq!(by_label["main"].semver.as_ref().unwrap().to_string(), "2.0.0");
    assert_eq!(by_label["v1.1.0"].time, 1_600_000_120);
}

#[test]
fn one_commit_under_two_names_is_one_version() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    repo.git(&["branch", "stable", "v1.1.0"]);
    let whole = repo.git(&["rev-parse", "v1.1.0^{commit}"]);
    let versions = Versions { range: Some("=1.1.0".to_owned()), ..tagged("v{version}") };
    let versions = Versions { revisions: listed(&["stable", &whole]).revisions, ..versions };
    let resolved = check(&repo.dir, versions, "v1.1.0");
    assert_eq!(resolved.versions[0].labels, ["v1.1.0", "stable", &whole[..10]]);
}

#[test]
fn ranges_are_every_first_parent_commit() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    repo.git(&["merge", "-q", "--no-ff", "-s", "ours", "-m", "merge", "release/1.0"]);
    let resolved =
        check(&repo.dir, listed(&["v2.0.0..main"]), &format!("{} main", &repo.git(&["rev-parse", "main~1"])[..10]));
    assert_eq!(resolved.versions.len(), 2);
    let error = refuse(&repo.dir, listed(&["main..v2.0.0"]));
    assert!(error.contains("did you mean `v2.0.0..main`"), "{error}");
    let error = refuse(&repo.dir, listed(&["v1.0.0...main"]));
    assert!(error.contains("two dots"), "{error}");
}

#[test]
fn the_users_repository_is_never_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let hook = repo.dir.join(".git/hooks/post-checkout");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch {}/hooked\n", dir.path().display())).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    repo.write("src/a", "dirty");
    repo.write("new", "untracked");
    repo.git(&["add", "src/a"]);
    let before = listing(&repo.dir);
    let cache = dir.path().join("cache");
    let resolved = run(&spec(&[("app", &repo.dir, listed(&["v1.0.0", "HEAD", "main~1"]))]), &cache).unwrap();
    let repository = &resolved.repositories["app"];
    for version in &resolved.versions {
        let worktree = repository.worktree(&version.commit, Checkout::Files, &dir.path().join("trees"), "x").unwrap();
        assert!(worktree.checkout().join("src/a").exists());
        assert_eq!(git(&worktree.checkout(), 0, &["rev-parse", "HEAD"]), version.commit.as_str());
        assert_eq!(git(&worktree.checkout(), 0, &["status", "--porcelain"]), "");
        assert!(fs::read_to_string(worktree.checkout().join(".git")).unwrap().contains("cache"));
    }
    assert_eq!(listing(&repo.dir), before, "the user's checkout changed");
    assert!(!dir.path().join("hooked").exists(), "a hook ran");
    assert_eq!(fs::read_dir(dir.path().join("trees")).unwrap().count(), 0);
    assert_eq!(git(repository.git_dir(), 0, &["worktree", "list"]).lines().count(), 1);
    let notes = resolved.notes.join("\n");
    assert!(notes.contains("uncommitted changes (1 files) and untracked files (1) in"), "{notes}");
}

/// Every file of a directory: path, size, time, content.
pub(crate) fn listing(dir: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime, Vec<u8>)> {
    walkdir::WalkDir::new(dir)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let content = if meta.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
            (entry.path().to_owned(), (meta.len(), meta.modified().unwrap(), content))
        })
        .collect()
}

#[test]
fn a_copy_is_fetched_incrementally() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let cache = dir.path().join("cache");
    let url = format!("file://{}", repo.dir.display());
    let resolve_url = |versions: Versions, offline: bool| {
        resolve(&spec(&[("app", Path::new(&url), versions)]), &Options { cache: &cache, offline, stdin: None })
    };
    let never = resolve_url(tagged("v{version}"), true).unwrap_err().to_string();
    assert!(never.contains("was never fetched"), "{never}");
    assert_eq!(resolve_url(tagged("v{version}"), false).unwrap().versions.len(), 5);
    // A new tag, a branch that moved back, one that is gone and one that takes its name as a directory.
    repo.commit("src/c", "more");
    repo.tag("v3.0.0");
    repo.git(&["branch", "-m", "release/1.0", "release/1.0/x"]);
    repo.git(&["branch", "-f", "moved", "v1.0.0"]);
    let offline = resolve_url(tagged("v{version}"), true).unwrap();
    assert_eq!(offline.versions.len(), 5);
    assert!(offline.notes[0].contains("offline"), "{:?}", offline.notes);
    let all = resolve_url(
        Versions { revisions: listed(&["origin/main", "release/1.0/x"]).revisions, ..tagged("v{version}") },
        false,
    );
    assert_eq!(labels(&all.unwrap().versions), "v1.0.0 v1.0.1 v1.1.0 v2.0.0-rc1 v2.0.0 v3.0.0");
    let gone = resolve_url(listed(&["release/1.0"]), false).unwrap_err().to_string();
    assert!(gone.contains("did you mean release/1.0/x?"), "{gone}");
    repo.git(&["branch", "-f", "moved", "v1.1.0~0"]);
    repo.git(&["tag", "-d", "v1.0.1"]);
    assert_eq!(resolve_url(tagged("v{version}"), false).unwrap().versions.len(), 5);
    // Only one copy was made.
    let copies =
        fs::read_dir(&cache).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "git"));
    assert_eq!(copies.count(), 1);
}

#[test]
fn a_server_that_is_not_there_is_no_fault_of_the_spec() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let url = Path::new("http://me:secret@127.0.0.1:1/x.git");
    let errors = run(&spec(&[("app", url, tagged("v{version}"))]), &cache).unwrap_err();
    assert_eq!(errors.0[0].kind, SourceErrorKind::Infrastructure);
    assert!(!errors.any_wrong());
    let text = errors.to_string();
    assert!(!text.contains("secret") && text.contains("git ls-remote http://127.0.0.1:1/x.git"), "{text}");
}

#[test]
fn commits_that_no_branch_reaches() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let lost = repo.commit("src/lost", "lost");
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    check(&repo.dir, listed(&[&lost]), &lost[..10]);
    check(&repo.dir, listed(&[&lost[..7]]), &lost[..10]);
    let url = format!("file://{}", repo.dir.display());
    check(Path::new(&url), listed(&[&lost]), &lost[..10]);
    let error = refuse(Path::new(&url), listed(&[&lost[..7]]));
    assert!(error.contains("only be fetched by its whole id"), "{error}");
}

#[test]
fn wrong_revisions_are_all_named_with_the_closest() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let error = refuse(&repo.dir, listed(&["v1.1", "1.0.1", "--all", "", "a\nb", "zzzz", "0123456"]));
    assert_eq!(error.matches("no such tag, branch or commit").count(), 7, "{error}");
    assert!(error.contains("did you mean v1.1.0"), "{error}");
    assert!(error.contains("did you mean v1.0.1"), "{error}");
    let error = refuse(&dir.path().join("nowhere"), tagged("v{version}"));
    assert!(error.contains("there is no") && error.contains("--repository app=PATH"), "{error}");
    let error = refuse(&repo.dir.join("src"), tagged("v{version}"));
    assert!(error.contains("it lies inside the repository") && error.contains("/repo; name that"), "{error}");
    fs::write(dir.path().join("file"), "x").unwrap();
    let error = refuse(&dir.path().join("file"), tagged("v{version}"));
    assert!(error.contains("is no git repository"), "{error}");
}

#[test]
fn bare_repositories_linked_worktrees_and_alternates() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let here = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    repo.git(&["clone", "-q", "--bare", ".", &here("bare.git")]);
    repo.git(&["worktree", "add", "-q", "--detach", &here("linked"), "v1.1.0"]);
    repo.git(&["clone", "-q", "--shared", ".", &here("shared")]);
    for place in ["bare.git", "linked", "shared", "repo/.git"] {
        check(&dir.path().join(place), tagged("v{version}"), "v1.0.0 v1.0.1 v1.1.0 v2.0.0-rc1 v2.0.0");
    }
    check(&dir.path().join("linked"), listed(&["HEAD", "v1.0.0"]), "v1.0.0 HEAD");
    // A clone's branches that exist only at its remote.
    check(
        &dir.path().join("shared"),
        listed(&["origin/release/1.0", "release/1.0", "main"]),
        "main origin/release/1.0",
    );
}

#[test]
fn sha256_repositories() {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repo::with_format(dir.path().join("repo"), "sha256");
    repo.commit("a", "one");
    repo.tag("v1.0.0");
    let url = format!("file://{}", repo.dir.display());
    for place in [repo.dir.as_path(), Path::new(&url)] {
        let resolved = check(place, tagged("v{version}"), "v1.0.0");
        assert_eq!(resolved.versions[0].commit.as_str().len(), 64);
    }
}

#[test]
fn shallow_clones_work_for_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let url = format!("file://{}", repo.dir.display());
    let shallow = dir.path().join("shallow");
    repo.git(&["clone", "-q", "--depth=2", "--branch=main", &url, shallow.to_str().unwrap()]);
    let cache = dir.path().join("cache");
    let resolved = run(&spec(&[("app", &shallow, listed(&["main", "main~1"]))]), &cache).unwrap();
    assert_eq!(resolved.versions.len(), 2);
    assert!(resolved.notes.iter().any(|note| note.contains("git fetch --unshallow")));
    let facts = resolved.repositories["app"].facts(&resolved.versions[1].commit, &[]).unwrap();
    assert_eq!(facts.trees.len(), 1);
    let error = refuse(&shallow, listed(&["main~4"]));
    assert!(error.contains("git fetch --unshallow"), "{error}");
    let mut with_since = spec(&[("app", &shallow, listed(&["main~1", "main"]))]);
    with_since.whens = vec![since("main")];
    assert!(run(&with_since, &cache).is_ok());
    // Once it is whole, so is the copy.
    git(&shallow, 0, &["fetch", "-q", "--unshallow", "--tags"]);
    let resolved = run(&spec(&[("app", &shallow, listed(&["main", "main~4"]))]), &cache).unwrap();
    assert_eq!(resolved.versions.len(), 2);
    assert!(resolved.notes.is_empty(), "{:?}", resolved.notes);
}

#[test]
fn a_shallow_clone_cannot_tell_what_it_contains() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    // Two branches, each one commit deep: whether one contains the other is beyond what is there.
    let url = format!("file://{}", repo.dir.display());
    let shallow = dir.path().join("shallow");
    repo.git(&["clone", "-q", "--depth=1", "--no-single-branch", &url, shallow.to_str().unwrap()]);
    let cache = dir.path().join("cache");
    let mut spec = spec(&[("app", &shallow, listed(&["main"]))]);
    spec.whens = vec![since("origin/release/1.0")];
    let error = run(&spec, &cache).unwrap_err().to_string();
    assert!(error.contains("tell whether main contains origin/release/1.0"), "{error}");
    assert!(error.contains("git fetch --unshallow"), "{error}");
    let error = refuse(&shallow, listed(&["origin/release/1.0..main"]));
    assert!(error.contains("git fetch --unshallow"), "{error}");
}

fn since(revision: &str) -> When {
    When {
        versions: Selector {
            text: format!("since {revision}"),
            source: None,
            what: SelectorKind::Since(revision.to_owned()),
        },
        roles: Default::default(),
        checks: Default::default(),
        recipes: Default::default(),
    }
}

#[test]
fn versions_know_which_mentioned_revisions_they_contain() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let mut spec = spec(&[("app", &repo.dir, tagged("v{version}"))]);
    let between = repo.git(&["rev-parse", "v2.0.0-rc1~1"]);
    spec.whens = vec![since("v1.0.1"), since(&between), since("v1.0.0")];
    let resolved = run(&spec, &dir.path().join("cache")).unwrap();
    let contains: BTreeMap<&str, Vec<&str>> =
        resolved.versions.iter().map(|v| (v.label.as_str(), v.contains.iter().map(String::as_str).collect())).collect();
    assert_eq!(contains["v1.0.0"], ["v1.0.0"]);
    assert_eq!(contains["v1.0.1"], ["v1.0.0", "v1.0.1"]);
    assert_eq!(contains["v1.1.0"], ["v1.0.0"]);
    assert_eq!(contains["v2.0.0"], sorted(&[&between, "v1.0.0"]));
    spec.whens = vec![since("v1.0.7")];
    let error = run(&spec, &dir.path().join("cache")).unwrap_err().to_string();
    assert!(error.contains("did you mean v1.0.1"), "{error}");
}

fn sorted<'a>(items: &[&'a str]) -> Vec<&'a str> {
    items.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn candidates_of_every_kind() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let other = Repo::new(dir.path().join("other"));
    other.commit("a", "other");
    other.tag("v1.0.0");
    let cache = dir.path().join("cache");
    let candidate = |text: &str, several: bool| {
        let range = Versions { range: Some("<2".to_owned()), ..tagged("v{version}") };
        let mut sources = vec![("app", repo.dir.as_path(), range)];
        if several {
            sources.push(("other", other.dir.as_path(), tagged("v{version}")));
        }
        let mut spec = spec(&sources);
        spec.matrix.candidate = Some(text.to_owned());
        run(&spec, &cache)
    };
    let one = candidate("v1.1.0", false).unwrap();
    assert_eq!((one.candidate.unwrap().as_str(), one.versions.len()), ("v1.1.0", 3));
    let new = candidate("main", false).unwrap();
    assert_eq!(new.candidate.unwrap().as_str(), "main");
    assert_eq!(labels(&new.versions), "v1.0.0 v1.0.1 v1.1.0 main");
    let several = candidate("app/main", true).unwrap();
    assert_eq!(several.candidate.unwrap().as_str(), "app/main");
    assert_eq!(labels(&several.versions), "app/v1.0.0 app/v1.0.1 app/v1.1.0 app/main other/v1.0.0");
    assert_eq!(several.versions.last().unwrap().order, 0);
    assert_eq!(candidate("v2.0.0", true).unwrap().candidate.unwrap().as_str(), "app/v2.0.0");
    let error = candidate("v1.0.0", true).unwrap_err().to_string();
    assert!(error.contains("`app/v1.0.0` or `other/v1.0.0`"), "{error}");
    let error = candidate("v1.0.9", false).unwrap_err().to_string();
    assert!(error.contains("find the candidate") && error.contains("did you mean"), "{error}");
}

#[test]
fn revisions_from_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let cache = dir.path().join("cache");
    let versions = Versions { stdin: true, ..Versions::default() };
    let one = spec(&[("app", &repo.dir, versions.clone())]);
    let given = |spec: &Spec, text: Option<&str>| {
        resolve(spec, &Options { cache: &cache, offline: false, stdin: text.map(str::to_owned) })
    };
    let resolved = given(&one, Some("v1.0.0 # first\n\n# none\nmain\n")).unwrap();
    assert_eq!(labels(&resolved.versions), "v1.0.0 main");
    let error = given(&one, None).unwrap_err().to_string();
    assert!(error.contains("from standard input") && error.contains("hint"), "{error}");
    let dash = spec(&[("app", &repo.dir, listed(&["v1.1.0", "-"])), ("two", &repo.dir, versions)]);
    let resolved = given(&dash, Some("app/v1.0.0\ntwo/main\n")).unwrap();
    assert_eq!(labels(&resolved.versions), "app/v1.0.0 app/v1.1.0 two/main");
}

#[test]
fn facts_are_trees_and_the_last_change() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let resolved = run(&spec(&[("app", &repo.dir, tagged("v{version}"))]), &dir.path().join("cache")).unwrap();
    let repository = &resolved.repositories["app"];
    let of = |label: &str, paths: &[&str]| {
        let version = resolved.versions.iter().find(|v| v.label == label).unwrap();
        let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
        repository.facts(&version.commit, &paths).unwrap()
    };
    let docs = of("v2.0.0", &["docs/"]);
    assert_eq!(docs, of("v2.0.0-rc1", &["./docs"]));
    assert_eq!(docs.epoch, 1_600_000_180);
    assert_eq!(of("v1.0.0", &["docs"]).trees["docs"], None);
    assert_ne!(of("v1.0.0", &["src"]), of("v1.1.0", &["src"]));
    let file = of("v1.1.0", &["src/a", "nothing"]);
    assert!(file.trees["src/a"].as_ref().unwrap().starts_with("100644 blob "));
    assert_eq!((file.trees["nothing"].as_ref(), file.epoch), (None, 1_600_000_120));
    assert_eq!(of("v2.0.0", &[]), of("v2.0.0", &[".", "src"]));
    assert_eq!(of("v2.0.0", &[]).epoch, 1_600_000_300);
    // A commit that changes nothing is as old as what it leaves as it was, and so is the merge of nothing.
    let before = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    repo.tag("v2.0.1");
    repo.git(&["checkout", "-q", "-b", "side", &before]);
    repo.commit("side", "side");
    let side = repo.git(&["log", "-1", "--format=%ct"]);
    repo.git(&["checkout", "-q", "-"]);
    repo.commit("main", "main");
    repo.git(&["rm", "-q", "main"]);
    repo.git(&["commit", "-q", "-m", "without it"]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    repo.tag("v2.0.2");
    let later = run(&spec(&[("app", &repo.dir, tagged("v{version}"))]), &dir.path().join("later")).unwrap();
    let epoch = |label: &str| {
        let version = later.versions.iter().find(|v| v.label == label).unwrap();
        later.repositories["app"].facts(&version.commit, &[]).unwrap().epoch.to_string()
    };
    assert_eq!((epoch("v2.0.1"), epoch("v2.0.2")), ("1600000360".to_owned(), side));
    // The next sweep knows them still, and looks again where a note is damaged.
    let again = run(&spec(&[("app", &repo.dir, tagged("v{version}"))]), &dir.path().join("cache")).unwrap();
    let notes = repository.git_dir().join("skew-facts");
    for note in fs::read_dir(&notes).unwrap() {
        fs::write(note.unwrap().path(), "{").unwrap();
    }
    let commit = &again.versions.iter().find(|v| v.label == "v2.0.0").unwrap().commit;
    assert_eq!(again.repositories["app"].facts(commit, &["docs".to_owned()]).unwrap(), docs);
}

#[test]
fn names_that_are_no_text_are_left_out_with_a_note() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let commit = repo.git(&["rev-parse", "v1.0.0^{commit}"]);
    let bad = repo.dir.join(".git/refs/tags").join(std::ffi::OsStr::from_bytes(b"v9\xff"));
    fs::write(bad, format!("{commit}\n")).unwrap();
    // A tag of a tag, and a tag of a tree.
    repo.git(&["tag", "-a", "-m", "nested", "v1.5.0", "v1.1.0"]);
    repo.git(&["tag", "tree", "main^{tree}"]);
    let resolved = check(&repo.dir, tagged("v{version}"), "v1.0.0 v1.0.1 v1.1.0 v2.0.0-rc1 v2.0.0");
    assert!(resolved.notes[0].contains("not UTF-8") && resolved.notes[0].contains("v9"), "{:?}", resolved.notes);
    assert_eq!(resolved.versions[2].labels, ["v1.1.0", "v1.5.0"]);
    let error = refuse(&repo.dir, listed(&["tree"]));
    assert!(error.contains("no such tag, branch or commit"), "{error}");
}

#[test]
fn two_at_once_share_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let cache = dir.path().join("cache");
    let spec = spec(&[("app", &repo.dir, tagged("v{version}"))]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| run(&spec, &cache).unwrap())).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().versions.len(), 5);
        }
    });
}

#[test]
fn inherited_variables_do_not_lead_git_astray() {
    // Only this test's own process: nextest runs every test in its own, and cargo test's others read no GIT_DIR.
    let dir = tempfile::tempdir().unwrap();
    let repo = history(dir.path());
    let inner = skew_testing::test_alone(module_path!(), "tags_by_pattern_range_and_newest")
        .env("GIT_DIR", "/nowhere")
        .env("GIT_INDEX_FILE", "/nowhere/index")
        .env("GIT_WORK_TREE", repo.dir.join("src"))
        .env("GIT_OBJECT_DIRECTORY", "/nowhere/objects")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
}

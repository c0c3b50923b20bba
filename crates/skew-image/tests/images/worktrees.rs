//! Worktrees of real repositories, by the real `git`.

use std::fs;
use std::path::Path;

use skew_core::model::CommitId;
use skew_image::source::{Checkout, Repository, SourceErrors, sweep_leftovers};

use crate::repo::{Repo, git, listed, spec};
use crate::source::{history, listing, run};

/// A repository with a history, and one of its commits.
fn one_version(dir: &Path) -> (Repository, CommitId) {
    let repo = history(dir);
    let resolved = run(&spec(&[("app", &repo.dir, listed(&["v1.0.0"]))]), &dir.join("cache")).unwrap();
    (resolved.repositories["app"].clone(), resolved.versions[0].commit.clone())
}

#[test]
fn submodules_are_checked_out() {
    let dir = tempfile::tempdir().unwrap();
    let library = Repo::new(dir.path().join("library"));
    library.commit("lib", "library");
    let repo = Repo::new(dir.path().join("repo"));
    repo.git(&["submodule", "--quiet", "add", "../library", "deps/library"]);
    let commit = repo.commit("a", "with a submodule");
    let cache = dir.path().join("cache");
    let before = (listing(&repo.dir), listing(&library.dir));
    let resolved = run(&spec(&[("app", &repo.dir, listed(&[&commit]))]), &cache).unwrap();
    let repository = &resolved.repositories["app"];
    let commit = &resolved.versions[0].commit;
    let trees = dir.path().join("trees");
    let with = repository.worktree(commit, Checkout::Submodules, &trees, "x").unwrap();
    assert_eq!(fs::read_to_string(with.checkout().join("deps/library/lib")).unwrap(), "library");
    let without = repository.worktree(commit, Checkout::Files, &trees, "x").unwrap();
    assert_eq!(fs::read_dir(without.checkout().join("deps/library")).unwrap().count(), 0);
    assert_ne!(with.checkout(), without.checkout());
    with.remove().unwrap();
    without.remove().unwrap();
    assert_eq!((listing(&repo.dir), listing(&library.dir)), before);
    // From elsewhere, a repository may not ask for submodules on this machine.
    let url = format!("file://{}", repo.dir.display());
    let resolved = run(&spec(&[("app", Path::new(&url), listed(&["main"]))]), &cache).unwrap();
    let refused =
        resolved.repositories["app"].worktree(&resolved.versions[0].commit, Checkout::Submodules, &trees, "y");
    let error = SourceErrors::from(refused.unwrap_err()).to_string();
    assert!(error.contains("submodule"), "{error}");
    assert_eq!(fs::read_dir(&trees).unwrap().count(), 0, "a worktree that failed was left");
}

#[test]
fn worktrees_are_kept_on_request_and_swept_when_their_owner_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, commit) = &one_version(dir.path());
    let trees = dir.path().join("trees");
    let make = || repository.worktree(commit, Checkout::Files, &trees, "key").unwrap();
    let first = make();
    assert!(first.checkout().ends_with("key/source"));
    let kept = first.keep().unwrap();
    let second = make();
    assert!(second.checkout().ends_with("key-1/source"));
    // As if its owner had been killed: the lock is released, everything else stays.
    let copy = dir.path().join("copy");
    fs::create_dir_all(&copy).unwrap();
    fs::copy(second.scratch().join("owner.json"), copy.join("owner.json")).unwrap();
    drop(second);
    fs::create_dir_all(trees.join("dead/source")).unwrap();
    fs::copy(copy.join("owner.json"), trees.join("dead/owner.json")).unwrap();
    let busy = make();
    assert_eq!(sweep_leftovers(&trees, false).unwrap(), [trees.join("dead")]);
    assert!(kept.join("source/src/a").exists() && busy.checkout().exists());
    drop(busy);
    assert_eq!(sweep_leftovers(&trees, true).unwrap(), [kept]);
    assert_eq!(git(repository.git_dir(), 0, &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_worktree_that_was_half_forgotten_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, commit) = &one_version(dir.path());
    let trees = dir.path().join("trees");
    let entries = repository.git_dir().join("worktrees");
    // Whoever removed it was killed: before the first thing was gone, and after it.
    for begun in [false, true] {
        let left = repository.worktree(commit, Checkout::Files, &trees, "left").unwrap().keep().unwrap();
        if begun {
            fs::remove_file(entries.join("source/gitdir")).unwrap();
        }
        assert_eq!(sweep_leftovers(&trees, true).unwrap(), [left]);
        assert_eq!(fs::read_dir(&entries).map_or(0, Iterator::count), 0, "begun: {begun}");
    }
    // Those that are gone are forgotten with the next one: also what git left that was killed while it added one.
    let gone = repository.worktree(commit, Checkout::Files, &trees, "gone").unwrap().keep().unwrap();
    fs::remove_dir_all(gone).unwrap();
    fs::write(entries.join("source/locked"), "initializing\n").unwrap();
    let stays = repository.worktree(commit, Checkout::Files, &trees, "stays").unwrap();
    repository.worktree(commit, Checkout::Files, &trees, "next").unwrap().remove().unwrap();
    assert_eq!(fs::read_dir(&entries).unwrap().count(), 1);
    git(&stays.checkout(), 0, &["status"]);
}

#[test]
fn worktrees_come_and_go_beside_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, commit) = &one_version(dir.path());
    let trees = dir.path().join("trees");
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let trees = &trees;
            scope.spawn(move || {
                for _ in 0..25 {
                    let made = repository.worktree(commit, Checkout::Files, trees, name).unwrap();
                    assert!(made.checkout().join("src/a").exists());
                    made.remove().unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_dir(repository.git_dir().join("worktrees")).map_or(0, Iterator::count), 0);
}

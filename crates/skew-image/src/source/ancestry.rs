//! Which of some commits contain which others: one walk over the history, forgotten as it goes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use skew_core::model::CommitId;
use skew_host::{Cancel, Guard};

use super::git::{Git, GitError, LOCAL};

/// For each of the marked commits, the marked commits that are its ancestors or itself.
#[derive(Debug, Default)]
pub(crate) struct Ancestry {
    index: HashMap<CommitId, usize>,
    contains: Vec<Bits>,
}

/// A small set of indexes.
#[derive(Debug, Clone, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn insert(&mut self, index: usize) {
        if self.0.len() <= index / 64 {
            self.0.resize(index / 64 + 1, 0);
        }
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (into, from) in self.0.iter_mut().zip(&other.0) {
            *into |= from;
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 64).filter(|index| self.contains(*index))
    }
}

impl Ancestry {
    /// Walks the history of the marked commits in the repository at `git_dir`. All of them must be there.
    ///
    /// # Errors
    /// When git fails or does not finish in time.
    pub(super) fn walk<'a>(git_dir: &Path, marks: impl IntoIterator<Item = &'a CommitId>) -> Result<Self, GitError> {
        let mut ancestry = Self::default();
        let mut input = String::new();
        for mark in marks {
            let next = ancestry.index.len();
            if !ancestry.index.contains_key(mark) {
                ancestry.index.insert(mark.clone(), next);
                input.push_str(mark.as_str());
                input.push('\n');
            }
        }
        ancestry.contains = vec![Bits::default(); ancestry.index.len()];
        if ancestry.index.len() > 1 {
            ancestry.fill(git_dir, input)?;
        } else if let Some(only) = ancestry.contains.first_mut() {
            only.insert(0);
        }
        Ok(ancestry)
    }

    fn fill(&mut self, git_dir: &Path, input: String) -> Result<(), GitError> {
        let mut child = Git::hermetic(git_dir, "rev-list")
            .into_command(["--topo-order", "--parents", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(GitError::Start)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let enough = Cancel::new();
        let (complete, ended) = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let guard = Guard { within: LOCAL, grace: Duration::ZERO, cancel: &enough };
                skew_host::wait(&mut child, &guard)
            });
            scope.spawn(move || {
                // A git that ends before it has read everything shows in its status.
                drop(stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
            });
            let complete = stdout.is_some_and(|pipe| self.read(BufReader::new(pipe)));
            if complete {
                enough.cancel();
            }
            (complete, skew_host::joined(waiter))
        });
        let ended = ended.map_err(GitError::Start)?;
        // The end of the history without every mark means that git gave up on the way.
        if complete {
            return Ok(());
        }
        Err(GitError::Ended {
            command: "rev-list".to_owned(),
            ended: format!("{ended} before it had shown every commit"),
        })
    }

    /// Reads `commit parent…` lines, children first. Each commit's line comes after those of all its descendants, so
    /// by then it is known which marks descend from it. Says whether every mark was seen.
    fn read(&mut self, lines: impl BufRead) -> bool {
        let mut left = self.index.len();
        let mut above: HashMap<String, Bits> = HashMap::new();
        for line in lines.lines() {
            let Ok(line) = line else { return false };
            let mut words = line.split(' ');
            let Some(commit) = words.next().and_then(CommitId::new) else {
                return false;
            };
            let mut descendants = above.remove(commit.as_str()).unwrap_or_default();
            if let Some(&mark) = self.index.get(&commit) {
                descendants.insert(mark);
                for descendant in descendants.iter() {
                    self.contains[descendant].insert(mark);
                }
                left -= 1;
                if left == 0 {
                    return true;
                }
            }
            for parent in words {
                above.entry(parent.to_owned()).or_default().merge(&descendants);
            }
        }
        false
    }

    /// Whether `commit` is `ancestor` or one of its descendants; no, when either was not marked.
    pub(super) fn contains(&self, commit: &CommitId, ancestor: &CommitId) -> bool {
        match (self.index.get(commit), self.index.get(ancestor)) {
            (Some(&commit), Some(&ancestor)) => self.contains[commit].contains(ancestor),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> CommitId {
        CommitId::new(&format!("{n:040x}")).expect("an id")
    }

    fn read(lines: &[(usize, &[usize])], marks: &[usize]) -> (bool, Ancestry) {
        let mut ancestry = Ancestry::default();
        for (at, mark) in marks.iter().enumerate() {
            ancestry.index.insert(id(*mark), at);
        }
        ancestry.contains = vec![Bits::default(); marks.len()];
        let text: String = lines
            .iter()
            .map(|(commit, parents)| {
                let parents: String = parents.iter().map(|p| format!(" {}", id(*p))).collect();
                format!("{}{parents}\n", id(*commit))
            })
            .collect();
        (ancestry.read(text.as_bytes()), ancestry)
    }

    #[test]
    fn reads_a_history_with_a_merge() {
        // 6 merges 4 and 5, which both come from 2; 3 is on its own.
        let lines: &[(usize, &[usize])] = &[(6, &[4, 5]), (4, &[2]), (5, &[2]), (2, &[1]), (3, &[]), (1, &[])];
        let (complete, ancestry) = read(lines, &[1, 3, 5, 6]);
        assert!(complete);
        for (commit, ancestor, expect) in [
            (6, 1, true),
            (6, 5, true),
            (6, 6, true),
            (6, 3, false),
            (5, 6, false),
            (5, 1, true),
            (1, 5, false),
            (3, 1, false),
            (4, 1, false),
        ] {
            assert_eq!(ancestry.contains(&id(commit), &id(ancestor)), expect, "{commit} {ancestor}");
        }
    }

    #[test]
    fn a_history_that_stops_early_is_noticed() {
        assert!(!read(&[(6, &[4])], &[6, 1]).0);
        let mut ancestry = Ancestry::default();
        ancestry.index.insert(id(1), 0);
        assert!(!ancestry.read(&b"fatal: bad object\n"[..]));
    }
}

//! The journal: an append-only file whose lines are a hash chain.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use skew_core::model::Digest;

use super::Notice;
use super::error::{RecordError, io_error};
use super::line::{self, GENESIS, Line, LineError, Lines, MAX_LINE, Piece};
use super::logs::sync_dir;

/// What following a chain to its end found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// How many lines hold together from the beginning.
    pub count: u64,
    /// The hash of the last of them.
    pub head: Digest,
    /// Their length in bytes.
    pub len: u64,
    /// Whether the last of them lacks its newline.
    pub unended: bool,
    /// How many bytes of half a line follow.
    pub torn: u64,
    /// The first place where the chain is broken.
    pub damage: Option<Damage>,
}

/// A break in a chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: &'static str,
    /// How many lines are lost.
    pub lost: u64,
}

/// Reads lines to their end and shows `visit` every whole one, those behind a break included.
pub(super) fn follow(
    path: &Path,
    input: impl BufRead,
    mut visit: impl FnMut(u64, &Line<'_>) -> Result<(), RecordError>,
) -> Result<Chain, RecordError> {
    let mut chain = Chain { count: 0, head: GENESIS, len: 0, unended: false, torn: 0, damage: None };
    let mut lines = Lines::new(input);
    let (mut number, mut next, mut unreadable, mut lost) = (0, 0, 0, 0);
    loop {
        let start = lines.offset();
        let piece = lines.read().map_err(io_error("read", path))?;
        number += 1;
        let why = match piece {
            Piece::End => break,
            Piece::TooLong => "it is too long",
            Piece::Whole | Piece::Unended => match line::parse(lines.line()) {
                Ok(line) => {
                    let follows = line.seq == chain.count && line.prev == chain.head;
                    visit(number, &line)?;
                    lost += line.seq.saturating_sub(next).max(unreadable);
                    next = line.seq.saturating_add(1);
                    unreadable = 0;
                    if follows && chain.damage.is_none() {
                        chain.count += 1;
                        chain.head = line.hash;
                        chain.len = lines.offset();
                        chain.unended = piece == Piece::Unended;
                        continue;
                    }
                    "it does not follow the line before it"
                }
                Err(LineError::Newer(format)) => {
                    return Err(RecordError::Newer { path: path.to_owned(), format });
                }
                Err(LineError::Damaged(_)) if piece == Piece::Unended => {
                    chain.torn = lines.offset() - start;
                    continue;
                }
                Err(LineError::Damaged(why)) => {
                    unreadable += 1;
                    why
                }
            },
        };
        chain.damage.get_or_insert(Damage { line: number, why, lost: 0 });
    }
    if let Some(damage) = &mut chain.damage {
        damage.lost = lost + unreadable;
    }
    Ok(chain)
}

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// How many lines there are.
    pub count: u64,
    /// The hash of the last line.
    pub head: Digest,
    len: u64,
    poisoned: bool,
}

impl Journal {
    /// Opens or creates it; cuts off half a line, and sets a damaged journal aside, keeping what is whole.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Notice>), RecordError> {
        let mut notices = Vec::new();
        let mut chain = Self::check(path)?;
        if let Some(damage) = chain.damage.take() {
            let kept_as = repair(path)?;
            notices.push(Notice::JournalDamaged {
                line: damage.line,
                why: damage.why.to_owned(),
                lost: damage.lost,
                kept_as: Some(kept_as),
            });
            chain = Self::check(path)?;
        }
        let mut journal = Self {
            path: path.to_owned(),
            file: open_file(path).map_err(io_error("open", path))?,
            count: chain.count,
            head: chain.head,
            len: chain.len,
            poisoned: false,
        };
        if chain.torn > 0 {
            journal.file.set_len(chain.len).map_err(io_error("shorten", path))?;
            notices.push(Notice::TornLine { bytes: chain.torn });
        }
        journal.file.seek(SeekFrom::Start(chain.len)).map_err(io_error("read", path))?;
        if chain.unended {
            journal.file.write_all(b"\n").map_err(io_error("write", path))?;
            journal.len += 1;
        }
        journal.sync()?;
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok((journal, notices))
    }

    fn check(path: &Path) -> Result<Chain, RecordError> {
        let file = open_file(path).map_err(io_error("open", path))?;
        follow(path, BufReader::with_capacity(1 << 18, file), |_, _| Ok(()))
    }

    /// Shows `visit` every line.
    pub(super) fn visit(
        &self,
        visit: impl FnMut(u64, &Line<'_>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let file = File::open(&self.path).map_err(io_error("open", &self.path))?;
        follow(&self.path, BufReader::with_capacity(1 << 18, file), visit).map(drop)
    }

    /// Writes a line; it is durable after [`Self::sync`]. Returns its sequence number and hash.
    pub(super) fn append(&mut self, entry: &[u8]) -> Result<(u64, Digest), RecordError> {
        if self.poisoned {
            return Err(RecordError::Poisoned);
        }
        let (line, hash) = line::encode(self.count, self.head, entry);
        if line.len() > MAX_LINE {
            return Err(RecordError::TooLong { bytes: line.len(), max: MAX_LINE });
        }
        if let Err(source) = self.file.write_all(&line) {
            // Half a line must not stay in front of the next one.
            let cut = self.file.set_len(self.len).and_then(|()| self.file.seek(SeekFrom::Start(self.len)));
            self.poisoned = cut.is_err();
            return Err(io_error("write", &self.path)(source));
        }
        let seq = self.count;
        self.count += 1;
        self.head = hash;
        self.len += line.len() as u64;
        Ok((seq, hash))
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&mut self) -> Result<(), RecordError> {
        if self.poisoned {
            return Err(RecordError::Poisoned);
        }
        self.file.sync_data().map_err(|source| {
            // After a failed sync the kernel may have dropped the pages: nothing about the disk is known any more.
            self.poisoned = true;
            io_error("sync", &self.path)(source)
        })
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Writes a new journal of every whole line of the damaged one, which is kept under another name.
fn repair(path: &Path) -> Result<PathBuf, RecordError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let fresh =
        tempfile::Builder::new().prefix(".journal-").tempfile_in(dir).map_err(io_error("create a file in", dir))?;
    let mut output = BufWriter::new(fresh.as_file());
    let (mut seq, mut head) = (0, GENESIS);
    let file = File::open(path).map_err(io_error("open", path))?;
    follow(path, BufReader::new(file), |_, line| {
        let (bytes, hash) = line::encode(seq, head, line.entry);
        (seq, head) = (seq + 1, hash);
        output.write_all(&bytes).map_err(io_error("write", fresh.path()))
    })?;
    output.flush().map_err(io_error("write", fresh.path()))?;
    drop(output);
    fresh.as_file().sync_all().map_err(io_error("sync", fresh.path()))?;
    let aside = unused_name(path, "damaged");
    // Linked and then replaced: at no moment is there no journal.
    fs::hard_link(path, &aside).map_err(io_error("set aside", path))?;
    fresh.persist(path).map_err(|error| io_error("write", path)(error.error))?;
    sync_dir(dir)?;
    Ok(aside)
}

/// The first name `PATH.WORD-N` that nothing has.
pub(super) fn unused_name(path: &Path, word: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (1u32..)
        .map(|n| path.with_file_name(format!("{name}.{word}-{n}")))
        .find(|path| fs::symlink_metadata(path).is_err())
        .expect("a directory holds fewer than 2^32 files")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chained(entries: &[&str]) -> Vec<Vec<u8>> {
        let mut head = GENESIS;
        let encode = |(seq, entry): (usize, &&str)| {
            let (line, hash) = line::encode(seq as u64, head, entry.as_bytes());
            head = hash;
            line
        };
        entries.iter().enumerate().map(encode).collect()
    }

    fn seen(input: &[u8]) -> (Chain, Vec<String>) {
        let mut entries = Vec::new();
        let chain = follow(Path::new("journal"), input, |_, line| {
            entries.push(String::from_utf8_lossy(line.entry).into_owned());
            Ok(())
        });
        (chain.unwrap(), entries)
    }

    #[test]
    fn damage_is_found_and_what_is_whole_is_kept() {
        let lines = chained(&["0", "1", "2", "3"]);
        let check = |input: Vec<u8>, count, torn, damage: Option<(u64, u64)>, expect: &[&str]| {
            let (chain, entries) = seen(&input);
            let found = chain.damage.as_ref().map(|damage| (damage.line, damage.lost));
            let text = String::from_utf8_lossy(&input).into_owned();
            assert_eq!((chain.count, chain.torn, found), (count, torn, damage), "{text}");
            assert_eq!(entries, expect, "{text}");
        };
        let all = lines.concat();
        check(vec![], 0, 0, None, &[]);
        check(all.clone(), 4, 0, None, &["0", "1", "2", "3"]);
        check(all[..all.len() - 1].to_vec(), 4, 0, None, &["0", "1", "2", "3"]);
        let torn = lines[3].len() - 2;
        check(all[..all.len() - 2].to_vec(), 3, torn as u64, None, &["0", "1", "2"]);
        // A line of the middle is gone, then two of them.
        check([&lines[0][..], &lines[2], &lines[3]].concat(), 1, 0, Some((2, 1)), &["0", "2", "3"]);
        check([&lines[0][..], &lines[3]].concat(), 1, 0, Some((2, 2)), &["0", "3"]);
        // The first is gone.
        check(lines[1..].concat(), 0, 0, Some((1, 1)), &["1", "2", "3"]);
        // A byte is flipped: of text, then of a newline (two lines become one).
        let mut flipped = all.clone();
        flipped[lines[0].len() + 20] ^= 1;
        check(flipped, 1, 0, Some((2, 1)), &["0", "2", "3"]);
        let mut flipped = all.clone();
        flipped[lines[0].len() - 1] ^= 1;
        check(flipped, 0, 0, Some((1, 2)), &["2", "3"]);
        // The last one, ended but wrong.
        let mut flipped = all.clone();
        flipped[all.len() - 5] ^= 1;
        check(flipped, 3, 0, Some((4, 1)), &["0", "1", "2"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_followed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = seen(&bytes);
        }

        #[test]
        fn cutting_anywhere_keeps_every_line_before_the_cut(cut in any::<prop::sample::Index>()) {
            let lines = chained(&["0", "{\"a\":\"b\"}", "[]", "3"]);
            let all = lines.concat();
            let cut = cut.index(all.len() + 1);
            let (chain, entries) = seen(&all[..cut]);
            let mut whole = 0;
            let mut end = 0;
            for line in &lines {
                end += line.len();
                whole += usize::from(cut + 1 >= end);
            }
            prop_assert_eq!(chain.damage, None);
            prop_assert_eq!(entries.len(), whole);
        }

        #[test]
        fn a_changed_byte_costs_at_most_two_lines(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut all = chained(&["0", "1", "2", "3", "4"]).concat();
            let at = at.index(all.len());
            all[at] ^= flip;
            let (chain, entries) = seen(&all);
            let last_newline = at == all.len() - 1;
            prop_assert!(last_newline || chain.damage.is_some() || chain.torn > 0);
            prop_assert!(entries.len() >= 3);
        }
    }
}

//! A node's output: cut into lines, stamped, and kept within a bound, its head and its tail.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Stream;

/// The longest line that is kept; the rest of a longer one is counted and dropped.
pub(super) const LINE_MAX: usize = 16 * 1024;

/// How a line ends that was longer than what is kept of it.
const CUT: &str = "bytes left out]";

/// Whether a line was longer than what is kept of it.
pub fn is_cut(line: &str) -> bool {
    line.len() > LINE_MAX && line.ends_with(CUT)
}

/// A node's log, as one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The file.
    pub path: PathBuf,
    /// How many bytes there were before the bound.
    pub bytes: u64,
    /// Whether the middle was left out.
    pub truncated: bool,
}

/// Cuts a stream of bytes into lines of at most [`LINE_MAX`] bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    dropped: usize,
}

impl Lines {
    /// Takes some bytes and gives the lines that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(String)) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_MAX - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            self.dropped += text.len().saturating_sub(room);
            if ends {
                each(self.take());
            }
        }
    }

    /// The last line, when it has no end.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.line.is_empty() || self.dropped > 0).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let mut text = String::from_utf8_lossy(line).into_owned();
        if self.dropped > 0 {
            text.push_str(&format!(" …[{} {CUT}", self.dropped));
            self.dropped = 0;
        }
        text
    }
}

/// Writes a log: half of its bound for the head, two rotating quarters for the tail.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    file: BufWriter<File>,
    /// Bytes in `file`.
    length: u64,
    /// Whether `file` is the head or the newer quarter of the tail.
    in_tail: bool,
    total: u64,
    kept: u64,
}

impl Log {
    /// Creates the log's file.
    pub(crate) fn create(path: &Path, limit: u64) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Self { path: path.to_owned(), limit, file, length: 0, in_tail: false, total: 0, kept: 0 })
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, at_ms: u64, stream: Stream, text: &str) -> io::Result<()> {
        let mark = match stream {
            Stream::Stdout => '|',
            Stream::Stderr => '!',
        };
        let line = format!("{:>5}.{:03} {mark} {text}\n", at_ms / 1000, at_ms % 1000);
        let size = line.len() as u64;
        let room = if self.in_tail { self.limit / 4 } else { self.limit / 2 };
        if self.length + size > room && self.length > 0 {
            self.rotate()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.length += size;
        self.kept += size;
        self.total += size;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        if self.in_tail {
            let older = self.part(2);
            self.kept -= fs::metadata(&older).map(|m| m.len()).unwrap_or(0);
            fs::rename(self.part(1), older)?;
        }
        self.file = BufWriter::new(File::create(self.part(1))?);
        self.length = 0;
        self.in_tail = true;
        Ok(())
    }

    fn part(&self, n: u8) -> PathBuf {
        self.path.with_extension(format!("log.{n}"))
    }

    /// Makes what was added visible in the files.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// The whole log in one file.
    pub(crate) fn whole(&mut self) -> io::Result<LogFile> {
        self.flush()?;
        let truncated = self.kept < self.total;
        if !self.in_tail {
            return Ok(LogFile { path: self.path.clone(), bytes: self.total, truncated });
        }
        let path = self.path.with_extension("whole");
        let mut out = BufWriter::new(File::create(&path)?);
        io::copy(&mut File::open(&self.path)?, &mut out)?;
        if truncated {
            writeln!(out, "      … {} bytes left out …", self.total - self.kept)?;
        }
        for n in [2, 1] {
            match File::open(self.part(n)) {
                Ok(mut part) => {
                    io::copy(&mut part, &mut out)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        out.flush()?;
        Ok(LogFile { path, bytes: self.total, truncated })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_logs_are_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(&dir.path().join("a.log"), 1000).unwrap();
        log.line(1234, Stream::Stdout, "hello").unwrap();
        log.line(61_000, Stream::Stderr, "oops").unwrap();
        let whole = log.whole().unwrap();
        assert!(!whole.truncated);
        assert_eq!(fs::read_to_string(whole.path).unwrap(), "    1.234 | hello\n   61.000 ! oops\n");
    }

    #[test]
    fn long_logs_keep_head_and_tail() {
        for lines in [1, 5, 20, 30, 45, 60, 1000] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = Log::create(&dir.path().join("a.log"), 1000).unwrap();
            for n in 0..lines {
                log.line(0, Stream::Stdout, &format!("line {n}")).unwrap();
            }
            let whole = log.whole().unwrap();
            let text = fs::read_to_string(&whole.path).unwrap();
            assert!(text.len() <= 1050, "{lines}: {}", text.len());
            assert!(text.contains("line 0\n"), "{lines}");
            assert!(text.contains(&format!("line {}\n", lines - 1)), "{lines}");
            assert_eq!(text.contains("left out"), whole.truncated, "{lines}");
            assert_eq!(whole.truncated, lines >= 60, "{lines}");
            if !whole.truncated {
                assert_eq!(text.lines().count(), lines);
            }
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_bytes_arrive(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), at in 0usize..300) {
            let read = |pieces: &[&[u8]]| {
                let (mut lines, mut out) = (Lines::default(), Vec::new());
                for piece in pieces {
                    lines.push(piece, |line| out.push(line));
                }
                out.extend(lines.finish());
                out
            };
            let at = at.min(bytes.len());
            prop_assert_eq!(read(&[&bytes]), read(&[&bytes[..at], &bytes[at..]]));
        }
    }

    #[test]
    fn long_lines_are_cut() {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        lines.push(&vec![b'x'; LINE_MAX + 10], |line| out.push(line));
        lines.push(b"y\nz\n", |line| out.push(line));
        assert!(out[0].ends_with(" …[11 bytes left out]") && is_cut(&out[0]) && !is_cut(&out[1]));
        assert_eq!(out[1], "z");
    }
}

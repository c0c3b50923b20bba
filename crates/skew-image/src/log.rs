//! A build's log: everything it says, bounded on the disk, with its last lines for people.

use skew_core::text::shorten;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

/// How many of the last bytes are looked at for the last lines.
const LAST: usize = 64 << 10;

/// How many lines are shown.
const LINES: usize = 40;

/// How many characters of a line are shown.
const WIDTH: usize = 400;

/// The end of what was said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The last bytes.
    last: Vec<u8>,
    /// Why the log's file could not be written.
    pub unwritten: Option<io::Error>,
}

impl Said {
    /// The last lines, without control characters.
    pub(crate) fn tail(&self) -> Vec<String> {
        tail(&self.last)
    }

    /// Whether one of the last lines says this, in whatever case.
    pub(crate) fn mentions(&self, words: &[&str]) -> bool {
        let text = String::from_utf8_lossy(&self.last).to_lowercase();
        words.iter().any(|word| text.contains(word))
    }
}

/// Copies a pipe into a file until its end, in the background: the first and the last half of `bound` bytes.
pub(crate) fn follow(mut pipe: impl Read + Send + 'static, path: &Path, bound: u64) -> io::Result<Receiver<Said>> {
    let mut file = File::create(path)?;
    let half = usize::try_from(bound / 2).unwrap_or(usize::MAX).max(LAST);
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut head = half;
        let mut ring: VecDeque<u8> = VecDeque::new();
        let mut dropped = 0_u64;
        let mut last: VecDeque<u8> = VecDeque::new();
        let mut written = Ok(());
        let mut buffer = vec![0; 64 << 10];
        loop {
            let chunk = match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => &buffer[..n],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            push(&mut last, chunk, LAST);
            let (now, later) = chunk.split_at(chunk.len().min(head));
            head -= now.len();
            // A full disk must not stop the reading: the build would hang on its pipe.
            if written.is_ok() {
                written = file.write_all(now);
            }
            dropped += push(&mut ring, later, half);
        }
        if dropped > 0 && written.is_ok() {
            written = writeln!(file, "\n[… {dropped} bytes left out …]");
        }
        for part in [ring.as_slices().0, ring.as_slices().1] {
            if written.is_ok() {
                written = file.write_all(part);
            }
        }
        if written.is_ok() {
            written = file.sync_data();
        }
        // Nobody listens any more when something kept the pipe open for too long.
        let _ = send.send(Said { last: last.into(), unwritten: written.err() });
    });
    Ok(receive)
}

/// Adds to a ring of at most `bound` bytes; how many fell out.
fn push(ring: &mut VecDeque<u8>, chunk: &[u8], bound: usize) -> u64 {
    ring.extend(chunk);
    let over = ring.len().saturating_sub(bound);
    ring.drain(..over);
    over as u64
}

fn tail(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text.lines().map(plain).filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

/// A line without escape sequences and control characters, bounded. Of a line that a progress bar overwrote, its end.
fn plain(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut clean = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            chars.next();
            // Parameters, up to the letter that ends the sequence.
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if c == '\t' {
            clean.push(' ');
        } else if !c.is_control() {
            clean.push(c);
        }
    }
    shorten(&clean, WIDTH).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_are_plain() {
        for (line, expect) in [
            ("\u{1b}[1;31merror\u{1b}[0m: x", "error: x"),
            ("10%\r50%\r100%\r", "100%"),
            ("a\tb\u{7}\u{0}", "a b"),
            ("\u{1b}[", ""),
            ("\u{202e}ok", "\u{202e}ok"),
        ] {
            assert_eq!(plain(line), expect, "{line:?}");
        }
        assert_eq!(plain(&"x".repeat(1000)).chars().count(), WIDTH + 1);
    }

    #[test]
    fn the_first_and_the_last_half_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
        let said = follow(io::Cursor::new(text.clone()), &path, 0).expect("followed");
        let said = said.recv_timeout(Duration::from_secs(60)).expect("ended");
        assert!(said.unwritten.is_none());
        let kept = std::fs::read_to_string(&path).expect("read");
        assert!(kept.starts_with("line 0\n") && kept.ends_with("line 99999\n"));
        let left_out = text.len() - 2 * LAST;
        assert!(kept.contains(&format!("[… {left_out} bytes left out …]")));
        assert_eq!(said.tail().len(), LINES);
        assert!(said.mentions(&["line 99999"]) && !said.mentions(&["line 0\n"]));
    }
}

//! The journal's lines, pure over bytes.
//!
//! ```text
//! {"v":1,"seq":N,"prev":"sha256:…","entry":{…},"hash":"sha256:…"}
//! ```
//!
//! The layout is exact, byte by byte: `hash` is the SHA-256 of everything before `,"hash":`, and `prev` is the `hash`
//! of the line before, so a line can be checked without understanding its entry, and with ordinary tools. Later formats
//! change `v` and what stands in `entry`, never this frame.

use std::io::{self, BufRead, Read};

use skew_core::model::Digest;

/// The format of the entries that this program writes, and the newest that it reads.
pub(super) const FORMAT: u64 = 1;

/// The longest line that is written or read, in bytes.
pub(super) const MAX_LINE: usize = 64 << 20;

/// What stands as `prev` in the first line.
pub(super) const GENESIS: Digest = Digest::from_bytes([0; 32]);

const HASH_KEY: &[u8] = b",\"hash\":\"";
const DIGEST_LEN: usize = "sha256:".len() + 64;
const SUFFIX_LEN: usize = HASH_KEY.len() + DIGEST_LEN + "\"}".len();

/// A line whose own hash holds. Whether it continues a chain is for the reader of the chain to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its place in the chain, from 0.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: Digest,
    /// Its own hash.
    pub hash: Digest,
    /// The JSON of its entry.
    pub entry: &'a [u8],
}

/// Why bytes are not a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineError {
    /// Its hash holds, and its format is newer than [`FORMAT`].
    Newer(u64),
    /// It is damaged; says how.
    Damaged(&'static str),
}

/// Makes a line, its newline included, and returns it with its hash.
pub(super) fn encode(seq: u64, prev: Digest, entry: &[u8]) -> (Vec<u8>, Digest) {
    let mut line = format!(r#"{{"v":{FORMAT},"seq":{seq},"prev":"{prev}","entry":"#).into_bytes();
    line.reserve(entry.len() + SUFFIX_LEN + 1);
    line.extend_from_slice(entry);
    let hash = Digest::of(&line);
    line.extend_from_slice(HASH_KEY);
    line.extend_from_slice(hash.to_string().as_bytes());
    line.extend_from_slice(b"\"}\n");
    (line, hash)
}

/// Checks a line, given without its newline.
pub(super) fn parse(bytes: &[u8]) -> Result<Line<'_>, LineError> {
    let damaged = LineError::Damaged;
    let split = bytes.len().checked_sub(SUFFIX_LEN).ok_or(damaged("it is too short"))?;
    let (body, suffix) = bytes.split_at(split);
    let hash = suffix
        .strip_prefix(HASH_KEY)
        .and_then(|rest| rest.strip_suffix(b"\"}"))
        .and_then(digest)
        .ok_or(damaged("it does not end in its hash"))?;
    if Digest::of(body) != hash {
        return Err(damaged("its hash does not hold"));
    }
    let rest = body.strip_prefix(b"{\"v\":").ok_or(damaged("it has no format number"))?;
    let (format, rest) = number(rest).ok_or(damaged("its format is not a number"))?;
    if format != FORMAT {
        return Err(LineError::Newer(format));
    }
    let rest = rest.strip_prefix(b",\"seq\":").ok_or(damaged("it has no sequence number"))?;
    let (seq, rest) = number(rest).ok_or(damaged("its sequence number is not a number"))?;
    let rest = rest.strip_prefix(b",\"prev\":\"").ok_or(damaged("it names no line before it"))?;
    let (prev, rest) = rest
        .split_at_checked(DIGEST_LEN)
        .and_then(|(prev, rest)| Some((digest(prev)?, rest)))
        .ok_or(damaged("it names no line before it"))?;
    let entry = rest.strip_prefix(b"\",\"entry\":").ok_or(damaged("it has no entry"))?;
    Ok(Line { seq, prev, hash, entry })
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at(digits);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

/// What [`Lines`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line, without its newline.
    Whole,
    /// The end of the input, where a newline should have been.
    Unended,
    /// A line longer than [`MAX_LINE`]; it was skipped, and nothing of it is kept.
    TooLong,
    /// The end of the input.
    End,
}

/// Splits an input into lines, holding at most [`MAX_LINE`] bytes at once.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    offset: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), offset: 0 }
    }

    /// Reads on; the bytes of the line are in [`Self::line`] afterwards.
    pub(super) fn read(&mut self) -> io::Result<Piece> {
        self.buffer.clear();
        let mut limited = self.input.by_ref().take(MAX_LINE as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.buffer)?;
        self.offset += read as u64;
        if read == 0 {
            return Ok(Piece::End);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            return Ok(Piece::Whole);
        }
        if read <= MAX_LINE {
            return Ok(Piece::Unended);
        }
        self.buffer = Vec::new();
        self.offset += skip_line(&mut self.input)?;
        Ok(Piece::TooLong)
    }

    /// The bytes of the line that was read last.
    pub(super) fn line(&self) -> &[u8] {
        &self.buffer
    }

    /// How many bytes of the input have been read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let chunk = input.fill_buf()?;
        let (used, done) = match chunk.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (chunk.len(), chunk.is_empty()),
        };
        input.consume(used);
        skipped += used as u64;
        if done {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resealed(body: &str) -> Vec<u8> {
        let hash = Digest::of(body.as_bytes());
        format!(r#"{body},"hash":"{hash}"}}"#).into_bytes()
    }

    #[test]
    fn a_line_is_what_the_documentation_says() {
        let (line, hash) = encode(7, GENESIS, br#"{"x":1}"#);
        let zeros = "0".repeat(64);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!("{{\"v\":1,\"seq\":7,\"prev\":\"sha256:{zeros}\",\"entry\":{{\"x\":1}},\"hash\":\"{hash}\"}}\n")
        );
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let check = |bytes: &[u8], expect: LineError| {
            assert_eq!(parse(bytes), Err(expect), "{}", String::from_utf8_lossy(bytes));
        };
        let prev = GENESIS;
        check(b"", LineError::Damaged("it is too short"));
        check(&[b'x'; 200], LineError::Damaged("it does not end in its hash"));
        let sealed = resealed("{}");
        let mut broken = sealed.clone();
        broken[0] = b'[';
        check(&broken, LineError::Damaged("its hash does not hold"));
        check(&sealed, LineError::Damaged("it has no format number"));
        check(&resealed(r#"{"v":2,"anything""#), LineError::Newer(2));
        check(&resealed(r#"{"v":99999999999999999999"#), LineError::Damaged("its format is not a number"));
        check(&resealed(r#"{"v":1,"prev":"#), LineError::Damaged("it has no sequence number"));
        check(&resealed(r#"{"v":1,"seq":0,"prev":"sha256:00"#), LineError::Damaged("it names no line before it"));
        check(&resealed(&format!(r#"{{"v":1,"seq":0,"prev":"{prev}""#)), LineError::Damaged("it has no entry"));
    }

    fn pieces(input: &[u8]) -> Vec<(Piece, Vec<u8>)> {
        let mut lines = Lines::new(input);
        let mut found = Vec::new();
        loop {
            match lines.read().unwrap() {
                Piece::End => break,
                piece => found.push((piece, lines.line().to_vec())),
            }
        }
        assert_eq!(lines.offset(), input.len() as u64);
        found
    }

    #[test]
    fn input_is_split_and_bounded() {
        assert_eq!(
            pieces(b"a\n\nb"),
            [(Piece::Whole, b"a".to_vec()), (Piece::Whole, b"".to_vec()), (Piece::Unended, b"b".to_vec())]
        );
        let mut long = vec![b'x'; MAX_LINE + 10];
        long.extend_from_slice(b"\nok\n");
        assert_eq!(pieces(&long), [(Piece::TooLong, vec![]), (Piece::Whole, b"ok".to_vec())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
            let _ = pieces(&bytes);
        }

        #[test]
        fn any_sealed_text_is_read_without_a_panic(body in r#"(\{"v":1?)?(,"seq":[0-9]{0,3})?(,"prev":"sha256:0{60,66})?.{0,40}"#) {
            let _ = parse(&resealed(&body));
        }

        #[test]
        fn what_is_written_is_read_and_any_changed_byte_is_noticed(
            seq in any::<u64>(),
            prev in any::<[u8; 32]>(),
            entry in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let prev = Digest::from_bytes(prev);
            let (mut line, hash) = encode(seq, prev, &entry);
            line.pop();
            prop_assert_eq!(parse(&line), Ok(Line { seq, prev, hash, entry: &entry }));
            let at = at.index(line.len());
            line[at] ^= flip;
            let is_damaged = matches!(parse(&line), Err(LineError::Damaged(_)));
            prop_assert!(is_damaged);
        }
    }
}

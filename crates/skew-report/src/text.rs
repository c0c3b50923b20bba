//! Text from outside, made safe to show.

use skew_core::text::shorten;

/// Text on one line, of at most `max` characters, in which control and direction-changing characters can be seen and do
/// nothing.
///
/// A terminal obeys escape sequences, and a line that is displayed backwards can lie; HTML is escaped by its renderer.
pub(super) fn clean(text: &str, max: usize) -> String {
    shorten(text, max).chars().map(|c| if c == '\n' { ' ' } else { visible(c) }).collect()
}

/// The same on as many lines as the text has, for where a line can break.
pub(super) fn clean_lines(text: &str, max: usize) -> String {
    let shown = shorten(text.trim_end(), max);
    shown.lines().map(|line| line.chars().map(visible).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// Text of several lines below each other, those after the first behind `margin`.
pub fn indented(text: &str, margin: &str) -> String {
    text.replace('\n', &format!("\n{margin}"))
}

fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '␡',
        // C1 controls, and what changes the direction of text or cannot be seen.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' => '\u{fffd}',
        c => c,
    }
}

/// The last lines of a log, each of at most `max` characters.
pub(super) fn tail(log: &[u8], lines: usize, max: usize) -> Vec<String> {
    // Enough for the lines wanted, and no more of a long log than that.
    let reach = lines * max * 4;
    let log = &log[log.len().saturating_sub(reach)..];
    let text = String::from_utf8_lossy(log);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| clean(line, max)).collect()
}

/// A word as a shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Milliseconds since 1970 as `2026-11-21T03:15:00Z`.
pub(super) fn instant(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms - ms.rem_euclid(1000)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{ms} ms after 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_harmless_and_bounded() {
        for (input, max, expect) in [
            ("plain", 10, "plain"),
            ("abcdef", 3, "abc…"),
            ("abc", 3, "abc"),
            ("\u{1b}[2J\r\n\0", 10, "␛[2J␍ ␀"),
            ("one two three", 9, "one two…"),
            ("a\u{202e}b\u{200f}\u{9b}", 10, "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("<script>", 20, "<script>"),
            ("é✓", 1, "é…"),
        ] {
            assert_eq!(clean(input, max), expect);
        }
    }

    #[test]
    fn lines_break_where_they_can() {
        assert_eq!(clean_lines("one\r\ntwo\u{1b}[2J\n\n", 100), "one\ntwo␛[2J");
        assert_eq!(clean_lines("one\ntwo three four", 14), "one\ntwo three…");
        assert_eq!(indented("one\ntwo\nthree", "  "), "one\n  two\n  three");
    }

    #[test]
    fn tails_are_bounded() {
        assert_eq!(tail(b"", 3, 10), Vec::<String>::new());
        assert_eq!(tail(b"1\n2\n3\n4\n", 2, 10), ["3", "4"]);
        assert_eq!(tail(b"\xff\xfe", 2, 10), ["\u{fffd}\u{fffd}"]);
        let long = "x".repeat(1_000_000);
        assert_eq!(tail(long.as_bytes(), 2, 10), ["xxxxxxxxxx…"]);
    }

    #[test]
    fn words_survive_a_shell() {
        for (word, expect) in
            [("n-12", "n-12"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$(x)", "'$(x)'")]
        {
            assert_eq!(quoted(word), expect);
        }
    }

    #[test]
    fn instants_are_utc() {
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
        assert_eq!(instant(1_795_230_900_123), "2026-11-21T03:15:00Z");
        assert!(instant(u64::MAX).contains("after 1970"));
    }
}

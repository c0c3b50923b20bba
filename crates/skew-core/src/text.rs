//! Text for people: durations, numbers, and text that is longer than there is room for. A leaf: everyone may import it.

use std::borrow::Cow;
use std::time::Duration;

/// A duration as people write it: `417 ms`, `1.9 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`. It is rounded.
pub fn duration(duration: Duration) -> String {
    let ms = match (duration.as_micros() + 500) / 1000 {
        0 if !duration.is_zero() => 1,
        ms => ms,
    };
    let tenths = (ms + 50) / 100;
    if ms < 1000 {
        return format!("{ms} ms");
    }
    if tenths < 600 {
        let fraction = match tenths % 10 {
            0 => String::new(),
            tenth => format!(".{tenth}"),
        };
        return format!("{}{fraction} s", tenths / 10);
    }
    let seconds = (ms + 500) / 1000;
    let minutes = (seconds + 30) / 60;
    let hours = (minutes + 30) / 60;
    let two = |large: u128, unit: &str, small: u128, part: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {part}"),
    };
    if seconds < 3600 {
        two(seconds / 60, "min", seconds % 60, "s")
    } else if minutes < 24 * 60 {
        two(minutes / 60, "h", minutes % 60, "min")
    } else {
        two(hours / 24, "d", hours % 24, "h")
    }
}

/// A duration in milliseconds as people write it.
pub fn duration_ms(ms: u64) -> String {
    duration(Duration::from_millis(ms))
}

/// `1 network`, `2 networks`, `12,345 networks`.
pub fn count(n: impl Into<u64>, noun: &str) -> String {
    let n = n.into();
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// `12,345`.
pub fn thousands(n: impl Into<u64>) -> String {
    let digits = n.into().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The text, or its beginning of at most `max` characters and `…`; it ends after a word where it can.
pub fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        Some((end, _)) => Cow::Owned(format!("{}…", text[..cut_before(text, end)].trim_end())),
        None => Cow::Borrowed(text),
    }
}

/// The text, or its beginning and its end of about `limit` bytes together; it is cut between words where it can be.
pub fn shorten_middle(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let head = text[..cut_before(text, limit * 2 / 3)].trim_end();
    let tail = text[cut_after(text, text.len() - limit / 4)..].trim_start();
    Cow::Owned(format!("{head} … {tail}"))
}

/// The last place at or before a byte where text may be cut: between words, unless that takes half of it away.
fn cut_before(text: &str, at: usize) -> usize {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    if text[at..].starts_with(char::is_whitespace) {
        return at;
    }
    let gap = text[..at].rfind(char::is_whitespace);
    gap.filter(|gap| gap * 2 >= at).unwrap_or(at)
}

/// The first place at or after a byte where text may be cut: between words, unless that takes half of the rest away.
fn cut_after(text: &str, at: usize) -> usize {
    let at = (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    if text[..at].ends_with(char::is_whitespace) {
        return at;
    }
    let gap = text[at..].find(char::is_whitespace);
    gap.filter(|gap| gap * 2 <= text.len() - at).map_or(at, |gap| at + gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_groups_of_three() {
        for (n, expect) in [(0_u32, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), expect);
        }
    }

    #[test]
    fn durations_are_as_people_write_them() {
        for (micros, want) in [
            (0, "0 ms"),
            (3, "1 ms"),
            (417_300, "417 ms"),
            (999_600, "1 s"),
            (1_945_842, "1.9 s"),
            (10_000_000, "10 s"),
            (12_345_000, "12.3 s"),
            (59_960_000, "1 min"),
            (125_000_000, "2 min 5 s"),
            (3_599_600_000, "1 h"),
            (3_600_000_000 * 3 + 60_000_000 * 20, "3 h 20 min"),
            (3_600_000_000 * 52, "2 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), want, "{micros}");
        }
        assert!(duration(Duration::MAX).ends_with('h'));
    }

    #[test]
    fn text_is_shortened_between_words() {
        for (text, max, want) in [
            ("one two three", 13, "one two three"),
            ("one two three", 12, "one two…"),
            ("one two three", 7, "one two…"),
            ("one two three", 8, "one two…"),
            ("abcdef", 3, "abc…"),
            ("a verylongwordindeed", 12, "a verylongwo…"),
            ("é✓ü", 1, "é…"),
            ("", 0, ""),
        ] {
            assert_eq!(shorten(text, max), want, "{text} {max}");
        }
    }

    #[test]
    fn the_middle_is_left_out_between_words() {
        let words = "alpha beta gamma delta epsilon zeta eta theta iota kappa";
        assert_eq!(shorten_middle(words, 40), "alpha beta gamma delta … iota kappa");
        assert_eq!(shorten_middle(words, 100), words);
        assert_eq!(shorten_middle(&"x".repeat(30), 12), "xxxxxxxx … xxx");
        assert_eq!(shorten_middle("ééééééééé", 6), "éé … ");
    }
}

//! The lines of a log that a person looks for first.

use std::sync::LazyLock;

use regex::Regex;
use skew_deploy::printable;

/// Lines of one excerpt.
const LINES: usize = 20;
/// Of these, lines from around the failure whatever they say.
const AROUND: usize = 10;
/// Lines before the failure that are looked through.
const LOOK: usize = 200;
/// Bytes of one line.
const LINE: usize = 500;

static TROUBLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)error|panic|fatal|can't|cannot|can not|unable|refus|warn|fail|reject|unsupported|invalid|abort|assert",
    )
    .expect("the pattern is well-formed")
});

/// The lines around a time that tell most, in their order: the last ones before it, and those that speak of trouble.
pub(super) fn excerpt(lines: &[(u64, String)], at_ms: u64) -> Vec<String> {
    // What a node says right after the failure is about it as well.
    let end = lines.iter().rposition(|(at, _)| *at <= at_ms.saturating_add(100)).map_or(lines.len(), |last| last + 1);
    let looked = &lines[end.saturating_sub(LOOK)..end];
    let around = looked.len().saturating_sub(AROUND);
    let mut chosen: Vec<usize> = (around..looked.len()).collect();
    let mut said: Vec<&str> = chosen.iter().map(|n| looked[*n].1.as_str()).collect();
    for n in (0..around).rev() {
        let line = looked[n].1.as_str();
        if chosen.len() < LINES && TROUBLE.is_match(line) && !said.iter().any(|other| similar(other, line)) {
            chosen.push(n);
            said.push(line);
        }
    }
    chosen.sort_unstable();
    chosen.into_iter().map(|n| printable(&looked[n].1, LINE).replace('\n', " ")).collect()
}

/// Whether two lines differ only in numbers: the same trouble, told again.
fn similar(a: &str, b: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).take(200).collect::<String>();
    letters(a) == letters(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Vec<(u64, String)> {
        lines.iter().enumerate().map(|(n, line)| (n as u64 * 1000, (*line).to_owned())).collect()
    }

    #[test]
    fn trouble_before_the_last_lines_is_kept() {
        let mut lines = vec!["start", "12:00:01 Can't handle RDB format version 10"];
        lines.extend(["quiet"; 50]);
        lines.push("12:00:09 Can't handle RDB format version 10");
        lines.extend(["quiet"; 30]);
        let excerpt = excerpt(&log(&lines), u64::MAX);
        assert_eq!(excerpt.len(), AROUND + 1, "told once");
        assert_eq!(excerpt[0], "12:00:09 Can't handle RDB format version 10");
    }

    #[test]
    fn it_is_about_the_time_of_the_failure() {
        let lines = log(&["a", "b", "c", "d"]);
        assert_eq!(excerpt(&lines, 1500), ["a", "b"]);
        assert_eq!(excerpt(&lines, 0), ["a"]);
        assert!(excerpt(&[], 0).is_empty());
    }

    #[test]
    fn it_is_bounded() {
        let trouble: Vec<String> = (0..500)
            .map(|n| format!("{}{} error {}", "x".repeat(n % 40), "z".repeat(n / 40), "y".repeat(5000)))
            .collect();
        let lines: Vec<&str> = trouble.iter().map(String::as_str).collect();
        let excerpt = excerpt(&log(&lines), u64::MAX);
        assert_eq!(excerpt.len(), LINES);
        assert!(excerpt.iter().all(|line| line.len() <= LINE + 16));
    }
}

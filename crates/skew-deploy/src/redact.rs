//! What leaves a network is bounded, printable, and holds no secret.

use std::borrow::Cow;
use std::sync::RwLock;

use skew_core::text::shorten_middle;

/// Stands in for a secret.
const HIDDEN: &str = "[secret]";

/// Knows a network's secrets and takes them out of text.
#[derive(Debug, Default)]
pub struct Redactor {
    secrets: RwLock<Vec<String>>,
}

impl Redactor {
    /// Takes a secret out of everything from now on. An empty one is ignored.
    pub fn hide(&self, secret: &str) {
        if !secret.is_empty() {
            let mut secrets = self.secrets.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            secrets.push(secret.to_owned());
        }
    }

    /// The text without secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let secrets = self.secrets.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = Cow::Borrowed(text);
        for secret in secrets.iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), HIDDEN));
            }
        }
        text
    }
}

/// The text with control characters escaped and about `limit` bytes at most, its middle left out when it is too long.
pub fn printable(text: &str, limit: usize) -> String {
    let text = shorten_middle(text.trim_end(), limit);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            // Escapes of terminals, and the marks that turn the direction of text around.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    shorten_middle(&out, limit).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_taken_out() {
        let redactor = Redactor::default();
        redactor.hide("");
        redactor.hide("s3cret");
        assert_eq!(redactor.redact("a s3cret and s3cret"), "a [secret] and [secret]");
        assert!(matches!(redactor.redact("nothing"), Cow::Borrowed(_)));
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\0", 100), "a\\u{1b}[31mb\\u{0}");
        assert_eq!(printable("two\nlines\t\n\n", 100), "two\nlines");
    }

    proptest! {
        #[test]
        fn output_is_bounded(text in ".{0,400}", limit in 16usize..200) {
            let out = printable(&text, limit);
            prop_assert!(out.len() <= limit + 16);
            prop_assert!(!out.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}

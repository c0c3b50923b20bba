//! The little XML that is written: every text escaped, and only characters that XML 1.0 has.

use std::fmt::Write as _;

/// Text as it stands between tags.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// ` name="value"` for each.
pub(super) fn attributes(attributes: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in attributes {
        // A parser makes a space of a bare one.
        let value = escaped(value).replace('\n', "&#10;").replace('\t', "&#9;");
        // Writing to a string cannot fail.
        let _ = write!(text, " {name}=\"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_where_it_stands() {
        assert_eq!(
            escaped("a<b>&\"'\n\r\0\u{1b}\u{ffff}é✓"),
            "a&lt;b&gt;&amp;&quot;&#39;\n\u{fffd}\u{fffd}\u{fffd}\u{fffd}é✓"
        );
        assert_eq!(attributes(&[("a", "1"), ("b", "\"\n")]), " a=\"1\" b=\"&quot;&#10;\"");
    }
}

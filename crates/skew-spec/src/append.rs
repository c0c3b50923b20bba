//! `[[known]]` blocks, put into a spec's text: everything else in it stays as it is, byte for byte.

use toml_edit::{ArrayOfTables, Document, Item, Table, value};

/// A failure to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KnownBlock {
    /// The pattern of its cells.
    pub cell: String,
    /// Why it is accepted.
    pub reason: String,
    /// Where it is discussed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Why a text takes no blocks.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It is no TOML.
    #[error("write known failures into the spec: it is no TOML")]
    Toml(#[source] toml_edit::TomlError),
    /// `known` is there in another form.
    #[error("write known failures into the spec: its `known` is no list of `[[known]]` blocks; write it as such")]
    Inline,
}

/// The blocks as TOML, an empty line between them.
pub fn known_blocks(blocks: &[KnownBlock]) -> String {
    let mut tables = ArrayOfTables::new();
    for block in blocks {
        let mut table = Table::new();
        table.insert("cell", value(&block.cell));
        table.insert("reason", value(&block.reason));
        if let Some(link) = &block.link {
            table.insert("link", value(link));
        }
        tables.push(table);
    }
    let mut document = toml_edit::DocumentMut::new();
    document.insert("known", Item::ArrayOfTables(tables));
    document.to_string()
}

/// Puts blocks into a spec's text: after the last `[[known]]` that is there, else at its end.
///
/// # Errors
/// When the text is no TOML, or has `known` as an inline list.
pub fn append_known(text: &str, blocks: &[KnownBlock]) -> Result<String, AppendError> {
    if blocks.is_empty() {
        return Ok(text.to_owned());
    }
    let document = Document::parse(text).map_err(AppendError::Toml)?;
    let at = match document.get("known") {
        None => text.len(),
        Some(Item::ArrayOfTables(tables)) => end_of(text, tables).unwrap_or(text.len()),
        Some(_) => return Err(AppendError::Inline),
    };
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let (before, after) = text.split_at(at);
    let mut added = known_blocks(blocks).replace('\n', newline);
    if !before.is_empty() {
        let gap = if before.ends_with('\n') { newline.to_owned() } else { newline.repeat(2) };
        added.insert_str(0, &gap);
    }
    Ok(format!("{before}{added}{after}"))
}

/// Where the last block ends: behind the line of its last value.
fn end_of(text: &str, tables: &ArrayOfTables) -> Option<usize> {
    let ends = tables.iter().flat_map(|table| {
        let values = table.iter().filter_map(|(_, item)| item.span());
        values.chain(table.span()).map(|span| span.end)
    });
    let end = ends.max()?;
    // What stands behind the value on its line is about it.
    Some(text[end..].find('\n').map_or(text.len(), |line| end + line + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(cell: &str) -> KnownBlock {
        KnownBlock { cell: cell.to_owned(), reason: "why \"so\"".to_owned(), link: None }
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let got = append_known(text, &[block("c: a@1")]).unwrap();
        assert_eq!(got, expect);
        let table: toml::Table = got.replace("\r\n", "\n").parse().unwrap();
        assert_eq!(table["known"].as_array().unwrap().last().unwrap()["cell"].as_str(), Some("c: a@1"));
    }

    #[test]
    fn blocks_stand_after_the_others_and_nothing_else_changes() {
        const BLOCK: &str = "[[known]]\ncell = \"c: a@1\"\nreason = 'why \"so\"'\n";
        check("", BLOCK);
        check("# mine\n[a]\nb = 1 # c\n", &format!("# mine\n[a]\nb = 1 # c\n\n{BLOCK}"));
        check("[a]\nb = 1", &format!("[a]\nb = 1\n\n{BLOCK}"));
        let old = "[[known]]\ncell = \"x\" # here\nreason = \"y\" # and here\n";
        check(
            &format!("a = 1\n\n{old}\n# about b\n[b]\nc = 1\n"),
            &format!("a = 1\n\n{old}\n{BLOCK}\n# about b\n[b]\nc = 1\n"),
        );
        check(&format!("{old}\n[b]\n\n{old}"), &format!("{old}\n[b]\n\n{old}\n{BLOCK}"));
        check("[a]\r\nb = 1\r\n", &format!("[a]\r\nb = 1\r\n\r\n{}", BLOCK.replace('\n', "\r\n")));
    }

    #[test]
    fn several_blocks_have_a_line_between() {
        let link = Some("https://example.org/1".to_owned());
        let text = known_blocks(&[block("c: a@1"), KnownBlock { link, ..block("c: a@2") }]);
        assert_eq!(
            text,
            "[[known]]\ncell = \"c: a@1\"\nreason = 'why \"so\"'\n\n[[known]]\ncell = \"c: a@2\"\nreason = 'why \"so\"'\n\
             link = \"https://example.org/1\"\n"
        );
    }

    #[test]
    fn other_forms_are_refused() {
        assert!(matches!(append_known("known = []\n", &[block("x")]), Err(AppendError::Inline)));
        assert!(matches!(append_known("known = [\n", &[block("x")]), Err(AppendError::Toml(_))));
        assert_eq!(append_known("known = [\n", &[]).unwrap(), "known = [\n");
    }
}

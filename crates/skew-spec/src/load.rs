//! From a text, and the files that it names, to a spec or everything that is wrong with it.

use std::io::{self, Read as _};
use std::path::Path;

use super::decode::Decode;
use super::definitions::{Definitions, FILE_LIMIT, Read, normal};
use super::overrides::Overrides;
use super::problem::{Place, Problem, Sink, SpecErrors, Text, Texts};
use super::raw::RawSpec;
use super::tree;
use super::whole::{Spec, resolved};

/// What stands in a spec where a person has to fill something in; a spec with such a mark is not valid.
pub const BLANK: &str = "FILL IN";

/// Reads a spec's file and the files it names.
///
/// # Errors
/// Everything that is wrong with them; an unreadable file is one of those errors.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Spec, SpecErrors> {
    load_with(path, overrides, &|_, _| {})
}

/// The same; `seen` is shown every file that was read.
pub(super) fn load_with(
    path: &Path,
    overrides: &Overrides,
    seen: &dyn Fn(&Path, &io::Result<String>),
) -> Result<Spec, SpecErrors> {
    let read = |path: &Path| -> io::Result<String> {
        let open = || {
            let mut text = String::new();
            // One byte more than is allowed, so that what is too large is seen to be.
            std::fs::File::open(path)?.take(FILE_LIMIT as u64 + 1).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = open();
        seen(path, &text);
        text
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match read(path) {
        Ok(text) => parse_at(&text, path, &normal(&absolute), overrides, &read),
        Err(error) => {
            let (sink, texts) = (Sink::default(), vec![spec_text("", path, &absolute)]);
            let problem = Problem::new(Place::new(0, 0..0), format!("failed to read the spec: {error}"), "");
            sink.push(problem.hint("name the spec's file, or run `skew init` to write one"));
            Err(sink.into_errors(&texts).expect("there is one"))
        }
    }
}

/// The same without a file system: `read` gives the files that the spec names, and relative paths are relative to the
/// directory of `path`.
///
/// # Errors
/// Everything that is wrong.
pub fn parse(
    text: &str,
    path: &Path,
    overrides: &Overrides,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Spec, SpecErrors> {
    parse_at(text, path, path, overrides, read)
}

fn spec_text(text: &str, shown: &Path, full: &Path) -> Text {
    let dir = full.parent().unwrap_or(Path::new("")).to_owned();
    Text { name: shown.display().to_string(), dir, body: text.into() }
}

/// Reports every mark that `skew init` left: what stands there is no value of anybody's. Comments of their own line may
/// speak of it.
fn blanks(text: &str, sink: &Sink) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(start) = line.find(BLANK).filter(|_| !line.trim_start().starts_with('#')) {
            let place = Place::new(0, at + start..at + start + BLANK.len());
            let problem = Problem::new(place, "the spec still has a blank", "to be filled in");
            sink.push(problem.hint(format!("fill in what is marked `{BLANK}`, and remove the mark")));
        }
        at += line.len();
    }
}

fn parse_at(text: &str, shown: &Path, full: &Path, overrides: &Overrides, read: Read<'_>) -> Result<Spec, SpecErrors> {
    let sink = Sink::default();
    let mut texts: Texts = vec![spec_text(text, shown, full)];
    if text.len() > FILE_LIMIT {
        sink.push(Problem::new(
            Place::new(0, 0..1),
            format!("the spec is larger than {FILE_LIMIT} bytes"),
            "begins here",
        ));
        return Err(sink.into_errors(&texts).expect("there is one"));
    }
    blanks(text, &sink);
    let raw = tree::parse(text, 0, &sink).and_then(|mut root| {
        overrides.apply(&mut root, &mut texts, &sink);
        RawSpec::decode(&root, &sink)
    });
    let Some(raw) = raw else {
        return Err(sink.into_errors(&texts).expect("what is no spec was reported"));
    };
    let shown_dir = shown.parent().unwrap_or(Path::new(""));
    let definitions = Definitions::read(raw, full.to_owned(), texts, shown_dir, read, &sink);
    let texts = definitions.texts.clone();
    let spec = resolved(definitions, shown, &sink);
    match sink.into_errors(&texts) {
        Some(errors) => Err(errors),
        None => Ok(spec),
    }
}

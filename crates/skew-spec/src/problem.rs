//! What is wrong with a spec, where, and what to do about it.

use skew_core::text::shorten;
use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// At most so many problems are printed; the rest is counted.
const PRINTED: usize = 100;

/// Nothing longer is drawn, in bytes.
const DRAWN: usize = 4000;

/// Where something was written: a text and the bytes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The index of the text in [`Texts`].
    pub text: u32,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Place {
    /// The place of a range of bytes of a text.
    pub(crate) fn new(text: u32, range: std::ops::Range<usize>) -> Self {
        let bound = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { text, start: bound(range.start), end: bound(range.end) }
    }

    /// A part of this place, in bytes from its start.
    pub(crate) fn within(self, range: std::ops::Range<usize>) -> Self {
        let at = Self::new(self.text, range);
        Self {
            start: self.start.saturating_add(at.start),
            end: self.start.saturating_add(at.end).min(self.end),
            ..self
        }
    }
}

/// A text that was read: the spec, a recipe, an override.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// What people call it: the path as given, `--set …`, a variable.
    pub name: String,
    /// The directory that paths written in it are relative to.
    pub dir: PathBuf,
    /// All of it.
    pub body: Arc<str>,
}

/// The texts that were read, in order; the spec's own is the first.
pub(super) type Texts = Vec<Text>;

/// One problem, before it is joined with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    message: String,
    at: Place,
    label: String,
    also: Option<(Place, String)>,
    hint: Option<String>,
}

impl Problem {
    /// A problem at a place; the label says what is wrong there.
    pub(crate) fn new(at: Place, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { message: message.into(), at, label: label.into(), also: None, hint: None }
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points to a second place.
    pub(crate) fn also(mut self, at: Place, label: impl Into<String>) -> Self {
        self.also = Some((at, label.into()));
        self
    }

    /// A name that is none of those there are: names the closest and the valid ones.
    pub(crate) fn unknown<'a>(at: Place, what: &str, name: &str, valid: impl IntoIterator<Item = &'a str>) -> Self {
        let valid: Vec<&str> = valid.into_iter().collect();
        Self::new(at, format!("unknown {what} `{}`", brief(name)), format!("no such {what}"))
            .hint(suggest(what, name, &valid))
    }
}

/// `did you mean …? valid …s: …`
pub(super) fn suggest(what: &str, name: &str, valid: &[&str]) -> String {
    let listed = match valid.len() {
        0 => format!("there is no {what} here"),
        1..=30 => format!("valid: {}", list(valid)),
        more => format!("valid: {}, and {} more", list(&valid[..30]), more - 30),
    };
    match closest(name, valid) {
        Some(closest) => format!("did you mean `{closest}`? {listed}"),
        None => listed,
    }
}

/// `` `a`, `b` ``
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The candidate that is most likely meant: few letters differ, or one begins like the other.
fn closest<'a>(name: &str, valid: &[&'a str]) -> Option<&'a str> {
    let name: String = name.chars().take(100).collect::<String>().to_lowercase();
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let distance = strsim::osa_distance(&name, &candidate);
        let longest = name.chars().count().max(candidate.chars().count());
        let begins =
            name.len() > 2 && candidate.len() > 2 && (name.starts_with(&candidate) || candidate.starts_with(&name));
        (distance <= (longest / 3).max(1) || begins).then_some(distance)
    };
    let scored = valid.iter().filter_map(|candidate| Some((distance(candidate)?, *candidate)));
    scored.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Text from outside, bounded and without control characters.
pub(super) fn brief(text: &str) -> String {
    shorten(text, 80).chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// Collects problems; reading goes on after each.
#[derive(Debug, Default)]
pub(super) struct Sink(RefCell<Vec<Problem>>);

impl Sink {
    /// Notes a problem; the same one twice is one.
    pub(crate) fn push(&self, problem: Problem) {
        let mut problems = self.0.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Whether nothing was wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Joins what was found with the texts; `None` when nothing was.
    pub(crate) fn into_errors(self, texts: &Texts) -> Option<SpecErrors> {
        let mut problems = self.0.into_inner();
        if problems.is_empty() {
            return None;
        }
        problems.sort_by_key(|problem| problem.at);
        let shown: Vec<Arc<NamedSource<String>>> =
            texts.iter().map(|text| Arc::new(NamedSource::new(brief(&text.name), harmless(&text.body)))).collect();
        let errors = problems
            .into_iter()
            .map(|problem| SpecError { source: shown[problem.at.text as usize].clone(), problem })
            .collect();
        Some(SpecErrors { errors })
    }
}

/// The same text, byte for byte as long, without characters that act on a terminal.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => c,
            c if c.is_control() && c.len_utf8() == 1 => '?',
            c if c.is_control() => '·',
            c => c,
        })
        .collect()
}

/// One thing that is wrong with a spec.
#[derive(Debug, Clone)]
pub struct SpecError {
    problem: Problem,
    source: Arc<NamedSource<String>>,
}

impl SpecError {
    /// What is wrong: a lowercase fragment.
    pub fn message(&self) -> &str {
        &self.problem.message
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.problem.hint.as_deref()
    }

    /// The file or override it is in, and the line, from 1.
    pub fn location(&self) -> (&str, usize) {
        let start = (self.problem.at.start as usize).min(self.source.inner().len());
        let line = self.source.inner().as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
        (self.source.name(), line)
    }

    /// Whether its lines are short enough to be drawn: what is drawn below a line is as long as the line.
    fn is_drawable(&self) -> bool {
        let text = self.source.inner().as_bytes();
        let also = self.problem.also.as_ref().map(|(at, _)| *at).filter(|at| at.text == self.problem.at.text);
        [Some(self.problem.at), also].into_iter().flatten().all(|at| {
            let (start, end) = ((at.start as usize).min(text.len()), (at.end as usize).min(text.len()));
            // One line before and one after are drawn too.
            let before = text[..start].rsplit(|byte| *byte == b'\n').take(2).map(<[u8]>::len).sum::<usize>();
            let after = text[end..].split(|byte| *byte == b'\n').take(2).map(<[u8]>::len).sum::<usize>();
            before + end.saturating_sub(start) + after <= DRAWN
        })
    }

    /// It in words, for what cannot be drawn.
    fn in_words(&self) -> String {
        let (name, line) = self.location();
        let hint = self.hint().map(|hint| format!("\n  help: {hint}")).unwrap_or_default();
        format!("  × {self} ({name}, line {line}: {}){hint}\n", self.problem.label)
    }

    fn span(&self, at: Place, label: &str) -> LabeledSpan {
        let length = self.source.inner().len();
        let start = (at.start as usize).min(length);
        LabeledSpan::new(Some(label.to_owned()), start, (at.end as usize).clamp(start, length) - start)
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for SpecError {}

impl Diagnostic for SpecError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.is_drawable().then_some(&*self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let first = self.span(self.problem.at, &self.problem.label);
        // A second place in another text cannot be pointed at in this one.
        let also = self.problem.also.as_ref().filter(|(at, _)| at.text == self.problem.at.text);
        Some(Box::new(std::iter::once(first).chain(also.map(|(at, label)| self.span(*at, label)))))
    }
}

/// Everything that is wrong with a spec, in the order of its text.
#[derive(Debug, Clone)]
pub struct SpecErrors {
    errors: Vec<SpecError>,
}

impl SpecErrors {
    /// The errors, at least one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SpecError> {
        self.errors.iter()
    }

    /// All of them for people: each with its source line, a label and a hint; `width` in columns.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width.max(40))
            .with_links(false)
            .without_syntax_highlighting();
        let mut out = String::new();
        for error in self.errors.iter().take(PRINTED) {
            let drawn = out.len();
            // What cannot be drawn must not hide the message.
            if !error.is_drawable() || handler.render_report(&mut out, error).is_err() {
                out.truncate(drawn);
                out.push_str(&error.in_words());
            }
            out.push('\n');
        }
        out.push_str(&self.to_string());
        if self.errors.len() > PRINTED {
            out.push_str(&format!("; the first {PRINTED} are shown"));
        }
        out.push('\n');
        out
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = Vec::new();
        for error in &self.errors {
            if !names.contains(&error.source.name()) {
                names.push(error.source.name());
            }
        }
        let plural = if self.errors.len() == 1 { "error" } else { "errors" };
        let shown = names[..names.len().min(3)].join(", ");
        write!(f, "{} {plural} in {shown}", self.errors.len())?;
        if names.len() > 3 {
            write!(f, " and {} more", names.len() - 3)?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecErrors {}

impl Diagnostic for SpecErrors {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.errors.iter().map(|error| error as &dyn Diagnostic)))
    }
}

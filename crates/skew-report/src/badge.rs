//! The model as a badge: a small SVG for a page about the system.

use askama::Template;
use skew_core::text::thousands;

use super::model::{Model, State};

/// Characters of the system's name.
const LABEL: usize = 40;

#[derive(Template)]
#[template(path = "badge.svg", escape = "html")]
struct Badge {
    label: String,
    message: String,
    colour: &'static str,
    /// Widths in pixels: of the label, of the message and of both.
    left: usize,
    right: usize,
    width: usize,
    /// Where the texts' middles are.
    left_middle: usize,
    right_middle: usize,
}

/// The model as an SVG badge: the system's name, and what came of the sweep. It asks nobody for a font or a picture.
///
/// # Panics
/// Never: the template is filled from memory.
pub fn badge(model: &Model) -> String {
    let total = model.tally.total();
    let (message, colour) = match model.state {
        State::Good if total == 0 => ("nothing asked".to_owned(), "#595959"),
        State::Good => (format!("{} of {} pass", thousands(model.tally.pass), thousands(total)), "#1a7f37"),
        State::Wrong => {
            (format!("{} of {} not as expected", thousands(model.tally.wrong), thousands(total)), "#b3261e")
        }
        State::Unknown => (format!("{} not settled", thousands(model.tally.unknown)), "#8a5a00"),
    };
    let label = super::text::clean(&model.system, LABEL);
    let (left, right) = (width(&label), width(&message));
    let badge = Badge {
        colour,
        left,
        right,
        width: left + right,
        left_middle: left / 2,
        right_middle: left + right / 2,
        label,
        message,
    };
    badge.render().expect("a template without fallible filters renders into memory")
}

/// Pixels of a text at 11 px, with its margins; the SVG says so to the renderer, whatever its font.
fn width(text: &str) -> usize {
    let tenths: usize = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | '\'' | '|' | '!' => 34,
            'f' | 'r' | 't' | 'I' | ' ' | '-' | '/' | '(' | ')' => 44,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 102,
            'A'..='Z' => 78,
            c if c.is_ascii() => 67,
            _ => 110,
        })
        .sum();
    tenths / 10 + 12
}

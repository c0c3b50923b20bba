//! What is said in one line: notes among the events, and errors.

use std::sync::mpsc;

use skew_core::event::Event;

/// Says something that is no event of its own.
pub(super) fn note(events: &mpsc::Sender<Event>, text: String) {
    // Whoever showed events is gone: nobody is to be told.
    let _ = events.send(Event::Note(text));
}

/// An error and everything below it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}

//! Events → what a person sees on standard error while a sweep runs. Decides nothing.

mod line;
mod progress;

use std::io::Write;
use std::sync::mpsc;
use std::thread::JoinHandle;

use skew_core::event::Event;

pub use line::{escape, line, reason, seats};

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Quiet,
    /// One plain line an event, without colour or cursor movement; `verbose` adds the small ones.
    Plain {
        /// Whether every event is shown.
        verbose: bool,
    },
    /// What runs, what was decided and what is left, redrawn in place; failures scroll by above.
    Progress {
        /// Whether every event scrolls by.
        verbose: bool,
    },
}

/// A thread that shows events until every sender is gone.
pub struct Ui {
    sender: mpsc::Sender<Event>,
    thread: JoinHandle<()>,
}

impl Ui {
    /// Starts it.
    pub fn start(mode: Mode) -> Self {
        let (sender, events) = mpsc::channel();
        let thread = std::thread::spawn(move || match mode {
            Mode::Quiet => events.iter().for_each(drop),
            Mode::Plain { verbose } => plain(&events, verbose, &mut std::io::stderr()),
            Mode::Progress { verbose } => progress::show(&events, verbose),
        });
        Self { sender, thread }
    }

    /// Where events go; may be cloned.
    pub fn sender(&self) -> mpsc::Sender<Event> {
        self.sender.clone()
    }

    /// Shows what is still to be shown and ends; every other sender must be gone.
    pub fn finish(self) {
        drop(self.sender);
        // A panic in the display must not turn a good sweep into a bad one.
        let _ = self.thread.join();
    }
}

fn plain(events: &mpsc::Receiver<Event>, verbose: bool, out: &mut dyn Write) {
    for event in events {
        if let Some(text) = line(&event, verbose) {
            // Nobody reads standard error any more: the sweep goes on.
            let _ = writeln!(out, "{text}");
        }
    }
}

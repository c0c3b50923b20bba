//! Waiting for what is to come. What never came says what was there instead: on another machine nobody can look again.

use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take on the slowest machine: only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often it is looked for.
const AGAIN: Duration = Duration::from_millis(50);

/// Waits for something; `there` is what to tell of when it does not come.
#[track_caller]
pub fn wait<T, W: Display>(what: &str, mut look: impl FnMut() -> Option<T>, there: impl FnOnce() -> W) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}\n{}", there());
        std::thread::sleep(AGAIN);
    }
}

/// What a process says, read from its beginning to its end: it never finds nobody there.
#[derive(Clone)]
pub struct Said(Arc<Mutex<(String, bool)>>);

impl Said {
    /// Reads in the background.
    pub fn by(from: impl Read + Send + 'static) -> Self {
        let said = Self(Arc::default());
        let writing = said.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                writing.locked(|(text, _)| text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            writing.locked(|(_, ended)| *ended = true);
        });
        said
    }

    fn locked<T>(&self, look: impl FnOnce(&mut (String, bool)) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything until now.
    pub fn text(&self) -> String {
        self.locked(|(text, _)| text.clone())
    }

    /// Waits for a line, and gives it.
    #[track_caller]
    pub fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let look = || {
            // In this order: what it said last is looked at.
            let ended = self.locked(|(_, ended)| *ended);
            let text = self.text();
            let line = text.lines().find(|line| is_it(line)).map(str::to_owned);
            assert!(line.is_some() || !ended, "it ended and never said {what}:\n{text}");
            line
        };
        wait(what, look, || self.text())
    }

    /// Waits for a line with a text in it.
    #[track_caller]
    pub fn until_it_says(&self, text: &str) -> String {
        self.until(text, |line| line.contains(text))
    }
}

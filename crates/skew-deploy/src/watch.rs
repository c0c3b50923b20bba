//! Follows a network's events, so that others can wait for a line or an exit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use regex::Regex;
use skew_core::model::{Exit, NodeName};
use skew_host::lock;
use tokio::sync::watch;

use super::NodeEvent;

/// Lines remembered of a log's beginning, and of its end.
const HEAD: usize = 512;
const TAIL: usize = 2048;
/// Bytes remembered of each line.
const LINE: usize = 4096;

/// What a network's nodes said and whether they are alive. Fed with every event; asked by whoever waits.
#[derive(Debug)]
pub struct Watch {
    nodes: Mutex<BTreeMap<NodeName, Seen>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    head: Vec<Kept>,
    tail: VecDeque<Kept>,
    /// Lines so far.
    count: u64,
    exit: Option<Exit>,
}

/// A line that is remembered.
#[derive(Debug)]
struct Kept {
    at_ms: u64,
    text: String,
    /// Whether it was longer than what is remembered of it.
    cut: bool,
}

impl Seen {
    /// The lines that are remembered, from the `from`th of all lines on.
    fn lines(&self, from: u64) -> impl Iterator<Item = &Kept> {
        let gap = self.gap();
        let head = self.head.iter().enumerate().map(|(i, line)| (i as u64, line));
        let tail = self.tail.iter().enumerate().map(move |(i, line)| (gap + i as u64, line));
        head.chain(tail).filter(move |(i, _)| *i >= from).map(|(_, line)| line)
    }

    /// The place of the first line of the tail: those between the head and it are forgotten.
    fn gap(&self) -> u64 {
        self.count - self.tail.len() as u64
    }

    /// Lines from the `from`th on that are forgotten, or remembered in part only.
    fn unseen(&self, from: u64) -> u64 {
        let forgotten = self.gap().saturating_sub(from.max(self.head.len() as u64));
        forgotten + self.lines(from).filter(|line| line.cut).count() as u64
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self { nodes: Mutex::default(), changed: watch::channel(0).0 }
    }
}

impl Watch {
    /// Remembers an event and wakes whoever waits.
    pub fn feed(&self, event: &NodeEvent) {
        match event {
            NodeEvent::Log { node, line, at_ms, .. } => {
                let mut nodes = self.lock();
                let seen = nodes.entry(node.clone()).or_default();
                seen.count += 1;
                let end = line.char_indices().nth(LINE).map(|(end, _)| end);
                let text = line[..end.unwrap_or(line.len())].to_owned();
                let line = Kept { at_ms: *at_ms, text, cut: end.is_some() };
                if seen.head.len() < HEAD {
                    seen.head.push(line);
                } else {
                    if seen.tail.len() == TAIL {
                        seen.tail.pop_front();
                    }
                    seen.tail.push_back(line);
                }
            }
            NodeEvent::Exit(exit) => {
                self.lock().entry(exit.node.clone()).or_default().exit = Some(exit.clone());
            }
        }
        self.changed.send_modify(|n| *n += 1);
    }

    /// How the node exited, when it did.
    pub fn exit(&self, node: &NodeName) -> Option<Exit> {
        self.lock().get(node).and_then(|seen| seen.exit.clone())
    }

    /// The lines of a node's log that are remembered, with their times in milliseconds.
    pub fn lines(&self, node: &NodeName) -> Vec<(u64, String)> {
        let nodes = self.lock();
        let lines = nodes.get(node).map(|seen| seen.lines(0).map(|line| (line.at_ms, line.text.clone())).collect());
        lines.unwrap_or_default()
    }

    /// Waits until the node exits.
    pub async fn exited(&self, node: &NodeName) -> Exit {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(exit) = self.exit(node) {
                return exit;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until one of the nodes has exited in a way that counts.
    pub async fn any_exited(&self, nodes: &[&NodeName], counts: impl Fn(&Exit) -> bool) -> Exit {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(exit) = nodes.iter().filter_map(|node| self.exit(node)).find(&counts) {
                return exit;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for a line that matches, in what was printed so far or later. `unseen` counts the lines that could not be
    /// looked at: those that were forgotten before, and those of which only the beginning is remembered.
    pub async fn line(&self, node: &NodeName, pattern: &Regex, unseen: &mut u64) -> String {
        let mut changed = self.changed.subscribe();
        let mut from = 0;
        loop {
            {
                let nodes = self.lock();
                if let Some(seen) = nodes.get(node) {
                    if let Some(line) = seen.lines(from).find(|line| pattern.is_match(&line.text)) {
                        return line.text.clone();
                    }
                    *unseen += seen.unseen(from);
                    from = seen.count;
                }
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Seen>> {
        lock(&self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stream;
    use super::*;

    fn say(watch: &Watch, node: &NodeName, line: String) {
        watch.feed(&NodeEvent::Log { node: node.clone(), stream: Stream::Stdout, line, at_ms: 0 });
    }

    #[tokio::test]
    async fn lines_are_found_whenever_they_come() {
        let (watch, node) = (Watch::default(), NodeName::new("a-0").unwrap());
        say(&watch, &node, "hello 1".into());
        let pattern = Regex::new("hello [12]").unwrap();
        assert_eq!(watch.line(&node, &pattern, &mut 0).await, "hello 1");
        let pattern = Regex::new("^later$").unwrap();
        let mut unseen = 0;
        let (line, ()) = tokio::join!(watch.line(&node, &pattern, &mut unseen), async {
            tokio::task::yield_now().await;
            say(&watch, &node, "later".into());
        });
        assert_eq!(line, "later");
    }

    #[test]
    fn the_beginning_and_the_end_are_remembered() {
        let (watch, node) = (Watch::default(), NodeName::new("a-0").unwrap());
        for n in 0..(HEAD + TAIL + 100) {
            say(&watch, &node, n.to_string());
        }
        let lines = watch.lines(&node);
        assert_eq!(lines.len(), HEAD + TAIL);
        assert_eq!(lines[0].1, "0");
        assert_eq!(lines.last().unwrap().1, (HEAD + TAIL + 99).to_string());
        let nodes = watch.lock();
        assert_eq!(nodes[&node].lines((HEAD + 50) as u64).next().unwrap().text, (HEAD + 100).to_string());
    }

    #[tokio::test]
    async fn lines_that_could_not_be_looked_at_are_counted() {
        let (watch, node) = (Watch::default(), NodeName::new("a-0").unwrap());
        let never = Regex::new("never").unwrap();
        let look = async |unseen: &mut u64| {
            let looked = watch.line(&node, &never, unseen);
            assert!(tokio::time::timeout(std::time::Duration::from_millis(1), looked).await.is_err());
        };
        let mut unseen = 0;
        for n in 0..(HEAD + TAIL) {
            say(&watch, &node, n.to_string());
        }
        look(&mut unseen).await;
        assert_eq!(unseen, 0);
        for n in 0..7 {
            say(&watch, &node, n.to_string());
        }
        say(&watch, &node, "x".repeat(LINE + 1));
        look(&mut unseen).await;
        assert_eq!(unseen, 8 + 1, "eight are forgotten, one is cut");
    }

    #[tokio::test]
    async fn exits_are_seen() {
        let (watch, node) = (Watch::default(), NodeName::new("a-0").unwrap());
        let exit = Exit { node: node.clone(), code: Some(3), signal: None, out_of_memory: false, at_ms: 1 };
        let (seen, ()) = tokio::join!(watch.exited(&node), async {
            tokio::task::yield_now().await;
            watch.feed(&NodeEvent::Exit(exit.clone()));
        });
        assert_eq!(seen, exit);
    }
}

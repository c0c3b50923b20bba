//! Progress on a terminal: a line for everything that runs, a bar for what is decided, failures scrolling by above.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use skew_core::event::Event;
use skew_core::model::{RoleName, VerdictKind, VersionId};

use super::line::{LONGEST, escape, line, reason, seats};

/// How often spinners turn.
const TICK: Duration = Duration::from_millis(120);

struct Screen {
    all: MultiProgress,
    cells: ProgressBar,
    builds: BTreeMap<(RoleName, VersionId), ProgressBar>,
    networks: BTreeMap<usize, ProgressBar>,
    bad: usize,
    verbose: bool,
}

/// Shows events until every sender is gone.
pub(super) fn show(events: &mpsc::Receiver<Event>, verbose: bool) {
    let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let cells = all.add(ProgressBar::new(0));
    cells.set_style(style("{bar:30} {pos}/{len} cells decided  {elapsed}  {msg}"));
    let mut screen = Screen { all, cells, builds: BTreeMap::new(), networks: BTreeMap::new(), bad: 0, verbose };
    for event in events {
        screen.take(&event);
    }
    for bar in screen.builds.values().chain(screen.networks.values()) {
        bar.finish_and_clear();
    }
    screen.cells.finish_and_clear();
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are literals of this file")
}

impl Screen {
    fn spinner(&self, text: String) -> ProgressBar {
        let bar = self.all.insert_before(&self.cells, ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {wide_msg} {elapsed}"));
        bar.set_message(text);
        bar.enable_steady_tick(TICK);
        bar
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::SweepStarted { cells, open, .. } => {
                self.cells.set_length(*cells as u64);
                self.cells.set_position(cells.saturating_sub(*open) as u64);
                self.cells.enable_steady_tick(Duration::from_millis(500));
            }
            Event::BuildStarted { role, version } => {
                let bar = self.spinner(format!("build {role}@{version}"));
                self.builds.insert((role.clone(), version.clone()), bar);
            }
            Event::BuildEnded { role, version, .. } => {
                if let Some(bar) = self.builds.remove(&(role.clone(), version.clone())) {
                    bar.finish_and_clear();
                }
            }
            Event::NetworkStarted { plan, ordinal } => {
                let text = format!("network {ordinal}: {} ({})", seats(plan), reason(&plan.reason));
                let bar = self.spinner(text);
                self.networks.insert(*ordinal, bar);
            }
            Event::NetworkEnded { ordinal, .. } | Event::NetworkPutBack { ordinal, .. } => {
                if let Some(bar) = self.networks.remove(ordinal) {
                    bar.finish_and_clear();
                }
            }
            Event::Decided { verdict, open, .. } => {
                let total = self.cells.length().unwrap_or(0);
                self.cells.set_position(total.saturating_sub(*open as u64));
                if verdict.kind != VerdictKind::Pass {
                    self.bad += 1;
                    self.cells.set_message(format!("{} not passing", self.bad));
                }
            }
            Event::Stopping(why) => self.cells.set_message(format!("stopping: {}", escape(why, LONGEST))),
            Event::Note(_)
            | Event::Said { .. }
            | Event::PushEnded { .. }
            | Event::NodeReady { .. }
            | Event::SweepEnded { .. } => {}
        }
        if self.scrolls(event)
            && let Some(text) = line(event, self.verbose)
        {
            // A terminal that went away is no reason to stop a sweep.
            let _ = self.all.println(text);
        }
    }

    /// What runs is drawn in place: only what stays interesting scrolls by.
    fn scrolls(&self, event: &Event) -> bool {
        match event {
            Event::BuildStarted { .. }
            | Event::NetworkStarted { .. }
            | Event::NetworkPutBack { .. }
            | Event::NodeReady { .. } => self.verbose,
            Event::NetworkEnded { error, .. } => self.verbose || error.is_some(),
            Event::SweepStarted { .. }
            | Event::Note(_)
            | Event::Said { .. }
            | Event::BuildEnded { .. }
            | Event::PushEnded { .. }
            | Event::Decided { .. }
            | Event::Stopping(_)
            | Event::SweepEnded { .. } => true,
        }
    }
}

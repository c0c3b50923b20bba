//! The one owner of signals: the first stops cleanly, the second kills.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use skew_core::model::CutShort;
use tokio::sync::watch;

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody wants it to stop.
    Go,
    /// What runs is finished, nothing begins.
    Finish,
    /// What runs is torn down at once.
    Kill,
}

/// Tells every part of a sweep how far stopping has come. Clones speak of the same sweep.
#[derive(Debug, Clone)]
pub struct Stop {
    stage: Arc<watch::Sender<Stage>>,
    killed: Arc<watch::Sender<bool>>,
    interrupted: Arc<AtomicBool>,
    cut_short: Arc<OnceLock<CutShort>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Nobody wants it to stop yet.
    pub fn new() -> Self {
        Self {
            stage: Arc::new(watch::Sender::new(Stage::Go)),
            killed: Arc::new(watch::Sender::new(false)),
            interrupted: Arc::default(),
            cut_short: Arc::default(),
        }
    }

    /// Goes on to a stage; never back.
    pub fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let further = to > *stage;
            if further {
                *stage = to;
            }
            further
        });
        if to == Stage::Kill {
            self.killed.send_replace(true);
        }
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Becomes true when everything must end now.
    pub fn killed(&self) -> watch::Receiver<bool> {
        self.killed.subscribe()
    }

    /// Whether a signal asked for it, and not a budget.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Goes on to a stage because a limit of time passed; the first limit is the reason that is given.
    pub fn cut_short(&self, by: CutShort, to: Stage) {
        let _ = self.cut_short.set(by);
        self.advance(to);
    }

    /// The limit of time that ended it; none when none did.
    pub fn limit(&self) -> Option<CutShort> {
        self.cut_short.get().copied()
    }

    /// Waits until stopping has gone further than this stage.
    pub async fn passed(&self, stage: Stage) {
        let mut watch = self.stage.subscribe();
        // The sender is held by `self`: waiting cannot fail.
        let _ = watch.wait_for(|now| *now > stage).await;
    }

    /// From now on the first SIGINT, SIGTERM or SIGHUP means [`Stage::Finish`], the next [`Stage::Kill`].
    pub fn listen(&self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let stop = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                stop.interrupted.store(true, Ordering::Relaxed);
                let next = if stop.stage() == Stage::Go { Stage::Finish } else { Stage::Kill };
                stop.advance(next);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_only_go_forward() {
        let stop = Stop::new();
        stop.advance(Stage::Kill);
        stop.advance(Stage::Finish);
        assert_eq!(stop.stage(), Stage::Kill);
        stop.passed(Stage::Finish).await;
        assert!(!stop.is_interrupted());
    }

    #[test]
    fn the_first_limit_is_the_reason() {
        let stop = Stop::new();
        assert_eq!(stop.limit(), None);
        stop.cut_short(CutShort::Budget, Stage::Finish);
        stop.clone().cut_short(CutShort::Limit, Stage::Kill);
        assert_eq!((stop.limit(), stop.stage()), (Some(CutShort::Budget), Stage::Kill));
    }
}

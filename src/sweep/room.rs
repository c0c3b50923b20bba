//! How many networks run at once where there may not be room for all: half as many once one finds none, and one more for
//! as many as run when they had some, as TCP finds what a line carries. Pure: no clock, no events.

use std::time::Duration;

/// The pause after the first network that found no room; each time in a row it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a network that is alone is tried before that is recorded: what was there before it may still be going.
const TRIES_ALONE: u32 = 2;

/// How many networks run at once.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    now: usize,
    /// How often it became less. What began before the last time says nothing new.
    round: u64,
    /// How many had room since it last changed.
    had: usize,
    /// How often in a row there was none.
    vain: u32,
    /// How often in a row there was none for a network that was alone.
    vain_alone: u32,
}

/// What is remembered of a network when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    round: u64,
    alone: bool,
}

/// What becomes of a network that found no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowded {
    /// It is put back; nothing begins before the pause is over.
    Later {
        /// The pause.
        pause: Duration,
    },
    /// It was alone, again and again: there will be none.
    Never,
}

impl Room {
    /// At most so many at once; nothing is known of the room.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { most, now: most, round: 0, had: 0, vain: 0, vain_alone: 0 }
    }

    /// How many may begin while so many run.
    pub(super) fn free(&self, running: usize) -> usize {
        self.now.saturating_sub(running)
    }

    /// A network begins while so many others run.
    pub(super) fn begin(&self, others: usize) -> Ticket {
        Ticket { round: self.round, alone: self.now == 1 && others == 0 }
    }

    /// A network had room.
    pub(super) fn had_some(&mut self) {
        (self.vain, self.vain_alone) = (0, 0);
        if self.now < self.most {
            self.had += 1;
            if self.had >= self.now {
                (self.now, self.had) = (self.now + 1, 0);
            }
        }
    }

    /// A network ran while the machine was overloaded: from now on half as many run at once, and never more again, since a
    /// cell is not asked for ever. Whether that is fewer.
    pub(super) fn overloaded(&mut self, ticket: Ticket) -> bool {
        if ticket.round != self.round || self.now == 1 {
            return false;
        }
        self.most = (self.now / 2).max(1);
        (self.now, self.round, self.had) = (self.most, self.round + 1, 0);
        true
    }

    /// A network found none while so many others ran.
    pub(super) fn had_none(&mut self, ticket: Ticket, others: usize) -> Crowded {
        if ticket.alone {
            self.vain_alone += 1;
            if self.vain_alone >= TRIES_ALONE {
                (self.vain, self.vain_alone) = (0, 0);
                return Crowded::Never;
            }
        }
        // Those that began together find together that they are too many: that is one finding.
        if ticket.round == self.round {
            self.now = (self.now.min(others + 1) / 2).max(1);
            (self.round, self.had) = (self.round + 1, 0);
            self.vain += 1;
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.vain.saturating_sub(1).min(16));
        Crowded::Later { pause: doubled.min(LONGEST_PAUSE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn later(ms: u64) -> Crowded {
        Crowded::Later { pause: Duration::from_millis(ms) }
    }

    #[test]
    fn it_halves_once_for_all_that_began_together() {
        let mut room = Room::new(50);
        let together = room.begin(0);
        assert_eq!(room.had_none(together, 49), later(100));
        assert_eq!(room.free(0), 25);
        for others in (20..49).rev() {
            assert_eq!(room.had_none(together, others), later(100));
        }
        assert_eq!((room.free(20), room.free(25), room.free(30)), (5, 0, 0));
        // Fewer ran than might have: those were too many.
        let next = room.begin(9);
        assert_eq!(room.had_none(next, 9), later(200));
        assert_eq!(room.free(0), 5);
    }

    #[test]
    fn it_grows_by_one_for_as_many_as_run_and_not_above_the_most() {
        let mut room = Room::new(4);
        room.had_none(room.begin(3), 3);
        assert_eq!(room.free(0), 2);
        let mut grown = Vec::new();
        for _ in 0..8 {
            room.had_some();
            grown.push(room.free(0));
        }
        assert_eq!(grown, [2, 3, 3, 3, 4, 4, 4, 4]);
    }

    #[test]
    fn under_overload_it_halves_for_good() {
        let mut room = Room::new(5);
        let together = room.begin(0);
        assert!(room.overloaded(together) && !room.overloaded(together), "once for all that began together");
        assert_eq!(room.free(0), 2);
        (0..10).for_each(|_| room.had_some());
        assert_eq!(room.free(0), 2);
        assert!(room.overloaded(room.begin(0)) && !room.overloaded(room.begin(0)), "one at a time is the least");
        assert_eq!(room.free(0), 1);
    }

    #[test]
    fn pauses_double_until_somebody_has_room() {
        let mut room = Room::new(1 << 12);
        let pauses: Vec<Crowded> = (0..11).map(|_| room.had_none(room.begin(1 << 11), 1 << 11)).collect();
        assert_eq!(pauses[..4], [later(100), later(200), later(400), later(800)]);
        assert_eq!(pauses[10], later(30_000));
        room.had_some();
        assert_eq!(room.had_none(room.begin(1), 1), later(100));
    }

    #[test]
    fn who_is_alone_and_finds_none_again_and_again_never_will() {
        let mut room = Room::new(2);
        assert_eq!(room.had_none(room.begin(1), 1), later(100));
        for tries in 1..TRIES_ALONE {
            assert!(matches!(room.had_none(room.begin(0), 0), Crowded::Later { .. }), "{tries}");
        }
        assert_eq!(room.had_none(room.begin(0), 0), Crowded::Never);
        // The next one has its own tries.
        assert_eq!(room.had_none(room.begin(0), 0), later(100));
        // So has one that comes after somebody had room.
        room.had_some();
        assert_eq!(room.free(0), 2);
        room.had_none(room.begin(1), 1);
        assert!(matches!(room.had_none(room.begin(0), 0), Crowded::Later { .. }));
    }
}

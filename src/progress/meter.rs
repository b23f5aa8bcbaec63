//! Counts items and reads the clock from time to time.

use std::time::{Duration, Instant};

use super::screen::{Line, Screen};

/// The interval at which the line is drawn.
const REFRESH: Duration = Duration::from_millis(100);
/// The interval at which the clock is read. The line is late by at most this much if the items keep
/// their speed.
const LOOK: Duration = Duration::from_millis(10);
/// Maximum number of items between two reads of the clock. More would save nothing, and be late
/// where quick items are followed by slow ones.
const MOST_UNSEEN: u64 = 64;

/// One line of progress with its counts.
#[derive(Debug)]
pub(crate) struct Meter {
    line: Line,
    started: Instant,
    /// The count at which the clock is read again.
    next_look: u64,
    n_unseen: u64,
    last_look: Instant,
    last_drawn: Instant,
    screen: Screen,
    is_finished: bool,
}

impl Meter {
    /// Shows that nothing is done yet.
    #[inline(never)]
    pub(crate) fn new(label: &str, total: Option<u64>) -> Meter {
        let line = Line::new(label, total);
        let now = Instant::now();
        let mut screen = Screen::detect();
        screen.draw(std::slice::from_ref(&line), Duration::ZERO);
        Meter {
            line,
            started: now,
            next_look: 1,
            n_unseen: 1,
            last_look: now,
            last_drawn: now,
            screen,
            is_finished: false,
        }
    }

    /// Counts another item as done.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.line.done += 1;
        if self.line.done >= self.next_look {
            self.look();
        }
    }

    /// The number of items done.
    #[cfg(test)]
    pub(crate) fn done(&self) -> u64 {
        self.line.done
    }

    #[inline(never)]
    fn look(&mut self) {
        let now = Instant::now();
        let took = now.duration_since(self.last_look);
        self.n_unseen = match took {
            quick if quick < LOOK / 2 => (2 * self.n_unseen).min(MOST_UNSEEN),
            slow if slow > LOOK => (self.n_unseen / 2).max(1),
            _ => self.n_unseen,
        };
        self.next_look = self.line.done + self.n_unseen;
        self.last_look = now;
        if now.duration_since(self.last_drawn) >= REFRESH {
            self.last_drawn = now;
            self.screen.draw(
                std::slice::from_ref(&self.line),
                now.duration_since(self.started),
            );
        }
    }

    /// Shows the last state, once.
    #[inline(never)]
    pub(crate) fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_finished, true) {
            let elapsed = self.started.elapsed();
            self.screen
                .finish(std::slice::from_ref(&self.line), elapsed);
        }
    }
}

impl Drop for Meter {
    /// A loop that exits early leaves its last state on screen.
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_not_asked_for_each_of_many_quick_items() {
        let mut meter = Meter::new("", Some(100_000));
        for _ in 0..100_000 {
            meter.advance();
        }
        assert_eq!(meter.done(), 100_000);
        assert!(meter.n_unseen > 1, "{}", meter.n_unseen);
        assert!(meter.next_look <= 100_000 + MOST_UNSEEN);
    }
}

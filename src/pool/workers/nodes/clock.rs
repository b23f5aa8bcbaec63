//! The offset between a node's clock and this machine's.

use std::collections::VecDeque;

use crate::sys::clock::monotonic_ns;

/// The number of round trips to remember: clocks drift, by some microseconds per second.
const N_TRIPS: usize = 16;

/// The node's clock, estimated from round trips: a block is sent, and its results come back.
///
/// ```text
///  here   sent ────────────────────────────────────▶ came back
///  there        ──▶ received ── tasks ── sent ──▶
/// ```
///
/// As in NTP (RFC 5905, section 8): if both directions took the same time, the midpoints of both
/// clocks' times are the same moment. The error is at most half of the travel time, so the shortest
/// trip counts.
#[derive(Debug, Default)]
pub(super) struct Clock {
    is_own: bool,
    trips: VecDeque<Trip>,
}

#[derive(Debug, Clone, Copy)]
struct Trip {
    on_the_way_ns: i64,
    /// How far the node's clock is ahead.
    ahead_ns: i64,
}

impl Clock {
    /// The clock of a node; a node on this machine uses this machine's clock.
    pub(super) fn of_node(is_here: bool) -> Clock {
        Clock {
            is_own: is_here,
            trips: VecDeque::new(),
        }
    }

    /// Records a round trip that has just ended: when it began on this machine, and, by the node's
    /// clock, when the block arrived there and when the results were sent back.
    pub(super) fn note(&mut self, sent_ns: u64, there_ns: (u64, u64)) {
        self.note_at(monotonic_ns(), sent_ns, there_ns);
    }

    fn note_at(&mut self, now_ns: u64, sent_ns: u64, (came_ns, went_ns): (u64, u64)) {
        let (now, sent) = (now_ns as i64, sent_ns as i64);
        let (came, went) = (came_ns as i64, went_ns as i64);
        self.trips.truncate(N_TRIPS - 1);
        self.trips.push_front(Trip {
            on_the_way_ns: (now - sent) - (went - came),
            ahead_ns: came.midpoint(went) - sent.midpoint(now),
        });
    }

    /// Converts a time of the node's clock to this machine's. Nothing in a block can happen before
    /// it was sent, or in the future.
    pub(super) fn here(&self, there_ns: u64, sent_ns: u64) -> u64 {
        let shortest = self.trips.iter().min_by_key(|trip| trip.on_the_way_ns);
        let ahead_ns = match shortest {
            Some(trip) if !self.is_own => trip.ahead_ns,
            _ => 0,
        };
        let here_ns = there_ns.saturating_add_signed(-ahead_ns);
        here_ns.clamp(sent_ns, monotonic_ns().max(sent_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_trip_says_how_far_the_clocks_are_apart() {
        let mut clock = Clock::of_node(false);
        // The node's clock is 1,000,000 ahead. The first trip has a queue on the way to the node,
        // the second has none.
        clock.note_at(2_000, 1_000, (1_001_800, 1_001_900));
        clock.note_at(3_200, 3_000, (1_003_050, 1_003_150));
        clock.note_at(9_000, 4_000, (1_004_100, 1_004_200));
        assert_eq!(clock.here(1_003_100, 0), 3_100);
        assert_eq!(
            clock.here(1_003_100, 3_110),
            3_110,
            "not before it was sent"
        );
        assert!(
            clock.here(u64::MAX, 0) <= monotonic_ns(),
            "not in the future"
        );
    }

    #[test]
    fn a_node_on_this_machine_has_its_clock() {
        let mut clock = Clock::of_node(true);
        clock.note_at(2_000, 1_000, (1_001_800, 1_001_900));
        assert_eq!(clock.here(1_500, 1_000), 1_500);
    }

    #[test]
    fn old_trips_are_forgotten() {
        let mut clock = Clock::of_node(false);
        clock.note_at(100, 0, (50, 50));
        for _ in 0..N_TRIPS {
            clock.note_at(1_000, 0, (510, 510));
        }
        assert_eq!(clock.here(110, 0), 100);
    }
}

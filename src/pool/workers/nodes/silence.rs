//! How long a station has been silent, and what its relay does about it.

use std::time::Duration;

/// A station that was silent for this long is sent a ping.
const ASKED_AFTER: Duration = Duration::from_secs(2);
/// A station that was silent for this long is lost.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(10);

/// The time in which nothing has moved between a relay and its station while results were due.
///
/// Frames are carried in order, so a reply to a ping arrives behind all that was sent before it.
/// That may take longer than any limit, so what counts is whether bytes move, and not whether a
/// whole message does.
#[derive(Default)]
pub(super) struct Silence {
    lasted: Duration,
    moved_bytes: u64,
    was_asked: bool,
}

/// What to do about a station's silence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    Ask,
    Lose,
}

impl Silence {
    /// A message has arrived.
    pub(super) fn end(&mut self) {
        (self.lasted, self.was_asked) = (Duration::ZERO, false);
    }

    /// The relay has waited: `moved_bytes` is the number of bytes that have moved so far.
    pub(super) fn after(&mut self, waited: Duration, moved_bytes: u64) -> Step {
        if self.moved_bytes != moved_bytes {
            (self.lasted, self.moved_bytes) = (Duration::ZERO, moved_bytes);
        }
        self.lasted += waited;
        if self.lasted >= LOST_AFTER {
            return Step::Lose;
        }
        if self.lasted >= ASKED_AFTER && !self.was_asked {
            self.was_asked = true;
            return Step::Ask;
        }
        Step::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_station_is_asked_once_and_lost() {
        let mut silence = Silence::default();
        let steps: Vec<Step> = (0..10).map(|_| silence.after(SECOND, 0)).collect();
        let asked = steps.iter().position(|step| *step == Step::Ask);
        assert_eq!(asked, Some(1), "{steps:?}");
        assert_eq!(steps.iter().filter(|step| **step == Step::Ask).count(), 1);
        assert_eq!(steps[9], Step::Lose);
    }

    #[test]
    fn a_station_whose_large_value_is_on_its_way_is_not_lost() {
        let mut silence = Silence::default();
        for second in 1..100 {
            assert_ne!(silence.after(SECOND, second), Step::Lose);
        }
        assert_eq!(
            (0..9)
                .filter(|_| silence.after(SECOND, 99) == Step::Lose)
                .count(),
            1
        );
    }

    /// The ping itself moves: that alone must not keep a stopped station.
    #[test]
    fn a_ping_that_is_handed_over_keeps_no_station() {
        let mut silence = Silence::default();
        let mut moved_bytes = 0;
        let lost = (0..30).find(|_| match silence.after(SECOND, moved_bytes) {
            Step::Ask => {
                moved_bytes += 40;
                false
            }
            step => step == Step::Lose,
        });
        assert_eq!(lost, Some(11));
    }

    #[test]
    fn a_station_that_answers_is_asked_again() {
        let mut silence = Silence::default();
        let asks = |silence: &mut Silence| {
            (0..5)
                .filter(|_| silence.after(SECOND, 0) == Step::Ask)
                .count()
        };
        assert_eq!(asks(&mut silence), 1);
        silence.end();
        assert_eq!(asks(&mut silence), 1);
    }
}

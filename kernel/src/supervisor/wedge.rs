//! Observations of a waiting cell: pure, and so tested without a cell.

use std::time::Instant;

/// The number of identical observations in a row that are required.
pub(super) const N_LOOKS: u32 = 3;

/// The observations of a cell.
pub(super) struct Wedge {
    pub(super) looked_at: Instant,
    /// Where its threads wait.
    seen: Option<String>,
    pub(super) n_seen: u32,
}

impl Wedge {
    pub(super) fn new() -> Wedge {
        Wedge {
            looked_at: Instant::now(),
            seen: None,
            n_seen: 0,
        }
    }

    /// Records where the threads wait, if all do; returns whether to show the message now.
    pub(super) fn see(&mut self, waits: Option<String>) -> bool {
        self.looked_at = Instant::now();
        let is_same = waits.is_some() && self.seen == waits;
        self.n_seen = match (is_same, waits.is_some()) {
            (true, _) => self.n_seen + 1,
            (false, true) => 1,
            (false, false) => 0,
        };
        self.seen = waits;
        self.n_seen == N_LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_several_looks_that_see_the_same() {
        let mut wedge = Wedge::new();
        let mut see = |waits: &str| wedge.see((!waits.is_empty()).then(|| waits.to_owned()));
        for waits in ["a", "a", "b", "b", "", "a", "a"] {
            assert!(!see(waits), "{waits}");
        }
        assert!(see("a"));
        assert!(!see("a"), "once");
    }
}

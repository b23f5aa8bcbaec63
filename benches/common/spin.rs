//! Tasks of a given duration.

use std::time::{Duration, Instant};

/// Computes for `time_ns`; returns how often it read the clock.
pub fn spin(time_ns: u64) -> u64 {
    let until = Instant::now() + Duration::from_nanos(time_ns);
    let mut n_looks = 0;
    while Instant::now() < until {
        n_looks += 1;
    }
    n_looks
}

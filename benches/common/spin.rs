//! Tasks that take as long as they are told to.

use std::time::{Duration, Instant};

/// Computes for so long; what it gives is how often it looked at the clock.
pub fn spin(time_ns: u64) -> u64 {
    let until = Instant::now() + Duration::from_nanos(time_ns);
    let mut n_looks = 0;
    while Instant::now() < until {
        n_looks += 1;
    }
    n_looks
}

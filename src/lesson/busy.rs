//! Is anybody else computing on this machine?
//!
//! Where every processor is taken, a case of one process and a case of several are not disturbed alike: who waits
//! for others waits for the last of them to get its turn. All rounds then agree, on something wrong.

use std::thread::sleep;
use std::time::Duration;

use crate::cpus::Cpus;

const N_LOOKS: usize = 5;
/// Long enough for a pool's workers, which spin for a moment after their work, to be asleep.
const PAUSE: Duration = Duration::from_millis(1);
/// What others' turns cannot make of two times that are alike: a ratio beyond this holds on a busy machine, too.
pub(super) const BEYOND_DOUBT: f64 = 10.0;

/// Whether other programs keep all processors of this machine busy.
pub(super) fn is_machine_busy() -> bool {
    let n_cpus = Cpus::detect().online();
    let is_taken = |_: &usize| {
        sleep(PAUSE);
        let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        n_others(&text).is_some_and(|others| others >= n_cpus)
    };
    // One look may meet an interrupt or a moment's work.
    (0..N_LOOKS).filter(is_taken).count() > N_LOOKS / 2
}

/// How many threads besides this one are running or could run, from the text of `/proc/loadavg`.
fn n_others(text: &str) -> Option<usize> {
    let (runnable, _) = text.split_whitespace().nth(3)?.split_once('/')?;
    runnable.parse::<usize>().ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_does_not_count() {
        assert_eq!(n_others("0.20 0.18 0.12 3/186 5411"), Some(2));
        assert_eq!(n_others("0.20 0.18 0.12 1/186 5411"), Some(0));
        assert_eq!(n_others("0.20 0.18 0.12 0/0 1"), None);
        assert_eq!(n_others(""), None);
    }
}

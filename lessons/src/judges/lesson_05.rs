//! Lesson 05: how many workers, and none of them left.

use std::path::Path;

use super::finding::{Finding, untouched, wrong};

/// For each of the check cell's four measurements: the right number of workers, the largest number
/// that was tried, and the number that was fastest.
const MEASUREMENTS: [[usize; 3]; 4] = [[2, 16, 4], [4, 16, 4], [1, 4, 1], [8, 16, 16]];

/// 05.1: `right_n(…)` for each of [`MEASUREMENTS`].
pub(crate) fn right_n(answers: &[usize]) -> Finding {
    if answers.len() != MEASUREMENTS.len() {
        return wrong("leave the check cell as it was: it makes four calls".into());
    }
    let all = |column: usize| {
        let wanted = MEASUREMENTS.iter().map(|row| row[column]);
        answers.iter().copied().eq(wanted)
    };
    if all(0) {
        return Ok("2, 4, 1 and 8: as many as bring something, and no more.".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return untouched("`right_n` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    let cause = if all(1) {
        "More workers are not more speed: look at the speed-ups beyond the knee."
    } else if all(2) {
        "That is the fastest each time, if only by a hair. How few workers reach 95 % of it?"
    } else if answers.iter().all(|answer| *answer == 1) {
        "One worker always has the most speed for each worker. But you wait for the speed-up, not for the ratio."
    } else {
        "The first in the row whose speed-up is at least 0.95 times the best one (hints)."
    };
    wrong(format!("got {answers:?}, expected [2, 4, 1, 8]. {cause}"))
}

/// The check cell's sessions: cores, megabytes, megabytes of the parent, megabytes of each worker.
const SESSIONS: [[usize; 4]; 3] = [
    [4, 4_096, 1_000, 500],
    [4, 4_096, 2_000, 1_000],
    [4, 1_000, 1_500, 100],
];

/// 05.2: `fitting(…)` for each of [`SESSIONS`].
pub(crate) fn fitting(answers: &[usize]) -> Finding {
    if answers.len() != SESSIONS.len() {
        return wrong("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return untouched("`fitting` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    let all = |rule: fn([usize; 4]) -> usize| {
        answers
            .iter()
            .zip(SESSIONS)
            .all(|(answer, session)| *answer == rule(session))
    };
    if all(|[cores, memory, parent, each]| (memory.saturating_sub(parent) / each).clamp(1, cores)) {
        return Ok("4, 2 and 1: the tighter of two limits.".into());
    }
    let cause = if all(|[cores, memory, parent, each]| (memory / (parent + each)).clamp(1, cores)) {
        "That gives every worker a copy of the parent's memory. A page that no process writes to exists once."
    } else if all(|[cores, memory, _, each]| (memory / each).clamp(1, cores)) {
        "The parent needs its memory too, and leaves the rest."
    } else if all(|[_, memory, parent, each]| (memory.saturating_sub(parent) / each).max(1)) {
        "The memory would do, but there would be more workers than cores."
    } else if all(|[cores, memory, parent, each]| {
        (memory.wrapping_sub(parent) / each).clamp(1, cores)
    }) {
        "Where the parent needs more than there is, a `usize` wraps around to a huge number: `saturating_sub` stops at 0."
    } else if all(|[cores, memory, parent, each]| {
        memory.saturating_sub(parent).div_ceil(each).clamp(1, cores)
    }) {
        "Rounded up: the last worker would need more memory than is left. Round down."
    } else {
        "What the parent leaves, divided by what each worker needs; no more than cores; at least 1."
    };
    wrong(format!("got {answers:?}, expected [4, 2, 1]. {cause}"))
}

/// 05.3: the ids of two workers that should have exited, and the squares.
pub(crate) fn none_left((pids, squares): &(Vec<i32>, Vec<u64>)) -> Finding {
    let left: Vec<i32> = pids
        .iter()
        .copied()
        .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        .collect();
    let wanted: Vec<u64> = (0..10).map(|x| x * x).collect();
    if !left.is_empty() {
        untouched(format!("the workers {left:?} are still there (hint 1)."))
    } else if *squares != wanted {
        wrong(format!(
            "no worker is left, but nothing was done either. The squares are {squares:?}, expected {wanted:?}."
        ))
    } else if pids.is_empty() {
        wrong("there are no process ids. When you asked for the process ids, had the pool ended already?".into())
    } else if pids.len() != 2 {
        wrong(format!("{} worker, expected 2", pids.len()))
    } else {
        Ok(format!(
            "{pids:?} have done their work, and none of them is left."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::finding::tests::said;

    #[test]
    fn the_knee_is_neither_the_most_nor_the_fastest() {
        assert!(said(right_n(&[2, 4, 1, 8])).starts_with("solved"));
        assert!(said(right_n(&[16, 16, 4, 16])).contains("not more speed"));
        assert!(said(right_n(&[4, 4, 1, 16])).contains("by a hair"));
        assert!(said(right_n(&[1, 1, 1, 1])).contains("for each worker"));
        assert!(said(right_n(&[2, 4, 1, 16])).contains("0.95 times"));
    }

    #[test]
    fn memory_and_cores_both_limit() {
        assert!(said(fitting(&[4, 2, 1])).starts_with("solved"));
        assert!(said(fitting(&[4, 4, 4])).contains("parent needs"));
        assert!(said(fitting(&[6, 2, 1])).contains("more workers than cores"));
        assert!(said(fitting(&[4, 3, 1])).contains("Round down"));
    }

    #[test]
    fn a_worker_that_is_left_is_named() {
        let squares: Vec<u64> = (0..10).map(|x| x * x).collect();
        let here = std::process::id() as i32;
        assert!(said(none_left(&(vec![here], squares.clone()))).contains("still there"));
        assert!(said(none_left(&(vec![], squares))).contains("ended already"));
    }
}

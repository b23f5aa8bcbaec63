//! Lesson 05: how many workers, and none of them left.

use std::path::Path;

use super::Finding;

/// Cores online and in the affinity mask, quota, slots.
type Allocation = (usize, usize, Option<f64>, Option<usize>);

/// The check cell's allocations, and how many workers are right for them.
const ALLOCATIONS: [(Allocation, usize); 5] = [
    ((64, 64, None, Some(4)), 4),
    ((8, 2, None, None), 2),
    ((16, 16, Some(1.5), None), 2),
    ((4, 4, None, None), 4),
    ((8, 8, Some(0.25), Some(8)), 1),
];

/// 05.1: `usable(…)` for each of [`ALLOCATIONS`].
pub(super) fn usable(answers: &[usize]) -> Finding {
    if answers.len() != ALLOCATIONS.len() {
        return Err("leave the check cell as it was: it makes five calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return Err("`usable` is 0 for everything: fill in the gap, or open hint 1.".into());
    }
    let ignores_all = answers
        .iter()
        .zip(ALLOCATIONS)
        .all(|(answer, ((online, ..), _))| *answer == online);
    for (answer, ((online, affinity, quota, slots), wanted)) in
        answers.iter().copied().zip(ALLOCATIONS)
    {
        if answer == wanted {
            continue;
        }
        let cause = if ignores_all {
            "That is what the machine has. It is not all yours: the smallest of the limits counts."
                .into()
        } else if slots == Some(wanted) && answer > wanted {
            format!("The scheduler has granted {wanted} slots; the other cores belong to others.")
        } else if quota.is_some() && answer < wanted {
            "A quota of 1.5 cores keeps two workers busy most of the time. Round it up.".into()
        } else if quota.is_some() {
            "A container may see all cores and get less of their time: the quota is a limit too."
                .into()
        } else if answer > affinity {
            "The affinity mask says on which cores this process may run at all.".into()
        } else {
            "The smallest of all limits that there are, and at least 1 (hints).".into()
        };
        return Err(format!(
            "`usable({online}, {affinity}, {quota:?}, {slots:?})` gave {answer}, expected {wanted}. {cause}"
        ));
    }
    Ok("the smallest limit counts: 4, 2, 2, 4 and 1.".into())
}

/// The check cell's sessions: cores, megabytes, those of the parent, those of each worker.
const SESSIONS: [[usize; 4]; 3] = [
    [4, 4_096, 1_000, 500],
    [4, 4_096, 2_000, 1_000],
    [4, 1_000, 1_500, 100],
];

/// 05.2: `fitting(…)` for each of [`SESSIONS`].
pub(super) fn fitting(answers: &[usize]) -> Finding {
    if answers.len() != SESSIONS.len() {
        return Err("leave the check cell as it was: it makes three calls".into());
    }
    if answers.iter().all(|answer| *answer == 0) {
        return Err("`fitting` is 0 for everything: fill in the gap, or open hint 1.".into());
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
        "That gives every worker a copy of the parent's memory. What nobody writes to is there once."
    } else if all(|[cores, memory, _, each]| (memory / each).clamp(1, cores)) {
        "The parent needs its memory too, and leaves the rest."
    } else if all(|[_, memory, parent, each]| (memory.saturating_sub(parent) / each).max(1)) {
        "The memory would do, but there would be more workers than cores."
    } else {
        "What the parent leaves, divided by what each worker needs; no more than cores; at least 1."
    };
    Err(format!("got {answers:?}, expected [4, 2, 1]. {cause}"))
}

/// 05.3: the ids of two workers that shall have ended, and the squares.
pub(super) fn nobody_left((pids, squares): &(Vec<i32>, Vec<u64>)) -> Finding {
    let left: Vec<i32> = pids
        .iter()
        .copied()
        .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        .collect();
    let wanted: Vec<u64> = (0..10).map(|x| x * x).collect();
    if !left.is_empty() {
        Err(format!(
            "the workers {left:?} are still there. Somebody has to end the pool and wait for it (hint 1)."
        ))
    } else if *squares != wanted {
        Err(format!(
            "nobody is left, but nothing was done either. The squares are {squares:?}, expected {wanted:?}."
        ))
    } else if pids.is_empty() {
        Err("there are no process ids. When you asked for the process ids, had the pool ended already?".into())
    } else if pids.len() != 2 {
        Err(format!("{} worker, expected 2", pids.len()))
    } else {
        Ok(format!(
            "{pids:?} have done their work, and there is no trace of them."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::exercises::tests::said;

    #[test]
    fn each_limit_that_is_ignored_is_named() {
        assert!(said(usable(&[4, 2, 2, 4, 1])).starts_with("solved"));
        assert!(said(usable(&[64, 8, 16, 4, 8])).contains("the machine has"));
        assert!(said(usable(&[64, 2, 2, 4, 1])).contains("granted 4 slots"));
        assert!(said(usable(&[4, 2, 1, 4, 1])).contains("Round it up"));
        assert!(said(usable(&[4, 2, 16, 4, 8])).contains("the quota is a limit"));
    }

    #[test]
    fn memory_and_cores_both_limit() {
        assert!(said(fitting(&[4, 2, 1])).starts_with("solved"));
        assert!(said(fitting(&[4, 4, 4])).contains("parent needs"));
        assert!(said(fitting(&[6, 2, 1])).contains("more workers than cores"));
    }

    #[test]
    fn a_worker_that_is_left_is_named() {
        let squares: Vec<u64> = (0..10).map(|x| x * x).collect();
        let here = std::process::id() as i32;
        assert!(said(nobody_left(&(vec![here], squares.clone()))).contains("still there"));
        assert!(said(nobody_left(&(vec![], squares))).contains("ended already"));
    }
}

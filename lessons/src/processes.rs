//! Which processes did a piece of work: the judges see only an answer, and not where it was
//! computed.

use nix::sys::resource::{UsageWho, getrusage};

use forklore::Pool;

/// The processes that ran a piece of work, in addition to the calling one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunBy {
    /// No others.
    ThisProcess,
    /// The pool's own workers: the function is non-capturing, so its results came back as copies.
    PoolsWorkers,
    /// Workers forked for the call, as for a closure that captures something.
    ForkedWorkers,
}

/// Runs `work`, and returns which workers of `pool` ran a part of it.
///
/// # Example
/// ```
/// use forklore::{Pool, SharedArray};
/// use forklore_course::{RunBy, run_by};
///
/// let (pool, cells) = (Pool::with_workers(1)?, SharedArray::<u64>::zeroed(2)?);
/// assert_eq!(run_by(&pool, || pool.map(|x: u64| x + 1, [1, 2])), (vec![2, 3], RunBy::PoolsWorkers));
/// let (_, by) = run_by(&pool, || pool.map(|i: usize| cells.set(i, 1), 0..2));
/// assert_eq!(by, RunBy::ForkedWorkers);
/// # Ok::<(), forklore::Error>(())
/// ```
pub fn run_by<T>(pool: &Pool, work: impl FnOnce() -> T) -> (T, RunBy) {
    let n_before = pool.n_tasks();
    let (value, by_children) = by_children(work);
    let by = match (by_children, pool.n_tasks() > n_before) {
        (true, _) => RunBy::ForkedWorkers,
        (false, true) => RunBy::PoolsWorkers,
        (false, false) => RunBy::ThisProcess,
    };
    (value, by)
}

/// Runs `work`, and returns whether workers of `pool` ran a part of it: the pool's own, or workers
/// that it forked for this call and waited for.
///
/// # Example
/// ```
/// use forklore::Pool;
/// use forklore_course::by_workers;
///
/// let pool = Pool::with_workers(1)?;
/// assert_eq!(by_workers(&pool, || pool.map(|x: u64| x + 1, [1, 2])), (vec![2, 3], true));
/// assert_eq!(by_workers(&pool, || vec![2, 3]), (vec![2, 3], false));
/// # Ok::<(), forklore::Error>(())
/// ```
pub fn by_workers<T>(pool: &Pool, work: impl FnOnce() -> T) -> (T, bool) {
    let (value, by) = run_by(pool, work);
    (value, by != RunBy::ThisProcess)
}

/// Runs `work`, and returns whether a child ran a part of it: a process that this one has waited
/// for in the meantime.
///
/// # Example
/// ```
/// use forklore::Process;
/// use forklore_course::by_children;
///
/// let doubled = by_children(|| Process::spawn(|| 2 * 21).unwrap().join().unwrap());
/// assert_eq!(doubled, (42, true));
/// assert_eq!(by_children(|| 42), (42, false));
/// ```
pub fn by_children<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let before = used_by_reaped();
    let value = work();
    (value, used_by_reaped() != before)
}

/// Microseconds of processor time, and page faults, of the children that were waited for. Each
/// child adds to them, because to run at all it must touch a page.
fn used_by_reaped() -> (i64, i64) {
    let microseconds = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or((0, 0), |usage| {
        let time = microseconds(usage.user_time()) + microseconds(usage.system_time());
        (time, usage.minor_page_faults())
    })
}

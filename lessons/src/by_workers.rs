//! Whether a piece of work was handed to a pool's workers, or done by the process that asks.

use nix::sys::resource::{UsageWho, getrusage};

use forklore::Pool;

/// Runs `work`, and says whether the workers of `pool` had a part in it: the pool's own, or those that it
/// forked for this call and has waited for.
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
    let before = (pool.n_tasks(), reaped_us());
    let value = work();
    (value, (pool.n_tasks(), reaped_us()) != before)
}

/// Processor time of the children that were waited for, in microseconds: what a fork costs at least.
fn reaped_us() -> i64 {
    let microseconds = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| {
        microseconds(usage.user_time()) + microseconds(usage.system_time())
    })
}

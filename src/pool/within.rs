//! A map that stays in this process: threads claim chunks of its items from one place.
//!
//! Nothing is encoded. What the planner, the chunks and the trace are is the same as among processes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::vec::IntoIter;

use crate::error::{Cause, Outcome, TaskError};

use super::diary::Diary;
use super::plan::Schedule;

/// What a thread does between two items: nothing, or let another one have its turn.
pub(crate) type Pause<'a> = &'a mut dyn FnMut();

/// Threads that are there to work.
///
/// A trait object, because rayon knows its threads by statics of its own, of which every notebook cell has a
/// copy: so its pool has to be used by the code that made it, in whichever cell that was.
pub(crate) trait Hands {
    /// Calls `work` on up to `n` threads at the same time, and returns when all of them are done.
    fn work(&self, n: usize, work: &(dyn Fn(Pause<'_>) + Sync));
}

/// Applies `f` to every argument, on up to `n_hands` threads.
pub(crate) fn run<F, I, A, R>(
    hands: &dyn Hands,
    n_hands: usize,
    schedule: Schedule,
    f: &F,
    args: I,
    diary: &mut Diary,
) -> Vec<Outcome<R>>
where
    F: Fn(A) -> R + Sync,
    I: IntoIterator<Item = A>,
    A: Send,
    R: Send,
{
    let args: Vec<A> = args.into_iter().collect();
    diary.encoded();
    let n_items = args.len();
    let n_hands = n_hands.min(n_items);
    let items = Items::new(args, schedule, n_hands);
    // In the order of the chunks' first items, whoever is done first.
    let chunks = Mutex::new(BTreeMap::new());
    let notes = &*diary;
    hands.work(n_hands, &|pause| {
        while let Some((places, args)) = items.claim() {
            pause();
            let start = notes.now();
            let began = items.want_task_time().then(Instant::now);
            let (first, n) = (places.start, places.len());
            let mut outcomes = Vec::with_capacity(n);
            for (item, arg) in places.zip(args) {
                if item > first {
                    pause();
                }
                outcomes.push(run_caught(item, || f(arg)));
            }
            if let Some(began) = began {
                items.tell_task_time(began.elapsed().as_nanos() as u64 / n as u64);
            }
            notes.ran(first, n, start);
            lock(&chunks).insert(first, outcomes);
        }
    });
    diary.returned();
    let mut results = Vec::with_capacity(n_items);
    let chunks = chunks.into_inner().unwrap_or_else(PoisonError::into_inner);
    for mut outcomes in chunks.into_values() {
        results.append(&mut outcomes);
    }
    assert_eq!(results.len(), n_items, "every item has a result");
    results
}

/// A map's arguments, from which threads claim.
struct Items<A> {
    schedule: Schedule,
    n_items: usize,
    n_hands: usize,
    left: Mutex<IntoIter<A>>,
    /// How long a task takes, by the latest chunk; 0 while nobody knows.
    task_ns: AtomicU64,
}

impl<A> Items<A> {
    fn new(args: Vec<A>, schedule: Schedule, n_hands: usize) -> Items<A> {
        Items {
            schedule,
            n_items: args.len(),
            n_hands,
            left: Mutex::new(args.into_iter()),
            task_ns: AtomicU64::new(0),
        }
    }

    /// The next chunk: the items' places, and their arguments.
    fn claim(&self) -> Option<(Range<usize>, Vec<A>)> {
        let task_ns = self.task_ns.load(Ordering::Relaxed);
        let mut left = lock(&self.left);
        let n_left = left.len();
        if n_left == 0 {
            return None;
        }
        let [left_now, all, hands] = [n_left, self.n_items, self.n_hands].map(|n| n as u64);
        let n = self.schedule.next(left_now, all, hands, task_ns) as usize;
        let first = self.n_items - n_left;
        Some((first..first + n, left.by_ref().take(n).collect()))
    }

    fn want_task_time(&self) -> bool {
        self.schedule == Schedule::Auto && self.task_ns.load(Ordering::Relaxed) == 0
    }

    fn tell_task_time(&self, task_ns: u64) {
        self.task_ns.store(task_ns.max(1), Ordering::Relaxed);
    }
}

/// Runs a task in this process; its panic becomes the item's error.
pub(crate) fn run_caught<R>(item: usize, task: impl FnOnce() -> R) -> Outcome<R> {
    catch_unwind(AssertUnwindSafe(task)).map_err(|payload| {
        let cause = Cause::panicked(&*payload, String::new());
        TaskError::new(Some(item), Some(std::process::id() as i32), cause)
    })
}

/// No task panics while it holds one of these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One thread that comes as often as it is asked.
    struct OneHand;

    impl Hands for OneHand {
        fn work(&self, n: usize, work: &(dyn Fn(Pause<'_>) + Sync)) {
            (0..n).for_each(|_| work(&mut || ()));
        }
    }

    proptest! {
        #[test]
        fn every_item_has_its_result_in_its_place(
            n in 0usize..500, n_hands in 1usize..9, word in prop_oneof![0u64..50, u64::MAX - 1..=u64::MAX],
        ) {
            let schedule = Schedule::from_word(word);
            let results = run(&OneHand, n_hands, schedule, &|x: usize| x + 1, 0..n, &mut Diary::off());
            let results: Vec<usize> = results.into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(results, (1..=n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_not_run_is_dropped_once() {
        let token = std::sync::Arc::new(());
        let args = vec![std::sync::Arc::clone(&token); 10];
        let items = Items::new(args, Schedule::Fixed(3), 2);
        assert_eq!(items.claim().unwrap().0, 0..3);
        assert_eq!(std::sync::Arc::strong_count(&token), 8);
        drop(items);
        assert_eq!(std::sync::Arc::strong_count(&token), 1);
    }
}

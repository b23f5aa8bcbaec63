//! A map within this process: threads claim chunks of its items from one cursor.
//!
//! Nothing is encoded. Planner, chunks and trace are the same as with processes.

use std::mem::MaybeUninit;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use std::vec::IntoIter;

use crate::error::Outcome;

use super::diary::{Diary, lock};
use super::serial::run_caught;
use crate::pool::plan::Schedule;

/// What a thread does between two items: nothing, or let another thread take its turn.
pub(crate) type Pause<'a> = &'a mut dyn FnMut();

/// Threads that run tasks.
///
/// A trait object, because rayon identifies its threads by statics, of which every notebook cell
/// has a copy: only the code that made a rayon pool can use it, whichever cell that was.
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
    let mut results: Vec<Outcome<R>> = Vec::with_capacity(n_items);
    let slots = &mut results.spare_capacity_mut()[..n_items];
    let items = Items::new(args, slots, schedule, n_hands);
    let n_done = AtomicUsize::new(0);
    let notes = &*diary;
    hands.work(n_hands, &|pause| {
        while let Some(Chunk { first, args, slots }) = items.claim() {
            pause();
            let start = notes.now();
            let began = items.want_task_time().then(Instant::now);
            let n = slots.len();
            for (item, (arg, slot)) in (first..).zip(args.into_iter().zip(slots)) {
                if item > first {
                    pause();
                }
                slot.write(run_caught(item, || f(arg)));
            }
            n_done.fetch_add(n, Ordering::Release);
            if let Some(began) = began {
                items.tell_task_time(began.elapsed().as_nanos() as u64 / n as u64);
            }
            notes.ran(first, n, start);
        }
    });
    diary.returned();
    drop(items);
    assert_eq!(n_done.into_inner(), n_items, "every item has a result");
    // SAFETY: each of the first `n_items` slots was claimed once, and counted when it was written.
    unsafe { results.set_len(n_items) };
    results
}

/// A map's arguments, from which threads claim, and the slots of their results.
struct Items<'s, A, R> {
    schedule: Schedule,
    n_items: usize,
    n_hands: usize,
    left: Mutex<(IntoIter<A>, Slots<'s, R>)>,
    /// The time of a task, from the latest chunk; 0 while that is unknown.
    task_ns: AtomicU64,
}

/// Where the results of consecutive items go.
type Slots<'s, R> = &'s mut [MaybeUninit<Outcome<R>>];

/// A claimed chunk: the first item, the arguments, and where their results go.
struct Chunk<'s, A, R> {
    first: usize,
    args: Vec<A>,
    slots: Slots<'s, R>,
}

impl<'s, A, R> Items<'s, A, R> {
    fn new(
        args: Vec<A>,
        slots: Slots<'s, R>,
        schedule: Schedule,
        n_hands: usize,
    ) -> Items<'s, A, R> {
        Items {
            schedule,
            n_items: args.len(),
            n_hands,
            left: Mutex::new((args.into_iter(), slots)),
            task_ns: AtomicU64::new(0),
        }
    }

    fn claim(&self) -> Option<Chunk<'s, A, R>> {
        let task_ns = self.task_ns.load(Ordering::Relaxed);
        let mut left = lock(&self.left);
        let (args, slots) = &mut *left;
        let n_left = args.len();
        if n_left == 0 {
            return None;
        }
        let [left_now, all, hands] = [n_left, self.n_items, self.n_hands].map(|n| n as u64);
        let n = self.schedule.next(left_now, all, hands, task_ns) as usize;
        let first = self.n_items - n_left;
        let args = args.by_ref().take(n).collect();
        let (claimed, others) = std::mem::take(slots).split_at_mut(n);
        *slots = others;
        Some(Chunk {
            first,
            args,
            slots: claimed,
        })
    }

    fn want_task_time(&self) -> bool {
        self.schedule == Schedule::Auto && self.task_ns.load(Ordering::Relaxed) == 0
    }

    fn tell_task_time(&self, task_ns: u64) {
        self.task_ns.store(task_ns.max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The calling thread alone.
    struct OneHand;

    impl Hands for OneHand {
        fn work(&self, n: usize, work: &(dyn Fn(Pause<'_>) + Sync)) {
            (0..n).for_each(|_| work(&mut || ()));
        }
    }

    proptest! {
        #[test]
        fn every_item_has_its_result_in_its_slot(
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
        let mut slots = [const { MaybeUninit::<Outcome<()>>::uninit() }; 10];
        let items = Items::new(args, &mut slots, Schedule::Fixed(3), 2);
        let chunk = items.claim().unwrap();
        assert_eq!(
            (chunk.first, chunk.args.len(), chunk.slots.len()),
            (0, 3, 3)
        );
        drop(chunk);
        assert_eq!(std::sync::Arc::strong_count(&token), 8);
        drop(items);
        assert_eq!(std::sync::Arc::strong_count(&token), 1);
    }
}

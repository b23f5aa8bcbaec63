//! The board's protocols: claiming, completing, cancelling, sleeping.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::board::{AWAKE, Completion, Job, JobSpec, SPINNING};
use super::sleep;
use crate::explore;
use crate::pool::call::transport::FUTURES;
use crate::pool::plan::Schedule;
use crate::shared::placed::zeroed;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::robust::Lifeline;
use crate::sys::{futex, pthread, spawn};

pub(crate) const MODELS: &[(&str, fn())] = &[
    ("a worker misses no job", a_worker_misses_no_job),
    ("no worker outlives its owner", no_worker_outlives_its_owner),
    (
        "no worker outlives its owner's last call",
        no_worker_outlives_its_owners_last_call,
    ),
    (
        "results of single items arrive",
        results_of_single_items_arrive,
    ),
    (
        "results of shrinking chunks arrive",
        results_of_shrinking_chunks_arrive,
    ),
    ("a cancelled job is complete", a_cancelled_job_is_complete),
    (
        "each thread of the owner wakes when its job is done",
        each_thread_of_the_owner_wakes,
    ),
    (
        "a job that moves wakes one of two",
        a_job_that_moves_wakes_one_of_two,
    ),
];

/// As [`explore`] takes it: three still take no more than seconds.
const MAX_PREEMPTIONS: usize = 3;

/// What a sleeping worker and its owner have in common.
struct Watch {
    tail: AtomicU64,
    states: [AtomicU32; 2],
    owner: Box<Lifeline>,
}

impl Watch {
    /// Held by the calling thread.
    fn new() -> Arc<Watch> {
        let owner = zeroed::<Lifeline>();
        owner.reset().unwrap();
        owner.hold();
        Arc::new(Watch {
            tail: AtomicU64::new(0),
            states: [AtomicU32::new(AWAKE), AtomicU32::new(AWAKE)],
            owner,
        })
    }

    /// Sleeps as a worker does until there is a job or no owner any more.
    fn sleep(&self, worker: usize) {
        let has_job = || self.tail.load(Ordering::SeqCst) > 0;
        sleep::until(&self.states[worker], &self.owner, has_job);
        if self.owner.is_cut() {
            self.owner.pass_on();
        } else {
            assert!(has_job());
        }
    }
}

/// Publishes a job as the engine does, to a worker that spins for a while and then sleeps.
fn a_worker_misses_no_job() {
    explore(MAX_PREEMPTIONS, || {
        let watch = Watch::new();
        let worker = spawn(2, {
            let watch = Arc::clone(&watch);
            move || {
                let state = &watch.states[0];
                state.store(SPINNING, Ordering::SeqCst);
                let found = watch.tail.load(Ordering::SeqCst) > 0;
                state.store(AWAKE, Ordering::SeqCst);
                if !found {
                    watch.sleep(0);
                }
            }
        });
        watch.tail.store(1, Ordering::SeqCst);
        // Who spins will see it.
        if watch.states[0].load(Ordering::SeqCst) != SPINNING {
            sleep::wake(&watch.states[0]);
        }
        worker.join().unwrap();
    });
}

/// The kernel wakes one worker when the owner dies, and that one the other.
fn no_worker_outlives_its_owner() {
    two_workers_end(|_| pthread::die());
}

/// The same when the owner kills them, and may not.
fn no_worker_outlives_its_owners_last_call() {
    two_workers_end(|watch| assert!(watch.owner.cut()));
}

fn two_workers_end(end: fn(&Watch)) {
    explore(2, move || {
        let watch = Watch::new();
        let workers = [0, 1].map(|worker| {
            let watch = Arc::clone(&watch);
            spawn(worker as u32 + 2, move || watch.sleep(worker))
        });
        end(&watch);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

struct Work {
    job: Job,
    completion: Completion,
    results: [UnsafeCell<u64>; N_ITEMS as usize],
}

const N_ITEMS: u64 = 2;

fn work(schedule: Schedule) -> Arc<Work> {
    let work = Work {
        job: Job::default(),
        completion: completion(),
        results: [UnsafeCell::new(0), UnsafeCell::new(0)],
    };
    work.job.fill(&JobSpec {
        n_items: N_ITEMS,
        schedule,
        n_workers: 2,
        ..JobSpec::default()
    });
    Arc::new(work)
}

/// What a worker does with a job, results included.
fn serve(work: &Work) {
    let mut n_done = 0;
    while let Some((first, end)) = work.job.claim() {
        for item in first..end {
            // SAFETY: claimed by this worker alone; loom checks that.
            work.results[item as usize].with_mut(|result| unsafe { *result += item + 1 });
            n_done += 1;
        }
    }
    let done = work.job.done.fetch_add(n_done, Ordering::SeqCst) + n_done;
    if n_done > 0 && done == work.job.n_items.load(Ordering::Relaxed) {
        sleep::tell(&work.completion);
    }
}

/// The owner sleeps, wakes when all is done, and sees each result once.
fn results_arrive(schedule: Schedule) {
    explore(MAX_PREEMPTIONS, move || {
        let work = work(schedule);
        let workers = [(); 2].map(|()| {
            let work = Arc::clone(&work);
            thread::spawn(move || serve(&work))
        });
        wait(&work.completion, || work.job.is_done());
        for (item, result) in work.results.iter().enumerate() {
            // SAFETY: all is done; loom checks that the writes came before.
            assert_eq!(result.with(|result| unsafe { *result }), item as u64 + 1);
        }
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

fn results_of_single_items_arrive() {
    results_arrive(Schedule::Dynamic);
}

fn results_of_shrinking_chunks_arrive() {
    results_arrive(Schedule::Guided);
}

/// A thread moves a job to where futures wait, while the worker ends it: the thread that sleeps for
/// futures wakes, or the one that moves it finds that it has ended.
fn a_job_that_moves_wakes_one_of_two() {
    explore(MAX_PREEMPTIONS, || {
        let places = Arc::new([(); 2].map(|()| completion()));
        let job = work(Schedule::Dynamic);
        let worker = thread::spawn({
            let (job, places) = (Arc::clone(&job), Arc::clone(&places));
            move || {
                let n_items = job.job.n_items.load(Ordering::Relaxed);
                job.job.done.fetch_add(n_items, Ordering::SeqCst);
                sleep::tell(&places[job.job.completion().min(1)]);
            }
        });
        assert_eq!(job.job.move_to(FUTURES), 0);
        wait(&places[1], || job.job.is_done());
        worker.join().unwrap();
    });
}

fn completion() -> Completion {
    Completion {
        event: AtomicU32::new(0),
        n_sleepers: AtomicU32::new(0),
    }
}

/// Two threads wait for their jobs in one place, and one worker does both: neither's wake-up is lost
/// to the other.
fn each_thread_of_the_owner_wakes() {
    explore(MAX_PREEMPTIONS, || {
        let shared = work(Schedule::Dynamic);
        let other = Arc::new(AtomicU64::new(0));
        let waiter = thread::spawn({
            let (shared, other) = (Arc::clone(&shared), Arc::clone(&other));
            move || wait(&shared.completion, || other.load(Ordering::SeqCst) == 1)
        });
        let worker = thread::spawn({
            let (shared, other) = (Arc::clone(&shared), Arc::clone(&other));
            move || {
                serve(&shared);
                other.store(1, Ordering::SeqCst);
                sleep::tell(&shared.completion);
            }
        });
        wait(&shared.completion, || shared.job.is_done());
        waiter.join().unwrap();
        worker.join().unwrap();
    });
}

/// Sleeps as a thread of the owner does.
fn wait(completion: &Completion, is_over: impl Fn() -> bool) {
    while !is_over() {
        let announced = sleep::announce(completion);
        if !is_over() {
            let (event, seen) = announced.word();
            futex::wait(event, seen, None);
        }
    }
}

/// A job that is cancelled is complete all the same: what no worker claimed counts as done.
fn a_cancelled_job_is_complete() {
    for schedule in [Schedule::Dynamic, Schedule::Guided] {
        explore(MAX_PREEMPTIONS, move || {
            let work = work(schedule);
            let workers = [(); 2].map(|()| {
                let work = Arc::clone(&work);
                thread::spawn(move || serve(&work))
            });
            work.job.cancel();
            for worker in workers {
                worker.join().unwrap();
            }
            assert!(work.job.is_exhausted() && work.job.is_done());
        });
    }
}

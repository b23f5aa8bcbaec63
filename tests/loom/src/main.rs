//! The protocols of shared memory, run through every order in which their steps can happen.
//!
//! ```sh
//! cargo run --manifest-path tests/loom/Cargo.toml
//! ```
//!
//! What runs is the library's own code: its files are compiled here, with [loom]'s atomics in the
//! place of the processor's, and with a futex and a robust lock that are modelled on top of those.
//! A word after `--` runs only the models whose names contain it. A wake-up that gets lost is a
//! deadlock, which loom finds. It is a program and not a test, because the files' own unit tests
//! would be compiled too.

// Of each file, this uses a part.
#![allow(dead_code)]

#[path = "../../../src/caught"]
mod caught {
    pub(crate) mod last_panic;
}
mod error;
mod locks;
#[path = "../../../src/pool"]
mod pool {
    #[path = "../../tests/loom/src/call"]
    pub(crate) mod call {
        pub(crate) mod transport;
    }
    pub(crate) mod plan;
    pub(crate) mod shm {
        pub(crate) mod board;
        #[path = "../../../tests/loom/src/jobs.rs"]
        pub(crate) mod jobs;
        pub(crate) mod sleep;
    }
}
mod shared;
#[path = "../../../src/sync"]
mod sync {
    mod barrier;
    mod condition;
    mod event;
    #[path = "../../tests/loom/src/lock.rs"]
    pub(crate) mod lock;
    mod rlock;
    mod semaphore;

    pub(crate) use barrier::Barrier;
    pub(crate) use condition::Condition;
    pub(crate) use event::Event;
    pub(crate) use rlock::RLock;
    pub(crate) use semaphore::Semaphore;
}
mod sys;

fn main() {
    let asked = std::env::args().nth(1).unwrap_or_default();
    for (name, model) in pool::shm::jobs::MODELS.iter().chain(locks::MODELS) {
        if name.contains(&asked) {
            let started = std::time::Instant::now();
            model();
            println!("{name}: holds ({:.1?})", started.elapsed());
        }
    }
}

/// Every order with at most this many involuntary switches from one thread to another: without a
/// bound, three threads take minutes.
fn explore(max_preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(max_preemptions);
    builder.check(model);
}

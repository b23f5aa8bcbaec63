//! The protocols of shared memory, run through every order in which their steps can happen.
//!
//! ```sh
//! cargo run --manifest-path tests/loom/Cargo.toml
//! ```
//!
//! What runs is the library's own code: its files are compiled here, with [loom]'s atomics in the
//! place of the processor's, and with a futex and a robust lock that are modelled on top of those.
//! A wake-up that gets lost is a deadlock, which loom finds. It is a program and not a test, because
//! the files' own unit tests would be compiled too.

// Of each file, this uses a part.
#![allow(dead_code)]

mod error;
#[path = "../../../src/pool"]
mod pool {
    pub(crate) mod board;
    #[path = "../../tests/loom/src/jobs.rs"]
    pub(crate) mod jobs;
    pub(crate) mod plan;
    pub(crate) mod sleep;
}
mod shared;
mod sys;

fn main() {
    for (name, model) in pool::jobs::MODELS {
        let started = std::time::Instant::now();
        model();
        println!("{name}: holds ({:.1?})", started.elapsed());
    }
}

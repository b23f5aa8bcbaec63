//! The library's integration tests.
//!
//! They fork, and a process may be forked only while it has one thread, so they run one after
//! another on the main thread, which the standard harness cannot do. Each must end with no child
//! left and no more file descriptors than before, within 90 seconds.

mod call_limits;
mod channel;
mod chaos;
mod cluster_losses;
mod clusters;
mod conditions;
mod context_errors;
mod context_memory;
mod contexts;
mod cpython;
mod deaths;
mod documents;
mod early;
mod endings;
mod events;
mod exhaustion;
mod features;
mod futures;
mod interface;
mod lifelines;
mod limits;
mod loky;
mod maps;
mod memory;
mod orders;
mod pages;
mod parallel;
mod plugins;
mod pools;
mod processes;
mod progress;
mod reliability;
mod runtimes;
mod shared;
mod starts;
mod stats;
mod stream_futures;
mod streams;
mod support;
mod surroundings;
mod sync;
mod thread_chaos;
mod threads;
mod tidy;
mod traces;
mod turns;
mod user_code;
mod wakes;

use libtest_mimic::{Arguments, Trial};

fn main() {
    // A test that needs a process of its own starts this binary again.
    support::run_if_asked();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let groups: &[(&str, &[support::Test])] = &[
        ("maps", maps::TESTS),
        ("cluster_losses", cluster_losses::TESTS),
        ("clusters", clusters::TESTS),
        ("streams", streams::TESTS),
        ("deaths", deaths::TESTS),
        ("lifelines", lifelines::TESTS),
        ("endings", endings::TESTS),
        ("events", events::TESTS),
        ("pools", pools::TESTS),
        ("parallel", parallel::TESTS),
        ("limits", limits::TESTS),
        ("call_limits", call_limits::TESTS),
        ("conditions", conditions::TESTS),
        ("starts", starts::TESTS),
        ("stats", stats::TESTS),
        ("contexts", contexts::TESTS),
        ("context_memory", context_memory::TESTS),
        ("context_errors", context_errors::TESTS),
        ("orders", orders::TESTS),
        ("early", early::TESTS),
        ("features", features::TESTS),
        ("plugins", plugins::TESTS),
        ("traces", traces::TESTS),
        ("reliability", reliability::TESTS),
        ("exhaustion", exhaustion::TESTS),
        ("memory", memory::TESTS),
        ("processes", processes::TESTS),
        ("pages", pages::TESTS),
        ("progress", progress::TESTS),
        ("shared", shared::TESTS),
        ("sync", sync::TESTS),
        ("threads", threads::TESTS),
        ("thread_chaos", thread_chaos::TESTS),
        ("futures", futures::TESTS),
        ("stream_futures", stream_futures::TESTS),
        ("runtimes", runtimes::TESTS),
        ("wakes", wakes::TESTS),
        ("channel", channel::TESTS),
        ("user_code", user_code::TESTS),
        ("chaos", chaos::TESTS),
        ("surroundings", surroundings::TESTS),
        ("turns", turns::TESTS),
        ("cpython", cpython::TESTS),
        ("loky", loky::TESTS),
        ("interface", interface::TESTS),
        ("tidy", tidy::TESTS),
        ("documents", documents::TESTS),
    ];
    let trials = groups
        .iter()
        .flat_map(|(group, tests)| tests.iter().map(move |test| trial(group, test)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(group: &str, &(name, test): &'static support::Test) -> Trial {
    let name = format!("{group}::{name}");
    let runner = name.clone();
    Trial::test(name, move || {
        support::run(&runner, test);
        Ok(())
    })
}

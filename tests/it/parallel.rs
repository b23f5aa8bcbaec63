//! The one-line map: every backend, and every way to call it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use forklore::{Backend, BatchSize, Map, Parallel, Pool, Serial, ThreadPool};

use crate::support::{Scene, play, power, scene, text};

pub const SCENES: &[Scene] = &[
    ("a talkative map", a_talkative_map),
    (
        "a talkative map to a closed pipe",
        a_talkative_map_to_a_closed_pipe,
    ),
];

crate::support::tests![
    every_backend_gives_the_same,
    workers_live_on_between_maps,
    lazy_results_keep_their_workers,
    what_cannot_be_is_an_error_that_says_the_way_out,
    a_task_that_fails_is_an_error,
    it_tells_as_much_as_is_asked_for,
    nobody_need_read_what_it_tells,
    a_large_input_is_shared_and_not_copied,
    one_word_changes_who_does_the_work,
];

const BACKENDS: [Backend; 3] = [Backend::Processes, Backend::Threads, Backend::Serial];

fn every_backend_gives_the_same() {
    let expected: Vec<u64> = (0..100).map(power).collect();
    let offset = 3;
    for backend in BACKENDS {
        for size in [BatchSize::Auto, BatchSize::Fixed(7)] {
            for shown in [false, true] {
                let parallel = Parallel::jobs(2)
                    .backend(backend)
                    .batch_size(size)
                    .progress(shown);
                assert_eq!(parallel.map(power, 0..100u64), expected, "{parallel:?}");
                assert_eq!(parallel.map(|x: u64| x + offset, [1, 2]), [4, 5]);
                assert!(parallel.map(power, std::iter::empty()).is_empty());
            }
        }
    }
}

fn workers_live_on_between_maps() {
    let parallel = Parallel::jobs(2);
    let pids = || parallel.map(|_: u8| std::process::id(), 0..20);
    let mut all = [pids(), pids()].concat();
    all.sort_unstable();
    all.dedup();
    assert!(
        all.len() <= 2 && !all.contains(&std::process::id()),
        "{all:?}"
    );
}

fn lazy_results_keep_their_workers() {
    for backend in BACKENDS {
        let offset = 1;
        // The value that started them is gone by then.
        let plain = Parallel::jobs(2).backend(backend).imap(power, 0..);
        assert_eq!(plain.take(3).collect::<Vec<u64>>(), [0, 1, 1024]);
        let captured = Parallel::jobs(2)
            .backend(backend)
            .imap(|x: u64| x + offset, 0..1000);
        assert_eq!(captured.sum::<u64>(), 500_500);
    }
}

fn what_cannot_be_is_an_error_that_says_the_way_out() {
    let message = |parallel: Parallel| {
        let outcome = catch_unwind(AssertUnwindSafe(|| parallel.map(power, 0..3u64)));
        *outcome.unwrap_err().downcast::<String>().unwrap()
    };
    assert!(message(Parallel::jobs(0)).contains("-1 for as many as"));
    assert!(message(Parallel::jobs(5_000)).contains("at most 1024 workers"));
    assert!(message(Parallel::jobs(u64::MAX)).contains("at most 1024 workers"));
    let no_batch = Parallel::jobs(2).batch_size(BatchSize::Fixed(0));
    assert!(message(no_batch).contains("BatchSize::Auto"));
    let results = Parallel::jobs(0).try_map(power, 0..3u64);
    assert_eq!(results.len(), 3);
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().is_err_and(|e| e.is_not_run()))
    );
    let _thread_pool = ThreadPool::with_workers(2).unwrap();
    assert_eq!(Parallel::jobs(2).map(power, 0..3u64), [0, 1, 1024]);
    // Only what a fork alone could send is refused in a process with threads.
    let exponent = 10;
    let captured = Parallel::jobs(2).try_map(|x: u64| x.pow(exponent), 0..3u64);
    let error = captured[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("map_with(&captured"), "{error}");
}

fn a_task_that_fails_is_an_error() {
    for backend in BACKENDS {
        let fail = |x: u64| {
            assert!(x != 3, "three");
            x
        };
        let parallel = Parallel::jobs(2).backend(backend).progress(true);
        let results = parallel.try_map(fail, 0..6);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
        let error = results[3].as_ref().unwrap_err().to_string();
        assert!(error.contains("three"), "{error}");
    }
}

fn a_talkative_map() {
    Parallel::jobs(2).verbose(50).map(power, 0..10u64);
    Parallel::jobs(1)
        .backend(Backend::Threads)
        .verbose(1)
        .map(power, [1u64]);
}

fn it_tells_as_much_as_is_asked_for() {
    let output = play("a talkative map");
    let log = text(&output);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "Parallel: processes on 2 workers");
    assert!(lines[1].contains("10 of 10"), "{log}");
    assert!(lines[2].starts_with("worker 0: "), "{log}");
    assert!(lines[4].starts_with("Parallel: 10 tasks in "), "{log}");
    assert_eq!(lines[5], "Parallel: threads on 1 worker");
    assert!(lines[6].starts_with("Parallel: 1 task in "), "{log}");
    assert_eq!(lines.len(), 7);
}

/// A worker reads all of a large vector that the closure captured: it is at the caller's own
/// address, the worker has almost no private memory there, and took few page faults to read it.
fn a_large_input_is_shared_and_not_copied() {
    const BYTES: usize = 256 << 20;
    const PAGE: usize = 4096;
    let table = vec![1u8; BYTES];
    let look = |_: u8| {
        let before = minor_faults();
        let sum: usize = table.iter().step_by(PAGE).map(|byte| *byte as usize).sum();
        let faults = minor_faults() - before;
        let address = table.as_ptr() as usize;
        (sum, address, private_kib(address), faults)
    };
    for (sum, address, private_kib, faults) in Parallel::jobs(2).map(look, 0..2u8) {
        assert_eq!(sum, BYTES / PAGE);
        assert_eq!(address, table.as_ptr() as usize);
        assert!(private_kib < 1024, "{private_kib} KiB were copied");
        assert!(faults < (BYTES / PAGE) as i64 / 10, "{faults} page faults");
    }
}

/// The private memory of this process in the mapping at an address.
fn private_kib(address: usize) -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_inside = false;
    let mut kib = 0;
    for line in smaps.lines() {
        let first = line.split(' ').next().unwrap();
        let range = first.split_once('-').and_then(|(start, end)| {
            let hex = |text| usize::from_str_radix(text, 16).ok();
            Some(hex(start)?..hex(end)?)
        });
        match range {
            Some(range) => is_inside = range.contains(&address),
            None if is_inside && line.starts_with("Private_") => {
                let value = line.split_whitespace().nth(1).unwrap();
                kib += value.parse::<u64>().unwrap();
            }
            None => {}
        }
    }
    kib
}

fn minor_faults() -> i64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.split(' ').nth(7).unwrap().parse().unwrap()
}

fn one_word_changes_who_does_the_work() {
    fn work(map: &impl Map) -> (Vec<u64>, Vec<u64>, Vec<u64>, u64) {
        let offset = 1;
        (
            map.map(|x: u64| x + offset, 0..3),
            map.starmap(|x: u64, n: u32| x.pow(n), [(2, 3), (3, 2)]),
            map.imap(power, 0..).take(3).collect(),
            map.apply(power, 2),
        )
    }
    let expected = (vec![1, 2, 3], vec![8, 9], vec![0, 1, 1024], 1024);
    assert_eq!(work(&Serial), expected);
    assert_eq!(work(&Pool::with_workers(2).unwrap()), expected);
    assert_eq!(
        work(&Pool::with_workers(2).unwrap().with_progress()),
        expected
    );
    assert_eq!(work(&ThreadPool::with_workers(2).unwrap()), expected);
}

/// Exits with code 0 if nothing is lost.
fn a_talkative_map_to_a_closed_pipe() {
    let expected: Vec<u64> = (0..100).map(power).collect();
    for backend in BACKENDS {
        let parallel = Parallel::jobs(2)
            .backend(backend)
            .verbose(50)
            .progress(true);
        assert_eq!(parallel.map(power, 0..100u64), expected);
    }
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(pool.with_progress().map(power, 0..100u64), expected);
    assert_eq!(
        forklore::progress(0..100u64).map(power).collect::<Vec<_>>(),
        expected
    );
}

fn nobody_need_read_what_it_tells() {
    // Standard error of a program whose reader is gone.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = scene("a talkative map to a closed pipe");
    assert!(command.stderr(writer).output().unwrap().status.success());
}

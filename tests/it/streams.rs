//! Lazy maps and pending results.

use std::collections::HashSet;

use forklore::Pool;

use crate::support::{Scene, play, power, tests, text};

tests![
    imap_is_lazy_and_in_order,
    imap_of_a_closure_streams,
    imap_names_the_item_and_goes_on,
    imap_unordered_gives_the_quick_ones_first,
    a_million_items_take_little_memory,
    an_abandoned_imap_leaves_the_pool_usable,
    apply_runs_elsewhere,
    ten_thousand_results_may_be_pending,
    more_results_may_be_pending_than_the_queue_has_places,
    pending_closures_own_what_they_captured,
    pending_results_survive_deaths_and_the_pool,
    a_dropped_pending_result_is_not_worked_on,
    a_pending_result_in_a_child_is_an_error,
    more_large_arguments_in_flight_than_workers,
];

pub const SCENES: &[Scene] = &[("a million items", a_million_items)];

fn imap_is_lazy_and_in_order() {
    let pool = Pool::with_workers(2).unwrap();
    let taken = std::cell::Cell::new(0u64);
    let endless = (0u64..).inspect(|_| taken.set(taken.get() + 1));
    let first: Vec<u64> = pool.imap(power, endless).take(10_000).collect();
    assert_eq!(first, (0..10_000).map(power).collect::<Vec<_>>());
    assert!(
        taken.get() < 100_000,
        "{} arguments were taken",
        taken.get()
    );
    let words: Vec<String> = pool.imap(|n: u32| n.to_string(), 0..3000).collect();
    assert_eq!(
        words,
        (0..3000).map(|n: u32| n.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(pool.imap(power, 0..0).count(), 0);
}

fn imap_of_a_closure_streams() {
    let pool = Pool::with_workers(2).unwrap();
    let table = std::rc::Rc::new(vec![10, 20, 30]);
    let shared = std::rc::Rc::clone(&table);
    let stream = pool.imap(move |i: usize| shared[i % 3], 0..);
    assert_eq!(stream.take(5).collect::<Vec<_>>(), [10, 20, 30, 10, 20]);
    assert_eq!(std::rc::Rc::strong_count(&table), 1);
}

fn imap_names_the_item_and_goes_on() {
    let pool = Pool::with_workers(2).unwrap();
    let mut results = pool.imap(
        |x: u32| if x == 70 { std::process::exit(2) } else { x },
        0..100,
    );
    let mut seen = Vec::new();
    loop {
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| results.next()));
        match next {
            Ok(Some(x)) => seen.push(x),
            Ok(None) => break,
            Err(payload) => {
                let message = payload.downcast_ref::<String>().unwrap();
                assert!(
                    message.contains("item 70") && message.contains("code 2"),
                    "{message}"
                );
            }
        }
    }
    assert_eq!(seen, (0..100).filter(|&x| x != 70).collect::<Vec<_>>());
}

fn imap_unordered_gives_the_quick_ones_first() {
    let pool = Pool::with_workers(2).unwrap();
    let gate = std::env::temp_dir().join(format!("forklore-gate-{}", std::process::id()));
    let path = gate.to_string_lossy().into_owned();
    // The first task ends only when the test has seen all the others.
    let args = (0..50).map(|i| if i == 0 { path.clone() } else { String::new() });
    let mut results = pool.imap_unordered(
        |path: String| {
            while !path.is_empty() && !std::path::Path::new(&path).exists() {
                std::thread::yield_now();
            }
            path.len()
        },
        args,
    );
    // As many as fit into the window go past the one that is held up.
    let quick: HashSet<usize> = (0..5).map(|_| results.next().unwrap().0).collect();
    assert!(!quick.contains(&0));
    std::fs::write(&gate, "").unwrap();
    let rest: HashSet<usize> = results.map(|(place, _)| place).collect();
    assert_eq!(&quick | &rest, (0..50).collect());
    std::fs::remove_file(&gate).unwrap();
}

/// In a separate process, whose memory no other shares.
fn a_million_items_take_little_memory() {
    let output = play("a million items");
    assert!(output.status.success(), "{}", text(&output));
}

/// A million words of 100 letters, from an endless input.
fn a_million_items() {
    const N_ITEMS: usize = 1_000_000;
    // In flight are 6 chunks of at most 4,096 words, as arguments and as results, in blocks that
    // may be twice as large: 12 MB, however long it takes.
    const MOST_BYTES: u64 = 32 << 20;
    let pool = Pool::with_workers(2).unwrap();
    let long = |n: usize| format!("{n:0>100}");
    let words = || (0..).map(long);
    let same = |word: String| word;
    let use_up = |n_items: usize| {
        for (n, word) in pool.imap(same, words()).take(n_items).enumerate() {
            assert!(word.len() == 100 && (n % 1000 != 0 || word == long(n)));
        }
        let unordered = pool.imap_unordered(same, words()).take(n_items);
        assert_eq!(
            unordered.map(|(_, word)| word.len()).sum::<usize>(),
            100 * n_items
        );
    };
    use_up(N_ITEMS / 50);
    let before = bytes_in_use(&pool);
    use_up(N_ITEMS);
    let more = bytes_in_use(&pool).saturating_sub(before);
    assert!(
        more < MOST_BYTES,
        "{more} bytes more, of {} that went through",
        200 * N_ITEMS
    );
}

/// The peak memory of a pool's processes, as Linux counts it: private memory, and once the shared
/// memory, all of which the owner has touched.
fn bytes_in_use(pool: &Pool) -> u64 {
    let mut pids = pool.pids();
    pids.push(std::process::id() as i32);
    let memory = |pid: i32| -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let bytes = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.unwrap().trim().trim_end_matches(" kB");
            kib.parse::<u64>().unwrap() << 10
        };
        let shared = bytes("RssShmem:");
        (bytes("VmHWM:") - shared, shared)
    };
    let (private, shared): (Vec<u64>, Vec<u64>) = pids.into_iter().map(memory).unzip();
    private.into_iter().sum::<u64>() + shared.into_iter().max().unwrap_or(0)
}

fn an_abandoned_imap_leaves_the_pool_usable() {
    let pool = Pool::with_workers(2).unwrap();
    for n in 0..50 {
        let some: Vec<u64> = pool.imap(power, 0..).take(n).collect();
        assert_eq!(some.len(), n);
    }
    assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
}

fn apply_runs_elsewhere() {
    let pool = Pool::with_workers(2).unwrap();
    let pid = pool.apply(|(): ()| std::process::id() as i32, ());
    assert!(pool.pids().contains(&pid));
}

fn ten_thousand_results_may_be_pending() {
    let pool = Pool::with_workers(2).unwrap();
    let pending: Vec<_> = (0..10_000u64).map(|x| pool.apply_async(power, x)).collect();
    for (x, result) in pending.into_iter().enumerate().rev() {
        assert_eq!(result.get().unwrap(), power(x as u64));
    }
    let all = pool.map_async(power, 0..1000);
    assert_eq!(all.get().unwrap(), (0..1000).map(power).collect::<Vec<_>>());
    assert!(pool.map_async(power, 0..0).get().unwrap().is_empty());
}

/// The queue has 65,536 slots: a result in a slot that a later job needs is moved out of it.
fn more_results_may_be_pending_than_the_queue_has_places() {
    let pool = Pool::with_workers(2).unwrap();
    let deadly = pool.map_async(
        |x: u32| if x == 5 { std::process::abort() } else { x },
        0..40,
    );
    let dropped = pool.map_async(power, 0..40);
    let pending: Vec<_> = (0..66_000u64).map(|x| pool.apply_async(power, x)).collect();
    drop(dropped);
    for (x, result) in pending.into_iter().enumerate() {
        assert_eq!(result.get().unwrap(), power(x as u64));
    }
    let error = deadly.get().unwrap_err();
    assert_eq!((error.item(), error.signal()), (Some(5), Some(6)));
    assert_eq!(
        pool.map(power, 0..100),
        (0..100).map(power).collect::<Vec<_>>()
    );
}

fn pending_closures_own_what_they_captured() {
    let pool = Pool::with_workers(2).unwrap();
    let pending: Vec<_> = (0..10usize)
        .map(|n| {
            let captured = "x".repeat(n);
            pool.apply_async(
                move |suffix: String| captured.clone() + &suffix,
                "y".to_owned(),
            )
        })
        .collect();
    for (n, result) in pending.into_iter().enumerate() {
        assert_eq!(result.get().unwrap(), "x".repeat(n) + "y");
    }
}

fn pending_results_survive_deaths_and_the_pool() {
    let pool = Pool::with_workers(2).unwrap();
    let deadly = pool.map_async(
        |x: u32| if x == 5 { std::process::abort() } else { x },
        0..40,
    );
    let mut fine = Vec::new();
    for n in 0..20u32 {
        fine.push(pool.map_async(|x: u32| x + 1, n..n + 10));
    }
    drop(pool);
    for (n, result) in fine.into_iter().enumerate() {
        let n = n as u32;
        assert!(result.ready());
        assert_eq!(result.get().unwrap(), (n + 1..n + 11).collect::<Vec<_>>());
    }
    let error = deadly.get().unwrap_err();
    assert_eq!((error.item(), error.signal()), (Some(5), Some(6)));
}

fn a_dropped_pending_result_is_not_worked_on() {
    let pool = Pool::with_workers(1).unwrap();
    let gate = std::env::temp_dir().join(format!("forklore-held-{}", std::process::id()));
    let path = gate.to_string_lossy().into_owned();
    let held = pool.apply_async(
        |path: String| {
            while !std::path::Path::new(&path).exists() {
                std::thread::yield_now();
            }
        },
        path,
    );
    assert!(!held.ready());
    // Behind the one that is held up nothing can begin, and what is dropped never does.
    drop(pool.map_async(|_: u32| -> u32 { std::process::abort() }, 0..100));
    let waiting = pool.apply_async(power, 2);
    assert!(!waiting.wait(std::time::Duration::from_millis(1)));
    std::fs::write(&gate, "").unwrap();
    held.get().unwrap();
    assert_eq!(waiting.get().unwrap(), 1024);
    std::fs::remove_file(&gate).unwrap();
}

fn a_pending_result_in_a_child_is_an_error() {
    let pool = Pool::with_workers(1).unwrap();
    let pending = pool.apply_async(power, 2);
    let child = forklore::Process::spawn(|| {
        let here = pool.map(power, 0..2);
        (pending.get().unwrap_err().to_string(), here)
    });
    let (error, here) = child.unwrap().join().unwrap();
    assert!(error.contains("another process"), "{error}");
    assert_eq!(here, [0, 1]);
}

fn more_large_arguments_in_flight_than_workers() {
    let pool = Pool::with_workers(2).unwrap();
    let pending: Vec<_> = (0..40u8)
        .map(|n| pool.apply_async(|v: Vec<u8>| v, vec![n; 1 << 20]))
        .collect();
    for (n, result) in pending.into_iter().enumerate() {
        assert_eq!(result.get().unwrap(), vec![n as u8; 1 << 20]);
    }
}

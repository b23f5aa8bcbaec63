//! Maps with a context: every task has it, and it is the right one.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use std::{fmt, fs};

use forklore::{Context, Map, Pool, Serial, StartMethod};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context_errors::Unwritable;
use crate::starts::{METHODS, pool};
use crate::support::{is_running, tests, wait_until};

tests![
    every_method_maps_with_any_context,
    types_need_no_words,
    every_map_has_it,
    the_context_is_never_another_one,
    maps_with_several_contexts_run_at_the_same_time,
    new_workers_have_it_too,
    retries_have_it_too,
    a_function_that_captures_inherits_it,
    a_function_that_captures_beside_threads_says_what_to_do,
    pools_and_contexts_end_in_any_order,
    a_forked_child_has_it_in_its_own_pool,
    tasks_pass_it_on,
];

/// A context that is not one contiguous block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub rows: BTreeMap<u32, Vec<u64>>,
}

pub fn table(n: u32) -> Table {
    Table {
        name: format!("table {n}"),
        rows: (0..100)
            .map(|row| (row, vec![u64::from(n * row); 3]))
            .collect(),
    }
}

/// Maps with a context that workers send back as they received it.
fn comes_back<C>(pool: &Pool, context: C)
where
    C: Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug,
{
    let copies = pool.map_with(&context, |context, _: u8| context.clone(), 0..3);
    assert!(copies.iter().all(|copy| *copy == context));
    let kept = Context::new(context.clone());
    let copies = pool.map_with(
        &kept,
        |context, text: String| (context.clone(), text),
        vec![String::new(); 3],
    );
    assert!(copies.iter().all(|(copy, _)| *copy == context));
}

fn every_method_maps_with_any_context() {
    for method in METHODS {
        let pool = pool(method, 2);
        comes_back(&pool, ());
        comes_back(&pool, 7u64);
        comes_back(&pool, String::new());
        comes_back(&pool, "short".to_owned());
        comes_back(&pool, "long".repeat(100_000));
        comes_back(&pool, Vec::<f64>::new());
        comes_back(&pool, (0..300_000).map(f64::from).collect::<Vec<f64>>());
        comes_back(&pool, vec![u128::MAX; 20_000]);
        comes_back(&pool, vec![true; 100_000]);
        comes_back(&pool, table(3));
        comes_back(
            &pool,
            HashMap::from([("one".to_owned(), Some(1)), ("none".to_owned(), None)]),
        );
        let table = Context::new(table(2));
        let row = |table: &Table, row: u32| table.rows[&row][0];
        let expected: Vec<u64> = (0..100).map(|row| 2 * row).collect();
        assert_eq!(pool.map_with(&table, row, 0..100), expected);
        assert_eq!(
            pool.imap_with(&table, row, 0..100).collect::<Vec<_>>(),
            expected
        );
        let mut unordered: Vec<_> = pool.imap_unordered_with(&table, row, 0..100).collect();
        unordered.sort_unstable();
        assert!(
            unordered
                .into_iter()
                .eq(expected.iter().copied().enumerate())
        );
        let traced = pool.map_traced_with(&table, row, 0..100);
        assert_eq!(traced.value, expected);
        let workers = traced.trace.workers().iter();
        assert_eq!(workers.map(|worker| worker.n_items()).sum::<usize>(), 100);
        assert_eq!(pool.apply_with(&table, row, 30), 60);
        let limited = pool.timeout(Duration::from_secs(60));
        assert_eq!(limited.map_traced_with(&table, row, 0..100).value, expected);
        let n = limited.imap_unordered_with(&table, row, 0..100).count();
        assert_eq!(n, 100);
        let outcomes = pool.try_map_with(&table, row, [99, 100]);
        assert_eq!(outcomes[0], Ok(198));
        assert!(outcomes[1].as_ref().unwrap_err().is_panicked());
        let endless = pool.imap_with(&table, |table, n: usize| table.rows.len() + n, 0..);
        assert_eq!(endless.take(50).last(), Some(149));
    }
}

fn types_need_no_words() {
    let pool = Pool::with_workers(2).unwrap();
    let table = table(1);
    let kept = Context::new(table.clone());
    let numbers = vec![1u64, 2, 3];
    assert_eq!(
        pool.map_with(&numbers, |numbers, i| numbers[i], 0..3usize),
        numbers
    );
    assert_eq!(
        pool.map_with(&table, |table, row| table.rows[&row].len(), [1u32, 2]),
        [3, 3]
    );
    assert_eq!(
        pool.map_with(&kept, |table, row| table.rows[&row].len(), [1u32, 2]),
        [3, 3]
    );
    assert_eq!(
        pool.apply_with(&kept, |table, row| table.rows[&row].len(), 4u32),
        3
    );
    assert_eq!(
        pool.imap_with(&kept, |table, _| table.name.len(), [(), ()])
            .sum::<usize>(),
        14
    );
    assert_eq!(kept.name, "table 1");
    assert_eq!(format!("{:?}", Context::new(1)), "Context(1)");
}

fn every_map_has_it() {
    fn names(pool: &impl Map, table: &Context<Table>) -> Vec<String> {
        let name = |table: &Table, n: usize| format!("{} {n}", table.name);
        let outcomes = pool.try_map_with(table, name, 0..3);
        let names = pool.map_with(table, name, 0..3);
        assert!(outcomes.into_iter().eq(names.iter().cloned().map(Ok)));
        names
    }
    let table = Context::new(table(5));
    let expected = ["table 5 0", "table 5 1", "table 5 2"];
    let pool = Pool::with_workers(2).unwrap();
    assert_eq!(names(&pool, &table), expected);
    assert_eq!(names(&Serial, &table), expected);
    #[cfg(feature = "progress")]
    assert_eq!(names(&pool.with_progress(), &table), expected);
    #[cfg(feature = "threads")]
    assert_eq!(
        names(&forklore::ThreadPool::with_workers(2).unwrap(), &table),
        expected
    );
    let local = Cell::new(3);
    let with_cell = |local: &Cell<i32>, x: i32| local.get() * x;
    assert_eq!(Serial.map_with(&local, with_cell, [1, 2]), [3, 6]);
    assert_eq!(pool.map_with(&local, with_cell, [1, 2]), [3, 6]);
}

fn the_context_is_never_another_one() {
    let pool = Pool::with_workers(2).unwrap();
    let mut kept = Vec::new();
    for round in 0..300u64 {
        // Of one size, so that each takes the memory of one before it.
        let sizes = [10, 100_000, 300_000];
        let numbers = vec![round; sizes[round as usize % 3]];
        let is_right = |numbers: &Vec<u64>, round: u64| {
            numbers.first() == Some(&round) && numbers.last() == Some(&round)
        };
        assert_eq!(pool.map_with(&numbers, is_right, [round; 4]), [true; 4]);
        let pair = (round, round.to_string());
        let text = pool.map_with(&pair, |(_, text), _: u8| text.clone(), 0..2);
        assert_eq!(text, [pair.1.clone(), pair.1]);
        kept.push((round, Context::new(numbers)));
        if kept.len() > 5 {
            kept.remove(round as usize % 5);
        }
        for (round, context) in &kept {
            assert_eq!(pool.map_with(context, is_right, [*round; 2]), [true; 2]);
        }
    }
}

fn maps_with_several_contexts_run_at_the_same_time() {
    for method in METHODS {
        let pool = pool(method, 2);
        let tables = [Context::new(table(1)), Context::new(table(2))];
        let row = |table: &Table, row: u32| table.rows[&row][0];
        let [mut first, mut second] = tables
            .each_ref()
            .map(|table| pool.imap_with(table, row, 0..100));
        for n in 0..50 {
            assert_eq!((first.next(), second.next()), (Some(n), Some(2 * n)));
            assert_eq!(pool.apply_with(&table(3), row, n as u32), 3 * n);
        }
        // What is on its way is cancelled, and its context given back when the last of it has ended.
        drop(first);
        drop(tables[0].clone());
        assert_eq!(second.next(), Some(100));
        let texts = vec!["x".to_owned(); 50];
        assert_eq!(
            pool.map_with(&texts, |texts, i: usize| texts[i].len(), 0..50),
            [1; 50]
        );
    }
}

fn new_workers_have_it_too() {
    for method in METHODS {
        let pool = Pool::builder()
            .workers(2)
            .start_method(method)
            .max_tasks_per_worker(10)
            .build()
            .unwrap();
        let context = Context::new(table(4));
        let row = |table: &Table, row: u32| table.rows[&row][0];
        let expected: Vec<u64> = (0..100).map(|row| 4 * row).collect();
        assert_eq!(pool.map_with(&context, row, 0..100), expected);
        pool.resize(4).unwrap();
        assert_eq!(pool.map_with(&context, row, 0..100), expected);
        pool.resize(1).unwrap();
        assert_eq!(pool.map_with(&*context, row, 0..100), expected);
        for pid in pool.pids() {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            wait_until(|| !is_running(pid.as_raw()));
        }
        assert_eq!(pool.map_with(&context, row, 0..100), expected);
    }
}

fn retries_have_it_too() {
    for method in METHODS {
        let pool = pool(method, 2);
        // Of the chunk that dies with its worker, the rest is run by others.
        let row = |table: &Table, row: u32| match row {
            13 | 57 => std::process::abort(),
            _ => table.rows[&row][0],
        };
        for _ in 0..3 {
            let outcomes = pool.try_map_with(&table(2), row, 0..100);
            for (row, outcome) in (0..).zip(outcomes) {
                match row {
                    13 | 57 => assert_eq!(outcome.unwrap_err().signal(), Some(6)),
                    _ => assert_eq!(outcome, Ok(2 * row)),
                }
            }
        }
        let pool = Pool::builder()
            .workers(2)
            .start_method(method)
            .retries(2)
            .build()
            .unwrap();
        let once = format!("/tmp/forklore-context-{}-{method:?}", std::process::id());
        let paths = Context::new(once.clone());
        let results = pool.map_with(
            &paths,
            |path, x: u32| match fs::exists(path).unwrap() {
                false => {
                    fs::write(path, "").unwrap();
                    std::process::abort()
                }
                true => x,
            },
            0..100,
        );
        fs::remove_file(once).unwrap();
        assert_eq!(results, (0..100).collect::<Vec<_>>());
    }
}

fn a_function_that_captures_inherits_it() {
    let pool = Pool::with_workers(2).unwrap();
    let offset = 10;
    let table = table(2);
    let sums = pool.map_with(&table, |table, row: u32| table.rows[&row][0] + offset, 0..5);
    assert_eq!(sums, [10, 12, 14, 16, 18]);
    let kept = Context::new(Unwritable);
    let sums = pool.map_with(&kept, |_, x: u64| x + offset, 0..3);
    assert_eq!(sums, [10, 11, 12]);
    let sums = pool.imap_with(&Unwritable, |_, x: u64| x + offset, 0..3);
    assert_eq!(sums.collect::<Vec<_>>(), [10, 11, 12]);
    // A worker that replaces a dead one inherits it as well.
    let outcomes = pool.try_map_with(
        &table,
        |table, row: u32| match u64::from(row) == offset {
            true => std::process::abort(),
            false => table.rows[&row][0],
        },
        0..30,
    );
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        29
    );
    assert_eq!(outcomes[29], Ok(58));
}

fn a_function_that_captures_beside_threads_says_what_to_do() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    let pool = pool(StartMethod::Spawn, 1);
    let offset = 3;
    let results = pool.try_map_with(&1, |n, x: i32| n + x + offset, 0..2);
    let text = results[1].as_ref().unwrap_err().to_string();
    assert!(
        text.contains("captured something beside its context"),
        "{text}"
    );
    assert!(text.contains("map_with(&(context, captured)"), "{text}");
    let both = pool.map_with(&(1, offset), |(n, offset), x: i32| n + x + offset, 0..2);
    assert_eq!(both, [4, 5]);
    drop(send);
    let _ = thread.join().unwrap();
}

fn pools_and_contexts_end_in_any_order() {
    for method in METHODS {
        let context = Context::new(vec![3u64; 100_000]);
        for _ in 0..3 {
            let pool = pool(method, 2);
            assert_eq!(pool.map_with(&context, |v, i: usize| v[i], 0..3), [3; 3]);
            let stream = pool.imap_with(&context, |v, i: usize| v[i], 0..);
            drop(pool);
            drop(stream);
        }
        let pool = pool(method, 2);
        let stream = {
            let context = context.clone();
            pool.imap(
                |x: u64| x,
                context.iter().copied().take(5).collect::<Vec<_>>(),
            )
        };
        assert_eq!(pool.map_with(&context, |v, i: usize| v[i], 0..3), [3; 3]);
        drop(context);
        assert_eq!(stream.sum::<u64>(), 15);
        pool.close();
        let error = pool.try_map_with(&1, |n, x: u8| n + x, 0..1).pop().unwrap();
        assert!(error.unwrap_err().is_not_run());
    }
}

fn a_forked_child_has_it_in_its_own_pool() {
    let pool = Pool::with_workers(2).unwrap();
    let context = Context::new(table(2));
    let rows = || pool.map_with(&context, |table, row: u32| table.rows[&row][0], 0..3);
    assert_eq!(rows(), [0, 2, 4]);
    let child = forklore::Process::spawn(|| {
        let rows = rows();
        drop(context.clone());
        rows
    });
    assert_eq!(child.unwrap().join(), Ok(vec![0, 2, 4]));
    assert_eq!(rows(), [0, 2, 4]);
    let child = forklore::Process::spawn(move || drop(context)).unwrap();
    assert_eq!(child.join(), Ok(()));
}

fn tasks_pass_it_on() {
    let pool = Pool::with_workers(2).unwrap();
    let numbers: Vec<u64> = (0..50_000).collect();
    let sums = pool.map_with(
        &numbers,
        |numbers, part: usize| {
            let inner = Pool::with_workers(2).unwrap();
            let sums = inner.map_with(numbers, |numbers, i: usize| numbers[i], part..part + 3);
            sums.iter().sum::<u64>()
        },
        [0, 10],
    );
    assert_eq!(sums, [3, 33]);
}

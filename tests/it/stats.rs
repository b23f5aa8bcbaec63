//! A pool's statistics of its workers: tasks, deaths, tries.

use std::time::Duration;

use forklore::pool::{DeathCause, Stats, Tally};
use forklore::{Pool, Process, StartMethod};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::starts::{METHODS, pool};
use crate::support::{is_running, power, tests, wait_until};

tests![
    a_pool_in_which_nothing_happens_counts_tasks_alone,
    each_cause_of_death_is_counted,
    panics_are_counted_where_they_happen,
    a_lack_of_memory_is_counted,
    time_limits_are_counted,
    retries_are_counted_where_the_worker_died,
    workers_that_retire_have_not_died,
    a_worker_that_is_killed_while_idle_is_counted,
    workers_that_never_start_are_counted,
    what_has_happened_outlives_slots_and_the_pool,
    a_pools_end_is_no_death,
    closures_workers_are_counted_apart,
    a_forked_child_begins_at_zero,
    numbers_add_up_after_a_storm,
    shown_it_is_a_table,
];

const CAUSES: [DeathCause; 7] = [
    DeathCause::Exited,
    DeathCause::Aborted,
    DeathCause::Killed,
    DeathCause::OutOfMemory,
    DeathCause::TimedOut,
    DeathCause::Vanished,
    DeathCause::FailedToStart,
];

/// Causes of death, and the number of workers that died of each.
fn deaths(tally: &Tally) -> Vec<(DeathCause, u64)> {
    let counted = CAUSES.map(|cause| (cause, tally.n_deaths_by(cause)));
    assert_eq!(
        tally.n_deaths(),
        counted.iter().map(|(_, n)| n).sum::<u64>()
    );
    counted.into_iter().filter(|(_, n)| *n > 0).collect()
}

fn n_tasks_of_workers(stats: &Stats) -> u64 {
    stats.workers().iter().map(Tally::n_tasks).sum()
}

fn pids(stats: &Stats) -> Vec<i32> {
    stats.workers().iter().filter_map(Tally::pid).collect()
}

fn a_pool_in_which_nothing_happens_counts_tasks_alone() {
    for method in METHODS {
        let pool = pool(method, 2);
        assert_eq!(pool.stats().total().n_tasks(), 0);
        pool.map(power, 0..1000);
        let panics = pool.try_map(|x: u32| assert!(x != 3), 0..5);
        assert!(panics[3].as_ref().unwrap_err().is_panicked());
        let stats = pool.stats();
        let total = stats.total();
        assert_eq!((total.n_tasks(), total.n_panicked()), (1005, 1), "{stats}");
        assert_eq!(n_tasks_of_workers(&stats), pool.n_tasks());
        assert_eq!(pids(&stats), pool.pids());
        assert_eq!(stats.workers().len(), 2);
        assert_eq!(deaths(&total), []);
        let others = (total.n_retries(), total.n_retired(), total.n_respawns());
        assert_eq!((others, total.pid()), ((0, 0, 0), None));
    }
}

/// Ends its process in the way that the number selects.
fn die(way: u32) -> u32 {
    match way {
        0 => std::process::exit(3),
        1 => std::process::abort(),
        2 => drop(kill(Pid::this(), Signal::SIGKILL)),
        3 => drop(kill(Pid::this(), Signal::SIGTERM)),
        _ => {}
    }
    way
}

fn each_cause_of_death_is_counted() {
    for method in METHODS {
        let pool = pool(method, 2);
        let results = pool.try_map(die, 0..20);
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 4);
        let stats = pool.stats();
        let total = stats.total();
        let expected = [
            (DeathCause::Exited, 1),
            (DeathCause::Aborted, 1),
            (DeathCause::Killed, 2),
        ];
        assert_eq!(deaths(&total), expected, "{method:?}");
        assert_eq!((total.n_respawns(), total.n_retries()), (4, 0));
        assert_eq!((pids(&stats), total.n_tasks()), (pool.pids(), 16));
        for worker in stats.workers() {
            assert_eq!(worker.n_respawns(), worker.n_deaths());
        }
    }
}

fn panics_are_counted_where_they_happen() {
    let _quiet = crate::support::Quiet::new();
    for method in METHODS {
        let pool = pool(method, 2);
        let panics = |x: u32| assert!(x.is_multiple_of(2));
        let _ = pool.try_map(panics, 0..1000);
        let two = 2;
        let _ = pool.try_map(|x: u32| panics(x + two), 0..10);
        // Their workers live on, or not.
        let _ = pool.try_broadcast(|| assert!(std::process::id() == 0));
        let _ = pool.try_map(die, [1]);
        pool.resize(1).unwrap();
        let stats = pool.stats();
        let of_workers = stats.workers().iter().map(Tally::n_panicked);
        assert_eq!(of_workers.sum::<u64>(), 502, "{method:?}: {stats}");
        assert_eq!(stats.closures().n_panicked(), 5);
        assert_eq!(stats.total().n_deaths(), 1);
        assert!(stats.workers().iter().all(|worker| worker.n_panicked() > 0));
    }
}

fn a_lack_of_memory_is_counted() {
    let builder = Pool::builder().workers(1).memory_limit(256 << 20);
    let pool = builder.build().unwrap();
    let results = pool.try_map(|n: usize| vec![1_u8; n].len(), [1 << 30]);
    assert!(results[0].as_ref().unwrap_err().is_out_of_memory());
    let total = pool.stats().total();
    assert_eq!(deaths(&total), [(DeathCause::OutOfMemory, 1)]);
}

fn hang_at_three(x: u32) -> u32 {
    match x {
        3 => loop {
            std::thread::park();
        },
        _ => x,
    }
}

fn time_limits_are_counted() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        let builder = builder.timeout(Duration::from_millis(200)).retries(2);
        let pool = builder.build().unwrap();
        let results = pool.try_map(hang_at_three, 0..6);
        assert!(results[3].as_ref().unwrap_err().is_timed_out());
        let total = pool.stats().total();
        assert_eq!(deaths(&total), [(DeathCause::TimedOut, 1)], "{method:?}");
        let others = (total.n_timeouts(), total.n_retries(), total.n_respawns());
        assert_eq!(others, (1, 0, 1));
    }
}

fn retries_are_counted_where_the_worker_died() {
    let builder = Pool::builder().workers(2).retries(2);
    let pool = builder.build().unwrap();
    let results = pool.try_map(die, [9, 0, 9]);
    assert_eq!(results[1].as_ref().unwrap_err().tries(), 3);
    let stats = pool.stats();
    let total = stats.total();
    assert_eq!((total.n_retries(), total.n_deaths()), (2, 3));
    for worker in stats.workers() {
        assert!(worker.n_retries() <= worker.n_deaths(), "{stats}");
    }
}

fn workers_that_retire_have_not_died() {
    for method in METHODS {
        let builder = Pool::builder().workers(1).start_method(method);
        let pool = builder.max_tasks_per_worker(5).build().unwrap();
        for _ in 0..4 {
            pool.map_chunked(power, 0..5, 5);
        }
        // The last one leaves when it likes.
        wait_until(|| pool.stats().total().n_retired() == 4);
        let total = pool.stats().total();
        assert_eq!(deaths(&total), [], "{method:?}");
        assert_eq!((total.n_respawns(), total.n_tasks()), (4, 20));
    }
}

fn a_worker_that_is_killed_while_idle_is_counted() {
    for method in METHODS {
        let pool = pool(method, 2);
        pool.map(power, 0..3);
        let victim = pool.broadcast(|| std::process::id() as i32)[1];
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        wait_until(|| !is_running(victim));
        wait_until(|| pool.stats().total().n_deaths() > 0);
        let stats = pool.stats();
        let [first, second] = stats.workers() else {
            panic!("{stats}")
        };
        assert_eq!((deaths(first), deaths(second).len()), (vec![], 1));
        assert_ne!(second.pid(), Some(victim));
        assert_eq!((second.n_deaths(), second.n_respawns()), (1, 1));
    }
}

fn workers_that_never_start_are_counted() {
    for method in METHODS {
        let builder = Pool::builder().workers(1).start_method(method);
        let builder = builder.initializer(|| std::process::exit(9));
        let pool = builder.build().unwrap();
        let error = pool.try_map(power, 0..1).remove(0).unwrap_err();
        assert!(error.is_not_run(), "{error}");
        let stats = pool.stats();
        let total = stats.total();
        assert_eq!(total.n_tasks(), 0);
        assert!(total.n_deaths() > 0, "{method:?}: {stats}");
        let [(DeathCause::FailedToStart, _)] = deaths(&total)[..] else {
            panic!("{method:?}: {stats}")
        };
    }
}

fn what_has_happened_outlives_slots_and_the_pool() {
    for method in METHODS {
        let pool = pool(method, 3);
        let _ = pool.try_map(die, 0..30);
        let before = pool.stats();
        pool.resize(1).unwrap();
        assert_eq!(pool.stats().total(), before.total(), "{method:?}");
        assert_eq!(pool.n_tasks(), 26);
        assert_eq!(pool.stats().workers().len(), 3);
        assert_eq!(pids(&pool.stats()), pool.pids());
        pool.map(power, 0..10);
        pool.resize(2).unwrap();
        pool.map(power, 0..10);
        let total = pool.stats().total();
        assert_eq!((total.n_tasks(), total.n_respawns()), (46, 4));
        pool.close();
        assert_eq!(pool.stats().total(), total);
        pool.join();
        assert_eq!(pool.stats().total(), total);
        assert_eq!(pids(&pool.stats()), [0; 0]);
        assert_eq!(pool.n_tasks(), 46);
    }
}

fn a_pools_end_is_no_death() {
    for method in METHODS {
        let pool = pool(method, 2);
        pool.map(power, 0..10);
        pool.terminate();
        let total = pool.stats().total();
        assert_eq!((deaths(&total), total.n_tasks()), (vec![], 10));
    }
}

fn closures_workers_are_counted_apart() {
    for method in METHODS {
        let builder = Pool::builder().workers(2).start_method(method);
        let pool = builder.retries(1).build().unwrap();
        let one = 1;
        let results = pool.try_map(|x: u32| die(x + one), 0..10);
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 3);
        let stats = pool.stats();
        let closures = *stats.closures();
        let expected = [(DeathCause::Aborted, 2), (DeathCause::Killed, 4)];
        assert_eq!(deaths(&closures), expected, "{method:?}");
        let others = (closures.n_tasks(), closures.n_retries(), closures.pid());
        assert_eq!(others, (7, 3, None));
        assert_eq!(stats.total().n_deaths(), 6);
        assert_eq!((pool.n_tasks(), n_tasks_of_workers(&stats)), (0, 0));
        // The same for results that come later, and for a stream that is left early.
        let exit = move |x: u32| die(x - one);
        assert!(pool.apply_async(exit, 1).get().is_err());
        assert_eq!(pool.imap(exit, [9, 9]).next(), Some(8));
        let closures = *pool.stats().closures();
        assert_eq!(closures.n_deaths_by(DeathCause::Exited), 2);
        assert!(closures.n_tasks() >= 8, "{closures:?}");
    }
}

fn a_forked_child_begins_at_zero() {
    for method in METHODS {
        let pool = pool(method, 2);
        let captured = 0;
        let _ = pool.try_map(die, 0..10);
        let _ = pool.try_map(|x: u32| die(x + captured), 0..10);
        let before = pool.stats();
        let child = Process::spawn(|| {
            let fresh = pool.stats();
            pool.map(power, 0..5);
            let tasks = pool.stats().total().n_tasks();
            (fresh.total().n_tasks(), fresh.total().n_deaths(), tasks)
        });
        assert_eq!(child.unwrap().join(), Ok((0, 0, 5)), "{method:?}");
        assert_eq!(pool.stats(), before);
    }
}

fn numbers_add_up_after_a_storm() {
    let mut random = crate::support::Random::seeded();
    for method in METHODS {
        let builder = Pool::builder().workers(3).start_method(method);
        let pool = builder.retries(1).build().unwrap();
        let (mut n_tries, mut n_tasks) = (0, 0);
        for _ in 0..20 {
            let ways: Vec<u32> = (0..30).map(|_| random.below(60) as u32).collect();
            for result in pool.try_map(die, ways) {
                match result {
                    Ok(_) => n_tasks += 1,
                    Err(error) => n_tries += u64::from(error.tries()),
                }
            }
        }
        let stats = pool.stats();
        let total = stats.total();
        assert_eq!(total.n_deaths(), n_tries, "{method:?}: {stats}");
        assert_eq!(2 * total.n_retries(), n_tries, "{method:?}: {stats}");
        assert_eq!(total.n_respawns(), total.n_deaths(), "{method:?}: {stats}");
        assert_eq!(total.n_tasks(), n_tasks, "{method:?}: {stats}");
    }
}

fn shown_it_is_a_table() {
    let pool = pool(StartMethod::Fork, 2);
    assert!(pool.stats().to_string().contains("no worker died"));
    let _ = pool.try_map(die, 0..10);
    let stats = pool.stats();
    let table = stats.to_string();
    let lines: Vec<&str> = table.lines().collect();
    let starts = ["", "worker 0", "worker 1", "closures", "total", "deaths: "];
    assert_eq!(lines.len(), starts.len(), "{table}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.trim_start().starts_with(start), "{table}");
    }
    assert!(lines[1].ends_with(&pool.pids()[0].to_string()), "{table}");
    let all = "1 exited, 1 aborted, 2 killed by a signal";
    assert!(lines[5].ends_with(all), "{table}");
    assert!(format!("{stats:?}").contains("n_tasks: 6"), "{stats:?}");
}

//! Uses every name of the public interface once, as users do: this code must keep compiling.
//! compiling.

use std::process::Command;
use std::time::Duration;

use forklore::{
    Backend, Barrier, Condition, Cpus, Error, Event, Fork, Gil, Lock, Map, Parallel, Pending, Pool,
    Process, Queue, RLock, Semaphore, Serial, SharedArray, StartMethod, TaskError, ThreadPool,
    Timed, Timeit, Traced, Value, cpu_count, fork, pipe, time, timeit,
};

use crate::support::{power, tests};

tests![
    processes,
    pools,
    every_map,
    timing,
    sharing,
    taking_turns,
    pythons_side_of_the_pairs_runs,
];

fn processes() {
    let n: usize = cpu_count();
    let cpus: Cpus = Cpus::detect();
    assert_eq!(n, cpus.usable());

    match fork().unwrap() {
        Fork::Child(guard) => drop(guard),
        Fork::Parent(child) => assert!(child.wait().is_success()),
    }

    let mut process: Process<u64> = Process::spawn(|| 7).unwrap();
    let (_pid, _is_alive): (i32, bool) = (process.pid(), process.is_alive());
    let outcome: Result<u64, TaskError> = process.join();
    assert_eq!(outcome, Ok(7));
    for end in [Process::terminate, Process::kill] {
        let mut endless: Process<()> = Process::spawn(|| {
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        end(&mut endless);
        assert!(endless.join().unwrap_err().is_died());
    }
}

fn pools() {
    let refused: Error = Pool::with_workers(0).unwrap_err();
    assert!(refused.is_invalid_input());
    drop(Pool::new().unwrap());

    let pool: Pool = Pool::builder()
        .workers(2)
        .initializer(|| ())
        .max_tasks_per_worker(1_000)
        .start_method(StartMethod::Fork)
        .build()
        .unwrap();
    let (n, pids): (usize, Vec<i32>) = (pool.workers(), pool.pids());
    assert_eq!((n, pids.len()), (2, 2));

    let results: Vec<u64> = pool.map(power, 0..3);
    let outcomes: Vec<Result<u64, TaskError>> = pool.try_map(power, vec![0, 1, 2]);
    assert_eq!(
        outcomes.into_iter().collect::<Result<Vec<_>, _>>(),
        Ok(results.clone())
    );
    assert_eq!(pool.map_chunked(power, 0..3, 2), results);
    assert_eq!(pool.starmap(|x: u64, n: u32| x.pow(n), [(2, 10)]), [1024]);
    assert_eq!(pool.imap(power, 0..).take(3).collect::<Vec<u64>>(), results);
    let mut unordered: Vec<(usize, u64)> = pool.imap_unordered(power, 0..3).collect();
    unordered.sort();
    assert_eq!(unordered, [(0, 0), (1, 1), (2, 1024)]);

    assert_eq!(pool.apply(power, 2), 1024);
    let one: Pending<u64> = pool.apply_async(power, 2);
    assert!(one.wait(Duration::MAX));
    assert!(one.ready());
    assert_eq!(one.get(), Ok(1024));
    let all: Pending<Vec<u64>> = pool.map_async(power, 0..3);
    assert_eq!(all.get(), Ok(results.clone()));

    let traced: Traced<Vec<u64>> = pool.map_traced(power, 0..3);
    assert_eq!(traced.value, results);
    assert!(traced.trace.overheads().to_string().contains("run"));
    assert!(traced.trace.timeline().svg().starts_with("<svg"));

    pool.close();
    pool.join();
    pool.terminate();
}

fn every_map() {
    fn squares(pool: &impl Map) -> Vec<u64> {
        pool.map(|x: u64| x * x, 0..3)
    }
    assert_eq!(squares(&Pool::with_workers(1).unwrap()), [0, 1, 4]);
    assert_eq!(squares(&Serial), [0, 1, 4]);
    for backend in [Backend::Processes, Backend::Serial, Backend::Threads] {
        let parallel = Parallel::jobs(2).backend(backend).progress(true);
        assert_eq!(parallel.map(|x: u64| x * x, 0..3), [0, 1, 4]);
    }
    assert_eq!(squares(&ThreadPool::new().unwrap()), [0, 1, 4]);
    assert_eq!(squares(&ThreadPool::with_workers(2).unwrap()), [0, 1, 4]);
}

fn timing() {
    let timed: Timed<u64> = time(|| power(2));
    assert_eq!(timed.value, 1024);
    let text = timed.to_string();
    assert!(
        text.contains("CPU times: user") && text.contains("Wall time:"),
        "{text}"
    );
    let repeated: Timeit = timeit(|| power(2));
    assert!(repeated.best() <= repeated.mean());
}

fn sharing() {
    let numbers: SharedArray<u64> = SharedArray::<u64>::zeroed(3).unwrap();
    let total: Value<u64> = Value::new(0u64).unwrap();
    let text: Lock<String> = Lock::new(String::new()).unwrap();
    let queue: Queue<u64> = Queue::<u64>::bounded(4).unwrap();
    let (sender, receiver) = pipe::<u64>().unwrap();
    let arrived: Event = Event::new().unwrap();
    let both: Barrier = Barrier::new(2).unwrap();
    let (reentrant, permits, changed) = (
        RLock::new().unwrap(),
        Semaphore::new(1).unwrap(),
        Condition::new().unwrap(),
    );
    let child: Process<()> = Process::spawn(|| {
        numbers.set(1, 5);
        total.update(|n| n + 5);
        text.lock().unwrap().push_str("five");
        queue.send(5).unwrap();
        sender.send(5).unwrap();
        drop((reentrant.lock().unwrap(), permits.acquire().unwrap()));
        changed.notify_all();
        arrived.set();
        both.wait().unwrap();
    })
    .unwrap();
    both.wait().unwrap();
    child.join().unwrap();
    assert!(arrived.is_set());
    assert_eq!((numbers.get(1), total.get()), (5, 5));
    assert_eq!(*text.lock().unwrap(), "five");
    assert_eq!((queue.recv().unwrap(), receiver.recv().unwrap()), (5, 5));
}

fn taking_turns() {
    for gil in [
        Gil::new(),
        Gil::with_switch_interval(Duration::from_millis(1)),
        Gil::disabled(),
    ] {
        let report = gil.threads(2, |token, i| {
            token.checkpoint();
            token.allow_threads(|| i)
        });
        assert_eq!(report.values(), [0, 1]);
    }
}

/// Python's side of the pairs; a doctest covers the other. Without Python or joblib, nothing is
/// checked.
fn pythons_side_of_the_pairs_runs() {
    let page = include_str!("../../src/coming_from_python.rs").replace("//! ", "");
    let scripts: Vec<&str> = page.split("```python\n").skip(1).collect();
    assert_eq!(scripts.len(), 5);
    let file = std::env::temp_dir().join(format!("forklore-pair-{}.py", std::process::id()));
    let python = |args: &[&str]| Command::new("python3").args(args).output();
    for script in scripts {
        let script = script.split("```").next().unwrap().replace("//!", "");
        let module = script.split_whitespace().nth(1).unwrap();
        if !python(&["-c", &format!("import {module}")]).is_ok_and(|probe| probe.status.success()) {
            println!("no {module} here");
            continue;
        }
        std::fs::write(&file, &script).unwrap();
        let output = python(&[file.to_str().unwrap()]).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}{errors}");
    }
    let _ = std::fs::remove_file(file);
}

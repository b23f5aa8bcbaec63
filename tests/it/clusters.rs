//! Maps over several nodes, which are here processes on this machine.

use std::collections::HashSet;
use std::time::Duration;

use forklore::pool::DeathCause;
use forklore::{Backend, Cluster, Context, Parallel, Serial};

use crate::futures::block_on;
use crate::support::{Quiet, Scene, power, scene, tests, text};

tests![
    a_cluster_maps_as_one_machine_does,
    a_cluster_says_which_nodes_it_has,
    all_ways_to_call_a_cluster,
    a_trace_has_a_row_for_each_worker_of_each_node,
    a_trace_shows_a_death_on_a_node,
    arguments_and_results_of_all_kinds,
    a_task_that_fails_costs_its_item_and_names_its_node,
    all_nodes_are_used,
    a_context_reaches_each_node,
    a_closure_with_state_is_told_the_way,
    hosts_that_make_no_cluster,
    a_time_limit_holds_on_each_node,
    workers_of_all_nodes_have_what_was_asked_for,
    a_parallel_map_has_a_cluster_behind_it,
    a_cluster_works_in_a_program_with_threads,
];

/// The scenes that run in a separate process.
pub const SCENES: &[Scene] = &[("a cluster without a list", a_cluster_without_a_list)];

pub fn two_nodes() -> Cluster {
    cluster(&["localhost:2", "localhost:2"])
}

pub fn cluster(hosts: &[&str]) -> Cluster {
    Cluster::builder().hosts(hosts).build().unwrap()
}

fn a_cluster_maps_as_one_machine_does() {
    let cluster = two_nodes();
    assert_eq!(cluster.workers(), 4);
    let names: Vec<String> = cluster.nodes().into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["localhost#1", "localhost#2"]);
    for n in [0, 1, 2, 3, 4, 5, 24, 1000, 10_000] {
        assert_eq!(cluster.map(power, 0..n), Serial.map(power, 0..n));
    }
    assert_eq!(
        cluster.map_chunked(power, 0..1000, 1),
        Serial.map(power, 0..1000)
    );
    assert_eq!(
        cluster.map_chunked(power, 0..1000, 7),
        Serial.map(power, 0..1000)
    );
}

fn a_cluster_says_which_nodes_it_has() {
    let two = two_nodes();
    assert_eq!(two.to_string(), "2 nodes: localhost#1:2 localhost#2:2");
    let one = cluster(&["localhost:3"]).to_string();
    assert!(
        one.starts_with("1 node: localhost:3 (for one node, `Pool`"),
        "{one}"
    );
    let slurm = [
        ("SLURM_JOB_NODELIST", "localhost"),
        ("SLURM_JOB_CPUS_PER_NODE", "2"),
    ];
    for (variables, said) in [
        (
            &slurm[..0],
            "1 node, as no scheduler gave this process any: localhost:",
        ),
        (&slurm[..], "1 node from Slurm: localhost:2 (for one node"),
    ] {
        let mut job = scene("a cluster without a list");
        for inherited in [
            "SLURM_JOB_NODELIST",
            "SLURM_TASKS_PER_NODE",
            "SLURM_CPUS_PER_TASK",
            "PE_HOSTFILE",
        ] {
            job.env_remove(inherited);
        }
        let output = text(&job.envs(variables.iter().copied()).output().unwrap());
        assert!(output.contains(said), "{output}");
    }
}

fn a_cluster_without_a_list() {
    println!("{}", Cluster::new().unwrap());
}

fn all_ways_to_call_a_cluster() {
    let cluster = two_nodes();
    let expected = Serial.map(power, 0..100);
    assert_eq!(cluster.imap(power, 0..100).collect::<Vec<_>>(), expected);
    let mut unordered: Vec<(usize, u64)> = cluster.imap_unordered(power, 0..100).collect();
    unordered.sort_unstable();
    assert_eq!(
        unordered.into_iter().map(|(_, y)| y).collect::<Vec<_>>(),
        expected
    );
    let pending: Vec<_> = (0..50).map(|x| cluster.apply_async(power, x)).collect();
    for (x, pending) in (0..).zip(pending) {
        assert_eq!(pending.get().unwrap(), power(x));
    }
    assert_eq!(cluster.map_async(power, 0..100).get().unwrap(), expected);
    let streamed = smol::stream::StreamExt::collect::<Vec<_>>(cluster.stream(power, 0..100));
    assert_eq!(block_on(streamed), expected);
    for (index, y) in cluster.imap_unordered_with(&3, |factor, x: u64| factor * x, 0..10) {
        assert_eq!(y, 3 * index as u64);
    }
    assert_eq!(cluster.apply(power, 3), power(3));
    assert_eq!(
        cluster.starmap(|x: u64, y: u64| x * y, [(2, 3), (4, 5)]),
        [6, 20]
    );
    let pids = cluster.broadcast(std::process::id);
    assert_eq!(pids.iter().collect::<HashSet<_>>().len(), 4);
    assert!(!pids.contains(&std::process::id()));
}

fn a_trace_has_a_row_for_each_worker_of_each_node() {
    let cluster = two_nodes();
    const NAP: Duration = Duration::from_millis(5);
    let nap = |x: u64| {
        std::thread::sleep(NAP);
        (x, std::process::id() as i32)
    };
    let traced = cluster.map_traced(nap, 0..40);
    let workers = traced.workers();
    let names: Vec<&str> = workers.iter().map(|worker| worker.name()).collect();
    let expected = [1, 2].map(|node| [0, 1].map(|n| format!("localhost#{node}: worker {n}")));
    assert_eq!(names, expected.concat());
    for worker in workers {
        let spans = worker.spans();
        for pair in spans.windows(2) {
            assert!(pair[0].end <= pair[1].start, "{pair:?} of one worker");
        }
        for span in spans {
            assert!(
                span.end - span.start >= NAP * span.n_items as u32,
                "{span:?}"
            );
            assert!(span.end <= traced.wall(), "{span:?}");
            for item in span.first_item..span.first_item + span.n_items {
                assert_eq!(traced.value[item], (item as u64, worker.pid()));
            }
        }
    }
    let n_items: usize = workers.iter().map(|worker| worker.n_items()).sum();
    assert_eq!(n_items, traced.value.len());
    assert!(traced.to_chrome_json().contains("localhost#2: worker 1"));
}

/// The row of a worker that died ends with its death; another worker tries the task again.
fn a_trace_shows_a_death_on_a_node() {
    let cluster = Cluster::builder()
        .hosts(["localhost:1,localhost:1"])
        .retries(1)
        .build()
        .unwrap();
    let _quiet = Quiet::new();
    let was_there = std::env::temp_dir().join(format!("forklore-it-death-{}", std::process::id()));
    let die_once = |was_there: &String, x: u32| {
        if x == 5 && std::fs::File::create_new(was_there).is_ok() {
            std::process::abort();
        }
        x
    };
    let path = was_there.to_str().unwrap().to_owned();
    let traced = cluster.map_traced_with(&path, die_once, 0..12);
    std::fs::remove_file(&was_there).unwrap();
    assert_eq!(traced.value, (0..12).collect::<Vec<_>>());
    let spans = traced.workers().iter().flat_map(|worker| worker.spans());
    let cut_short: Vec<usize> = spans
        .filter(|span| span.is_cut_short)
        .map(|span| span.first_item + span.n_items - 1)
        .collect();
    assert_eq!(cut_short, [5]);
    let total = cluster.stats().total();
    assert_eq!(total.n_deaths_by(DeathCause::Aborted), 1, "{total:?}");
    assert_eq!((total.n_deaths(), total.n_retries()), (1, 1), "{total:?}");
}

fn arguments_and_results_of_all_kinds() {
    let cluster = two_nodes();
    let words: Vec<String> = (0..300).map(|n| "x".repeat(n)).collect();
    assert_eq!(
        cluster.map(|word: String| word.len(), words.clone()),
        (0..300).collect::<Vec<_>>()
    );
    assert_eq!(cluster.map(|n: usize| "x".repeat(n), 0..300), words);
    let large = |n: usize| vec![n as f64; 1_000_000 + n];
    let sums = cluster.map(
        |values: Vec<f64>| values.iter().sum::<f64>(),
        (0..6).map(large),
    );
    assert_eq!(
        sums,
        Serial.map(|n: usize| large(n).iter().sum::<f64>(), 0..6)
    );
    assert_eq!(
        cluster.map(large, 0..6),
        (0..6).map(large).collect::<Vec<_>>()
    );
    assert_eq!(cluster.map(|()| (), vec![(); 9]), vec![(); 9]);
    assert_eq!(cluster.map(|x: u128| x << 64, [1, 2]), [1 << 64, 2 << 64]);
    assert_eq!(
        cluster.map(|x: Option<u8>| x, [None, Some(1)]),
        [None, Some(1)]
    );
}

fn a_task_that_fails_costs_its_item_and_names_its_node() {
    let cluster = two_nodes();
    let _quiet = Quiet::new();
    let results = cluster.try_map(
        |x: u32| match x {
            3 => panic!("three"),
            5 => std::process::exit(5),
            7 => std::process::abort(),
            _ => x,
        },
        0..20,
    );
    for (x, result) in (0..).zip(&results) {
        match (x, result) {
            (3 | 5 | 7, Err(error)) => {
                assert_eq!(error.item(), Some(x as usize));
                assert!(
                    error
                        .node()
                        .is_some_and(|node| node.starts_with("localhost#")),
                    "{error}"
                );
                assert!(error.to_string().contains("on node localhost#"), "{error}");
                assert_eq!(error.is_panicked(), x == 3);
                assert_eq!(error.exit_code(), (x == 5).then_some(5));
                assert_eq!(error.signal(), (x == 7).then_some(6));
            }
            (_, result) => assert_eq!(*result, Ok(x)),
        }
    }
    assert_eq!(cluster.map(power, 0..24), Serial.map(power, 0..24));
}

fn all_nodes_are_used() {
    let cluster = cluster(&["localhost:1,localhost:1", "localhost:1"]);
    let nap = |_: u32| {
        std::thread::sleep(Duration::from_millis(5));
        std::process::id()
    };
    let pids: HashSet<u32> = cluster.map(nap, 0..60).into_iter().collect();
    assert_eq!(pids.len(), 3);
}

fn a_context_reaches_each_node() {
    let cluster = two_nodes();
    let table: Vec<u64> = (0..100_000).collect();
    let look_up = |table: &Vec<u64>, i: usize| table[i] + 1;
    let expected: Vec<u64> = (1..=1000).collect();
    assert_eq!(cluster.map_with(&table, look_up, 0..1000), expected);
    let context = Context::new(table);
    for _ in 0..3 {
        assert_eq!(cluster.map_with(&context, look_up, 0..1000), expected);
    }
    drop(context);
    let word = "fork".to_owned();
    assert_eq!(
        cluster.map_with(&word, |word, n: usize| word.repeat(n), [0, 2]),
        ["", "forkfork"]
    );
    assert_eq!(
        cluster
            .imap_with(&word, |word, n: usize| word.len() + n, 0..3)
            .collect::<Vec<_>>(),
        [4, 5, 6]
    );
}

fn a_closure_with_state_is_told_the_way() {
    let cluster = two_nodes();
    let offset = 7;
    let results = cluster.try_map(|x: u64| x + offset, 0..3);
    let text = results[0].as_ref().unwrap_err().to_string();
    assert!(text.contains("cluster.map_with"), "{text}");
}

fn hosts_that_make_no_cluster() {
    for (hosts, part) in [(&["localhost:0"][..], "0"), (&[], ""), (&["a b"], "a b")] {
        let error = Cluster::builder().hosts(hosts).build().unwrap_err();
        assert!(
            error.is_invalid_input() && error.to_string().contains(part),
            "{error}"
        );
    }
}

fn a_time_limit_holds_on_each_node() {
    let limit = Duration::from_millis(200);
    let cluster = Cluster::builder()
        .hosts(["localhost:1,localhost:1"])
        .timeout(limit)
        .build()
        .unwrap();
    let hang = |x: u32| {
        if x == 3 {
            loop {
                std::thread::park()
            }
        } else {
            x
        }
    };
    let results = cluster.try_map(hang, 0..6);
    let error = results[3].as_ref().unwrap_err();
    assert!(error.is_timed_out() && error.node().is_some(), "{error}");
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    let total = cluster.stats().total();
    assert_eq!((total.n_timeouts(), total.n_deaths()), (1, 1), "{total:?}");
}

fn workers_of_all_nodes_have_what_was_asked_for() {
    let cluster = Cluster::builder()
        .hosts(["localhost:1,localhost:1"])
        .environment("FORKLORE_IT_WORD", "fork")
        .current_dir("/")
        .nice(1)
        .build()
        .unwrap();
    let found = cluster.broadcast(|| {
        let word = std::env::var("FORKLORE_IT_WORD").unwrap_or_default();
        (word, std::env::current_dir().unwrap())
    });
    assert_eq!(
        found,
        [
            ("fork".to_owned(), "/".into()),
            ("fork".to_owned(), "/".into())
        ]
    );
    let builder = Cluster::builder().hosts(["localhost:1"]);
    let error = builder.current_dir("/no/such folder").build().unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_invalid_input() && text.contains("/no/such folder"),
        "{text}"
    );
}

fn a_parallel_map_has_a_cluster_behind_it() {
    let parallel = Parallel::jobs(-1).backend(Backend::Cluster);
    assert_eq!(parallel.map(power, 0..24), Serial.map(power, 0..24));
    assert_eq!(
        parallel.imap(power, 0..24).collect::<Vec<_>>(),
        Serial.map(power, 0..24)
    );
    assert_eq!(parallel.workers().unwrap(), forklore::cpu_count());
    let error = Parallel::jobs(3)
        .backend(Backend::Cluster)
        .workers()
        .unwrap_err();
    assert!(
        error.is_invalid_input() && error.to_string().contains('3'),
        "{error}"
    );
}

fn a_cluster_works_in_a_program_with_threads() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || stopped.recv());
    let cluster = &two_nodes();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(cluster.map(power, 0..100), Serial.map(power, 0..100));
                }
            });
        }
    });
    drop(stop);
    let _ = other.join();
}

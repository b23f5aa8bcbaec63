"""The library in a notebook: there from the first cell, and its workers run what was defined after they were forked."""

import os
import shutil
import subprocess
from pathlib import Path

from conftest import assert_gone

# Deletes the shared objects of all cells, and then maps a function that no worker has loaded.
DELETED = """
fn doomed(x: u64) -> u64 { x }
let maps: String = std::fs::read_to_string("/proc/self/maps")?;
for path in maps.lines().filter_map(|line| line.split_whitespace().nth(5)).filter(|path| path.contains("libcode_")) {
    let _ = std::fs::remove_file(path);
}
pool.try_map(doomed, 0..2)[1].as_ref().unwrap_err().to_string()
"""


def test_the_library_is_there_in_the_first_cell(new_kernel):
    kernel = new_kernel()
    assert kernel.ok("use forklore::*;\nlet pool: Pool = Pool::with_workers(2)?;\npool.workers()").result == "2"
    workers = [int(pid) for pid in kernel.ok("pool.pids()").result.strip("[]").split(",")]
    # Defined after the workers were forked: in a later cell, in the same cell as the map, as a closure.
    kernel.ok("fn f(x: u64) -> u64 { x.pow(10) }")
    powers = str([x**10 for x in range(8)])
    assert kernel.ok("pool.map(f, 0..8)").result == powers
    assert kernel.ok("fn g(x: u64) -> u64 { f(x) }\npool.map(g, 0..8)").result == powers
    assert kernel.ok("pool.map(|x: u64| f(x) + 1, 0..3)").result == "[1, 2, 1025]"
    lost = kernel.ok(DELETED).result
    assert "item 1 " in lost and "libcode_" in lost and "was deleted" in lost and "run the cell" in lost, lost
    assert kernel.ok("pool.map(f, 0..8)").result == powers, "what the workers have loaded still runs"
    assert kernel.ok("pool.pids().len()").result == "2"
    kernel.stop()
    assert_gone(workers)


# Each needs the type of what the standard library or the library gives back.
VARIABLES = """
use forklore::*;
let mut counts = std::collections::HashMap::new(); counts.insert("a".to_owned(), 1u32);
let first = counts.get("a").copied();
let pairs: Vec<_> = counts.iter().map(|(name, n)| (name.clone(), *n)).collect();
let squares = (1..=3).map(|x| x * x).collect::<std::collections::VecDeque<u64>>();
let file = std::fs::File::open("/dev/null")?;
let shared = std::sync::Arc::new(std::sync::Mutex::new(vec![1.5, 2.5]));
let timed = time(|| 5);
let array = SharedArray::<u64>::zeroed(3)?;
"""


def test_the_types_of_variables_are_known(kernel):
    kernel.ok(VARIABLES)
    shown = kernel.ok("(first, &pairs, &squares, timed.value, array.len())").result
    assert shown == '(Some(1), [("a", 1)], [1, 4, 9], 5, 3)'
    assert kernel.ok("shared.lock().unwrap().len()").result == "2"
    ran = kernel.run("let unknown = Default::default();")
    # Not the traceback: what earlier cells of this kernel are warned about is repeated there.
    assert ran.status == "error" and "Result<" not in ran.reply["content"]["evalue"], ran


def test_without_rust_src_a_let_says_what_is_missing(new_kernel, tmp_path):
    """A toolchain whose compiler says that it is installed where there are no sources."""
    real = subprocess.run(["rustup", "which", "rustc"], capture_output=True, text=True).stdout.strip()
    real = real or shutil.which("rustc")
    scripts = {
        "rustc": f'#!/bin/sh\ncase "$*" in *"print sysroot"*) echo {tmp_path};; *) exec {real} "$@";; esac\n',
        "rustup": f'#!/bin/sh\n[ "$2" = rustc ] && echo {tmp_path}/rustc && exit\nPATH=${{PATH#*:}}\nexec rustup "$@"\n',
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    # rustup takes a folder for a toolchain only if it has programs.
    (tmp_path / "bin").mkdir()
    for program in Path(real).parent.iterdir():
        (tmp_path / "bin" / program.name).symlink_to(tmp_path / "rustc" if program.name == "rustc" else program)
    kernel = new_kernel(env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert kernel.ok("let typed: u64 = 5; typed + 1").result == "6"
    error = kernel.run('let text = String::from("x").repeat(2);').reply["content"]
    assert error["status"] == "error" and "explicit type" in error["evalue"]
    assert "rustup component add rust-src" in error["evalue"]


def test_the_stock_kernel_is_served_by_the_same_program(new_kernel):
    kernel = new_kernel("rust-evcxr")
    ran = kernel.run("let stock = 20; stock + 1")
    assert ran.result == "21"
    info = kernel.reply(kernel.client.kernel_info())["content"]
    assert info["implementation"] == "evcxr_jupyter"


def test_a_thread_pool_is_used_in_another_cell_and_after_a_rollback(kernel):
    kernel.ok("use forklore::*; let threads: ThreadPool = ThreadPool::with_workers(2)?;")
    assert kernel.ok("threads.map(|x: u64| x + 1, 0..3)").result == "[1, 2, 3]"
    assert kernel.run('panic!("rolled back")').status == "error"
    assert kernel.ok("threads.map(|x: u64| x + 2, 0..3)").result == "[2, 3, 4]"
    kernel.ok("drop(threads);")
    assert kernel.ok("Pool::with_workers(1)?.map(|x: u64| x, 0..1)").result == "[0]"


def test_a_session_with_threads_has_pools_and_contexts(kernel):
    """As after `:dep tokio`: the runtime's threads are there, and the learner writes the same lines."""
    kernel.ok("use forklore::*; let park_18 = std::thread::spawn(std::thread::park);")
    kernel.ok("let pool_18 = Pool::with_workers(2)?; let k_18 = 7u64;")
    assert kernel.ok("pool_18.start_method() == StartMethod::Forkserver").result == "true"
    assert kernel.ok("pool_18.map(|x: u64| x * x, 0..4)").result == "[0, 1, 4, 9]"
    captured = kernel.run("pool_18.map(|x: u64| x + k_18, 0..4)")
    assert captured.status == "error"
    assert "pool.map_with(&captured, |captured, item| …, items)" in captured.reply["content"]["evalue"], captured
    assert kernel.ok("pool_18.map_with(&k_18, |k, x: u64| x + k, 0..4)").result == "[7, 8, 9, 10]"
    kernel.ok("let table_18 = Context::new(vec![1.5, 2.5]);")
    assert kernel.ok("pool_18.map_with(&table_18, |table, i: usize| table[i], [1, 0])").result == "[2.5, 1.5]"
    # A crash costs the thread, and neither the pool nor the context.
    assert kernel.run("std::process::abort()").status == "error"
    assert kernel.ok("pool_18.map_with(&table_18, |table, i: usize| table[i] * 2.0, [1, 0])").result == "[5.0, 3.0]"


def test_a_cluster_runs_a_function_of_a_cell(new_kernel):
    """Two nodes on this machine, each of which is a fresh process: neither has seen the cell."""
    kernel = new_kernel()
    kernel.ok('use forklore::*; let cluster = Cluster::builder().hosts(["localhost:1,localhost:1"]).build()?;')
    kernel.ok("fn cubed(x: u64) -> u64 { x.pow(3) }")
    assert kernel.ok("cluster.map(cubed, 0..4)").result == "[0, 1, 8, 27]"
    assert kernel.ok("cluster.map(|x: u64| x + 1, 0..3)").result == "[1, 2, 3]"
    assert kernel.ok("cluster.map_with(&vec![5u64, 6], |v, i: usize| v[i], [1, 0])").result == "[6, 5]"
    # A crash costs the nodes, too, and the next map starts them again.
    assert kernel.run("std::process::abort()").status == "error"
    assert kernel.ok("cluster.map(cubed, 0..4)").result == "[0, 1, 8, 27]"


def test_workers_start_in_every_way(new_kernel):
    kernel = new_kernel()
    kernel.ok("use forklore::*; use std::thread;")
    kernel.ok("let spawned: Pool = Pool::builder().workers(2).start_method(StartMethod::Spawn).build()?;")
    kernel.ok(
        "let served: Pool = Pool::builder().workers(2).start_method(StartMethod::Forkserver)"
        '.initializer(|| std::env::set_current_dir("/proc").unwrap()).build()?;'
    )
    pools = ("spawned", "served")
    # A function of a later cell, and one of the very cell of the map, which no worker had heard of.
    kernel.ok("fn f(x: u64) -> u64 { x.pow(10) }")
    powers = str([x**10 for x in range(8)])
    for pool in pools:
        assert kernel.ok(f"{pool}.map(f, 0..8)").result == powers
        assert kernel.ok(f"fn g(x: u64) -> u64 {{ f(x) + 1 }}\n{pool}.map(g, 0..3)").result == "[1, 2, 1025]"
    where = 'broadcast(|| std::env::current_dir().unwrap() == std::path::Path::new("/proc"))'
    assert kernel.ok(f"served.{where}").result == "[true, true]"
    assert kernel.ok(f"spawned.{where}").result == "[false, false]"
    # A cell that started no worker starts the next one; and threads do not matter.
    kernel.ok("let parked: thread::JoinHandle<()> = thread::spawn(|| thread::park());")
    for pool in pools:
        died = kernel.ok(f"{pool}.try_map(|x: u64| if x == 1 {{ std::process::abort() }} else {{ x }}, 0..4)").result
        assert "Ok(0)" in died and "signal: 6" in died and "Ok(3)" in died, died
        assert kernel.ok(f"{pool}.map(f, 0..8)").result == powers
        assert kernel.ok(f"{pool}.pids().len()").result == "2"
    kernel.ok("parked.thread().unpark(); parked.join().unwrap();")
    workers = [
        int(pid) for pool in pools for pid in kernel.ok(f"{pool}.pids()").result.strip("[]").split(",")
    ]
    kernel.stop()
    assert_gone(workers)

"""The library in a notebook: there from the first cell, and its workers run what was defined after they were forked."""

from conftest import assert_gone


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
    assert kernel.ok("pool.pids().len()").result == "2"
    kernel.stop()
    assert_gone(workers)


def test_the_stock_kernel_is_served_by_the_same_program(new_kernel):
    kernel = new_kernel("rust-evcxr")
    ran = kernel.run("let stock = 20; stock + 1")
    assert ran.result == "21"
    info = kernel.reply(kernel.client.kernel_info())["content"]
    assert info["implementation"] == "evcxr_jupyter"

"""`%ps`: what runs in a session, and which cell has started it."""

import re


def test_processes_and_threads_are_listed_with_their_cells(kernel):
    kernel.ok("use forklore::*;")
    pools = kernel.ok("let ps_pool = Pool::with_workers(2)?; ps_pool.map(|x: u64| x + 1, 0..9_u64);")
    started = kernel.ok(
        'let (ps_stop, ps_stopped) = std::sync::mpsc::channel::<()>();\n'
        'let ps_named = std::thread::Builder::new().name("ps-waits".into());\n'
        "let ps_thread = ps_named.spawn(move || { let _ = ps_stopped.recv(); })?;\n"
        'let mut ps_child = std::process::Command::new("sleep").arg("601").spawn()?;'
    )
    pool_cell = pools.reply["content"]["execution_count"]
    other_cell = started.reply["content"]["execution_count"]
    text = kernel.ok("%ps").stdout
    lines = text.splitlines()
    pids = {int(found[1]) for line in lines if (found := re.match(r" *(\d+) +\d+ +", line))}
    assert pids == {kernel.pid} | kernel.processes(), text

    def one(words):
        [line] = [line for line in lines if words in line]
        return line

    workers = [line for line in lines if f"worker of `ps_pool`, of cell [{pool_cell}]" in line]
    assert len(workers) == 2, text
    assert f"of cell [{other_cell}]" in one("sleep 601"), text
    assert f"1 thread of cell [{other_cell}]: `ps-waits`" in one("ps-waits"), text
    # A child stands below its parent, and further to the right.
    kernel_line, supervisor, cells = one("kernel: "), one("supervisor: "), one("cells: ")
    indents = [len(line) - len(line[40:].lstrip()) for line in (kernel_line, supervisor, cells, workers[0])]
    assert indents == sorted(indents) and len(set(indents)) == 4, text
    assert re.search(r"\d (MiB|KiB) +\d+\.\d\d s", cells), text
    kernel.ok("ps_child.kill()?; ps_child.wait()?; drop(ps_stop); ps_thread.join().unwrap(); drop(ps_pool);")
    assert "ps_pool" not in kernel.ok("%ps").stdout
    assert kernel.run("%ps aux").reply["content"]["ename"] == "UsageError"

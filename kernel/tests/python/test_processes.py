"""No process outlives the kernel, and the kernel does not outlive Jupyter."""

import os
import signal
import subprocess
import sys
import textwrap
import time

from conftest import assert_gone, is_alive

BUSY = (
    'let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();\n'
    'println!("runs"); loop {}'
)


def busy(kernel):
    """Starts a cell that never ends and has a child; gives all processes."""
    kernel.next_output(kernel.start(BUSY))
    pids = {kernel.pid} | kernel.processes()
    assert len(pids) >= 3
    return pids


def test_nothing_is_left_after_a_restart_and_after_shutdown(new_kernel):
    kernel = new_kernel()
    kernel.ok("let before = 1;")
    pids = busy(kernel)
    kernel.manager.restart_kernel()
    kernel.pid = kernel.manager.provisioner.pid
    kernel.client.wait_for_ready(timeout=60)
    assert_gone(pids)
    assert kernel.run("before").status == "error"
    assert kernel.ok("2 + 2").result == "4"
    busy(kernel)
    started = time.monotonic()
    kernel.stop()
    print(f"shutdown of a busy kernel: {time.monotonic() - started:.2f} s")


def test_a_kernel_can_be_shut_down_while_its_session_starts(new_kernel):
    kernel = new_kernel()
    waiting = kernel.start("1 + 1")
    kernel.interrupt()
    kernel.stop()
    assert waiting


def test_nothing_is_left_after_kill_9(new_kernel):
    kernel = new_kernel()
    pids = busy(kernel)
    os.kill(kernel.pid, signal.SIGKILL)
    assert_gone(pids)


def test_the_kernel_ends_when_jupyter_does(tmp_path):
    # A Jupyter that is killed before it can stop its kernel.
    jupyter = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from conftest import Kernel
        kernel = Kernel()
        kernel.ok("1 + 1")
        print(*({kernel.pid} | kernel.processes()), flush=True)
        time.sleep(600)
        """
    )
    here = os.path.dirname(__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", jupyter, here], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert pids and all(is_alive(pid) for pid in pids)
    finally:
        process.kill()
        process.wait()
    assert_gone(pids)


def test_sigterm_ends_the_kernel_and_all_it_started(new_kernel):
    kernel = new_kernel()
    pids = busy(kernel)
    os.kill(kernel.pid, signal.SIGTERM)
    assert_gone(pids)

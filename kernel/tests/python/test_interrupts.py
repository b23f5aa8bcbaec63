"""An interrupt acts at every moment: also while the session starts, before anything can run."""

import os
import time

from conftest import DEADLINE, assert_gone

# Far below what the library takes to compile, far above what an interrupt takes.
SOON = 20


def wait_for_compiler(kernel):
    """Waits until the library is being compiled."""
    deadline = time.monotonic() + DEADLINE
    while not any(name_of(pid) == "rustc" for pid in kernel.processes()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return None


def assert_interrupted(kernel, cell, queued):
    interrupted = time.monotonic()
    kernel.interrupt_and_hear()
    ran = kernel.finish(cell, timeout=SOON)
    content = ran.reply["content"]
    assert content["ename"] == "Interrupt" and "session was starting" in content["evalue"], ran
    assert kernel.reply(queued, timeout=SOON)["content"]["status"] == "aborted"
    print(f"interrupt while the session starts: {time.monotonic() - interrupted:.3f} s")


def test_interrupts_and_shutdown_while_the_library_is_compiled(new_kernel, tmp_path):
    kernel = new_kernel(env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "FORKLORE_SHARED": str(tmp_path / "none")})
    cell, queued = kernel.start("1 + 1"), kernel.start("2 + 2")
    kernel.next_output(cell, "execute_input")
    wait_for_compiler(kernel)
    assert_interrupted(kernel, cell, queued)
    # The start goes on, and the next cells wait for it as the first did.
    wait_for_compiler(kernel)
    cell, queued = kernel.start("3 + 3"), kernel.start("4 + 4")
    kernel.next_output(cell, "execute_input")
    assert_interrupted(kernel, cell, queued)
    kernel.start("5 + 5")
    pids = {kernel.pid} | kernel.processes()
    kernel.stop()
    assert_gone(pids)


def test_a_session_that_was_interrupted_while_it_started_runs_the_next_cell(new_kernel):
    kernel = new_kernel()
    cell, queued = kernel.start("let a = 1;"), kernel.start("let a = 2;")
    kernel.interrupt_and_hear()
    # Whether the session had started by then is a matter of luck.
    statuses = [kernel.finish(msg_id).status for msg_id in (cell, queued)]
    assert set(statuses) <= {"ok", "error", "aborted"}, statuses
    assert kernel.ok("40 + 2").result == "42"
    kernel.interrupt_and_hear()
    assert kernel.ok("40 + 3").result == "43"


def test_an_interrupt_between_the_steps_of_a_cell_ends_it(kernel):
    cell = kernel.start("!sleep 600\n!echo second\nprintln!(\"third\");")
    kernel.next_output(cell, "execute_input")
    deadline = time.monotonic() + DEADLINE
    while not any(name_of(pid) == "sleep" for pid in kernel.processes()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kernel.interrupt()
    ran = kernel.finish(cell, timeout=SOON)
    assert ran.reply["content"]["ename"] == "Interrupt" and not ran.stdout, ran

"""A session in which everything goes wrong and nothing is lost: prints what each cell said.

    cargo lab --bench survival

Ends with an error if a variable has changed, or a process of the session is left.
"""

import os
import pathlib
import queue
import re
import signal
import time

from jupyter_client.manager import KernelManager

PREPARE = """use forklore::*;
unsafe extern "C" { safe fn fork() -> i32; safe fn raise(signal: i32) -> i32; }
let list = vec![1, 2, 3]; let mut count: u64 = 7; let text = String::from("kept");
let pool: Pool = Pool::with_workers(2)?; let lock: Lock<u64> = Lock::new(40_u64)?;"""
CHECK = """let locked = { let mut held = lock.recover()?; *held += 1; *held } > 40;
let mapped: Vec<u64> = pool.map(|x: u64| x * x, 0..4);
println!("{list:?} {count} {text} {mapped:?} {locked}");"""
KEPT = "[1, 2, 3] 7 kept [0, 1, 4, 9] true\n"

# What the cell is, its code, and whether it is interrupted when it says "runs" (or after that many seconds).
CELLS = [
    ("a panic", 'count = 0; let gone = list; panic!("on purpose");', None),
    ("a `?` that meets an error", 'count = 0; let n: i32 = "many".parse::<i32>()?;', None),
    ("exit", "count = 0; std::process::exit(3);", None),
    ("abort", "count = 0; std::process::abort();", None),
    ("a null pointer", "count = 0; unsafe { *(8 as *mut u8) = 1 };", None),
    ("an illegal instruction", 'count = 0; unsafe { std::arch::asm!("ud2") };', None),
    (
        "a recursion without an end",
        "fn deep(n: u64) -> u64 { let a = std::hint::black_box([n; 64]); deep(n + 1) + a[3] }\ncount = std::hint::black_box(deep)(0);",
        None,
    ),
    (
        "a panic while panicking",
        'count = 0; struct P; impl Drop for P { fn drop(&mut self) { panic!("second") } } let _p = P; panic!("first");',
        None,
    ),
    ("kill -9", "count = 0; raise(9);", None),
    ("a limit", "%limit memory 500M", None),
    ("more memory than that", "count = 0; std::hint::black_box(vec![1_u8; 2 << 30]).len()", None),
    ("a worker that wants as much", "pool.map(|n: usize| std::hint::black_box(vec![1_u8; n]).len(), [1, 2 << 30])", None),
    ("a worker that exits", "count = 0; pool.map(|x: i32| -> i32 { if x == 2 { std::process::exit(1) } x }, 0..4);", None),
    ("the holder of a lock dies", "let held = lock.recover()?; count = 0; std::process::abort();", None),
    ("a forked child that panics", 'if fork() == 0 { count = 0; panic!("in the child") };', None),
    ("an endless loop", 'count = 0; println!("runs"); loop {}', "runs"),
    ("a map that does not end", 'println!("runs"); pool.map(|x: u64| -> u64 { loop { std::hint::black_box(x); } }, 0..4);', "runs"),
    (
        "a child that does not end",
        'let mut child = std::process::Command::new("sleep").arg("600").spawn()?; println!("runs"); child.wait()?;',
        "runs",
    ),
    ("a script that does not end", "%%bash\necho runs; sleep 600", "runs"),
    ("a compile", "let never: Vec<u64> = (0..9).map(|x| x * count).collect(); never", 0.05),
]


class Session:
    def __init__(self):
        self.manager = KernelManager(kernel_name="forklore")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run(self, code, interrupt=None):
        """Runs a cell. Gives its error or None, what it showed, and the seconds that an interrupt took."""
        message = self.client.execute(code, stop_on_error=False)
        shown, interrupted = [], None
        if isinstance(interrupt, float):
            time.sleep(interrupt)
            interrupted = self.interrupt()
        while True:
            try:
                output = self.client.get_iopub_msg(timeout=300)
            except queue.Empty:
                raise SystemExit(f"{code!r} has not ended")
            if output["parent_header"].get("msg_id") != message:
                continue
            content, kind = output["content"], output["msg_type"]
            if kind == "stream":
                shown.append(content["text"])
                if interrupt == "runs" and interrupted is None and "runs" in content["text"]:
                    interrupted = self.interrupt()
            elif kind in ("execute_result", "display_data"):
                shown.append(content["data"].get("text/plain", "") + "\n")
            elif kind == "status" and content["execution_state"] == "idle":
                break
        took = interrupted and time.monotonic() - interrupted
        reply = self.client.get_shell_msg(timeout=60)["content"]
        error = None if reply["status"] == "ok" else (reply["ename"], reply["evalue"], reply["traceback"])
        return error, "".join(shown), took

    def interrupt(self):
        self.manager.interrupt_kernel()
        return time.monotonic()


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def indented(text, mark):
    return "".join(f"      {mark} {line}\n" for line in plain(text).splitlines() if line.strip())


def main():
    session = Session()
    pid = session.manager.provisioner.pid
    error, shown, _ = session.run(PREPARE)
    assert error is None, (error, shown)
    print("In    " + PREPARE.replace("\n", "\n      "))
    for number, (what, code, interrupt) in enumerate(CELLS, 1):
        error, shown, took = session.run(code, interrupt)
        print(f"\n[{number}] {what}\nIn    " + code.replace("\n", "\n      "))
        print(indented(shown, "|"), end="")
        if error:
            print(indented(f"{error[0]}: {error[1]}", "!"), end="")
            if "All variables were restored" in error[2][-1]:
                print(f"      ! {plain(error[2][-1])}")
        if took is not None:
            print(f"      (interrupted; ended after {took * 1000:.0f} ms)")
        error, shown, _ = session.run(CHECK)
        if error or not shown.endswith(KEPT):
            raise SystemExit(f"lost: {error} {shown}")
    print(f"\nIn    {CHECK}\n      | {KEPT}")
    session.run("drop(pool);")
    folders = list(pathlib.Path("/tmp").glob(f"forklore-{pid}-*"))
    session.client.stop_channels()
    session.manager.shutdown_kernel()
    try:
        os.kill(pid, 0)
        raise SystemExit("the kernel is left")
    except ProcessLookupError:
        pass
    assert not any(folder.exists() for folder in folders), "a folder is left"
    print(f"{len(CELLS)} cells went wrong, nothing was lost, and no process is left.")


if __name__ == "__main__":
    signal.alarm(1200)
    main()

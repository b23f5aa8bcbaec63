"""How long a session takes to its first result, and how long typical cells take: ours beside the stock kernel.

Run it in the environment that `cargo lab` has made, which has both kernelspecs:

    ~/.cache/forklore/python-*/bin/python benches/kernel.py [SESSIONS]

The two kernels take turns, session by session; the figures are medians over the sessions.
"""

import os
import pathlib
import platform
import statistics
import sys
import time

from jupyter_client.manager import KernelManager

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ["forklore", "rust-evcxr"]
DEADLINE = 600
FIRST_CELL = "use forklore::*;\nlet pool: Pool = Pool::new()?;\npool.map(|x: u64| x + 1, 0..3)"
CELLS = {
    "an expression": "1 + 1",
    "a let": "let a: u64 = 41;",
    "a use of it": "a + 1",
    "a string": 'let text: String = "words".repeat(3);',
    "a function": "fn power(x: u64) -> u64 { x.pow(10) }",
    "its call": "power(a - 39)",
    "a print": 'println!("{text}");',
    "a loop": "let sum: u64 = (0..1000u64).map(power).fold(0, u64::wrapping_add);",
    "a map on a pool": "pool.map(power, 0..24)",
    "a closure": "pool.map(|x: u64| x + a, 0..24)",
}
# What "after five cells" means for the memory.
N_CELLS_BEFORE_MEMORY = 5


class Session:
    """A kernel of one kind, from its start to its end."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.started = time.perf_counter()
        self.manager = KernelManager(kernel_name=kernel)
        self.manager.start_kernel()
        self.connect()

    def connect(self):
        """Waits for the reply to a first question. (`wait_for_ready` would add waiting times of its own.)"""
        self.client = self.manager.client()
        self.client.start_channels()
        self.reply(self.client.kernel_info())

    def reply(self, msg_id):
        while True:
            reply = self.client.get_shell_msg(timeout=DEADLINE)
            if reply["parent_header"].get("msg_id") == msg_id:
                return reply["content"]

    def execute(self, code):
        """Runs a cell to its end and gives the seconds that it took."""
        started = time.perf_counter()
        reply = self.client.execute_interactive(code, timeout=DEADLINE, output_hook=lambda message: None)
        elapsed = time.perf_counter() - started
        content = reply["content"]
        if content["status"] != "ok":
            lines = "\n".join(content.get("traceback", []))
            raise SystemExit(f"{self.kernel}: {code!r} failed: {content.get('ename')}: {content.get('evalue')}\n{lines}")
        return elapsed

    def complete(self, code):
        started = time.perf_counter()
        self.reply(self.client.complete(code, len(code)))
        return time.perf_counter() - started

    def add_library(self):
        """What a user of the stock kernel has to do first."""
        if self.kernel != "forklore":
            self.execute(f':dep forklore = {{ path = "{ROOT}", features = ["full"] }}')

    def resident_mb(self):
        """The memory of the kernel and all its descendants, each shared page counted once (PSS)."""
        pids, total = [self.manager.provisioner.pid], 0
        while pids:
            pid = pids.pop()
            try:
                for line in open(f"/proc/{pid}/smaps_rollup"):
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    pids += map(int, (task / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total / 1024

    def restart(self):
        """Until the new kernel answers."""
        started = time.perf_counter()
        self.client.stop_channels()
        self.manager.restart_kernel()
        self.connect()
        return time.perf_counter() - started

    def shutdown(self):
        started = time.perf_counter()
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        return time.perf_counter() - started


def measure(kernel):
    """One session's figures, by name."""
    session = Session(kernel)
    try:
        figures = {"start to kernel_info, s": time.perf_counter() - session.started}
        session.add_library()
        session.execute(FIRST_CELL)
        figures["start to the first result of a pool, s"] = time.perf_counter() - session.started
        for number, (name, code) in enumerate(CELLS.items()):
            if number == N_CELLS_BEFORE_MEMORY:
                memory = session.resident_mb()
            figures[f"cell: {name}, s"] = session.execute(code)
        figures["memory after five cells, MB"] = memory
        # Ours reads the standard library for this, unless it has had the time before.
        figures["the first let that says no type, s"] = session.execute("let list = vec![1];")
        figures["memory after that, MB"] = session.resident_mb()
        figures["the first completion after a dot, s"] = session.complete("pool.")
        figures["completion after a dot, s"] = session.complete("pool.m")
        figures["restart, s"] = session.restart()
        # Until the session is ready: what ends while it starts is another measurement.
        session.execute("1 + 1")
    finally:
        shutdown = session.shutdown()
    return figures | {"shutdown, s": shutdown}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    load = os.getloadavg()[0]
    cpus = len(os.sched_getaffinity(0))
    return f"{model}, {cpus} CPUs, Linux {platform.release()}, load {load:.1f} before the run"


def print_table(series):
    n_sessions = len(series["forklore"])
    print(f"| medians of {n_sessions} sessions | forklore | stock | stock / forklore |")
    print("| --- | ---: | ---: | ---: |")
    row = lambda name, ours, stock: print(f"| {name} | {ours:.2f} | {stock:.2f} | {stock / ours:.1f} |")
    medians = {kernel: {} for kernel in KERNELS}
    for name in series["forklore"][0]:
        for kernel in KERNELS:
            medians[kernel][name] = statistics.median(run[name] for run in series[kernel])
        row(name, *(medians[kernel][name] for kernel in KERNELS))
    cells = [name for name in series["forklore"][0] if name.startswith("cell: ")]
    row("median of the ten cells, s", *(statistics.median(medians[k][name] for name in cells) for k in KERNELS))


def main():
    n_sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    about = machine()
    series = {kernel: [] for kernel in KERNELS}
    for _ in range(n_sessions):
        for kernel in KERNELS:
            series[kernel].append(measure(kernel))
    print_table(series)
    print(f"\n{about}")


if __name__ == "__main__":
    main()

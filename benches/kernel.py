"""How long a session takes to its first result, and how long typical cells take: ours beside the stock kernel.

Run it in the environment that `cargo lab` has made, which has both kernelspecs:

    ~/.cache/forklore/python-*/bin/python benches/kernel.py [SESSIONS]

The two kernels take turns, session by session; the figures are medians over the sessions.
"""

import pathlib
import statistics
import sys
import time

from jupyter_client.manager import KernelManager

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ["forklore", "rust-evcxr"]
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


def execute(client, code):
    """Runs a cell to its end and gives the seconds that it took."""
    started = time.perf_counter()
    reply = client.execute_interactive(code, timeout=600, output_hook=lambda message: None)
    elapsed = time.perf_counter() - started
    if reply["content"]["status"] != "ok":
        raise SystemExit(f"{code!r} failed: {reply['content'].get('evalue')}")
    return elapsed


def resident_mb(manager):
    """The memory of the kernel and all its descendants, each shared page counted once (PSS)."""
    pids, total = [manager.provisioner.pid], 0
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


def session(kernel):
    """One session's figures, by name."""
    figures = {}
    started = time.perf_counter()
    manager = KernelManager(kernel_name=kernel)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=600)
        figures["start to kernel_info, s"] = time.perf_counter() - started
        if kernel != "forklore":
            execute(client, f':dep forklore = {{ path = "{ROOT}" }}')
        execute(client, FIRST_CELL)
        figures["start to the first result of a pool, s"] = time.perf_counter() - started
        for name, code in CELLS.items():
            figures[f"cell: {name}, s"] = execute(client, code)
        figures["memory after these cells, MB"] = resident_mb(manager)
        stopped = time.perf_counter()
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    figures["shutdown, s"] = time.perf_counter() - stopped
    return figures


def main():
    n_sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    series = {kernel: [] for kernel in KERNELS}
    for _ in range(n_sessions):
        for kernel in KERNELS:
            series[kernel].append(session(kernel))
    print(f"| medians of {n_sessions} sessions | forklore | stock | stock / forklore |")
    print("| --- | ---: | ---: | ---: |")
    for name in series["forklore"][0]:
        ours, stock = (statistics.median(run[name] for run in series[kernel]) for kernel in KERNELS)
        print(f"| {name} | {ours:.2f} | {stock:.2f} | {stock / ours:.1f} |")


if __name__ == "__main__":
    main()

"""CPython's side of `cargo bench --bench gil`: the same loads as in `main.rs`.

Reads the name of a load from each line of its input and answers with the microseconds that it took,
or one of its operations.
"""

import os
import sys
import threading
import time


# For how long operations are counted.
CONVOY = 0.2


def interpret(n_steps):
    x = 1
    for _ in range(n_steps):
        x = (x * 1103515245 + 12345) & 0xFFFFFFFF


def steps_of(seconds):
    sample = 1_000_000

    def timed():
        started = time.perf_counter()
        interpret(sample)
        return time.perf_counter() - started

    return int(sample * seconds / min(timed() for _ in range(3)))


def in_threads(n, body):
    """The time until all of `n` threads have run `body`."""
    threads = [threading.Thread(target=body) for _ in range(n)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def sleep_often():
    for _ in range(20):
        time.sleep(0.005)


def convoy(is_beside, operate):
    """The time of one operation, beside a thread that computes all the while or alone."""
    is_computing, is_over = threading.Event(), threading.Event()
    elapsed = 0.0

    def compute():
        while not is_over.is_set():
            is_computing.set()
            interpret(100)

    def operate_often():
        nonlocal elapsed
        if is_beside:
            is_computing.wait()
        started, n_operations = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < CONVOY:
            operate()
            n_operations += 1
        is_over.set()
        elapsed /= n_operations

    threads = [threading.Thread(target=operate_often)]
    if is_beside:
        threads.append(threading.Thread(target=compute))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return elapsed


def through_a_pipe(is_beside):
    reader, writer = os.pipe()

    def one_byte():
        os.write(writer, b"7")
        os.read(reader, 1)

    elapsed = convoy(is_beside, one_byte)
    os.close(reader)
    os.close(writer)
    return elapsed


def measure(load, n_steps):
    is_beside = load.endswith("beside computing")
    kind, _, n = load.partition(", ")
    if kind == "compute":
        return in_threads(int(n.split()[0]), lambda: interpret(n_steps))
    if kind == "sleep":
        return in_threads(int(n.split()[0]), sleep_often)
    if kind.startswith("short sleeps"):
        return convoy(is_beside, lambda: time.sleep(0.001))
    return through_a_pipe(is_beside)


def main():
    n_steps = steps_of(0.1)
    for line in sys.stdin:
        print(measure(line.strip(), n_steps) * 1e6, flush=True)


if __name__ == "__main__":
    main()

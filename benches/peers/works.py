"""Runs workloads on one of Python's pools: `works.py POOL N_WORKERS`.

Reads the name of a workload from each line of its input and answers with the microseconds it took,
or "nan" if the pool cannot run it. The answer to "idle" is its word for ready: the pool then has
N_WORKERS workers that have worked.
"""

import math
import os
import sys
import threading
import time

from pools import POOLS


def power(x):
    return x**10 & 0xFFFFFFFFFFFFFFFF


def echo(x):
    return x


def nap(x):
    time.sleep(0.05)
    return x


# Function, arguments, chunk size (None is the pool's own choice), calls in a row.
WORKLOADS = {
    "powers of 24, after a pause": (power, lambda: range(24), None, 1),
    "powers of 24, back to back": (power, lambda: range(24), None, 10),
    "10,000 items": (power, lambda: range(10_000), None, 1),
    "1,000,000 items": (power, lambda: range(1_000_000), None, 1),
    "10,000 chunks of 1": (power, lambda: range(10_000), 1, 1),
    "64 x 1 MB in and out": (echo, lambda: [b"7" * 1_000_000 for _ in range(64)], None, 1),
    "8 x 32 MB in and out": (echo, lambda: [b"7" * 32_000_000 for _ in range(8)], None, 1),
    "16 naps of 50 ms": (nap, lambda: range(16), 1, 1),
}

N_THREADS = 8

# One call of each of the threads that share a pool, and calls of each in a row.
THREADED = {
    "8 threads: powers of 24": (lambda pool: pool.map(power, range(24), None), 10),
    "8 threads: single tasks": (lambda pool: pool.submit(power, 7)(), 50),
}
# The pools that several threads may share.
SHARED = ["mp.Pool", "ProcessPoolExecutor"]


def first_result(make_pool, n_workers):
    started = time.perf_counter()
    pool = make_pool(n_workers)
    pool.map(power, range(1), 1)
    elapsed = time.perf_counter() - started
    pool.stop()
    return elapsed


def run(pool, function, make_args, chunk, n_calls):
    args = make_args()
    started = time.perf_counter()
    for _ in range(n_calls):
        results = pool.map(function, args, chunk)
    elapsed = time.perf_counter() - started
    # Giving their memory back is not part of it.
    del results
    return elapsed / n_calls


def run_threads(pool, call, n_calls):
    """How long one call takes while each thread makes so many: all of them take N_THREADS * n_calls times that."""
    all_are_there = threading.Barrier(N_THREADS + 1)

    def calls():
        all_are_there.wait()
        for _ in range(n_calls):
            call(pool)

    threads = [threading.Thread(target=calls) for _ in range(N_THREADS)]
    for thread in threads:
        thread.start()
    all_are_there.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - started) / (N_THREADS * n_calls)


def main():
    make_pool, n_workers = POOLS[sys.argv[1]], int(sys.argv[2])
    pool = None
    for line in sys.stdin:
        name = line.strip()
        if name == "pool to first result":
            if pool:
                pool.stop()
                pool = None
            elapsed = first_result(make_pool, n_workers)
        else:
            if not pool:
                pool = make_pool(n_workers)
                pool.map(nap, range(2 * n_workers), 1)
            if name in WORKLOADS:
                elapsed = run(pool, *WORKLOADS[name])
            elif name in THREADED and sys.argv[1] in SHARED:
                elapsed = run_threads(pool, *THREADED[name])
            else:
                elapsed = math.nan
        print(elapsed * 1e6, flush=True)
    if pool:
        pool.stop()
    # Some leave threads behind that keep the interpreter waiting.
    os._exit(0)


if __name__ == "__main__":
    main()

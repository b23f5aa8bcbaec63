"""Runs workloads on one of Python's pools: `works.py POOL N_WORKERS`.

Reads the name of a workload from each line of its input and answers with the microseconds it took.
The answer to "idle" is its word for ready: the pool then has N_WORKERS workers that have worked.
"""

import os
import sys
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
            elapsed = run(pool, *WORKLOADS[name]) if name in WORKLOADS else 0.0
        print(elapsed * 1e6, flush=True)
    if pool:
        pool.stop()
    # Some leave threads behind that keep the interpreter waiting.
    os._exit(0)


if __name__ == "__main__":
    main()

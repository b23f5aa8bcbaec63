"""Python's side of the comparison: runs a workload on multiprocessing.Pool each time it is asked.

Reads the name of a workload from each line of its input and answers with the microseconds it took.
"""

import multiprocessing
import os
import sys
import time


def power(x):
    return x**10 & 0xFFFFFFFFFFFFFFFF


def echo(x):
    return x


def nap(x):
    time.sleep(0.05)
    return x


WORKLOADS = {
    "powers of 24, after a pause": (power, lambda: range(24), None),
    "powers of 24, back to back": (power, lambda: range(24), None),
    "10,000 items": (power, lambda: range(10_000), None),
    "1,000,000 items": (power, lambda: range(1_000_000), None),
    "10,000 chunks of 1": (power, lambda: range(10_000), 1),
    "64 x 1 MB in and out": (echo, lambda: [bytes(1_000_000)] * 64, None),
    "8 x 32 MB in and out": (echo, lambda: [bytes(32_000_000)] * 8, None),
    "16 naps of 50 ms": (nap, lambda: range(16), 1),
}


def main():
    n_workers = int(sys.argv[1])
    context = multiprocessing.get_context("fork")
    pool = context.Pool(n_workers)
    pool.map(power, range(24))
    for line in sys.stdin:
        name = line.strip()
        if name == "pool to first result":
            started = time.perf_counter()
            fresh = context.Pool(n_workers)
            fresh.map(power, range(1))
            elapsed = time.perf_counter() - started
            fresh.close()
            fresh.join()
        else:
            function, make, chunk = WORKLOADS[name]
            args = make()
            started = time.perf_counter()
            pool.map(function, args, chunk)
            elapsed = time.perf_counter() - started
        print(elapsed * 1e6, flush=True)
    # The workers are daemons of this process; they end with it.
    os._exit(0)


if __name__ == "__main__":
    main()

"""Runs rows of the table on one of Python's engines for many nodes: `peers.py ENGINE`.

Reads the name of a row from each line of its input and answers with a number, or "nan". Runs on the head of a
cluster of two nodes, node1 and node2, made by tests/cluster/run.
"""

import math
import os
import subprocess
import sys
import time

NODES = ["node1", "node2"]
HEAD = "10.77.0.254"


def power(x):
    return x**10 & 0xFFFFFFFFFFFFFFFF


def echo(x):
    return x


def nap(x):
    time.sleep(0.05)
    return x


def run_chunk(function, chunk):
    return [function(x) for x in chunk]


def chunks_of(args, chunk, n_workers):
    # Without a size, mp.Pool's rule.
    size = chunk or max(1, -(-len(args) // (4 * n_workers)))
    return [args[i : i + size] for i in range(0, len(args), size)]


def on(node, *command):
    return subprocess.Popen(["on", node, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Mpi4py:
    def __init__(self, n_per_node):
        from mpi4py.futures import MPIPoolExecutor

        self.n_workers = n_per_node * len(NODES)
        hosts = ",".join(f"{node}:{n_per_node}" for node in NODES)
        self.executor = MPIPoolExecutor(self.n_workers, mpi_info={"host": hosts})

    def map(self, function, args, chunk):
        size = chunk or max(1, -(-len(args) // (4 * self.n_workers)))
        return list(self.executor.map(function, args, chunksize=size))

    def stop(self):
        self.executor.shutdown()


class Dask:
    def __init__(self, n_per_node):
        from distributed import Client

        self.n_workers = n_per_node * len(NODES)
        python = sys.executable
        address = f"tcp://{HEAD}:8786"
        scheduler = [python, "-m", "distributed.cli.dask_scheduler", "--host", HEAD, "--no-dashboard"]
        self.processes = [subprocess.Popen(scheduler, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
        worker = [python, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
        worker += ["--nworkers", str(n_per_node), "--nthreads", "1", "--local-directory", "/tmp"]
        self.processes += [on(node, *worker) for node in NODES]
        self.client = Client(address, timeout=60)
        self.client.wait_for_workers(self.n_workers, timeout=60)

    def map(self, function, args, chunk):
        chunks = chunks_of(list(args), chunk, self.n_workers)
        # Equal calls would be one.
        futures = self.client.map(lambda chunk: run_chunk(function, chunk), chunks, pure=False)
        return [x for results in self.client.gather(futures) for x in results]

    def stop(self):
        self.client.shutdown()
        for process in self.processes:
            process.wait()


class Ray:
    def __init__(self, n_per_node):
        import ray

        self.ray = ray
        self.n_workers = n_per_node * len(NODES)
        command = [os.path.join(os.path.dirname(sys.executable), "ray"), "start", "--disable-usage-stats"]
        head = ["--head", "--node-ip-address", HEAD, "--port", "6399", "--num-cpus", "0", "--include-dashboard", "false"]
        subprocess.run(command + head, check=True, stdout=subprocess.DEVNULL)
        for index, node in enumerate(NODES, 1):
            own = ["--address", f"{HEAD}:6399", "--node-ip-address", f"10.77.0.{index}"]
            on(node, *command, *own, "--num-cpus", str(n_per_node), "--block")
        ray.init(address=f"{HEAD}:6399", _node_ip_address=HEAD, log_to_driver=False, logging_level="error")
        while ray.cluster_resources().get("CPU", 0) < self.n_workers:
            time.sleep(0.01)
        self.run_chunk = ray.remote(num_cpus=1)(run_chunk)

    def map(self, function, args, chunk):
        chunks = chunks_of(list(args), chunk, self.n_workers)
        results = self.ray.get([self.run_chunk.remote(function, chunk) for chunk in chunks])
        return [x for part in results for x in part]

    def stop(self):
        self.ray.shutdown()
        stop = [os.path.join(os.path.dirname(sys.executable), "ray"), "stop", "--force"]
        subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


ENGINES = {"mpi4py.futures": Mpi4py, "dask": Dask, "ray": Ray}

# Function, arguments, chunk size (None is the engine's own choice, or mp.Pool's rule).
WORK = {
    "powers of 24": (power, lambda: range(24), None),
    "10,000 chunks of 1": (power, lambda: range(10_000), 1),
    "10,000 items": (power, lambda: range(10_000), None),
    "64 x 1 MB in and out": (echo, lambda: [b"7" * 1_000_000 for _ in range(64)], None),
}


def processor_ticks():
    """The processor time of all processes of this namespace, in 1/100 s."""
    ticks = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                words = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(words[11]) + int(words[12])
    return ticks


def idle():
    time.sleep(3)
    started, before = time.perf_counter(), processor_ticks()
    time.sleep(10)
    return (processor_ticks() - before) / (time.perf_counter() - started)


def measure(engine, pool, row):
    """The row's number, and the pool that is there then."""
    if row == "start to first result":
        if pool:
            pool.stop()
        started = time.perf_counter()
        pool = engine(1)
        pool.map(power, range(1), 1)
        return (time.perf_counter() - started) * 1e3, pool
    if row == "32 naps of 50 ms, 2 workers each":
        if pool:
            pool.stop()
        pool = engine(2)
        pool.map(nap, range(8), 1)
        started = time.perf_counter()
        pool.map(nap, range(32), 1)
        efficiency = 32 * 0.05 / 4 / (time.perf_counter() - started)
        pool.stop()
        return efficiency, None
    if not pool:
        pool = engine(1)
        pool.map(nap, range(4), 1)
    if row == "idle":
        return idle(), pool
    if row not in WORK:
        return math.nan, pool
    function, make_args, chunk = WORK[row]
    args = make_args()
    started = time.perf_counter()
    results = pool.map(function, args, chunk)
    elapsed = time.perf_counter() - started
    # Giving their memory back is not part of it.
    del results
    return elapsed * 1e3, pool


def main():
    engine, pool = ENGINES[sys.argv[1]], None
    for line in sys.stdin:
        number, pool = measure(engine, pool, line.strip())
        print(number, flush=True)


if __name__ == "__main__":
    main()

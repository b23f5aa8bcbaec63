"""Python's process pools, each behind the same few functions."""

import concurrent.futures
import multiprocessing

NAMES = ["mp.Pool", "ProcessPoolExecutor", "joblib", "loky", "mpire"]

FORK = multiprocessing.get_context("fork")


class MpPool:
    def __init__(self, n_workers):
        self.pool = FORK.Pool(n_workers)

    def map(self, function, args, chunk):
        return self.pool.map(function, args, chunk)

    def submit(self, function, arg, timeout=None):
        """Begins a call; what is returned waits for its result."""
        call = self.pool.apply_async(function, (arg,))
        return lambda: call.get(timeout)

    def stop(self):
        # What leaving its `with` block does.
        self.pool.terminate()
        self.pool.join()


class Executor:
    """concurrent.futures, and loky, which has the same interface."""

    def __init__(self, n_workers):
        self.n_workers = n_workers
        self.executor = self.make(n_workers)

    def make(self, n_workers):
        return concurrent.futures.ProcessPoolExecutor(n_workers, FORK)

    def map(self, function, args, chunk):
        # Its default is 1, with which a million items take minutes; it is given mp.Pool's rule.
        chunk = chunk or max(1, -(-len(args) // (4 * self.n_workers)))
        return list(self.executor.map(function, args, chunksize=chunk))

    def submit(self, function, arg, timeout=None):
        call = self.executor.submit(function, arg)
        return lambda: call.result(timeout)

    def stop(self):
        self.executor.shutdown()


class Loky(Executor):
    def make(self, n_workers):
        import loky

        return loky.ProcessPoolExecutor(n_workers)


class Joblib:
    def __init__(self, n_workers):
        import joblib

        self.delayed = joblib.delayed
        self.parallel = joblib.Parallel(n_jobs=n_workers).__enter__()

    def map(self, function, args, chunk):
        self.parallel.batch_size = chunk or "auto"
        call = self.delayed(function)
        return self.parallel(call(arg) for arg in args)

    def stop(self):
        from joblib.externals.loky import get_reusable_executor

        self.parallel.__exit__(None, None, None)
        get_reusable_executor().shutdown()


class Mpire:
    def __init__(self, n_workers):
        import mpire

        self.pool = mpire.WorkerPool(n_workers, start_method="fork", keep_alive=True)

    def map(self, function, args, chunk):
        return self.pool.map(function, args, chunk_size=chunk)

    def submit(self, function, arg, timeout=None):
        return self.pool.apply_async(function, (arg,), task_timeout=timeout).get

    def stop(self):
        # What leaving its `with` block does.
        self.pool.terminate()


POOLS = {
    "mp.Pool": MpPool,
    "ProcessPoolExecutor": Executor,
    "joblib": Joblib,
    "loky": Loky,
    "mpire": Mpire,
}

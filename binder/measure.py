"""What a learner's session costs on this machine, with and without the shared compiled library, and what a node fits.

    PREFIX/bin/python binder/measure.py [LEARNERS]

PREFIX is where `install` has put everything; in an image, plain `python`. LEARNERS (1) have sessions at the same time, each
with a home of its own, and run lesson 06 one after the other. Private: what only this process has in memory. PSS: that,
and its part of the pages that several have. The peak is of all processes of a learner, compiler included, ten times a second.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
from jupyter_client import BlockingKernelClient

LESSON = next((Path(__file__).resolve().parent.parent / "lessons").glob("06-*.ipynb"))
N_WORKERS = 4
FIRST_CELL = f"use forklore::*;\nlet pool: Pool = Pool::with_workers({N_WORKERS})?;\npool.map(|x: u64| x + 1, 0..24)"
DEADLINE_S = 600
SAMPLE_S = 0.1
TOKEN = "token-of-this-measurement"
NODE_MB, SYSTEM_MB = 64_000, 4_000
PARTS = ["JupyterLab", "kernel", "supervisor", "process of the cells", f"{N_WORKERS} workers and the snapshot", "compiler"]


def children(pid):
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def processes(pid, depth=0):
    """A process and what it has started, with how far down each is."""
    yield pid, depth
    for child in children(pid):
        yield from processes(child, depth + 1)


def memory_mb(pid):
    """Private memory and PSS; nothing of a process that has ended."""
    private = pss = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                private += int(line.split()[1])
            elif line.startswith("Pss:"):
                pss = int(line.split()[1])
    except OSError:
        pass
    return private / 1024, pss / 1024


def part(pid, depth):
    if depth == 0:
        return PARTS[0]
    try:
        is_kernel = os.readlink(f"/proc/{pid}/exe").endswith("/forklore")
    except OSError:
        is_kernel = False
    return PARTS[min(depth, 4)] if is_kernel else PARTS[5]


class Learner:
    """A learner's JupyterLab, with one session."""

    def __init__(self, has_shared_library):
        self.home = Path(tempfile.mkdtemp(prefix="forklore-learner-"))
        prefix = Path(sys.prefix)
        self.env = os.environ | {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "TMPDIR": str(self.home),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "PATH": f"{prefix}/bin:{os.environ['PATH']}",
        }
        if not has_shared_library:
            self.env["FORKLORE_WARM"] = ""
            # Cargo's downloads are there, as they are in a learner's home after the first time.
            shared = prefix / "share/forklore/warm/cargo"
            shutil.copytree(shared, self.home / ".cargo")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        started = time.monotonic()
        self.server = subprocess.Popen(
            [f"{prefix}/bin/jupyter", "lab", "--no-browser", "--allow-root", f"--port={self.port}", f"--IdentityProvider.token={TOKEN}"],
            cwd=self.home, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        while not self.answers():
            time.sleep(0.05)
        self.lab_s = time.monotonic() - started

    def ask(self, path, body=None, method=None):
        headers = {"Authorization": f"token {TOKEN}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.loads(answer.read() or "null")

    def answers(self):
        try:
            return bool(self.ask("/api/status"))
        except urllib.error.URLError:
            assert self.server.poll() is None, "JupyterLab does not start"
            return False

    def open_session(self):
        """Until the first result of a pool, as a learner sees it who opens a notebook and runs its first cell."""
        started = time.monotonic()
        self.kernel = self.ask("/api/kernels", {"name": "forklore"})["id"]
        file = self.home / f"runtime/kernel-{self.kernel}.json"
        self.client = BlockingKernelClient(connection_file=str(file))
        self.client.load_connection_file()
        self.client.start_channels()
        self.run(FIRST_CELL)
        return time.monotonic() - started

    def run(self, code):
        reply = self.client.execute_interactive(code, timeout=DEADLINE_S, output_hook=lambda message: None)["content"]
        assert reply["status"] == "ok", f"{code}: {reply.get('evalue')}"

    def run_lesson(self):
        """Runs all cells, and gives the most memory (PSS) that they had in use meanwhile."""
        peak, ended = [0.0], threading.Event()

        def watch():
            while not ended.wait(SAMPLE_S):
                peak[0] = max(peak[0], sum(memory_mb(pid)[1] for pid, _ in processes(self.server.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for cell in nbformat.read(LESSON, as_version=4).cells:
                if cell.cell_type == "code":
                    self.run(cell.source)
        finally:
            ended.set()
            watcher.join()
        return peak[0]

    def parts_mb(self):
        """Private memory and PSS of each part."""
        sums = {name: [0.0, 0.0] for name in PARTS}
        for pid, depth in processes(self.server.pid):
            for index, amount in enumerate(memory_mb(pid)):
                sums[part(pid, depth)][index] += amount
        return sums

    def disk_mb(self):
        files = (path.lstat() for path in self.home.rglob("*"))
        return sum(status.st_blocks * 512 for status in files) / 1e6

    def close_session(self):
        self.client.stop_channels()
        self.ask(f"/api/kernels/{self.kernel}", method="DELETE")

    def leave(self):
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.home)


def measure(learners, title):
    """One session of each learner, from its start to its end: the lesson in one after the other."""
    first_s = [learner.open_session() for learner in learners]
    opened = [learner.parts_mb() for learner in learners]
    disk_mb = max(learner.disk_mb() for learner in learners)
    peak_mb = max(learner.run_lesson() for learner in learners)
    rest = [learner.parts_mb() for learner in learners]
    for learner in learners:
        learner.close_session()

    def mean(series, name, index):
        return sum(parts[name][index] for parts in series) / len(learners)

    print(f"\n## {title}\n\nFirst result of a pool after {max(first_s):.1f} s; on disk {disk_mb:.0f} MB\n")
    print("| memory of a learner, MB | private, session opened | PSS | private, after lesson 06 | PSS |\n| --- | --- | --- | --- | --- |")
    totals = [0.0] * 4
    for name in PARTS[:-1]:
        row = [mean(series, name, index) for series in (opened, rest) for index in (0, 1)]
        totals = [total + amount for total, amount in zip(totals, row)]
        print(f"| {name} |" + "".join(f" {amount:.1f} |" for amount in row))
    print("| all |" + "".join(f" {amount:.0f} |" for amount in totals))
    at_rest = totals[3]
    print(f"\nPeak in lesson 06: {peak_mb:.0f} MB")
    for busy in (1, 0.25):
        fits = int((NODE_MB - SYSTEM_MB) / (at_rest + busy * (peak_mb - at_rest)))
        print(f"({NODE_MB} - {SYSTEM_MB}) / ({at_rest:.0f} + {busy} x {peak_mb - at_rest:.0f}) = {fits} learners on a node of 64 GB", flush=True)


def main():
    n_learners = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(f"{len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}, learners at once: {n_learners}")
    for has_shared_library in (True, False):
        learners = []
        try:
            for _ in range(n_learners):
                learners.append(Learner(has_shared_library))
            print(f"\nJupyterLab answers after {max(learner.lab_s for learner in learners):.1f} s")
            if has_shared_library:
                measure(learners, "With the shared library")
            else:
                measure(learners, "Without it, a learner's first session")
                measure(learners, "Without it, a later session")
        finally:
            for learner in learners:
                learner.leave()


if __name__ == "__main__":
    main()

"""Limits on all processes of a session together, by control groups of version 2 or 1, without systemd.

Formats: the Linux kernel's `Documentation/admin-guide/cgroup-v2.rst`, and `cgroup-v1/memory.rst`,
`scheduler/sched-bwc.rst` for version 1.
"""

import errno
import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OURS = "forklore-hub"
PERIOD_US = 100_000
N_PROCESSES = 4096


class ControlGroup:
    """A group of processes with a limit. `folders` is empty where the machine offers no control groups."""

    def __init__(self, name, root=ROOT):
        self.folders = []
        self.root = root
        self.name = name

    def limit(self, n_cpus, memory_bytes):
        """Makes the group. Gives what is limited now: some of `memory`, `cpu`, `pids`."""
        if (self.root / "cgroup.controllers").exists():
            return self.limit_v2(n_cpus, memory_bytes)
        return self.limit_v1(n_cpus, memory_bytes)

    def limit_v2(self, n_cpus, memory_bytes):
        wanted = {
            "memory": {"memory.max": memory_bytes, "memory.swap.max": 0},
            "cpu": {"cpu.max": f"{n_cpus * PERIOD_US} {PERIOD_US}"},
            "pids": {"pids.max": N_PROCESSES},
        }
        offered = set((self.root / "cgroup.controllers").read_text().split()) & set(wanted)
        parent = self.root / OURS
        folder = parent / self.name
        try:
            parent.mkdir(exist_ok=True)
            for above in (self.root, parent):
                (above / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in sorted(offered)))
            folder.mkdir(exist_ok=True)
        except OSError:
            return []
        return self.write(folder, {one: wanted[one] for one in offered})

    def limit_v1(self, n_cpus, memory_bytes):
        wanted = {
            "memory": {"memory.limit_in_bytes": memory_bytes},
            "cpu": {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": n_cpus * PERIOD_US},
            "pids": {"pids.max": N_PROCESSES},
        }
        limited = []
        for controller, files in wanted.items():
            folder = self.root / controller / OURS / self.name
            try:
                if (self.root / controller / "cgroup.procs").exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    limited += self.write(folder, {controller: files})
            except OSError:
                continue
        return limited

    def write(self, folder, wanted):
        limited = []
        for controller, files in wanted.items():
            try:
                for name, value in files.items():
                    # A kernel without swap accounting has no such file.
                    if (folder / name).exists():
                        (folder / name).write_text(str(value))
                limited.append(controller)
            except OSError:
                continue
        if limited:
            self.folders.append(folder)
        return limited

    def join(self):
        """The calling process, and all that it will start, are in the group from now on."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        """Ends what is left in the group, and removes it."""
        for folder in self.folders:
            # The kernel takes a moment to bury the dead: until then the folder is busy.
            for _ in range(100):
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        break
                    time.sleep(0.05)

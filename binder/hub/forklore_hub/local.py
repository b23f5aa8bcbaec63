"""Sessions as processes on the hub's own machine, for a class room's server."""

import asyncio
import os
import pwd
import re
import sys
import time
from pathlib import Path
from subprocess import Popen

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import random_port
from traitlets import Integer

from .seats import Seats
from .spawner import UP, FormMixin, Refusal, script

CAGE = Path(__file__).with_name("cage")
NO_ACCOUNT = "You have no account on this machine; tell your administrator."
TOO_LARGE = "This machine has fewer cores than that; ask for fewer."
OUT_OF_TIME = "Your session reached its run time and was ended."
# Shells and the cage say so: 128 and the number of SIGKILL.
KILLED = 128 + 9


class ForkloreLocalSpawner(FormMixin, LocalProcessSpawner):
    """Waits for a seat, and starts the session in a cage with the limits that the form asked for."""

    share = Integer(1, help="How many sessions may have the same processor at a time.").tag(config=True)

    # One machine, so one for all spawners.
    seats = None
    cpus = ()
    born = ends_at = 0

    def the_seats(self):
        if ForkloreLocalSpawner.seats is None:
            ForkloreLocalSpawner.seats = Seats(os.sched_getaffinity(0), self.share)
        return ForkloreLocalSpawner.seats

    async def start(self):
        self.prepare()
        try:
            pwd.getpwnam(self.user.name)
            self.cpus = await self.the_seats().take(self._log_name, self.request.cores)
        except KeyError:
            self.log.error("%s: this machine has no user of that name", self.user.name)
            raise Refusal(NO_ACCOUNT) from None
        except ValueError as error:
            self.log.error("%s: the form's limits are larger than this machine: %s", self.user.name, error)
            raise Refusal(TOO_LARGE) from None
        self.port = self.port or random_port()
        # In the cage, as the learner and in the learner's home.
        bring_lessons = ["sh", "-c", script("lessons.sh") + 'exec "$@"\n', "session"]
        command = [*self.cage(), *bring_lessons, *self.cmd, *self.get_args()]
        self.proc = Popen(command, env=self.get_env(), start_new_session=True, cwd="/")
        self.pid, self.born = self.proc.pid, started(self.proc.pid)
        self.ends_at = time.time() + self.request.hours * self.hour
        self.remember()
        self.log.info("%s: process %d on processors %s: %s", self.user.name, self.pid, self.cpus, self.request)
        self.end_in_time()
        return self.ip or "127.0.0.1", self.port

    def cage(self):
        """What the session's command is put behind."""
        name = re.sub("[^A-Za-z0-9]", "-", self._log_name)
        return [
            *(sys.executable, "-I", str(CAGE), "--user", self.user.name, "--name", name),
            *("--cpus", ",".join(map(str, self.cpus))),
            *("--memory-bytes", str(self.request.cores * self.request.memory_gb << 30), "--"),
        ]

    def end_in_time(self):
        """No scheduler ends this session, so the hub does."""
        seconds = max(0, self.ends_at - time.time())
        asyncio.get_running_loop().call_later(seconds, self.end, self.pid)

    def end(self, pid):
        # By then it may be another session.
        if pid and pid == self.pid:
            self.last_words = OUT_OF_TIME
            self.log.warning("%s: process %d has reached its run time", self.user.name, pid)
            self.ending = asyncio.ensure_future(self.stop_and_notify())

    async def stop_and_notify(self):
        await self.stop()
        # Until the hub asks for the next time, its proxy would send the learner to a session that is no more.
        await self.poll_and_notify()

    async def poll(self):
        pid = self.pid
        if self.proc is None and pid and started(pid) != self.born:
            # The pid is another process's by now: the machine was rebooted, or has started many since.
            self.clear_state()
            return 0
        status = await super().poll()
        if status is not None and pid and not self._stop_pending and not self.last_words:
            self.last_words = ending(status)
            self.log.warning("%s: process %d is gone with status %s: %s", self.user.name, pid, status, self.last_words)
        return status

    def get_state(self):
        return super().get_state() | {"cpus": self.cpus, "born": self.born, "ends_at": self.ends_at}

    def load_state(self, state):
        super().load_state(state)
        self.cpus = tuple(state.get("cpus", ()))
        self.born, self.ends_at = state.get("born", 0), state.get("ends_at", 0)
        if self.pid and started(self.pid) == self.born:
            self.the_seats().hold(self._log_name, self.cpus)
            self.end_in_time()

    def clear_state(self):
        super().clear_state()
        self.the_seats().give_back(self._log_name)
        self.cpus, self.born, self.ends_at = (), 0, 0

    def step(self):
        if self.pid:
            return UP, "JupyterLab is starting."
        ahead = self.the_seats().n_ahead(self._log_name)
        return 20, (
            f"All seats of this machine are taken, and {ahead} wait before you. You may close this page and come back to it."
        )


def started(pid):
    """When a process was started, in the Linux kernel's ticks since boot; 0 if it is no more."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def ending(status):
    """A sentence for a session that has ended without being asked to."""
    if status == KILLED:
        return "Your session was ended from outside, or because it used more memory than it had asked for."
    return "Your session has ended by itself."

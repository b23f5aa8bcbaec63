"""A kernel of any kind for one case, and what a case needs to know of it."""

import os
import pathlib
import queue
import signal
import subprocess
import time

from jupyter_client.manager import KernelManager

# When a kernel has said nothing for so long, it hangs.
PATIENCE = 20
# This many seconds after its shutdown, nothing of a kernel may be left.
GRACE = 0.2


class Hangs(Exception):
    """The kernel does not answer."""


class Session:
    """A kernel for one case, and what the case needs to know of it."""

    def __init__(self, name):
        self.name = name
        self.is_python = name == "python3"
        self.manager = KernelManager(kernel_name=name)
        self.started = time.monotonic()
        self.manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.connect()

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def settle(self):
        """What a kernel does at its start is not part of most cases."""
        self.run("1", patience=120, store_history=False)

    def get(self, channel, timeout):
        try:
            return channel(timeout=timeout)
        except queue.Empty:
            raise Hangs from None

    def reply(self, msg_id, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while True:
            reply = self.get(self.client.get_shell_msg, max(0, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == msg_id:
                return reply["content"]

    def output(self, msg_id, msg_type="stream", patience=PATIENCE):
        """The next message of a type, from a cell that may still run."""
        deadline = time.monotonic() + patience
        while True:
            message = self.get(self.client.get_iopub_msg, max(0, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") == msg_id and message["msg_type"] == msg_type:
                return message["content"]

    def run(self, code, patience=PATIENCE, **options):
        """Runs a cell: its reply and its messages."""
        msg_id = self.client.execute(code, **options)
        messages = []
        while True:
            message = self.get(self.client.get_iopub_msg, patience)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            if message["content"].get("execution_state") == "idle":
                return self.reply(msg_id, patience), messages
            messages.append((message["msg_type"], message["content"]))

    def keep(self):
        self.run("kept = 41" if self.is_python else "let kept = 41;")

    def is_kept(self):
        reply, messages = self.run("kept + 1")
        values = [content["data"]["text/plain"] for kind, content in messages if kind == "execute_result"]
        return "variables kept" if values == ["42"] else "variables lost"

    def interrupt(self, msg_id):
        """Interrupts a cell and says how long it took to end."""
        started = time.monotonic()
        self.manager.interrupt_kernel()
        try:
            status = self.reply(msg_id)["status"]
        except Hangs:
            return f"not stopped in {PATIENCE} s"
        return f"stopped in {time.monotonic() - started:.2f} s ({status})"

    def pids(self):
        below = [self.manager.provisioner.pid]
        for pid in below:
            try:
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    below += map(int, (task / "children").read_text().split())
            except OSError:
                pass
        return set(below)

    def stop(self):
        pids = self.pids()
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)
        return n_left_of(pids, after=GRACE)


def n_left_of(pids, after):
    """How many processes are there that many seconds later. They are ended."""
    time.sleep(after)
    left = {pid for pid in pids if is_alive(pid)}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return len(left)


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def text(messages, stream="stdout"):
    return "".join(c["text"] for kind, c in messages if kind == "stream" and c["name"] == stream)

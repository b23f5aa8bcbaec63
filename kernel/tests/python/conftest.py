"""What the kernel's tests have in common: a kernel to talk to, and proof that it leaves nothing behind."""

import os
import tempfile
import time
from pathlib import Path

import pytest
from jupyter_client import KernelManager

# A deadline only catches hangs: it is far above what anything here takes on a busy machine.
DEADLINE = 120
# Rust that does not end by itself.
MINUTES = "std::thread::sleep(std::time::Duration::from_secs(600));"


class Ran:
    """What came of one cell."""

    def __init__(self, reply, messages):
        self.reply = reply
        self.messages = messages

    def of_type(self, msg_type):
        return [m["content"] for m in self.messages if m["msg_type"] == msg_type]

    @property
    def status(self):
        return self.reply["content"]["status"]

    def text(self, stream):
        return "".join(c["text"] for c in self.of_type("stream") if c["name"] == stream)

    @property
    def stdout(self):
        return self.text("stdout")

    @property
    def stderr(self):
        return self.text("stderr")

    @property
    def result(self):
        """The text of the value that the cell shows, or None."""
        results = self.of_type("execute_result")
        assert len(results) <= 1, results
        return results[0]["data"]["text/plain"] if results else None

    def __repr__(self):
        return f"{self.reply['content']}\n" + "\n".join(
            f"{m['msg_type']}: {m['content']}" for m in self.messages
        )


class Kernel:
    """A kernel process and a client of it."""

    def __init__(self, name="forklore", **popen):
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(**popen)
        self.pid = self.manager.provisioner.pid
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=DEADLINE)

    def start(self, code, **options):
        """Sends a cell and does not wait."""
        return self.client.execute(code, **options)

    def finish(self, msg_id, timeout=DEADLINE):
        """Waits for a cell: its reply, and everything up to its idle status."""
        messages = []
        deadline = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=deadline - time.monotonic())
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            if message["msg_type"] == "status":
                if message["content"]["execution_state"] == "idle":
                    break
                continue
            messages.append(message)
        return Ran(self.reply(msg_id, deadline - time.monotonic()), messages)

    def reply(self, msg_id, timeout=DEADLINE):
        """Waits for the reply on the shell channel to one request."""
        deadline = time.monotonic() + timeout
        while True:
            reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
            if reply["parent_header"].get("msg_id") == msg_id:
                return reply

    def run(self, code, timeout=DEADLINE, **options):
        return self.finish(self.start(code, **options), timeout)

    def ok(self, code, **options):
        """Runs a cell that has to succeed."""
        ran = self.run(code, **options)
        assert ran.status == "ok", ran
        return ran

    def next_output(self, msg_id, msg_type="stream", timeout=DEADLINE):
        """Waits for the next message of a type that belongs to a cell which may still run."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=deadline - time.monotonic())
            mine = message["parent_header"].get("msg_id") == msg_id
            if mine and message["msg_type"] == msg_type:
                return message["content"]

    def restart(self):
        """Starts the kernel again, where a cell does not end."""
        self.manager.restart_kernel(now=True)
        self.pid = self.manager.provisioner.pid
        self.client.wait_for_ready(timeout=DEADLINE)

    def interrupt(self):
        self.manager.interrupt_kernel()

    def interrupt_and_hear(self):
        """Interrupts and waits for the answer: what is sent after that also comes after it."""
        self.client.control_channel.send(self.client.session.msg("interrupt_request"))
        reply = self.client.control_channel.get_msg(timeout=DEADLINE)
        assert reply["msg_type"] == "interrupt_reply", reply

    def processes(self):
        return descendants(self.pid)

    def stop(self):
        """Shuts the kernel down as Jupyter does, and asserts that no process and no folder of it is left."""
        pids = {self.pid} | self.processes()
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        assert_gone(pids)
        # Where the kernel was killed, its supervisor removes the folder last.
        deadline = time.monotonic() + 5
        while folders := list(Path(tempfile.gettempdir()).glob(f"forklore-{self.pid}-*")):
            assert time.monotonic() < deadline, folders
            time.sleep(0.01)


def stat(pid):
    """State and parent of a process, or None."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


def descendants(root):
    """All processes below one, zombies excepted."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := stat(entry)) and found[0] not in "ZX":
            parents[int(entry)] = found[1]
    below = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in below} - below
        if not more:
            return below - {root}
        below |= more


def is_alive(pid):
    found = stat(pid)
    return found is not None and found[0] not in "ZX"


def assert_gone(pids, timeout=5):
    """Asserts that none of these processes is there, or will be in a moment."""
    deadline = time.monotonic() + timeout
    while alive := {pid for pid in pids if is_alive(pid)}:
        if time.monotonic() > deadline:
            commands = {}
            for pid in alive:
                try:
                    commands[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    pass
            pytest.fail(f"processes are left: {commands}")
        time.sleep(0.01)


@pytest.fixture(scope="session")
def kernel():
    """The kernel that most tests share: that it serves them all is part of what they prove."""
    kernel = Kernel()
    yield kernel
    kernel.stop()


@pytest.fixture
def new_kernel():
    """Makes kernels for one test alone."""
    kernels = []

    def make(name="forklore", **popen):
        kernels.append(Kernel(name, **popen))
        return kernels[-1]

    yield make
    for kernel in kernels:
        if is_alive(kernel.pid):
            kernel.stop()

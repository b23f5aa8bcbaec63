"""In an image: JupyterLab answers, shows the lessons first and has both kernels; and a lesson runs. Needs no network.

    session.py NOTEBOOK

The server runs while the lesson does, as in a learner's session. At the end no process of the kernel may be left.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

DEADLINE_S = 120
LESSON = Path(__file__).resolve().parents[2] / "lab/python/lesson.py"
TOKEN = "token-of-this-test"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(address):
    request = urllib.request.Request(address, headers={"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return answer.url, answer.read()


def wait_for(address, server):
    started = time.monotonic()
    while True:
        try:
            return get(address)
        except urllib.error.URLError:
            if server.poll() is not None or time.monotonic() - started > DEADLINE_S:
                raise
            time.sleep(0.2)


def kernels_left():
    programs = (Path(f"/proc/{pid}/exe") for pid in os.listdir("/proc") if pid.isdigit())
    left = []
    for program in programs:
        try:
            if os.readlink(program).endswith("/forklore"):
                left.append(program.parent.name)
        except OSError:
            pass
    return left


def main():
    (notebook,) = sys.argv[1:]
    print(f"user {os.getuid()} in {os.environ['HOME']}, Python {sys.version.split()[0]}", flush=True)
    interfaces = [name for _, name in socket.if_nameindex()]
    print(f"network interfaces: {interfaces}", flush=True)

    port = free_port()
    started = time.monotonic()
    command = ["jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api/status", server)
        print(f"JupyterLab answers after {time.monotonic() - started:.1f} s", flush=True)
        shown, _ = get(f"{address}/")
        assert "/lab/tree/lessons/" in shown, f"JupyterLab opens {shown}"
        specs = json.loads(get(f"{address}/api/kernelspecs")[1])["kernelspecs"]
        assert {"forklore", "rust-evcxr"} <= specs.keys(), f"kernels: {list(specs)}"
        subprocess.run(["forklore", "doctor"], check=True)
        started = time.monotonic()
        lesson = [str(LESSON), notebook, "--kernel=forklore", "--notebook=/tmp/lesson.ipynb", "--page=/tmp/lesson.html"]
        subprocess.run([sys.executable, "-B", *lesson, "--offline"], check=True)
        print(f"{notebook}: {time.monotonic() - started:.1f} s with the start of its kernel")
    finally:
        server.terminate()
        server.wait()
    left = kernels_left()
    assert not left, f"processes of the kernel are left: {left}"


if __name__ == "__main__":
    main()

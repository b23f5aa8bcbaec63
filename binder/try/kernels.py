"""Runs cells on both kernels that this Python environment, or the folders of JUPYTER_PATH, have."""

import time

from jupyter_client.manager import KernelManager

# On the stock kernel, a library that is not its own is another matter: the lessons' tests do that.
CELLS = {
    "rust-evcxr": [("1 + 1", "2")],
    "forklore": [
        ("1 + 1", "2"),
        ("use forklore::*;\nlet pool: Pool = Pool::with_workers(2)?;\npool.map(|x: u64| x.pow(10), 0..4)", "[0, 1, 1024, 59049]"),
        ("pool.workers()", "2"),
    ],
}
# The first cell of a new installation compiles the library.
DEADLINE_S = 900


def answers(kernel, cells):
    """Runs `cells` in one session, and says how long each took."""
    manager = KernelManager(kernel_name=kernel)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE_S)
        for code, expected in cells:
            started = time.monotonic()
            shown = []

            def note(message):
                shown.append(message["content"].get("data", {}).get("text/plain"))

            reply = client.execute_interactive(code, timeout=DEADLINE_S, output_hook=note)["content"]
            assert reply["status"] == "ok", f"{kernel}: {code!r}: {reply}"
            assert expected in shown, f"{kernel}: {code!r} shows {shown}"
            print(f"  {kernel}: {code.splitlines()[-1]} is {expected}, after {time.monotonic() - started:.1f} s", flush=True)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def main():
    for kernel, cells in CELLS.items():
        answers(kernel, cells)


if __name__ == "__main__":
    main()

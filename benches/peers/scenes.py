"""Plays one scene of bad luck on one of Python's pools: `scenes.py POOL SCENE`.

What happens is told line by line, as `src/scenes.rs` explains.
"""

import os
import signal
import sys
import time

from pools import POOLS

N_ITEMS = 20
VICTIM = 5


def task(arg):
    item, scene = arg
    time.sleep(0.1 if scene in ("SIGINT while busy", "parent killed") else 0.02)
    if item == VICTIM:
        if scene == "kill -9":
            os.kill(os.getpid(), signal.SIGKILL)
        elif scene == "panic or exception":
            raise ValueError("bad luck")
        elif scene == "exit":
            sys.exit(3)
        elif scene == "abort":
            os.abort()
        elif scene == "SIGSTOP":
            os.kill(os.getpid(), signal.SIGSTOP)
    return item


def say(*words):
    print(*words, flush=True)


def run(pool, scene, n_items):
    """Submits all items, and asks for the victim's result last: it may never come."""
    # Only this scene is one that users can be expected to be prepared for.
    timeout = 2 if scene == "SIGSTOP" else None
    calls = [(item, pool.submit(task, (item, scene), timeout)) for item in range(n_items)]
    calls.sort(key=lambda call: call[0] == VICTIM)
    for item, get in calls:
        try:
            get()
            say("result", item)
        except KeyboardInterrupt:
            say("interrupted")
            return
        except BaseException as error:
            say("error", item, type(error).__name__)


def main():
    pool, scene = POOLS[sys.argv[1]](2), sys.argv[2]
    run(pool, "", 2)
    try:
        say("ready")
        if scene == "SIGINT when idle":
            sys.stdin.readline()
    except KeyboardInterrupt:
        say("interrupted")
        sys.stdin.readline()
    try:
        run(pool, scene, N_ITEMS)
    except BaseException as error:
        say("error", "all", type(error).__name__)
    say("again")
    try:
        run(pool, "", 4)
    except BaseException as error:
        say("error", "all", type(error).__name__)
    say("end")
    pool.stop()


if __name__ == "__main__":
    main()

"""Runs one learner's session on a shared machine: limited, and apart from the others.

```text
 hub ──▶ cage (root, forwards signals, removes the control group)
          └─▶ process 1 of the session's own process namespace (root, reaps)
               └─▶ JupyterLab (the learner) ──▶ kernels ──▶ workers
```

The session has processes, `/tmp`, `/dev/shm` and shared memory of its own: it sees and signals no others. When its
process 1 ends, the Linux kernel ends everything in it, whatever became of the hub.

It needs root, Linux 3.8 and Python alone: neither systemd nor Docker.
"""

import argparse
import ctypes
import os
import pwd
import resource
import signal
import sys

from cgroup import ControlGroup

# linux/sched.h, sys/mount.h, linux/prctl.h
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x0002_0000, 0x0800_0000, 0x2000_0000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x4_0000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

libc = ctypes.CDLL(None, use_errno=True)


def main():
    options = arguments()
    user = pwd.getpwnam(options.user)
    os.sched_setaffinity(0, options.cpus)
    group = ControlGroup(options.name)
    limited = group.limit(len(options.cpus), options.memory_bytes)
    missing = sorted({"cpu", "memory", "pids"} - set(limited))
    if missing:
        print(f"forklore: no control group limits {', '.join(missing)} of {options.user}'s session", file=sys.stderr)
    if "memory" not in limited:
        # For each process, and not for all together: better than nothing. RLIMIT_AS would count reservations.
        resource.setrlimit(resource.RLIMIT_DATA, (options.memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC), "unshare")
    first = os.fork()
    if first == 0:
        group.join()
        os._exit(process_one(user, options.command))
    status = wait_and_forward(first)
    group.remove()
    sys.exit(status)


def arguments():
    parser = argparse.ArgumentParser(prog="cage")
    parser.add_argument("--user", required=True)
    parser.add_argument("--name", required=True, help="of the control group")
    parser.add_argument("--cpus", required=True, type=lambda text: {int(one) for one in text.split(",")})
    parser.add_argument("--memory-bytes", required=True, type=int)
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def process_one(user, command):
    """Starts the session and reaps; its exit status."""
    # Not lost by a change of user, as this process stays root.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    own_view(user)
    session = os.fork()
    if session == 0:
        become(user)
        os.execvp(command[0], command)
    return wait_and_forward(session)


def own_view(user):
    """File systems in which the session sees itself only."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        if os.path.isdir(folder):
            mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, b"mode=1777")
    # Other learners' homes are theirs by their mode; a home that was made carelessly is put right.
    if os.path.isdir(user.pw_dir) and os.stat(user.pw_dir).st_uid == user.pw_uid:
        os.chmod(user.pw_dir, 0o700)


def mount(source, target, kind, flags, data=None):
    encode = lambda text: None if text is None else text.encode()
    check(libc.mount(encode(source), target.encode(), encode(kind), flags, data), f"mount {target}")


def become(user):
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    # So no program that is set-user-ID leads out again.
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    os.umask(0o077)
    os.chdir(user.pw_dir)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def wait_and_forward(child):
    """Waits for `child`, reaps every other, and passes on what the hub sends; gives a shell's exit status."""

    def forward(number, _frame):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()

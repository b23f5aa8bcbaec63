"""What the tests ask each scheduler, and do to it behind the hub's back."""

import os
import signal
import subprocess

from conftest import PROFILE, processes, until


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def submitted(name, script, *command):
    """Gives a user's job script to a command that prints the job's number."""
    as_user = ["runuser", "-u", name, "--", "sh", "-c", 'cd && exec "$@"', "submit"]
    done = subprocess.run([*as_user, *command], input=script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


class Sge:
    def submit(self, name, log, *words, seconds=300):
        """A job of 2 nodes with 2 slots each, as a user would submit it; its number."""
        script = f"exec {' '.join(words)}\n"
        options = ["-terse", "-S", "/bin/bash", "-cwd", "-v", "PATH", "-j", "yes", "-o", log, "-pe", "mpi", "4"]
        return submitted(name, script, "qsub", *options, "-l", f"rmem=1G,h_rt={seconds}")

    def jobs(self):
        """User and state of every job, by number."""
        rows = [line.split() for line in run("qstat", "-u", "*").splitlines()[2:]]
        return {row[0]: (row[3], row[4]) for row in rows}

    def kill(self, job_id):
        run("qdel", job_id)

    def show(self, job_id):
        return run("qstat", "-j", job_id)

    # Everything that speaks with the command line.
    daemon = "sge_qmaster"
    node_daemon = "sge_execd"
    running = "r"


class Slurm:
    def submit(self, name, log, *words, seconds=300):
        # As the hub does: nothing of the environment in which it was submitted.
        script = f"#!/bin/bash\nexport PATH={os.environ['PATH']}\nexec {' '.join(words)}\n"
        shape = ["--export=NONE", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=2", "--mem-per-cpu=1G", f"--time=0:{seconds}"]
        return submitted(name, script, "sbatch", "--parsable", f"--output={log}", *shape)

    def jobs(self):
        rows = [line.split() for line in run("squeue", "-h", "-o", "%i %u %T").splitlines()]
        return {row[0]: (row[1], row[2]) for row in rows}

    def kill(self, job_id):
        run("scancel", job_id)

    def show(self, job_id):
        return run("scontrol", "show", "job", job_id)

    daemon = "slurmctld"
    node_daemon = "slurmd"
    running = "RUNNING"


SCHEDULER = {"sge": Sge, "slurm": Slurm}.get(PROFILE, lambda: None)()


def job_of(name):
    """The number of a learner's only job, once there is one."""

    def found():
        return [job_id for job_id, (user, _) in SCHEDULER.jobs().items() if user == name]

    (job_id,) = until(found, f"a job of {name}")
    return job_id


def daemon_pids(name):
    users = {"sge_qmaster": "sgeadmin", "sge_execd": "sgeadmin", "slurmctld": "slurm", "slurmd": "root"}
    every = processes("root") | processes(users[name])
    return [pid for pid, command in every.items() if os.path.basename(command.split(" ")[0]) == name]


class Silent:
    """The scheduler does not answer while this is entered: its daemon is stopped, and commands wait for it."""

    def __enter__(self):
        self.pids = daemon_pids(SCHEDULER.daemon)
        assert self.pids
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)
        until(lambda: SCHEDULER.jobs() is not None, "the scheduler again")

"""Sessions as jobs of Slurm."""

import re

from batchspawner import SlurmSpawner
from traitlets import Unicode

from .batch import BatchMixin

# https://slurm.schedmd.com/job_state_codes.html
REASONS = {
    "TIMEOUT": "Your session reached its run time, and the scheduler ended it.",
    "CANCELLED": "Your session's job was cancelled.",
    "OUT_OF_MEMORY": "Your session used more memory than it had asked for, and the scheduler ended it.",
    "NODE_FAIL": "The node that your session ran on has failed.",
    "PREEMPTED": "Your session's job had to give way to a more important one.",
    "COMPLETED": "Your session's job has ended by itself.",
}


class ForkloreSlurmSpawner(BatchMixin, SlurmSpawner):
    """`sbatch --nodes=NODES --cpus-per-task=CORES --mem-per-cpu=MEMORY --time=TIME [--account=PROJECT] [--partition=QUEUE]`."""

    script = "slurm.sh"
    silence = r"Socket timed out|Unable to contact slurm controller|Connection refused|Communication connection failure"

    # A step of its own would get its environment and its processors again; the job's are what was asked for.
    req_srun = Unicode("").tag(config=True)

    async def account(self, job_id):
        try:
            return reason(await self.as_learner(f"scontrol --oneliner show job {int(job_id)}"))
        except RuntimeError:
            return ""


def reason(text):
    """A sentence from what `scontrol` says, or nothing."""
    said = dict(re.findall(r"(\w+)=(\S+)", text))
    state = said.get("JobState", "")
    if state == "FAILED":
        status = said.get("ExitCode", "?").partition(":")[0]
        return f"Your session's job ended with the exit status {status}."
    return REASONS.get(state, "")

"""Sessions as jobs of Son of Grid Engine."""

import xml.etree.ElementTree as ET

from batchspawner import GridengineSpawner
from batchspawner.batchspawner import UserEnvMixin
from traitlets import Unicode

from .batch import BatchMixin

# `qacct` says "failed" with one of these where not the job itself, but its surroundings ended it.
FAILURES = {
    "37": "Your session reached its run time, and the scheduler ended it.",
    "100": "Your session's job was ended from outside: by qdel, or because it used more memory than it had asked for.",
}
KILLED = 128 + 9


class ForkloreGridengineSpawner(BatchMixin, UserEnvMixin, GridengineSpawner):
    """`qsub -pe smp CORES`, or `-pe mpi NODES×CORES`, with `-l rmem=MEMORY,h_rt=TIME [-P PROJECT] [-q QUEUE]`."""

    req_nodes_pe = Unicode(
        "mpi",
        help="The parallel environment for several nodes. Its control_slaves is TRUE, and its allocation_rule gives each "
        "node as many slots: $round_robin, or a number, which {cores} in the name stands for (mpi-{cores}).",
    ).tag(config=True)

    script = "sge.sh"
    silence = r"unable to (send message|contact)|can't resolve|commlib error|got no response|timeout"

    # Without an argument it lists the caller's jobs; as the hub's user it would need every other user's too.
    batch_query_cmd = Unicode("qstat -xml -u {username}").tag(config=True)
    batch_submit_cmd = Unicode("qsub -terse").tag(config=True)

    def parse_job_id(self, output):
        lines = output.split()
        return lines[-1] if lines and lines[-1].isdigit() else ""

    def job(self):
        """The job's entry in what `qstat` said."""
        try:
            found = ET.fromstring(self.job_status or "<none/>")
        except ET.ParseError:
            return None
        return found.find(f".//job_list[JB_job_number='{self.job_id}']")

    def state(self):
        job = self.job()
        return "" if job is None else job.findtext("state", "")

    def state_ispending(self):
        # Capital E: the scheduler has given the job up, and it would wait forever.
        return "q" in self.state() and "E" not in self.state()

    def state_isrunning(self):
        # Being deleted (d) or stopped (s, S, T) is running still.
        return any(letter in self.state() for letter in "rtsST") and "q" not in self.state()

    def state_isunknown(self):
        return False

    def state_gethost(self):
        job = self.job()
        queue = "" if job is None else job.findtext("queue_name", "")
        return queue.partition("@")[2]

    async def account(self, job_id):
        try:
            return reason(await self.as_learner(f"qacct -j {int(job_id)} || qstat -j {int(job_id)}"))
        except RuntimeError:
            return ""


def reason(text):
    """A sentence from what `qacct` says, or nothing."""
    said = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        said[name] = value.strip()
    if "error reason" in text:
        return f"The scheduler could not start your session's job: {text.partition('error reason')[2].strip()[:200]}"
    failed = said.get("failed", "0").partition(":")[0].split(" ")[0]
    status = said.get("exit_status", "").split(" ")[0]
    if failed in FAILURES:
        return FAILURES[failed]
    if failed != "0":
        return f"The scheduler could not run your session's job: {said['failed']}."
    if status == str(KILLED):
        return FAILURES["100"]
    if status not in ("", "0"):
        return f"Your session's job ended with the exit status {status}."
    return "Your session's job has ended by itself." if status else ""

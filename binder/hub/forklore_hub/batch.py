"""What Son of Grid Engine and Slurm have in common: jobs, deadlines, and reasons.

The session's environment carries its token. A scheduler shows a job's environment to everybody (`qstat -j`), so it
travels in a file that only the learner can read, in the home folder, which a cluster's nodes share.
"""

import asyncio
import os
import re
import secrets
import shlex
import signal

from batchspawner.batchspawner import JobStatus, format_template
from traitlets import Float, List, Unicode, default

from .spawner import UP, FormMixin, Refusal, script

# Where job logs and the environment of a session that is about to start are, below the learner's home folder.
STATE = ".forklore/hub"
# The job script's exit status for a node where the session's programs are not installed.
NO_ENVIRONMENT = 96
# The scheduler may have the last word on a job some seconds after its end.
ACCOUNT_TRIES = 15

SILENT = "The cluster's scheduler does not answer. Nothing is lost; try again in a few minutes."
SUBMITTING = "Your session's job is on its way to the scheduler."
QUEUED = "Your session waits in the queue for free cores. You may close this page and come back to it."
STARTING = "Your session's job runs; JupyterLab is starting."
GIVEN_UP = "no answer within"
ENDED = "Your session's job has ended."


class Silence(RuntimeError):
    """A command of the scheduler that was given up. It says nothing about the job."""


class BatchMixin(FormMixin):
    """Submits with deadlines, and finds out for the learner why a job is gone."""

    command_timeout = Float(30, help="Seconds that a command of the scheduler may take.").tag(config=True)
    account_pause = Float(1, help="Seconds between questions to the scheduler how a job ended.").tag(config=True)
    explain_timeout = Float(5, help="Seconds that a learner waits for the answer before a page says no more than that it has ended.").tag(config=True)

    # As the hub is root, and `runuser` needs no configuration. It starts in the learner's home folder.
    exec_prefix = Unicode("runuser -u {username} --").tag(config=True)

    programs = List(
        ["batchspawner-singleuser", "jupyterhub-singleuser", "forklore"],
        help="What a node must have; without one of these, the learner is told which is missing.",
    ).tag(config=True)

    @default("env_keep")
    def _env_keep_default(self):
        # A scheduler starts a job with a PATH of its own, and the nodes have the session's programs where the hub has them.
        return ["PATH", "LANG", "LC_ALL", "JUPYTERHUB_SINGLEUSER_APP"]

    # The job script's file, and what the scheduler's commands print when they cannot reach it.
    script = ""
    silence = ""
    lost_job_id = environment_file = ""

    async def run_command(self, cmd, input=None, env=None):
        """As in `batchspawner`, but a command that is given up ends, all of it, and is told from an empty answer."""
        process = await asyncio.create_subprocess_shell(
            cmd,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            answer = process.communicate(input.encode() if input else None)
            out, complaint = await asyncio.wait_for(answer, self.command_timeout)
        except asyncio.TimeoutError:
            self.log.error("%s: gave up after %g s without an answer: %s", self.user.name, self.command_timeout, cmd)
            raise Silence(f"{GIVEN_UP} {self.command_timeout:g} s: {cmd}") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            raise RuntimeError(complaint.decode(errors="replace").strip() or out.decode(errors="replace").strip())
        return out.decode(errors="replace").strip()

    async def as_learner(self, command, input=None):
        """Runs a shell command as the learner, below their home folder."""
        prefix = self.exec_prefix.format(username=self.req_username)
        inner = f"cd && {command}"
        return await self.run_command(f"{prefix} sh -c {shlex.quote(inner)}", input=input, env=self.learner_env())

    def learner_env(self):
        """What the scheduler's own commands need: no token."""
        return {name: value for name, value in self.get_env().items() if not name.startswith(("JUPYTERHUB_", "JPY_"))}

    async def submit_batch_script(self):
        try:
            await self.write_environment()
            job_id = await super().submit_batch_script()
        except Silence:
            # The scheduler may have heard it all the same: a job that does not find this file ends at once.
            await self.remove_environment()
            raise Refusal(SILENT) from None
        except RuntimeError as error:
            await self.remove_environment()
            reason = first_line(error)
            self.log.error("%s: the scheduler refused the job %r: %s", self.user.name, self.user_options, error)
            raise Refusal(f"The cluster's scheduler refused the session: {reason}") from None
        self.remember()
        return job_id

    async def write_environment(self):
        # Each job has its own, so that a forgotten one does not take the next one's.
        self.environment_file = f"session-{re.sub('[^A-Za-z0-9]', '-', self.name)}-{secrets.token_hex(8)}.env"
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.get_env().items() if is_name(name)]
        await self.as_learner(
            f"umask 077 && mkdir -p {STATE} && rm -f {STATE}/{self.environment_file} && cat > {STATE}/{self.environment_file}",
            input="".join(lines),
        )

    async def remove_environment(self):
        try:
            await self.as_learner(f"rm -f {STATE}/{self.environment_file}")
        except RuntimeError as error:
            self.log.warning("%s: could not remove %s: %s", self.user.name, self.environment_file, first_line(error))

    async def _get_batch_script(self, **subvars):
        template = script(self.script).replace("{{session}}", script("session.sh")).replace("{{lessons}}", script("lessons.sh"))
        return format_template(
            template,
            **subvars,
            state_folder=STATE,
            environment_file=self.environment_file,
            programs=self.programs,
            no_environment=NO_ENVIRONMENT,
            run_time=self.run_time,
        )

    async def query_job_status(self):
        """As in `batchspawner`, but a scheduler that does not answer leaves the job's state as it was."""
        before = self.job_status
        status = await super().query_job_status()
        if self.job_id and self.is_silence(self.job_status):
            self.log.warning("%s: cannot ask for job %s: %s", self.user.name, self.job_id, self.job_status)
            self.job_status = before
            return JobStatus.UNKNOWN
        return status

    def is_silence(self, answer):
        """Whether this answer to a question about a job comes from somewhere else than the scheduler."""
        return answer.startswith(GIVEN_UP) or bool(re.search(self.silence, answer))

    async def start(self):
        self.prepare()
        starting = asyncio.ensure_future(super().start())
        ending = asyncio.ensure_future(self.end_of_a_running_job())
        try:
            await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                self.clear_state()
                raise RuntimeError(ending.result())
            return starting.result()
        except RuntimeError as error:
            # The job went away while it waited, or right at its start.
            job_id = self.lost_job_id
            words = await self.why_it_ended(job_id) if job_id else ENDED
            self.log.error("%s: job %s ended before its session: %s", self.user.name, job_id, words)
            # One that the scheduler holds because of an error is not gone.
            self.job_id = job_id
            raise Refusal(words, log_message=f"job {job_id}: {words} ({first_line(error)})") from None

        finally:
            starting.cancel()
            ending.cancel()

    async def end_of_a_running_job(self):
        """Waits for it. `batchspawner` asks until a job runs, and then waits for its port, whatever becomes of it."""
        ran = False
        while True:
            await asyncio.sleep(self.startup_poll_interval)
            ran = ran or bool(self.job_id) and self.state_isrunning()
            if ran and await self.query_job_status() == JobStatus.NOTFOUND:
                return "it ran, and ended without a word to the hub"

    def clear_state(self):
        # `batchspawner` forgets the number before anybody can ask what became of the job.
        self.lost_job_id = self.job_id
        super().clear_state()

    async def poll(self):
        job_id = self.job_id
        status = await super().poll()
        if status is not None and job_id and not self._stop_pending and not self._start_pending:
            self.last_words = ENDED
            self.explaining = asyncio.ensure_future(self.explain(job_id))
            # Until this returns, the learner reads that the hub is being asked; after it, what is known by then.
            await asyncio.wait({self.explaining}, timeout=self.explain_timeout)
        return status

    async def explain(self, job_id):
        self.last_words = await self.why_it_ended(job_id)
        self.log.warning("%s: job %s is gone: %s", self.user.name, job_id, self.last_words)

    async def stop(self, now=False):
        if not self.job_id:
            return
        try:
            await super().stop(now)
        except RuntimeError as error:
            # A job that has ended by itself cannot be cancelled; a scheduler that is silent leaves it to its run time.
            self.log.warning("%s: could not cancel job %s: %s", self.user.name, self.job_id, first_line(error))

    async def why_it_ended(self, job_id):
        """A sentence about a job's end: from its own log, else from the scheduler's account of it."""
        try:
            said = await self.as_learner(f"sed -n 's/^forklore: //p' {STATE}/job-{int(job_id)}.log | tail -n 1")
            for _ in range(ACCOUNT_TRIES if not said else 0):
                said = await self.account(job_id)
                if said:
                    break
                await asyncio.sleep(self.account_pause)
        except (RuntimeError, ValueError) as error:
            self.log.warning("%s: no account of job %s: %s", self.user.name, job_id, first_line(error))
            said = ""
        return said or ENDED

    async def account(self, job_id):
        """What the scheduler says about a job that has ended, as a sentence; empty if it does not know yet."""
        raise NotImplementedError

    def step(self):
        if self.state_isrunning():
            return UP, STARTING
        return (20, QUEUED) if self.job_id else (10, SUBMITTING)


def is_name(name):
    """Whether a shell can have a variable of this name."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def first_line(error):
    """What a command complained about, short enough for a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "it did not say why."

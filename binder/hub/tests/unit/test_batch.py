"""Jobs: what is submitted, and what the learner and the administrator read when it goes wrong."""

import asyncio
import stat

import pytest

from forklore_hub import gridengine, slurm
from forklore_hub import spawner as spawner_module
from forklore_hub.batch import ENDED, NO_ENVIRONMENT, SILENT, script
from forklore_hub.gridengine import ForkloreGridengineSpawner
from forklore_hub.request import Limits
from forklore_hub.slurm import ForkloreSlurmSpawner
from forklore_hub.spawner import Refusal

LIMITS = Limits(cores=4, projects=("course",), queues=("short.q",))
SGE, SLURM = ForkloreGridengineSpawner, ForkloreSlurmSpawner


@pytest.fixture
def batch(spawner):
    def make(kind, **traits):
        made = spawner(kind, limits=LIMITS, exec_prefix="env", account_pause=0, startup_poll_interval=0, **traits)
        made.user_options = {"cores": 2, "memory_gb": 3, "hours": 1, "project": "course", "queue": "short.q"}
        return made

    return make


def qstat(state):
    queue = "short.q@node1" if state == "r" else ""
    return f"""cat <<'X'
<job_info><queue_info><job_list><JB_job_number>7</JB_job_number><state>{state}</state><queue_name>{queue}</queue_name>
</job_list></queue_info></job_info>
X"""


def failed_start(made):
    with pytest.raises(Refusal) as refused:
        asyncio.run(made.start())
    return refused.value.jupyterhub_message


def submitted(made, command, scheduler, tmp_path):
    made.prepare()
    scheduler(command, f"cat > {tmp_path}/script; echo 7")
    asyncio.run(made.submit_batch_script())
    return (tmp_path / "script").read_text()


def test_the_form_of_sharc(batch, scheduler, tmp_path):
    text = submitted(batch(SGE), "qsub", scheduler, tmp_path)
    for line in ("#$ -pe smp 2", "#$ -l rmem=3G,h_rt=1:00:00", "#$ -P course", "#$ -q short.q", "export SGE_HGR_rmem=3G"):
        assert line in text.splitlines()
    assert "{{" not in text and "{%" not in text


def test_slurm(batch, scheduler, tmp_path):
    text = submitted(batch(SLURM), "sbatch", scheduler, tmp_path)
    for option in ("cpus-per-task=2", "mem-per-cpu=3G", "time=1:00:00", "account=course", "partition=short.q"):
        assert f"#SBATCH --{option}" in text.splitlines()


def of_nodes(made):
    made.limits = Limits(cores=4, nodes=3, projects=("course",), queues=("short.q",))
    made.user_options["nodes"] = 3
    return made


def test_slurm_gives_each_node_one_task_with_all_cores(batch, scheduler, tmp_path):
    lines = submitted(of_nodes(batch(SLURM)), "sbatch", scheduler, tmp_path).splitlines()
    assert "#SBATCH --nodes=3 --ntasks-per-node=1" in lines and "#SBATCH --cpus-per-task=2" in lines


@pytest.mark.parametrize("name, asked", [("mpi", "mpi 6"), ("mpi-{cores}", "mpi-2 6")])
def test_grid_engine_gives_nodes_by_a_parallel_environment(batch, scheduler, tmp_path, name, asked):
    lines = submitted(of_nodes(batch(SGE, req_nodes_pe=name)), "qsub", scheduler, tmp_path).splitlines()
    assert f"#$ -pe {asked}" in lines


@pytest.mark.parametrize("kind, command", [(SGE, "qsub"), (SLURM, "sbatch")])
def test_several_nodes_need_what_a_cluster_needs(batch, scheduler, tmp_path, kind, command):
    assert "mpirun forklore-node; do" in submitted(of_nodes(batch(kind)), command, scheduler, tmp_path)
    assert "forklore-node" not in submitted(batch(kind), command, scheduler, tmp_path)


@pytest.mark.parametrize("kind, command", [(SGE, "qsub"), (SLURM, "sbatch")])
def test_the_token_is_in_a_private_file_and_nowhere_else(batch, scheduler, tmp_path, kind, command):
    made = batch(kind)
    assert "secret" not in submitted(made, command, scheduler, tmp_path)
    file = tmp_path / ".forklore/hub" / made.environment_file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "export JUPYTERHUB_API_TOKEN='it'\"'\"'s secret'" in file.read_text()


def test_options_that_did_not_come_through_the_form_are_checked(batch, caplog):
    made = batch(SGE)
    made.user_options = {"cores": "1000"}
    assert "from 1 to 4 cores" in failed_start(made)
    assert "learner: refused the form {'cores': '1000'}" in caplog.text


def test_a_project_that_the_scheduler_does_not_know(batch, scheduler, caplog):
    scheduler("qsub", "echo 'Unable to run job: job rejected: the project \"course\" does not exist.' >&2; exit 1")
    sentence = failed_start(batch(SGE))
    assert sentence.startswith("The cluster's scheduler refused the session: Unable to run job")
    assert 'the project "course" does not exist' in sentence
    assert "learner: the scheduler refused the job" in caplog.text


def test_each_step_of_a_start_is_told_once(batch, monkeypatch):
    made = batch(SGE)
    steps = iter([(10, "sent"), (20, "queued"), (20, "queued"), (spawner_module.UP, "runs"), (0, "never")])
    monkeypatch.setattr(made, "step", lambda: next(steps))
    monkeypatch.setattr(spawner_module, "STEP_PAUSE_S", 0)

    async def told():
        return [step["message"] async for step in made.progress()]

    assert asyncio.run(told()) == ["sent", "queued", "runs"]


def test_a_job_that_ends_before_its_session_is_up(batch, scheduler, tmp_path):
    scheduler("qsub", f"echo 'forklore: The node has no bread.' > {tmp_path}/.forklore/hub/job-7.log; echo 7")
    scheduler("qstat", f"[ -e {tmp_path}/asked ] && exit\ntouch {tmp_path}/asked\n{qstat('r')}")
    assert failed_start(batch(SGE)) == "The node has no bread."


def test_a_scheduler_that_does_not_answer(batch, scheduler, caplog, tmp_path):
    # The command's own child keeps the pipe open, as `runuser` does.
    scheduler("qsub", f"(echo $BASHPID > {tmp_path}/child; exec sleep 1000) & wait")
    made = batch(SGE, command_timeout=0.5)
    assert failed_start(made) == SILENT
    assert "learner: gave up after 0.5 s without an answer: env qsub" in caplog.text
    # So the job ends at once if the scheduler has heard of it all the same.
    assert not list((tmp_path / ".forklore/hub").iterdir())
    child = int((tmp_path / "child").read_text())
    with pytest.raises(ProcessLookupError):
        wait_for_the_end(child)


def wait_for_the_end(pid):
    """Signals 0 until the process is gone or is a zombie that was not reaped yet."""
    import os

    while True:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "Z":
                raise ProcessLookupError


@pytest.mark.parametrize(
    "kind, command, complaint",
    [
        (SGE, "qstat", "error: unable to send message to qmaster using port 6444 on host \"node1\": got send error"),
        (SGE, "qstat", "error: commlib error: got select error (Connection refused)"),
        (SLURM, "squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"),
    ],
)
def test_a_running_session_outlives_a_silent_scheduler(batch, scheduler, caplog, kind, command, complaint):
    made = batch(kind)
    made.job_id = "7"
    scheduler(command, f"cat >&2 <<'X'\n{complaint}\nX\nexit 1")
    assert asyncio.run(made.poll()) is None
    assert made.job_id == "7"
    assert "learner: cannot ask for job 7" in caplog.text


def test_a_running_session_outlives_a_scheduler_that_hangs(batch, scheduler):
    made = batch(SGE, command_timeout=0.2)
    made.job_id = "7"
    scheduler("qstat", "sleep 1000")
    assert asyncio.run(made.poll()) is None


def test_states_of_grid_engine(batch):
    made = batch(SGE)
    made.job_id = "7"
    seen = {}
    for state in ("qw", "hqw", "r", "t", "dr", "Eqw"):
        made.job_status = qstat(state).partition("\n")[2].rpartition("\n")[0]
        seen[state] = (made.state_ispending(), made.state_isrunning())
    waiting, running, neither = (True, False), (False, True), (False, False)
    assert seen == {"qw": waiting, "hqw": waiting, "r": running, "t": running, "dr": running, "Eqw": neither}


def test_a_node_without_the_environment(batch, scheduler, tmp_path, caplog):
    """The job says so in its log, and the learner reads it."""
    scheduler("qsub", f"cat > {tmp_path}/script; cd; bash {tmp_path}/script > .forklore/hub/job-7.log; echo 7")
    scheduler("qstat", "echo '<job_info/>'")
    scheduler("qdel", "exit 1")
    sentence = failed_start(batch(SGE, programs=["bash", "no-such-lab"]))
    assert "has no no-such-lab, which a session needs; tell your administrator." in sentence
    assert "learner: job 7 ended before its session: The node" in caplog.text


def test_an_expired_job(batch, scheduler, caplog):
    """What the next form shows, and the log."""

    async def expire(made):
        assert await made.poll() == 1
        await made.explaining

    made = batch(SGE)
    made.job_id = "7"
    scheduler("qstat", "echo '<job_info/>'")
    scheduler("qacct", "echo 'failed       37  : qmaster enforced h_rt limit'; echo 'exit_status  137'")
    asyncio.run(expire(made))
    assert made.last_words == "Your session reached its run time, and the scheduler ended it."
    assert made.last_words in made.options_form
    assert "learner: job 7 is gone: Your session reached its run time" in caplog.text


@pytest.mark.parametrize(
    "text, part",
    [
        ("failed 0\nexit_status 0", "ended by itself"),
        ("failed 100 : assumedly after job\nexit_status 137  (Killed)", "qdel, or because it used more memory"),
        ("failed 26 : opening input/output file\nexit_status 0", "could not run your session's job: 26 : opening"),
        ("failed 0\nexit_status 1", "exit status 1"),
        ("error reason 1: can't make directory", "could not start your session's job: 1: can't make"),
        ("nothing", ""),
    ],
)
def test_accounts_of_grid_engine(text, part):
    said = gridengine.reason(text)
    assert part in said and bool(said) == bool(part)


@pytest.mark.parametrize(
    "text, part",
    [
        ("JobId=7 JobState=TIMEOUT ExitCode=0:15", "reached its run time"),
        ("JobId=7 JobState=CANCELLED Reason=None", "was cancelled"),
        ("JobId=7 JobState=OUT_OF_MEMORY", "more memory"),
        ("JobId=7 JobState=FAILED ExitCode=96:0", f"exit status {NO_ENVIRONMENT}"),
        ("JobId=7 JobState=RUNNING", ""),
    ],
)
def test_accounts_of_slurm(text, part):
    said = slurm.reason(text)
    assert part in said and bool(said) == bool(part)


def test_without_any_account_the_learner_still_gets_a_sentence(batch, scheduler):
    made = batch(SLURM)
    scheduler("scontrol", "exit 1")
    assert asyncio.run(made.why_it_ended("7")) == ENDED


def test_scripts_are_shell():
    for name in ("sge.sh", "slurm.sh", "session.sh", "lessons.sh"):
        assert "\t" not in script(name)

"""A learner's day: the form, the queue, JupyterLab, a lesson, the end."""

import pytest
from conftest import PROFILE, processes, until, written
from scheduler import SCHEDULER, job_of

LESSON = "lessons/06-serial-map-parallel-map.ipynb"


def test_from_the_form_to_the_last_process(learner):
    alice = learner("alice")
    alice.shot("form")
    choice = {"project": "course"} if SCHEDULER else {}
    alice.ask(cores=2, memory_gb=2, hours=1, **choice)
    if SCHEDULER:
        job_id = job_of("alice")
        until(lambda: SCHEDULER.jobs()[job_id] == ("alice", SCHEDULER.running), "the job runs")
        # Everybody may look at a job. The session's token is not there.
        assert "JUPYTERHUB_API_TOKEN" not in SCHEDULER.show(job_id)
    alice.wait_for_lab()

    cpus, workers = alice.run('println!("{}", forklore::Cpus::detect());', 'println!("{}", forklore::Pool::new()?.workers());')
    assert workers.strip() == "2", cpus
    assert cpus.startswith("2 usable"), cpus
    print(cpus)

    cells = alice.run_all(LESSON)
    alice.shot("lesson")
    ran = [cell for cell in cells if cell["cell_type"] == "code" and cell["execution_count"]]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(ran) == len(code), f"{len(ran)} of {len(code)} cells ran; the last: {written(ran[-1])}"

    alice.stop()
    alice.shot("stopped")
    if SCHEDULER:
        until(lambda: SCHEDULER.jobs() == {}, "an empty queue")
    until(lambda: processes("alice") == {}, "the end of all processes")


def test_a_greedy_cell_is_rolled_back_and_the_session_goes_on(learner):
    """1 core with 2 GB: the cell is told, and neither the scheduler nor the Linux kernel has to kill anything."""
    alice = learner("alice")
    alice.ask(cores=1, memory_gb=2, hours=1).wait_for_lab()
    server = {pid for pid, command in processes("alice").items() if "jupyterhub-singleuser" in command}
    first, greedy, after, workers = alice.run(
        "let kept: i32 = 42;",
        'let hog: Vec<u8> = vec![1u8; 3 << 30]; println!("{}", hog[7]);',
        'println!("{kept}");',
        'println!("{}", forklore::Pool::new()?.workers());',
    )
    alice.shot("greedy")
    assert "Memory" in greedy, greedy
    assert after.strip() == "42"
    assert workers.strip() == "1"
    assert server and server <= set(processes("alice"))
    print(greedy)


def test_two_learners_at_once_are_apart(learner):
    alice, bob = learner("alice"), learner("bob")
    for one in (alice, bob):
        one.ask(cores=1, memory_gb=2, hours=1)
    for one in (alice, bob):
        one.wait_for_lab()
    secret = alice.home / "secret.txt"
    secret.write_text("alice's\n")
    (seen,) = bob.run(
        "%%bash\n"
        f"cat {secret} 2>&1\nls {alice.home} 2>&1\nps -e -o user:20= | sort -u\n"
        + "\n".join(f"kill -0 {pid} 2>&1 && echo signalled {pid}" for pid in processes("alice"))
        + "\nls -d /tmp/jupyter-* /dev/shm/* 2>/dev/null | while read -r f; do [ -O $f ] || ls $f 2>&1; done\ntrue"
    )
    assert "alice's" not in seen and seen.count("Permission denied") >= 2, seen
    # Without `hidepid` or a namespace of one's own, the others' processes would be listed.
    users = {line.strip() for line in seen.splitlines() if line.strip() in ("alice", "bob", "root", "sgeadmin")}
    assert "alice" not in users and "bob" in users, seen
    if PROFILE == "local":
        # In a namespace of its own these numbers are its own processes, if anything.
        assert len([line for line in seen.splitlines() if "signalled" in line]) < len(processes("alice"))
    else:
        assert "signalled" not in seen, seen


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"cores": 0}, "You asked for 0 as the cores; here it can be from 1 to 2 cores."),
        ({"cores": 1000}, "You asked for 1000 as the cores"),
        ({"memory_gb": "lots"}, "The memory per core must be a whole number from 1 to 2, not 'lots'."),
    ],
)
def test_bad_input_comes_back_with_the_form(learner, hub, fields, sentence):
    before = hub.size()
    alice = learner("alice")
    alice.ask(**fields).wait_for_text(sentence)
    alice.page.wait_for_selector("#cores")
    assert "alice: refused the form" in hub.said(before)
    alice.shot("refused")

"""What goes wrong on a cluster, and what the learner and the administrator are told."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from conftest import PASSWORD, PROFILE, URL, add_learner, processes, until
from scheduler import SCHEDULER, Silent, daemon_pids, job_of

on_a_cluster = pytest.mark.skipif(SCHEDULER is None, reason="it is the scheduler's fault")


def test_sessions_outlive_the_hub(learner, hub):
    alice = learner("alice")
    alice.ask(cores=1, memory_gb=2, hours=1).wait_for_lab()
    (before,) = alice.run("let kept: i32 = 7;")
    running = processes("alice")
    since = hub.size()
    hub.stop(signal.SIGKILL)
    hub.start()
    until(lambda: "alice still running" in hub.said(since), "the hub finds the session")
    assert set(running) <= set(processes("alice"))
    alice.page.goto(f"{URL}/hub/home")
    alice.page.wait_for_selector("#stop")
    alice.page.goto(f"{URL}/user/alice/lab")
    alice.wait_for_lab()
    assert alice.run('println!("still here");')[0].strip() == "still here"


def test_a_session_that_is_killed(learner, hub):
    """The hub would not look at it by itself: the page that the learner sees makes it."""
    hub.restart(poll_interval=3600)
    alice = learner("alice")
    alice.ask(cores=1, memory_gb=1, hours=1).wait_for_lab()
    before = hub.size()
    if SCHEDULER:
        job_id = job_of("alice")
        SCHEDULER.kill(job_id)
        words, line = "Your session's job was", f"alice: job {job_id} is gone: Your session"
    else:
        (pid,) = [pid for pid, command in processes("alice").items() if "jupyterhub-singleuser" in command]
        os.kill(pid, signal.SIGKILL)
        words, line = "Your session was ended from outside", "is gone with status 137: Your session"
    until(lambda: processes("alice") == {}, "the end of all processes")
    alice.open("/user/alice/lab").wait_for_text("Your session does not answer").shot("killed-at-once")
    alice.wait_for_text(words).shot("killed-explained")
    assert line in hub.said(before)
    alice.open("/hub/spawn").wait_for_text(words).shot("killed")
    alice.ask(cores=1, memory_gb=1, hours=1).wait_for_lab()


def test_the_run_time_ends_everything(learner, hub):
    """Also a pool's workers, and a process that has left its session."""
    hub.restart(hour=90)
    alice = learner("alice")
    before = hub.size()
    alice.ask(cores=2, memory_gb=1, hours=1).wait_for_lab()
    alice.run("let pool: forklore::Pool = forklore::Pool::with_workers(2)?;")
    alice.in_terminal("setsid sleep 1000 &")
    until(lambda: "sleep 1000" in processes("alice").values(), "the process that has left its session")
    until(lambda: processes("alice") == {}, "the end of all processes", deadline_s=250)
    until(lambda: "reached its run time" in hub.said(before), "the hub's log")
    # For a moment, the proxy may still lead to what is no more.
    until(lambda: "Your session reached its run time" in alice.open("/hub/spawn").text(), "the reason on the form")
    alice.shot("run-time")


@on_a_cluster
def test_a_project_that_the_scheduler_does_not_know(learner, hub):
    alice = learner("alice")
    before = hub.size()
    alice.ask(cores=1, memory_gb=1, hours=1, project="chemistry")
    alice.wait_for_text("The cluster's scheduler refused the session")
    alice.shot("project")
    assert "alice: the scheduler refused the job" in hub.said(before)


@on_a_cluster
def test_a_node_without_the_environment(learner, hub):
    alice = learner("alice")
    before = hub.size()
    (daemon,) = daemon_pids(SCHEDULER.node_daemon)
    mounts = ["nsenter", "--target", str(daemon), "--mount", "--"]
    subprocess.run([*mounts, "mount", "-t", "tmpfs", "tmpfs", "/srv/forklore/venv"], check=True)
    try:
        alice.ask(cores=1, memory_gb=1, hours=1)
        alice.wait_for_text("The node node1 has no batchspawner-singleuser").can_try_again().shot("no-environment")
        assert "ended before its session: The node node1 has no" in hub.said(before)
    finally:
        subprocess.run([*mounts, "umount", "/srv/forklore/venv"], check=True)
    alice.ask(cores=1, memory_gb=1, hours=1).wait_for_lab()


@on_a_cluster
def test_a_scheduler_that_does_not_answer(learner, hub):
    hub.restart(command_timeout=5)
    alice, bob = learner("alice"), learner("bob")
    alice.ask(cores=1, memory_gb=1, hours=1).wait_for_lab()
    before = hub.size()
    with Silent():
        bob.ask(cores=1, memory_gb=1, hours=1).wait_for_text("The cluster's scheduler does not answer")
        bob.can_try_again().shot("silent")
        until(lambda: "bob: gave up after 5 s without an answer" in hub.said(before), "the hub's log")
        until(lambda: "alice: cannot ask for job" in hub.said(before), "the hub asks for alice's job")
    assert alice.run('println!("still here");')[0].strip() == "still here"


def test_twenty_on_a_machine_that_fits_four(learner, hub):
    """All ask at once; 4 get a session, 16 wait; who leaves makes room; no learner sees an error page."""
    hub.restart(share=2)
    names = [f"student{i:02}" for i in range(20)]
    for name in names:
        add_learner(name)

    def running():
        return [name for name in names if any("jupyterhub-singleuser" in one for one in processes(name).values())]

    with ThreadPoolExecutor(20) as pool:
        students = list(pool.map(Student, names))
        list(pool.map(Student.ask, students))
        until(lambda: len(running()) == 4, "four sessions")
        waits = next(name for name in names if name not in running())
        learner(waits, "#progress-message").wait_for_text("You may close this page").shot("waiting")
        waiting, served = {one.name: one for one in students}, []
        while waiting:
            ready = until(lambda: [one for one in waiting.values() if one.is_ready()], "another session", 280)
            assert len(running()) <= 4, running()
            for one in ready:
                served.append(one.name)
                one.stop()
                del waiting[one.name]
    assert sorted(served) == names
    until(lambda: not any(processes(name) for name in names), "the end of all processes")
    if SCHEDULER:
        until(lambda: SCHEDULER.jobs() == {}, "an empty queue")


class Student:
    """A learner without a browser: the same pages and forms. Any error page is a failure."""

    def __init__(self, name):
        self.name = name
        self.web = requests.Session()
        self.get("/hub/login")
        self.post("/hub/login?next=/hub/spawn", username=name, password=PASSWORD)

    def checked(self, answer):
        assert answer.status_code < 400, f"{self.name}: {answer.status_code} {answer.url} {answer.text[-2000:]}"
        return answer

    def get(self, path):
        return self.checked(self.web.get(URL + path, timeout=120))

    def post(self, path, **fields):
        token = {"_xsrf": self.web.cookies.get_dict(path="/hub/").get("_xsrf", "")}
        return self.checked(self.web.post(URL + path, params=token, data=fields, timeout=120))

    def ask(self):
        self.get("/hub/spawn")
        self.post(f"/hub/spawn/{self.name}", cores=1, memory_gb=1, hours=1)

    def api(self, method, path):
        token = self.web.cookies.get_dict(path="/hub/").get("_xsrf", "")
        headers = {"X-XSRFToken": token, "Referer": f"{URL}/hub/home"}
        return self.checked(self.web.request(method, f"{URL}/hub/api{path}", headers=headers, timeout=120))

    def is_ready(self):
        # The page that a waiting learner looks at.
        self.get(f"/hub/spawn-pending/{self.name}")
        return bool(self.api("GET", f"/users/{self.name}").json()["servers"].get("", {}).get("ready"))

    def stop(self):
        self.api("DELETE", f"/users/{self.name}/server")

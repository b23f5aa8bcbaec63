"""Jobs and sessions that map over two nodes, and what is left of them on either: nothing.

`node/examples/job.rs` is the program of the jobs.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import PROFILE, add_learner, processes, until
from scheduler import SCHEDULER, job_of, run


def node_of(pid):
    """The node on whose network a process is."""
    own = os.stat(f"/proc/{pid}/ns/net").st_ino
    return "node2" if own == os.stat("/run/netns/node2").st_ino else "node1"


def by_node(name):
    """The command lines of a user's processes, by node."""
    found = {"node1": {}, "node2": {}}
    for pid, command in processes(name).items():
        try:
            found[node_of(pid)][pid] = command
        except OSError:
            continue
    return found


def the(name, node, word):
    """A user's process on a node that has this in its command line."""
    return until(
        lambda: next((pid for pid, command in by_node(name)[node].items() if word in command), None),
        f"{word} on {node}: {by_node(name)}",
    )


class Job:
    """A job of alice's that runs the program on both nodes."""

    def __init__(self, *words, **options):
        account = add_learner("alice")
        self.log = Path(account.pw_dir, "job.log")
        self.log.unlink(missing_ok=True)
        self.id = SCHEDULER.submit("alice", str(self.log), "job", *words, **options)

    def said(self):
        return self.log.read_text() if self.log.exists() else ""

    def has_said(self, text):
        until(lambda: text in self.said(), f"{text!r} of the job, which said: {self.said()}", 90)
        return self

    def has_left_nothing(self):
        until(lambda: self.id not in SCHEDULER.jobs(), "the end of the job")
        until(lambda: not processes("alice"), f"the end of all processes: {by_node('alice')}")


def test_a_program_maps_over_the_nodes_of_its_job():
    job = Job().has_said("item 8")
    lines = job.said().splitlines()
    first, second = sorted(["node1:2", "node2:2"], key=lambda node: lines[0].index(node))
    assert lines[0] == f"nodes: {first} {second}"
    # No process is confined to fewer CPUs than its node's share of the job.
    workers = [f"{node[:5]} (2 CPUs)" for node in (first, first, second, second)]
    assert lines[1] == f"workers on: {' '.join(workers)}"
    assert lines[2] == "equal: true"
    assert [line for line in lines if "SIGABRT" in line and "on node node" in line] == [lines[6]], job.said()
    assert sum(line == f"item {i}: {i}" for i, line in enumerate(lines[3:])) == 8
    job.has_left_nothing()


def test_a_cancelled_job_leaves_nothing_on_any_node():
    job = Job("100000").has_said("all nodes work")
    assert by_node("alice")["node1"] and by_node("alice")["node2"]
    SCHEDULER.kill(job.id)
    job.has_left_nothing()


def test_the_run_time_ends_a_job_on_all_nodes():
    # Slurm counts in minutes.
    job = Job("100000", seconds=30).has_said("all nodes work")
    job.has_left_nothing()


@pytest.mark.parametrize("word", ["forklore-node agent", "orted"])
def test_a_node_whose_processes_are_killed_costs_time_only(word):
    job = Job("300").has_said("all nodes work")
    remote = next(node for node, found in by_node("alice").items() if any("orted" in one for one in found.values()))
    os.kill(the("alice", remote, word), signal.SIGKILL)
    job.has_said("results: 300").has_left_nothing()


def test_a_step_that_the_scheduler_ends_costs_time_only():
    """What the scheduler started on the other node, and would end, is gone in the middle of a map."""
    job = Job("300").has_said("all nodes work")
    if PROFILE == "slurm":
        run("scancel", f"{job.id}.0")
    else:
        os.kill(the("alice", next(n for n, found in by_node("alice").items() if any("qrsh_starter" in one for one in found.values())), "qrsh_starter"), signal.SIGKILL)
    job.has_said("results: 300").has_left_nothing()


def test_a_node_that_is_drained_finishes_its_job():
    drain, back = {
        "slurm": (["scontrol", "update", "nodename=node2", "state=drain", "reason=rehearsal"], ["scontrol", "update", "nodename=node2", "state=resume"]),
        "sge": (["qmod", "-d", "short.q@node2"], ["qmod", "-e", "short.q@node2"]),
    }[PROFILE]  # fmt: skip
    job = Job("200").has_said("all nodes work")
    run(*drain)
    try:
        job.has_said("results: 200").has_left_nothing()
    finally:
        run(*back)


def test_an_owner_that_is_killed_leaves_nothing():
    job = Job("100000").has_said("all nodes work")
    lines = {pid: command for node in by_node("alice").values() for pid, command in node.items()}
    # The program, not its relays and workers, which have its name, too: the oldest.
    owner = min((pid for pid, command in lines.items() if command == "job 100000"), key=started)
    os.kill(owner, signal.SIGKILL)
    job.has_left_nothing()


def started(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_session_in_the_browser_maps_over_both_nodes(learner):
    alice = learner("alice", "#nodes")
    alice.shot("nodes-form")
    alice.ask(nodes=2, cores=2, memory_gb=2, hours=1, project="course")
    job_id = job_of("alice")
    alice.wait_for_lab()
    cluster, cpus, hosts, equal, dies, kept = alice.run(
        "use forklore::prelude::*;\nlet cluster: forklore::Cluster = forklore::Cluster::new()?;\n"
        'println!("{}", cluster.nodes().iter().map(|node| node.to_string()).collect::<Vec<_>>().join(" "));',
        'println!("{}", forklore::Cpus::detect());',
        'fn host(_: u32) -> String { std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned() }\n'
        'println!("{}", cluster.broadcast(|| host(0)).join(" "));',
        'println!("{}", cluster.map(|x: u64| x.wrapping_pow(10), 0..1000) == forklore::Serial.map(|x: u64| x.wrapping_pow(10), 0..1000));',
        'println!("{}", cluster.try_map(|x: u32| if x == 3 { std::process::abort() } else { x }, 0..9)[3].as_ref().unwrap_err());',
        'println!("{}", cluster.workers());',
    )
    alice.shot("nodes-map")
    assert sorted(cluster.split()) == ["node1:2", "node2:2"], cluster
    assert cpus.startswith("2 usable"), cpus
    assert sorted(hosts.split()) == ["node1", "node1", "node2", "node2"], hosts
    assert equal.strip() == "true", equal
    assert "on node node" in dies and "SIGABRT" in dies, dies
    assert kept.strip() == "4", kept
    assert by_node("alice")["node2"]
    alice.stop()
    until(lambda: job_id not in SCHEDULER.jobs(), "an empty queue")
    until(lambda: not processes("alice"), f"the end of all processes: {by_node('alice')}")


def test_a_session_that_is_killed_leaves_nothing_on_any_node(learner):
    alice = learner("alice", "#nodes")
    alice.ask(nodes=2, cores=2, memory_gb=2, hours=1).wait_for_lab()
    workers, = alice.run("let cluster: forklore::Cluster = forklore::Cluster::new()?;\nprintln!(\"{}\", cluster.workers());")
    assert workers.strip() == "4", workers
    assert by_node("alice")["node1"] and by_node("alice")["node2"]
    SCHEDULER.kill(job_of("alice"))
    until(lambda: not processes("alice"), f"the end of all processes: {by_node('alice')}")


def test_nodes_that_there_are_not_come_back_with_the_form(learner):
    alice = learner("alice", "#nodes")
    alice.ask(nodes=3).wait_for_text("You asked for 3 as the nodes; here it can be from 1 to 2 nodes.")
    alice.can_try_again().shot("nodes-refused")


def test_a_node_without_mpi_is_named(learner):
    """The job runs on either node, which share their files: the program is hidden from both."""
    alice = learner("alice", "#nodes")
    program = Path("/srv/forklore/venv/bin/forklore-node")
    hidden = program.with_name("forklore-node-hidden")
    program.rename(hidden)
    try:
        alice.ask(nodes=2, cores=1, memory_gb=1, hours=1)
        alice.wait_for_text("has no forklore-node, which a session needs").can_try_again().shot("nodes-no-mpi")
    finally:
        hidden.rename(program)
    assert subprocess.run(["pgrep", "-u", "alice"], check=False).returncode == 1

"""Seats, control groups and the cage of a class room's server."""

import asyncio
import os
import sys
from subprocess import Popen

import pytest

from forklore_hub import configure
from forklore_hub.cage.cgroup import ControlGroup
from forklore_hub.local import ForkloreLocalSpawner, started
from forklore_hub.seats import Seats
from forklore_hub.spawner import Refusal


def test_processors_are_shared_out_evenly():
    async def seat():
        seats = Seats({0, 1, 2, 3}, share=1)
        return await seats.take("a", 2), await seats.take("b", 1), await seats.take("c", 1), seats

    a, b, c, seats = asyncio.run(seat())
    assert sorted((*a, *b, *c)) == [0, 1, 2, 3]
    assert set(seats.free.values()) == {0}


def test_twenty_learners_on_a_machine_that_fits_four():
    async def come_and_go():
        seats, most, order = Seats({0, 1}, share=2), 0, []

        async def learner(i):
            nonlocal most
            await seats.take(i, 1)
            order.append(i)
            most = max(most, len(seats.taken))
            await asyncio.sleep(0)
            seats.give_back(i)

        await asyncio.gather(*(learner(i) for i in range(20)))
        return most, order, seats

    most, order, seats = asyncio.run(come_and_go())
    assert most == 4
    assert order == list(range(20)), "first come, first served"
    assert set(seats.free.values()) == {2}


def test_who_gives_up_makes_room_for_who_waits_behind():
    async def give_up():
        seats = Seats({0, 1})
        await seats.take("a", 1)
        large = asyncio.ensure_future(seats.take("large", 2))
        small = asyncio.ensure_future(seats.take("small", 1))
        await asyncio.sleep(0)
        assert seats.n_ahead("small") == 1 and not small.done()
        large.cancel()
        return await small, seats.taken

    cpus, taken = asyncio.run(give_up())
    assert len(cpus) == 1 and set(taken) == {"a", "small"}


def test_sessions_from_before_the_hub_keep_their_seats():
    async def again():
        seats = Seats({0, 1})
        seats.hold("a", (0, 1))
        waiting = asyncio.ensure_future(seats.take("b", 2))
        await asyncio.sleep(0)
        assert not waiting.done()
        seats.give_back("a")
        return await waiting

    assert asyncio.run(again()) == (0, 1)


def test_control_groups_of_version_2(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids")
    folder = tmp_path / "forklore-hub/learner"
    folder.mkdir(parents=True)
    for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max"):
        (folder / name).touch()
    limited = ControlGroup("learner", tmp_path).limit(2, 3 << 30)
    assert sorted(limited) == ["cpu", "memory", "pids"]
    assert (folder / "memory.max").read_text() == str(3 << 30)
    assert (folder / "cpu.max").read_text() == "200000 100000"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_control_groups_of_version_1(tmp_path):
    for controller, name in (("memory", "memory.limit_in_bytes"), ("cpu", "cpu.cfs_quota_us")):
        folder = tmp_path / controller / "forklore-hub/learner"
        folder.mkdir(parents=True)
        (tmp_path / controller / "cgroup.procs").touch()
        (folder / name).touch()
    group = ControlGroup("learner", tmp_path)
    assert sorted(group.limit(2, 3 << 30)) == ["cpu", "memory"]
    assert (tmp_path / "memory/forklore-hub/learner/memory.limit_in_bytes").read_text() == str(3 << 30)
    assert len(group.folders) == 2


def test_a_machine_without_control_groups(tmp_path):
    assert ControlGroup("learner", tmp_path).limit(2, 1 << 30) == []


def test_a_learner_without_an_account(spawner, caplog):
    made = spawner(ForkloreLocalSpawner)
    made.user.name = "no-such-user"
    with pytest.raises(Refusal, match="no account"):
        asyncio.run(made.start())
    assert "no-such-user: this machine has no user of that name" in caplog.text


def test_a_process_number_that_is_another_process_by_now_is_not_ours(spawner):
    with Popen([sys.executable, "-c", "input()"], stdin=-1) as other:
        made = spawner(ForkloreLocalSpawner)
        made.load_state({"pid": other.pid, "born": started(other.pid) - 1, "cpus": [0]})
        assert asyncio.run(made.poll()) == 0
        other.communicate()


def test_the_start_of_a_process_is_known():
    assert started(os.getpid()) > 0
    assert started(2**22 + 1) == 0


def test_an_unknown_profile_is_named():
    with pytest.raises(ValueError, match="no profile 'pbs': choose one of local, sge, slurm"):
        configure(None, "pbs")

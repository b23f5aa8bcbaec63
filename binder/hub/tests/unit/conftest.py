"""Spawners without a hub, and schedulers made of shell scripts."""

import logging
import os
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """Puts a command of a scheduler on the PATH: `scheduler("qsub", "echo 7")`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name, body):
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def spawner(tmp_path, monkeypatch):
    """Makes a spawner of a class, for the user who runs the tests, with a home folder of its own."""

    def make(kind, **traits):
        user = MagicMock()
        user.name = "learner"
        orm_spawner = MagicMock(server=None)
        orm_spawner.name = ""
        log = logging.getLogger("hub")
        made = kind(user=user, orm_spawner=orm_spawner, hub=MagicMock(), log=log, **traits)
        monkeypatch.setattr("forklore_hub.spawner.object_session", MagicMock())
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JUPYTERHUB_API_TOKEN": "it's secret"}
        monkeypatch.setattr(kind, "get_env", lambda self: dict(environment))
        made.req_homedir = str(tmp_path)
        made.req_keepvars = ""
        made.req_username = "learner"
        return made

    return make

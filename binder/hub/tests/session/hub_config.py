"""The hub of the session tests: the real configuration, and what only a test wants on top of it."""

import json
import os

from jupyterhub.auth import DummyAuthenticator

load_subconfig("/srv/forklore/hub/jupyterhub_config.py")  # noqa: F821
c = get_config()  # noqa: F821

from forklore_hub import Limits  # noqa: E402

batch = os.environ["FORKLORE_HUB_PROFILE"] != "local"
names = {"sge": (("course", "chemistry"), ("short.q",)), "slurm": (("course", "chemistry"), ("short",))}
projects, queues = names.get(os.environ["FORKLORE_HUB_PROFILE"], ((), ()))
# `chemistry` is what an administrator might get wrong: the form has it, the scheduler does not.
nodes = int(os.environ.get("FORKLORE_NODES", "1"))
c.Spawner.limits = Limits(cores=2, memory_gb_per_core=2, hours=2, projects=projects, queues=queues, nodes=nodes)
c.JupyterHub.authenticator_class = DummyAuthenticator
c.DummyAuthenticator.password = "rehearsal"
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.Spawner.poll_interval = 1
# So a test can call JupyterLab's commands by name.
c.Spawner.args = ["--LabApp.expose_app_in_browser=True"]
if batch:
    c.BatchSpawnerBase.startup_poll_interval = 0.5
    c.BatchMixin.command_timeout = 30
# What one test changes, as `--Class.trait` would.
for name, value in json.loads(os.environ.get("FORKLORE_HUB_TRAITS", "{}")).items():
    setattr(c.Spawner, name, value)

"""One setting, three profiles: what each means to JupyterHub."""

from dataclasses import replace
from pathlib import Path

from .request import Limits

PROFILES = {
    "local": "forklore_hub.local.ForkloreLocalSpawner",
    "sge": "forklore_hub.gridengine.ForkloreGridengineSpawner",
    "slurm": "forklore_hub.slurm.ForkloreSlurmSpawner",
}
PAGES = Path(__file__).with_name("pages")
# A class may wait in the queue for most of an hour.
QUEUE_SECONDS = 3600


def configure(c, profile, limits=Limits()):
    """Sets up JupyterHub's configuration `c`. Whatever the administrator sets after it has the last word."""
    if profile not in PROFILES:
        raise ValueError(f"there is no profile {profile!r}: choose one of {', '.join(PROFILES)}")
    c.JupyterHub.spawner_class = PROFILES[profile]
    # One machine has no other nodes, whatever the limits of a cluster say.
    c.Spawner.limits = replace(limits, nodes=1) if profile == "local" else limits
    c.Spawner.default_url = "/lab"
    c.Spawner.start_timeout = QUEUE_SECONDS
    # On a node that has just been given to many: JupyterLab's first start from a network file system.
    c.Spawner.http_timeout = 120
    # Those who wait in the scheduler's queue are "pending" to JupyterHub, which would turn the others away with an error.
    c.JupyterHub.concurrent_spawn_limit = 0
    # Five sessions in a row that the scheduler refuses are no reason for the hub to end.
    c.Spawner.consecutive_failure_limit = 0
    # Sessions outlive the hub, and it finds them again.
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.cleanup_proxy = True
    c.JupyterHub.template_paths = [str(PAGES)]
    if profile == "local":
        c.JupyterHub.hub_ip = "127.0.0.1"
    else:
        # Registers the address at which a job tells its port.
        import batchspawner  # noqa: F401

        c.JupyterHub.hub_ip = "0.0.0.0"
        # A scheduler is asked about every session: not more often than it likes.
        c.Spawner.poll_interval = 30

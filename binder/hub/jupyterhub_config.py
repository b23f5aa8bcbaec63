"""JupyterHub for the course. README.md beside this file says what each setting does.

    FORKLORE_HUB_PROFILE=local|sge|slurm jupyterhub --config jupyterhub_config.py
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from forklore_hub import Limits, configure  # noqa: E402

c = get_config()  # noqa: F821

configure(
    c,
    profile=os.environ.get("FORKLORE_HUB_PROFILE", "local"),
    # What one session may ask for. Projects and queues are names that your scheduler knows; none: the form does not ask.
    # More than one node needs MPI: see "Sessions of several nodes" in README.md.
    limits=Limits(nodes=1, cores=4, memory_gb_per_core=4, hours=8, projects=(), queues=()),
)

# Everybody who has an account on this machine may log in (PAM). See JupyterHub's documentation for others.
c.Authenticator.allow_all = True

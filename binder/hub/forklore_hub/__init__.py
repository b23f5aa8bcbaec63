"""JupyterHub for the course: a form, limits, and three ways to start what it asks for.

```text
 learner ── form ──▶ Request ── checked against Limits ──┬─▶ qsub / sbatch ──▶ job ──▶ JupyterLab on a node
                                                         └─▶ seat ──▶ cage ──▶ JupyterLab on this machine
```

Whatever is wrong is said twice: to the learner in a sentence that tells what to do, to the administrator as a line in
the hub's log.
"""

from .configure import PROFILES, configure
from .request import Limits, Refused, Request

__all__ = ["PROFILES", "Limits", "Refused", "Request", "configure"]

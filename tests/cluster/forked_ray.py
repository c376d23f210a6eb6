"""`ray start --block`, whose workers are forks of a process that has imported the roles (`venuemesh.mesh.forks`).

    python -m tests.cluster.forked_ray start --block ...

On a real cluster workers are new processes, which take two seconds of a core each; here all hosts share two cores.
Ray's agent leaves out what serves the dashboard, as in a Ray of `venuemesh up`: a raylet ends when its agent needs 15 s
to start. For the same reason, and because a raylet that answers late is declared dead, Ray has priority here.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from ray._private import utils
from ray.scripts.scripts import cli

from venuemesh.mesh.forks import as_python_of_ray, forking

GROUP = Path("/proc/self/autogroup")
PRIORITY = -5  # Ray's processes; the workers get niceness 0 by RAY_worker_niceness


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="forks"))  # in the host's /tmp, which ends with the host
    minimal = patch.object(utils, "get_dashboard_dependency_error", lambda: ImportError("no dashboard"))
    with forking(folder) as python, as_python_of_ray(python), minimal:
        os.nice(PRIORITY)
        if GROUP.exists():  # with groups of sessions the niceness of a process counts inside its session only
            GROUP.write_text(str(PRIORITY))
        cli(sys.argv[1:])


if __name__ == "__main__":
    main()

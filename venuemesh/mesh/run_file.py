"""Where meshes run: a run file for each mesh that `venuemesh up` started. Reads and writes without importing Ray."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

from ..actors.cell.pulse import process_start
from ..keystore.private import WRITABLE, check_folder, check_owner
from ..keystore.state_folder import WHAT, make_state_folder, state_folder
from ..model.errors import MeshNotRunning, Misconfigured
from ..model.plain import from_plain


@dataclass(frozen=True, slots=True)
class RunFile:
    """Where a mesh runs, for later commands. Private to the user."""

    mesh: str
    address: str  # address of the Ray cluster, host:port
    host_pid: int | None = None  # the process that owns the cluster, when `up` started one
    host_started: int | None = None  # its start time in clock ticks: a pid alone may have been reused
    journal: str | None = None  # URL of its journal, if the configuration names one
    logs: str | None = None  # folder of the logs of this host's actors
    local: bool = False  # its exchanges are local ones, which end with it
    ended: str | None = None  # why the mesh ended by itself; None: it did not

    @property
    def path(self) -> Path:
        return state_folder() / f"{self.mesh}.json"

    def write(self) -> None:
        """Write the file. Raises Misconfigured, which names the file, when it cannot be written."""
        directory = make_state_folder()
        try:
            handle, temporary = tempfile.mkstemp(dir=directory)
            with os.fdopen(handle, "w") as out:
                json.dump(asdict(self), out)
            os.replace(temporary, self.path)
        except OSError as error:
            raise Misconfigured(str(self.path), f"cannot be written: {error.strerror or error}") from error

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def host_is_alive(self) -> bool:
        return self.host_pid is not None and process_start(self.host_pid) == self.host_started


# What a file of an earlier version lacks
OLDER = {one.name: one.default for one in fields(RunFile) if one.default is not MISSING}


def known_mesh(mesh: str) -> RunFile | None:
    """Return the run file of a mesh, None without one. Raises MeshNotRunning: the mesh has ended by itself."""
    known = read_run_file(mesh)
    if known is not None and known.ended is not None:
        raise MeshNotRunning(mesh, known.ended)
    return known


def read_run_file(mesh: str) -> RunFile | None:
    """Return the run file of a mesh; None when there is none.

    Raises:
        Misconfigured: it cannot be read, or other users can change it and so send this process to their own cluster.
    """
    path = state_folder() / f"{mesh}.json"
    try:
        raw = path.read_bytes()
        check_folder(path.parent, WHAT, WRITABLE)
        check_owner(path.stat(), path, "the run file")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(str(path), f"cannot be read: {error.strerror or error}") from error
    try:
        return from_plain(RunFile, {**OLDER, **json.loads(raw)})
    except (ValueError, TypeError, RecursionError) as error:
        raise Misconfigured(str(path), f"is not a run file: {error}") from error
    except Misconfigured as error:
        raise Misconfigured(str(path), f"is not a run file: {error.what} {error.reason}") from error

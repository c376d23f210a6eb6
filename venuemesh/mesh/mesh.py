"""`Mesh` for sync code, `AsyncMesh` for async code; `connect` and `launch` give a `Mesh`.

Both have the same methods. A method that waits for the mesh blocks in `Mesh` and is awaited in `AsyncMesh`; `market`
and `exchanges` are ordinary calls in both. `mesh.aio` gives the `AsyncMesh` of a `Mesh`.

The first use of a mesh in a process waits for the mesh's route table: milliseconds, or until its supervisor is back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..actors.cell.pulse import SUPERVISOR
from ..keystore.state_folder import make_state_folder
from ..model.errors import MeshNotRunning, Misconfigured
from .aio import AsyncCommands
from .run_file import known_mesh, read_run_file
from .session import join_near, refuse_fork
from .sync import Commands

if TYPE_CHECKING:
    from ..config.mesh import MeshConfig


NOT_KNOWN = "no mesh of that name is known on this machine; `venuemesh up` starts one"


class AsyncMesh(AsyncCommands):
    """A running mesh, for async code. Small and picklable; it holds no connection."""


class Mesh(Commands):
    """A running mesh, for sync code. Small and picklable; it holds no connection."""

    @property
    def aio(self) -> AsyncMesh:
        """This mesh for async code."""
        return AsyncMesh(self.name)


def connect(mesh: str | None = None, *, address: str | None = None) -> Mesh:
    """Join a running mesh, from a driver, a task or an actor. Its name is $VENUEMESH_MESH, or "mesh", unless given.

    A process that is connected to a Ray cluster looks for the mesh there. A driver without a connection joins the
    cluster at `address`, else the cluster where `venuemesh up` started this mesh, else $RAY_ADDRESS.

    Raises:
        MeshNotRunning: there is no such mesh, or no such cluster.
        Misconfigured: the process is connected to another cluster than the one at `address`, or is a fork of one that
            used a mesh.
    """
    mesh = mesh or os.environ.get("VENUEMESH_MESH") or "mesh"
    refuse_fork(mesh)
    known = read_run_file(mesh) if address is not None else known_mesh(mesh)
    where = address or (known.address if known else None) or os.environ.get("RAY_ADDRESS")
    if where is None and "ray" not in sys.modules:
        raise MeshNotRunning(mesh, NOT_KNOWN)
    import ray

    from ..actors.cell.ray_calls import namespace
    from .cluster import is_same_cluster, join_ray

    if not ray.is_initialized():
        if where is None:
            raise MeshNotRunning(mesh, NOT_KNOWN)
        if address is None and known is not None and known.host_pid is not None and not known.host_is_alive():
            raise MeshNotRunning(mesh, f"its host process at {known.address} has ended")
        join_ray(where, mesh=mesh)
    elif address is not None and not is_same_cluster(address, current := ray.get_runtime_context().gcs_address):
        raise Misconfigured(
            f"address {address}",
            f"this process is connected to {current}; call ray.shutdown() first, or give no address",
        )
    try:
        ray.get_actor(SUPERVISOR, namespace=namespace(mesh))
    except ValueError as error:
        raise MeshNotRunning(mesh, "no supervisor of that name on this Ray cluster") from error
    return Mesh(mesh)


def attach(mesh: str, *, address: str | None = None, waits: Callable[[str], None] | None = None) -> Mesh:
    """Use a running mesh from a process that starts no actors, such as a command; raises as `connect`.

    If the mesh runs on this host, the process talks to it over the sockets of its node and does not import Ray.
    `waits` is called with the reason when the mesh does not answer within a second.
    """
    known = read_run_file(mesh) if address is not None else known_mesh(mesh)
    is_alive = known is None or known.host_pid is None or known.host_is_alive()
    where = address or (known.address if known else None) or os.environ.get("RAY_ADDRESS")
    if (address is not None or is_alive) and join_near(mesh, where, waits):
        return Mesh(mesh)
    return connect(mesh, address=address)


def launch(config: MeshConfig) -> Mesh:
    """Start a mesh on the Ray cluster this process is connected to; return at once (see `Mesh.wait_started`).

    The mesh starts from this configuration alone: it forgets pairs that an earlier mesh of that name tracked at run
    time, and networks that were stopped.

    Raises:
        Misconfigured: a mesh of that name runs there already, an account cannot start unattended (see
            `check_accounts`), the cluster of a mesh with keys has no token authentication, or the folder of segments is
            full.
        MeshNotRunning: this process is not connected to a Ray cluster.
    """
    refuse_fork(config.mesh.name)
    import ray

    from ..actors.cell.pulse import Pulse
    from ..actors.cell.ray_calls import namespace
    from ..actors.cell.sweep import PULSES
    from ..config.checks import check_accounts
    from ..orderbook.segment.directory import segment_directory
    from ..supervisor.ray_supervisor import create
    from .cluster import is_own_cluster
    from .token import check_required

    name = config.mesh.name
    if not ray.is_initialized():
        raise MeshNotRunning(name, "this process is not connected to a Ray cluster")
    try:
        ray.get_actor(SUPERVISOR, namespace=namespace(name))
    except ValueError:
        this_node = ray.get_runtime_context().get_node_id()
        state = None
        if config.has_accounts:
            nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
            check_accounts(config, this_node, {n["NodeID"]: n.get("Labels") or {} for n in nodes if n["Alive"]})
            if config.with_keys and not is_own_cluster():
                check_required(str(ray.get_runtime_context().gcs_address), ", ".join(config.with_keys))
            state = make_state_folder()  # the journal's folder, unless the configuration names another folder
        # Without room for its pulse the supervisor could not start and could tell nobody.
        Pulse(segment_directory(name, this_node) / PULSES, f"launch-{os.getpid()}").close()
        create(config.for_supervisor(this_node, state))
        return Mesh(name)
    raise Misconfigured(f"mesh {name!r}", "runs already on this Ray cluster")

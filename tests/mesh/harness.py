"""Tools to watch a mesh and to break parts of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ray
from mesh_roles import EchoSettings

from tests.fakes.settings import mesh_settings
from venuemesh.actors.cell.messages import Envelope, unpack_reply
from venuemesh.actors.cell.near import Method, near_directory, socket_name
from venuemesh.actors.cell.near_client import NearCalls
from venuemesh.actors.cell.pulse import SUPERVISOR, is_alive, process_start, read_beats
from venuemesh.actors.cell.ray_calls import namespace
from venuemesh.actors.cell.sweep import PULSES
from venuemesh.model.address import Route
from venuemesh.supervisor.ray_supervisor import create
from venuemesh.supervisor.tree.child import ChildSpec

RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
PATIENCE_S = 120.0
LOOK_S = 0.1  # between two looks at a mesh: each is a call to its supervisor
ECHO = EchoSettings()
Process = tuple[int, int]  # (pid, start time)


def until(what: str, probe: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """Return the result of `probe` once it is true."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(LOOK_S)


def leftovers(processes: Iterable[Process], timeout_s: float = 10.0) -> list[Process]:
    """Return the processes that still live after a while."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if is_alive(*process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [process for process in left if is_alive(*process)]
    return left


def echo(address: str, settings: EchoSettings = ECHO) -> ChildSpec:
    """Return a child spec of the echo role."""
    return ChildSpec(address, "mesh_roles:EchoRole", settings, group="echo")


class Tree:
    """One running mesh."""

    def __init__(self, mesh: str, segments: Path, **settings: Any) -> None:
        """`settings` are those of `mesh_settings`."""
        self.mesh, self.segments = mesh, segments
        self.processes: set[Process] = set()
        self.sequence = 0
        self._settings = {"intensity": 50, **settings}
        self.supervisor = create(mesh_settings(mesh, **self._settings))

    def replace_supervisor(self, **settings: Any) -> None:
        """End only the supervisor, for good, and create another with this change in the configuration."""
        ray.kill(self.supervisor, no_restart=True)
        until("its name is free", self.is_free)
        self._settings |= settings
        self.supervisor = create(mesh_settings(self.mesh, **self._settings))

    def is_free(self) -> bool:
        try:
            ray.get_actor(SUPERVISOR, namespace=namespace(self.mesh))
        except ValueError:
            return True
        return False

    def status(self) -> dict[str, Any]:
        """Return the tree; wait while the supervisor is away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                status: dict[str, Any] = ray.get(self.supervisor.status.remote(), timeout=10.0)
                break
            except (ray.exceptions.RayError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        pids = [cell["pid"] for cell in status["cells"]] + [status["pid"]]
        self.processes |= {(pid, start) for pid in pids if pid and (start := process_start(pid)) is not None}
        return status

    def whole(self, children: int | None = None, spares: int = 2) -> dict[str, Any]:
        """Wait until every child serves and the spares exist."""

        def probe() -> dict[str, Any] | None:
            status = self.status()
            served = [child for child in status["children"] if child["state"] == "SERVING"]
            wanted = [child for child in status["children"] if child["state"] != "REFUSED"]
            expected = len(wanted) if children is None else children
            good = len(served) == len(wanted) == expected and status["spares"] >= spares
            return status if good and status["nodes"] else None

        found: dict[str, Any] = until(f"{self.mesh} is whole", probe)
        return found

    def child(self, address: str) -> dict[str, Any]:
        found: dict[str, Any] = next(c for c in self.status()["children"] if c["address"] == address)
        return found

    def succeeded(self, address: str, before: dict[str, Any], timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until a later incarnation of a child serves."""

        found: dict[str, Any] = until(f"a successor of {address}", lambda: self.successor(before), timeout_s)
        return found

    def successor(self, before: dict[str, Any]) -> dict[str, Any] | None:
        """Return the child at the same address if it serves in a later incarnation."""
        found = [c for c in self.status()["children"] if c["address"] == before["address"]]
        serves = found and found[0]["state"] == "SERVING" and found[0]["incarnation"] > before["incarnation"]
        return found[0] if serves else None

    def followed(self, address: str) -> list[str]:
        """Return the books that a mirror follows, by its own report."""
        sources = (self.child(address)["status"] or {}).get("sources", {})
        return sorted(book for source in sources.values() for book in source["books"])

    def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 10.0, by_ray: bool = False) -> Any:
        """Send a message directly to a role, by the supervisor's route: to its cell's socket, or as a Ray call."""
        plain = until(f"a route to {address}", lambda: ray.get(self.supervisor.resolve.remote(address)))
        route = Route.from_dict(address, plain)
        self.sequence += 1
        sender = f"test-{os.getpid()}"
        packed = Envelope(address, sender, route.incarnation, self.sequence, kind, timeout_s, body).pack()
        if by_ray:
            return unpack_reply(ray.get(self.cell(route.cell).ask.remote(packed), timeout=timeout_s))
        return unpack_reply(asyncio.run(self._call(route, packed, timeout_s)))

    async def _call(self, route: Route, packed: bytes, timeout_s: float) -> bytes:
        near = NearCalls(near_directory(self.node_directory()))
        try:
            return await near.call(socket_name(route.child, route.incarnation), Method.ASK, packed, timeout_s)
        finally:
            near.close()

    def cell(self, name: str) -> Any:
        return ray.get_actor(name, namespace=namespace(self.mesh))

    def node_directory(self) -> Path:
        return next((self.segments / self.mesh).iterdir())

    def shutdown(self) -> None:
        self.status()
        assert ray.get(self.supervisor.shutdown.remote(20.0), timeout=40.0)
        ray.kill(ray.get_actor(SUPERVISOR, namespace=namespace(self.mesh)), no_restart=True)


def wait_still(tree: Tree, pid: int, seconds: float) -> None:
    """Return when a stopped process of the mesh has not beaten for this long, by its own pulse."""
    pulses = tree.node_directory() / PULSES

    def is_still() -> bool:
        beat = next(beat for beat in read_beats(pulses).values() if beat.pid == pid)
        return time.monotonic_ns() - beat.beat_ns > seconds * 1e9

    until(f"process {pid} has stood still for {seconds:g} s", is_still)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, number)

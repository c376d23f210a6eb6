"""A process's connection to a mesh: one thread with its own event loop, for all markets of the process.

Theory of operation. Each process that uses a mesh has one `Session` for the mesh, made on first use: a daemon thread
whose event loop keeps a copy of the route table by one long poll, renews the process's leases and sends every call.
Callers hand over a coroutine and get a future: sync code blocks for the result, async code awaits the future from any
loop, so Ray blocks no event loop. A market that was pickled into another process uses the session there, or makes one.
While the supervisor is away, the session uses the last known routes.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import ray

from ..actors.cell.messages import Asker, Gone, Unreachable
from ..actors.cell.ray_calls import SUPERVISOR, SUPERVISOR_AWAY_S, MethodFailed, call, find
from ..actors.cell.ray_routes import RayRoutes
from ..model.errors import MeshNotRunning, RetryLater
from ..model.instrument import Instrument
from ..orderbook.segment.directory import segment_directory
from ..orderbook.view import BookReading
from .leases import MirrorLeases, OwnerLeases
from .routes import FIRST_S, RouteTable

T = TypeVar("T")
V = TypeVar("V", bound=BookReading)
POLL_S = 10.0
JOIN_S = 2.0
_sessions: dict[tuple[int, str, str], Session] = {}
_lock = threading.Lock()


class Session:
    """This process's connection to one mesh. Made by `session`."""

    def __init__(self, mesh: str) -> None:
        self.mesh = mesh
        self.node: str = ray.get_runtime_context().get_node_id()
        self.directory = segment_directory(mesh, self.node)
        self.routes = RouteTable(mesh, self.node)
        self._supervisor: Any = None
        self._owners = OwnerLeases(self.ask)
        self._mirrors = MirrorLeases(lambda: self.routes.elsewhere, self._ask_mirror)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"venuemesh-{mesh}", daemon=True)
        self._thread.start()
        self._asker: Asker = self.run(self._open()).result(FIRST_S)
        self._work = [self.run(work) for work in (self._follow(), self._owners.keep(), self._mirrors.keep())]

    async def _open(self) -> Asker:
        routes = RayRoutes(self.mesh)
        return Asker(f"client-{uuid.uuid4().hex[:12]}", routes, routes.send, time.monotonic)

    def close(self) -> None:
        """End the thread. The session cannot be used afterwards. Idempotent."""
        if self._thread.is_alive():
            self.run(self._end())
            self._thread.join(JOIN_S)

    async def _end(self) -> None:
        """Cancel every task of the loop and wait for the tasks before the loop stops."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()

    # ------------------------------------------------------------------ from any thread

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the session's loop; return its future at once. Raises MeshNotRunning: it was closed."""
        if not self._thread.is_alive():
            work.close()
            raise MeshNotRunning(self.mesh, "this process has left the mesh")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def own(self, address: str, owner: str, on_death: str) -> None:
        """Renew the owner's lease at the order manager at `address` as long as this process lives."""
        self.run(self._owners.add(address, owner, on_death))

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        """Make a view of a book. A view unpickled on another node reads that node's segments of its mirror."""
        reopen = partial(_view, self.mesh)
        view = kind(self.directory, instrument, address, ask_for=lambda: self._follow_book(address), reopen=reopen)
        self._mirrors.hold(view)
        return view

    def _follow_book(self, address: str) -> None:
        if address in self.routes.elsewhere:
            self.run(self._mirrors.follow([address]))

    # ------------------------------------------------------------------ on the session's loop

    async def ask(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """Send one message to the role that serves the address; return its answer. Raises as `Asker`."""
        return await self._asker(address, kind, body, timeout_s)

    async def supervisor(self, method: str, *args: Any, timeout_s: float = 10.0) -> Any:
        """Call the supervisor.

        Raises:
            MeshNotRunning: the mesh has no supervisor.
            RetryLater: the supervisor does not answer within the timeout (it may be restarting).
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self._supervisor is None:
                    self._supervisor = await self._find_supervisor()
                left_s = max(0.01, deadline - time.monotonic())
                return await call(self._supervisor, method, *args, timeout_s=left_s)
            except TimeoutError:
                raise RetryLater(1.0, f"the supervisor did not answer within {timeout_s:g} s") from None
            except MethodFailed as error:
                raise error.__cause__ or error from None
            except (Gone, Unreachable) as error:
                self._supervisor = None
                if time.monotonic() > deadline:
                    raise RetryLater(1.0, f"the supervisor is away: {error.__cause__ or error}"[:200]) from error
                await asyncio.sleep(SUPERVISOR_AWAY_S)

    async def _find_supervisor(self) -> Any:
        try:
            return await find(SUPERVISOR, self.mesh)
        except Gone as error:
            raise MeshNotRunning(self.mesh, "no supervisor of that name on this Ray cluster") from error

    async def _follow(self) -> None:
        """Keep the route table current."""
        version = -1
        while True:
            try:
                table = await self.supervisor("routes", version, POLL_S, timeout_s=2 * POLL_S)
            except (RetryLater, MeshNotRunning):
                await asyncio.sleep(SUPERVISOR_AWAY_S)
                continue
            if table["version"] != version:
                version = table["version"]
                self.routes.take(table)

    async def _ask_mirror(self, addresses: list[str]) -> float:
        lease_s: float = await self.supervisor("mirror", self.node, addresses, timeout_s=5.0)
        return lease_s


def _view(mesh: str, kind: type[V], address: str, instrument: Instrument) -> V:
    return session(mesh).view(kind, address, instrument)


def session(mesh: str) -> Session:
    """Return this process's session of a mesh on the Ray cluster it is connected to.

    Raises:
        MeshNotRunning: this process is not connected to a Ray cluster.
    """
    if not ray.is_initialized():
        raise MeshNotRunning(mesh, "this process is not connected to a Ray cluster; call venuemesh.connect()")
    key = (os.getpid(), mesh, ray.get_runtime_context().gcs_address)
    with _lock:
        found = _sessions.get(key)
        if found is None:
            found = _sessions[key] = Session(mesh)
        return found


def leave(mesh: str) -> None:
    """End this process's session of a mesh, if it has one. The mesh itself keeps running."""
    key = (os.getpid(), mesh, ray.get_runtime_context().gcs_address)
    with _lock:
        found = _sessions.pop(key, None)
    if found is not None:
        found.close()


@atexit.register
def _close_sessions() -> None:
    with _lock:
        for found in _sessions.values():
            found.close()
        _sessions.clear()

"""A process's connection to a mesh: one thread with its own event loop, for all markets of the process.

Theory of operation. Each process that uses a mesh has one `Session` for the mesh, made on first use: a daemon thread
whose event loop keeps a copy of the route table by one long poll, renews the process's leases and sends every call.
Callers hand over a coroutine and get a future: sync code blocks for the result, async code awaits the future from any
loop, so Ray blocks no event loop. A market that was pickled into another process uses the session there, or makes one.
In a fork of such a process neither its thread nor its connection to Ray works: there every use is an error. While the
supervisor is away, the session uses the last known routes.

A process on a node of the mesh reaches it over the sockets of that node (`actors.cell.near`); to other nodes it uses
Ray. The command line does not join Ray (`join_near`): a cell of its node passes on what goes to other nodes.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..actors.cell.loop_thread import new_loop
from ..actors.cell.messages import Asker, Gone, Unreachable
from ..actors.cell.near import is_listening, near_directory
from ..actors.cell.near_pass import PassedRoutes, cell_sockets
from ..actors.cell.near_routes import SUPERVISOR_AWAY_S, NearRoutes
from ..actors.cell.pulse import SUPERVISOR
from ..model.address import replica_of
from ..model.errors import MeshError, MeshNotRunning, Misconfigured, RetryLater
from ..model.instrument import Instrument
from ..orderbook.segment.directory import segment_directory, segment_root
from ..orderbook.view import BookReading
from .copies import BookCopies
from .event_feed import EVENTS_POLL, EventFeeds
from .leases import MirrorLeases, OwnerLeases
from .outbox import Outbox, owner_of
from .presence import Presence
from .routes import FIRST_S, RouteTable

T = TypeVar("T")
V = TypeVar("V", bound=BookReading)
POLL_S = 10.0
JOIN_S = 2.0
NEAR_S = 15.0  # how long `join_near` waits for the supervisor: until one that hangs is replaced
SAY_S = 1.0  # until a caller learns that it waits for the supervisor
_sessions: dict[tuple[int, str, str], Session] = {}
_near: dict[str, Place] = {}  # the meshes that this process uses without Ray
_last: dict[str, tuple[int, Any, Session]] = {}  # by mesh: process, connection to Ray, the session last used there
_lock = threading.Lock()
_forked_from: int | None = None  # the process that used a mesh, of which this process is a fork


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process is in a mesh: its node, that node's segments, and how it reaches the others."""

    cluster: str  # address of the Ray cluster
    node: str
    directory: Path
    routes: Callable[[], NearRoutes]  # made on the session's loop


class Session:
    """This process's connection to one mesh. Made by `session`."""

    def __init__(self, mesh: str, place: Place) -> None:
        self.mesh = mesh
        self.node, self.directory = place.node, place.directory
        self.routes = RouteTable(mesh, self.node)
        self._owners = OwnerLeases(self.ask)
        self._mirrors = MirrorLeases(lambda: self.routes.elsewhere, self._ask_mirror)
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"venuemesh-{mesh}", daemon=True)
        self._thread.start()
        self._cell_routes = self.run(self._open(place)).result(FIRST_S)
        self._cell_routes.table = self.routes.route
        name = f"client-{uuid.uuid4().hex[:12]}"
        self._asker = Asker(name, self._cell_routes, self._cell_routes.send, time.monotonic)
        self._outbox = Outbox(self._loop)
        self._presence = Presence(self._is_part)
        self._books = BookCopies(self.ask, self.routes.copies, time.monotonic)
        self._events = EventFeeds(self.ask, self.run, time.monotonic)
        lasting = self._follow(), self._owners.keep(), self._mirrors.keep(), self._presence.keep()
        self._work = [self.run(work) for work in lasting]

    async def _open(self, place: Place) -> NearRoutes:
        return place.routes()

    def close(self) -> None:
        """End the thread. The session cannot be used afterwards. Idempotent."""
        if self._thread.is_alive():
            self.run(self._end())
            self._thread.join(JOIN_S)

    async def _end(self) -> None:
        """Cancel every task of the loop and wait for the tasks before the loop stops."""
        self._outbox.end()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()

    # ------------------------------------------------------------------ from any thread

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the session's loop; return its future at once.

        Raises:
            MeshNotRunning: the session was closed.
            Misconfigured: this process is a fork of the session's process.
        """
        try:
            self._usable()
        except BaseException:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _usable(self) -> None:
        """Raises as `run`."""
        if _forked_from is not None:
            raise _fork_error(self.mesh)
        if not self._thread.is_alive():
            raise MeshNotRunning(self.mesh, "this process has left the mesh")

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        """Send one message to the role that serves the address; return the future of its answer at once.

        Orders wait in the outbox of their owner (see `outbox`), and all readers of an account's events share one poll
        (`event_feed`); all other messages are sent at once. Of a redundant book either copy answers (`copies`).
        """
        if kind == EVENTS_POLL:
            self._usable()
            return self._events.submit(address, body or {}, timeout_s)
        owner = owner_of(kind, body)
        if owner is None:
            send = self._trade if kind == "amend" else self._books.ask
            return self.run(send(address, kind, body, timeout_s))
        self._usable()
        return self._outbox.submit(owner, partial(self._trade, address, kind, body, timeout_s, f"orders of {owner}"))

    def own(self, address: str, owner: str, on_death: str) -> None:
        """Renew the owner's lease at the order manager at `address` as long as this process lives."""
        self.run(self._owners.add(address, owner, on_death))

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        """Make a view of a book. A view unpickled on another node reads that node's segments of its mirror."""
        reopen = partial(_view, self.mesh)
        view = kind(self.directory, instrument, address, ask_for=lambda: self._follow_book(address), reopen=reopen)
        self._mirrors.hold(view)
        self._follow_book(address)  # the view asks only if it has nothing to read: not for the second copy of a book
        return view

    def _follow_book(self, address: str) -> None:
        if distant := sorted({address, replica_of(address)} & self.routes.elsewhere):
            self.run(self._mirrors.follow(distant))

    # ------------------------------------------------------------------ on the session's loop

    async def ask(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """Send one message to the role that serves the address; return its answer. Raises as `Asker`."""
        return await self._asker(address, kind, body, timeout_s)

    async def _trade(self, address: str, kind: str, body: Any, timeout_s: float, lane: str = "") -> Any:
        """As `ask`, for a message that adds to what an account may trade. Raises RetryLater: see `presence`."""
        self._presence.check()
        return await self._asker(address, kind, body, timeout_s, lane=lane)

    async def _is_part(self) -> bool:
        is_part: bool = await self.supervisor("confirm", self.node, timeout_s=2.0)
        return is_part

    async def supervisor(self, method: str, *args: Any, timeout_s: float = 10.0) -> Any:
        """Call the supervisor.

        Raises:
            MeshNotRunning: the mesh has no supervisor.
            RetryLater: the supervisor does not answer within the timeout (it may be restarting).
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                remaining_s = max(0.01, deadline - time.monotonic())
                return await self._cell_routes.supervisor(method, *args, timeout_s=remaining_s)
            except TimeoutError:
                raise RetryLater(1.0, f"the supervisor did not answer within {timeout_s:g} s") from None
            except Gone as gone:
                if not gone.sent:
                    raise MeshNotRunning(self.mesh, "no supervisor of that name on this Ray cluster") from gone
                away: Exception = gone
            except Unreachable as error:
                away = error
            if time.monotonic() > deadline:
                raise RetryLater(1.0, f"the supervisor is away: {away.__cause__ or away}"[:200]) from away
            await asyncio.sleep(SUPERVISOR_AWAY_S)

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
    """Return this process's session of a mesh: on the Ray cluster it is connected to, or after `join_near`.

    Raises:
        MeshNotRunning: this process is not connected to a Ray cluster.
        Misconfigured: this process is a fork of one that used a mesh.
    """
    refuse_fork(mesh)
    process, client = os.getpid(), _ray_client()
    last = _last.get(mesh)
    if last is not None and last[0] == process and last[1] is client:
        return last[2]
    cluster = _cluster(mesh)
    if cluster is None:
        raise MeshNotRunning(mesh, "this process is not connected to a Ray cluster; call venuemesh.connect()")
    key = (process, mesh, cluster)
    with _lock:
        found = _sessions.get(key)
        if found is None:
            found = _sessions[key] = Session(mesh, _near[mesh] if client is None else _place(mesh))
        _last[mesh] = (process, client, found)
        return found


def refuse_fork(mesh: str) -> None:
    """Raises Misconfigured: this process is a fork of one that used a mesh. Ray would wait for ever there."""
    if _forked_from is not None:
        raise _fork_error(mesh)


def _fork_error(mesh: str) -> Misconfigured:
    how = (
        'start processes with multiprocessing.get_context("spawn") or as Ray actors, and call venuemesh.connect() there'
    )
    reason = f"this process is a fork of process {_forked_from}, whose connection to the mesh a fork cannot use: {how}"
    return Misconfigured(f"mesh {mesh!r} in process {os.getpid()}", reason)


def _mark_fork() -> None:
    """In a new fork: remember whether its parent used a mesh. A worker that was forked before any use is not marked."""
    global _forked_from, _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    if _forked_from is None and (_sessions or _near or _ray_client() is not None):
        _forked_from = os.getppid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_fork)


def leave(mesh: str) -> None:
    """End this process's session of a mesh, if it has one. The mesh itself keeps running."""
    cluster = _cluster(mesh)
    with _lock:
        _near.pop(mesh, None)
        _last.pop(mesh, None)
        found = None if cluster is None else _sessions.pop((os.getpid(), mesh, cluster), None)
    if found is not None:
        found.close()


def forget(mesh: str) -> None:
    """Remove the supervisor of a mesh that has ended, and end this process's session of the mesh."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        from ..actors.cell.ray_calls import namespace

        with contextlib.suppress(ValueError):
            ray.kill(ray.get_actor(SUPERVISOR, namespace=namespace(mesh)), no_restart=True)
    leave(mesh)


def _ray_client() -> Any:
    """Return the object that stands for this process's connection to a Ray cluster; None if it is not connected."""
    ray = sys.modules.get("ray")  # a process that never imported Ray is not connected
    return ray.get_runtime_context().worker.gcs_client if ray is not None and ray.is_initialized() else None


def _cluster(mesh: str) -> str | None:
    """Return the address of the Ray cluster where this process uses the mesh; None if it is not connected."""
    client = _ray_client()
    if client is not None:
        return str(client.address)
    place = _near.get(mesh)
    return None if place is None else place.cluster


def _place(mesh: str) -> Place:
    """Return the place of this process, which is connected to a Ray cluster."""
    import ray

    from ..actors.cell.ray_routes import RayRoutes

    context = ray.get_runtime_context()
    node = context.get_node_id()
    directory = segment_directory(mesh, node)
    return Place(context.gcs_address, node, directory, partial(RayRoutes, mesh, node, directory))


def join_near(mesh: str, cluster: str | None, waits: Callable[[str], None] | None = None) -> bool:
    """Use a mesh that runs on this host without joining its Ray cluster. Return False if no such mesh answers.

    Args:
        cluster: the address of the Ray cluster; None: any.
        waits: called with the reason when the supervisor does not answer within `SAY_S`.
    """
    for directory in near_directories(mesh):
        place = asyncio.run(_look(mesh, directory, waits))
        if place is not None and cluster in (None, place.cluster):
            with _lock:
                _near[mesh] = place
            return True
    return False


def near_directories(mesh: str) -> list[Path]:
    """Return the segment directories of this mesh on this host where a process listens, the supervisor's first."""
    try:
        directories = list((segment_root() / mesh).iterdir())
    except OSError:
        return []
    return [d for d in directories if _listens(d, [SUPERVISOR])] + [
        d for d in directories if not _listens(d, [SUPERVISOR]) and _listens(d, cell_sockets(near_directory(d)))
    ]


def _listens(directory: Path, names: list[str]) -> bool:
    for name in names:
        with contextlib.suppress(OSError):
            if is_listening(near_directory(directory) / name):
                return True
    return False


async def _look(mesh: str, directory: Path, waits: Callable[[str], None] | None) -> Place | None:
    """Ask the supervisor, over the sockets of a node, which cluster this is; None if it does not answer."""
    routes = PassedRoutes(directory.name, directory)
    found = None
    reason = f"the supervisor of mesh {mesh!r} does not answer; waiting until it is replaced, at most {NEAR_S:g} s"
    alarm = None if waits is None else asyncio.get_running_loop().call_later(SAY_S, waits, reason)
    try:
        async with asyncio.timeout(NEAR_S):
            while found is None:
                try:
                    found = await routes.supervisor("cluster", timeout_s=NEAR_S)
                except (Gone, Unreachable, RetryLater) as error:
                    if isinstance(error, Gone) and not error.sent:  # no cell of this node answers
                        return None
                    await asyncio.sleep(SUPERVISOR_AWAY_S)  # it ended during the call; Ray restarts it
    except (TimeoutError, MeshError):
        return None
    finally:
        if alarm is not None:
            alarm.cancel()
        routes.close()
    node = next((node for node in found["nodes"] if node.startswith(directory.name)), None)
    if node is None:
        return None
    return Place(found["address"], node, directory, partial(PassedRoutes, node, directory))


@atexit.register
def _close_sessions() -> None:
    with _lock:
        for found in _sessions.values():
            found.close()
        _sessions.clear()
        _last.clear()

"""The supervisor: a thin Ray actor around the tree (`shell`), its observations (`watchers`) and its `commands`.

A supervisor that Ray restarts takes a new epoch (durable in the GCS's key-value store, and never below the wall clock
in ms), asks every cell of the mesh's namespace for its role, and continues with these roles; no role stops. The same
store has the changes since the mesh was created (pairs, stopped exchanges) and the children that ended too often. A
newly created supervisor starts from its configuration (see `create` and `desired`).

While the GCS is away, the supervisor creates no cells and answers changes with RetryLater; the mesh and its supervisor
keep running.

All state belongs to one event loop, *home*; the methods of the other concurrency groups pass their calls to it. The
processes of the supervisor's node call the same methods over its socket (`actors.cell.near`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgpack
import ray
from loguru import logger

from ..actors.cell import logs
from ..actors.cell.host import error_text
from ..actors.cell.messages import BadMessage, pack_reply
from ..actors.cell.near import Method, near_directory
from ..actors.cell.near_client import NearCalls
from ..actors.cell.near_server import NearServer
from ..actors.cell.pulse import PERIOD_S, SUPERVISOR, Pulse
from ..actors.cell.ray_calls import namespace, own_title
from ..actors.cell.sweep import PULSES, leave, sweep
from ..model.errors import MeshError, OutcomeUnknown, RetryLater
from ..model.time import in_ns
from ..orderbook.segment.directory import segment_directory
from .commands import Commands
from .ray_cells import RayCells
from .ray_store import GcsStore
from .retrying_store import StoreAway
from .shell import SupervisorShell
from .stored_settings import drop_settings, get_settings, put_settings
from .tree.settings import MeshSettings
from .watchers import Watchers

T = TypeVar("T")
GROUPS = {"control": 256, "polls": 8192}
METHODS = frozenset(
    {
        "routes",
        "watch",
        "resolve",
        "cluster",
        "confirm",
        "status",
        "track",
        "untrack",
        "network",
        "restart",
        "upgrade",
        "renew",
        "move",
        "drain",
        "rebalance",
        "mirror",
        "shutdown",
    }
)
BOOT_S = 30.0  # how long a caller waits for a supervisor that is still starting


class Supervisor:
    """Watches the cells of one mesh, replaces dead roles and keeps the routes."""

    def __init__(self, mesh: str, birth: str) -> None:
        """`birth`: the name of the mesh's settings in the store."""
        self._home = asyncio.get_running_loop()
        self._title = f"venuemesh: supervisor {mesh}"
        own_title(self._title)
        logs.set_up(SUPERVISOR)
        store = GcsStore(mesh)
        settings = get_settings(store, birth)
        self._segments = segment_directory(mesh, ray.get_runtime_context().get_node_id())
        self._pulse = Pulse(self._segments / PULSES, SUPERVISOR)
        near = NearCalls(near_directory(self._segments))
        node, used = ray.get_runtime_context().get_node_id(), settings.connectors
        agent = settings.tree.agent
        port = RayCells(mesh, (agent.hang_limit_s, agent.watcher_hang_limit_s), node, near, used)
        self._shell = SupervisorShell(settings, port, store)
        self._watchers = Watchers(self._shell, node)
        cluster = str(ray.get_runtime_context().gcs_address)
        self._commands = Commands(self._shell, self._watchers, cluster, self._clear)
        self._near = NearServer(near_directory(self._segments), SUPERVISOR, self._answer_near)
        self._shell.spawn(self._beat())
        self._shell.spawn(self._boot())

    def __repr__(self) -> str:
        return self._title

    # --- for everyone -------------------------------------------------------------------------------------------------

    @ray.method(concurrency_group="polls")
    async def routes(self, after: int = -1, timeout_s: float = 0.0) -> dict[str, Any]:
        """Return the whole route table, as soon as its version is above `after`, or at the timeout."""
        return await self._at_home(self._commands.routes(after, timeout_s))

    @ray.method(concurrency_group="polls")
    async def watch(self, after: int, addresses: list[str], timeout_s: float) -> dict[str, Any]:
        """Like `routes`, but for some addresses and without their instruments. Cells use it."""
        return await self._at_home(self._commands.watch(after, addresses, timeout_s))

    @ray.method(concurrency_group="polls")
    async def resolve(self, address: str) -> dict[str, Any] | None:
        """Return the route of one address now, or None."""
        return await self._at_home(self._commands.resolve(address))

    @ray.method(concurrency_group="control")
    async def cluster(self) -> dict[str, Any]:
        """Return the address of the Ray cluster and the ids of the nodes of the mesh."""
        return await self._at_home(self._commands.cluster())

    @ray.method(concurrency_group="control")
    async def confirm(self, node: str) -> bool:
        """Return whether a node is part of the mesh.

        Only the newest supervisor answers, and True only while it hears the majority of the nodes.

        Raises:
            RetryLater: whether this is the newest supervisor cannot be looked up now.
        """
        return await self._at_home(self._commands.confirm(node))

    @ray.method(concurrency_group="control")
    async def status(self) -> dict[str, Any]:
        """Return the tree as plain values."""
        return await self._at_home(self._commands.status())

    @ray.method(concurrency_group="control")
    async def track(self, exchange: str, pairs: list[str]) -> None:
        """Track further pairs (or patterns). Idempotent; returns when the change is durable.

        A pair that the exchange does not list is not an error here: `status` shows it as REFUSED, and the mesh tracks
        it as soon as the exchange lists it.

        Raises:
            UnknownExchange: not in the configuration.
            RetryLater: the change could not be made durable now; send it again.
        """
        await self._at_home(self._commands.track(exchange, pairs))

    @ray.method(concurrency_group="control")
    async def untrack(self, exchange: str, pairs: list[str]) -> None:
        """Stop tracking these pairs (or patterns). Idempotent. Raises as `track`."""
        await self._at_home(self._commands.untrack(exchange, pairs))

    @ray.method(concurrency_group="control")
    async def network(self, exchange: str, running: bool, timeout_s: float = 30.0) -> bool:
        """Start or stop the feeds of an exchange, durably. Idempotent.

        A stopped exchange has no books; its limits, its catalog and its list of tracked pairs stay. Returns when the
        change is durable and, for a stop, every book has ended; False if some books did not end in time.

        Raises:
            UnknownExchange, RetryLater: as `track`.
        """
        return await self._at_home(self._commands.network(exchange, running, timeout_s))

    @ray.method(concurrency_group="control")
    async def restart(self, pattern: str, request: str) -> list[str]:
        """Restart the matching children, one after another; return their addresses when all are ready again.

        `request` names the request: a restart cuts the connections that a request came over, and one that is sent again
        must restart nothing twice.

        A book serves until its successor is ready. Any other child is stopped when a spare waits on its node. The next
        one follows when the successor is ready (a book LIVE, an account trading), if the child was ready before.

        Raises:
            Misconfigured: no child matches.
            RetryLater: a successor was not ready within a minute (a book's is dropped, and the book stays as it was);
                the children after it were not restarted.
        """
        return await self._at_home(self._commands.restart(pattern, request))

    @ray.method(concurrency_group="control")
    async def upgrade(self, request: str) -> list[str]:
        """Replace the processes of all children and all spares, so that they run the code that is installed now.

        As `restart`; the spares end first, and each child starts in a process that was created after the request.
        """
        return await self._at_home(self._commands.upgrade(request))

    @ray.method(concurrency_group="control")
    async def renew(self, epoch: int) -> None:
        """End this supervisor's process if its epoch is `epoch`; Ray starts another. The children run on."""
        await self._at_home(self._commands.renew(epoch))

    @ray.method(concurrency_group="control")
    async def move(self, address: str, where: str) -> dict[str, Any]:
        """Move a child to a host (its name) or node (the beginning of its id); return when it is ready there.

        A book serves until its successor is ready there; any other child is stopped first. Idempotent. Return
        {"address", "from", "to", "moved"}.

        Raises:
            Misconfigured: no such child or host, several nodes on the host, or the child may not run there.
            RetryLater: it was not moved; the reason says whether it still serves.
        """
        return await self._at_home(self._commands.move(address, where))

    @ray.method(concurrency_group="control")
    async def drain(self, where: str, undo: bool = False, timeout_s: float = 300.0) -> dict[str, Any]:
        """Let all children leave a host, and place none there, durably, until `undo`. Idempotent.

        Return when the host runs nothing that can leave it, or at the timeout (the children continue to leave):
        {"host", "drained", "moved": addresses, "left": {address: why it is still there}}.

        Raises:
            Misconfigured: no such host, or no other would be left; undo: it is not drained.
            RetryLater: the change could not be made durable now; send it again.
        """
        return await self._at_home(self._commands.drain(where, undo, timeout_s))

    @ray.method(concurrency_group="control")
    async def rebalance(self, plan: bool = False) -> dict[str, Any]:
        """Move books from the most loaded nodes to the least loaded ones that fit; `plan`: only return the moves.

        Return {"moves": [{"address", "from", "to", "error"}], "before", "after": pairs by host}.
        """
        return await self._at_home(self._commands.rebalance(plan))

    @ray.method(concurrency_group="control")
    async def mirror(self, node: str, addresses: list[str]) -> float:
        """Lease mirrors of these books for a process on `node`; return the length of the lease in seconds."""
        return await self._at_home(self._commands.mirror(node, addresses))

    @ray.method(concurrency_group="control")
    async def shutdown(self, timeout_s: float = 30.0) -> bool:
        """Stop all children in reverse order; return True when only this actor is left of the mesh."""
        return await self._at_home(self._commands.shutdown(timeout_s))

    # --- at home ------------------------------------------------------------------------------------------------------

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._once_ready(work), self._home))

    async def _once_ready(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            await asyncio.wait_for(self._shell.ready.wait(), BOOT_S)
        except TimeoutError:
            work.close()
            raise RetryLater(1.0, "the supervisor is still starting") from None
        try:
            return await work
        except MeshError:
            raise
        except Exception as error:
            logger.opt(exception=error).error("a command failed unexpectedly")
            raise OutcomeUnknown("a command to the supervisor", error_text(error)) from error

    async def _answer_near(self, method: Method, content: bytes) -> bytes:
        """Answer a call over the socket; see `actors.cell.near.Method`."""
        try:
            name, arguments = msgpack.unpackb(content, strict_map_key=False)
            if method not in (Method.SUPERVISOR, Method.WATCH) or name not in METHODS:
                raise BadMessage(f"{method.name} {name!r} is no method of a supervisor")
            work = getattr(self._commands, name)(*arguments)
        except (ValueError, TypeError) as error:
            raise BadMessage(str(error)) from error
        return pack_reply(await self._once_ready(work))

    async def _boot(self) -> None:
        await self._near.open()
        await self._shell.boot()
        self._watchers.start()

    async def _beat(self) -> None:
        last_ns = time.monotonic_ns()
        while True:
            await asyncio.sleep(PERIOD_S)
            now_ns = time.monotonic_ns()
            own_title(self._title)
            self._pulse.beat(now_ns, now_ns - last_ns - in_ns(PERIOD_S))
            last_ns = now_ns
            if self._shell.ready.is_set():
                self._watchers.beat(now_ns)

    async def _clear(self) -> None:
        """Remove the mesh's files from this node."""
        self._pulse.path.unlink(missing_ok=True)
        self._near.close()
        await asyncio.to_thread(sweep, self._segments)
        leave(self._segments)


ANYWHERE: list[dict[str, Any]] = [{"label_selector": {}}]  # where no node has the preferred labels
_OPTIONS: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0, "concurrency_groups": GROUPS}
SupervisorActor: Any = ray.remote(**_OPTIONS)(Supervisor)


def create(settings: MeshSettings) -> Any:
    """Start the supervisor of a mesh on the Ray cluster this process is connected to; return its handle.

    The supervisor starts from this configuration and ignores the changes of an earlier mesh that ended without a
    shutdown. It takes over living cells of that mesh, or stops those that the configuration does not need. When Ray
    restarts this supervisor, it keeps the changes made since its creation.

    Raises:
        ValueError: the mesh has a supervisor already (Ray's own error for a taken name).
        StoreAway: the GCS does not answer; nothing was started.
    """
    options: dict[str, Any] = {"name": SUPERVISOR, "namespace": namespace(settings.mesh), "lifetime": "detached"}
    if settings.supervisor_nodes:
        options |= {"label_selector": dict(settings.supervisor_nodes), "fallback_strategy": ANYWHERE}
    store = GcsStore(settings.mesh)
    birth = put_settings(store, settings)
    try:
        return SupervisorActor.options(**options).remote(settings.mesh, birth)
    except ValueError:
        with contextlib.suppress(StoreAway):  # the next supervisor deletes them
            drop_settings(store, birth)
        raise

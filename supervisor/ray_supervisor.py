"""The supervisor: a thin Ray actor around the tree (`shell`), what is seen (`watchers`) and asked (`commands`).

On return after its own death it takes a new epoch (durable in the GCS's key-value store, and never below the wall
clock in ms), asks every cell of the mesh's namespace what it runs, and goes on from there: nothing is stopped for its
sake. What it was told since it was created (pairs, stopped exchanges) and which children had ended too often lives in
the same store. A supervisor that is created anew starts from its configuration (see `create` and `desired`).

While the GCS is away nothing new is created and wishes are answered RetryLater; the mesh goes on, and so does this.

All state is touched on one event loop, *home*; the methods of the concurrency groups hop there.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import ray

from ..actors.cell import logs
from ..actors.cell.pulse import PERIOD_S, SUPERVISOR, Pulse
from ..actors.cell.ray_calls import namespace, own_title
from ..actors.cell.sweep import PULSES, leave, sweep
from ..model.errors import RetryLater
from ..model.time import in_ns
from ..orderbook.segment.directory import segment_directory
from .commands import Commands
from .ray_cells import RayCells
from .ray_store import GcsStore
from .shell import SupervisorShell
from .tree.settings import MeshSettings
from .watchers import Watchers

T = TypeVar("T")
GROUPS = {"control": 256, "polls": 8192}
BOOT_S = 30.0  # how long a caller waits for a supervisor that is still starting


class Supervisor:
    """Watches the cells of one mesh, replaces what dies and keeps the routes."""

    def __init__(self, settings: MeshSettings) -> None:
        self._home = asyncio.get_running_loop()
        mesh = settings.mesh
        self._title = f"venuemesh: supervisor {mesh}"
        own_title(self._title)
        logs.set_up(SUPERVISOR)
        self._segments = segment_directory(mesh, ray.get_runtime_context().get_node_id())
        self._pulse = Pulse(self._segments / PULSES, SUPERVISOR)
        port = RayCells(mesh, settings.tree.agent.hang_limit_s)
        self._shell = SupervisorShell(settings, port, GcsStore(mesh))
        self._watchers = Watchers(self._shell)
        self._commands = Commands(self._shell, self._watchers.leases, self._clear)
        self._shell.spawn(self._beat())
        self._shell.spawn(self._boot())

    def __repr__(self) -> str:
        return self._title

    # --- for everyone -------------------------------------------------------------------------------------------------

    @ray.method(concurrency_group="polls")
    async def routes(self, after: int = -1, timeout_s: float = 0.0) -> dict[str, Any]:
        """Return the whole route table, once it is later than version `after` or at the timeout."""
        return await self._at_home(self._commands.routes(after, None, timeout_s))

    @ray.method(concurrency_group="polls")
    async def watch(self, after: int, addresses: list[str], timeout_s: float) -> dict[str, Any]:
        """Like `routes`, of some addresses and without their instruments: what cells use."""
        return await self._at_home(self._commands.routes(after, addresses, timeout_s))

    @ray.method(concurrency_group="polls")
    async def resolve(self, address: str) -> dict[str, Any] | None:
        """Return the route of one address now, or None."""
        return await self._at_home(self._commands.resolve(address))

    @ray.method(concurrency_group="control")
    async def status(self) -> dict[str, Any]:
        """Return the tree as plain values."""
        return await self._at_home(self._commands.status())

    @ray.method(concurrency_group="control")
    async def track(self, exchange: str, pairs: list[str]) -> None:
        """Track these pairs (or patterns) too. Idempotent; returns when the wish is durable.

        A name that the exchange does not list is no error here: `status` shows it REFUSED, and it is tracked should it
        ever be listed.

        Raises:
            UnknownExchange: not in the configuration.
            RetryLater: the wish could not be made durable now; send it again.
        """
        await self._at_home(self._commands.rule(exchange, True, pairs))

    @ray.method(concurrency_group="control")
    async def untrack(self, exchange: str, pairs: list[str]) -> None:
        """Track these pairs (or patterns) no more. Idempotent. Raises as `track`."""
        await self._at_home(self._commands.rule(exchange, False, pairs))

    @ray.method(concurrency_group="control")
    async def network(self, exchange: str, running: bool, timeout_s: float = 30.0) -> bool:
        """Start or stop the feeds of an exchange, durably. Idempotent.

        A stopped exchange has no books (each ends in order); its limits and catalog stay, and so does what is tracked.
        Returns when the wish is durable and, for a stop, every book has ended; False when some had not in time.

        Raises:
            UnknownExchange, RetryLater: as `track`.
        """
        return await self._at_home(self._commands.network(exchange, running, timeout_s))

    @ray.method(concurrency_group="control")
    async def restart(self, pattern: str) -> list[str]:
        """Restart the children that match, one after another; return their addresses when all serve again."""
        return await self._at_home(self._commands.restart(pattern))

    @ray.method(concurrency_group="control")
    async def mirror(self, node: str, addresses: list[str]) -> float:
        """A process on `node` reads these books: have them mirrored there. A lease; return its length in seconds."""
        return await self._at_home(self._commands.mirror(node, addresses))

    @ray.method(concurrency_group="control")
    async def shutdown(self, timeout_s: float = 30.0) -> bool:
        """Stop everything in reverse order; True when nothing of the mesh is left but this actor."""
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
        return await work

    async def _boot(self) -> None:
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
        """Leave nothing of the mesh on this node."""
        self._pulse.path.unlink(missing_ok=True)
        await asyncio.to_thread(sweep, self._segments)
        leave(self._segments)


_OPTIONS: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0, "concurrency_groups": GROUPS}
SupervisorActor: Any = ray.remote(**_OPTIONS)(Supervisor)


def create(settings: MeshSettings) -> Any:
    """Start the supervisor of a mesh on the Ray cluster this process is connected to; return its handle.

    It starts from this configuration, whatever an earlier supervisor of the mesh was told that is gone without a
    shutdown; cells of that one which still live are taken over, and stopped where the configuration has no place for
    them. Restarted by Ray it goes on with what it was told in the meantime.

    Raises:
        ValueError: there is one already (Ray's own error for a taken name).
    """
    options = {"name": SUPERVISOR, "namespace": namespace(settings.mesh), "lifetime": "detached"}
    return SupervisorActor.options(**options).remote(replace(settings, birth=uuid.uuid4().hex))

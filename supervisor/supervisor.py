"""The supervisor: a thin Ray actor over `supervisor.machine`. It performs effects and turns what Ray says into events.

On return after its own death it takes a new epoch (durable in the GCS's key-value store, and never below the wall
clock in ms), asks every cell of the mesh's namespace what it runs, and goes on from there: nothing is stopped for its
sake. What it was told to track lives in the same store; its constructor's arguments are only the first word.

All state is touched on one event loop, *home*; the methods of the concurrency groups hop there.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import msgpack
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.experimental import internal_kv
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..actors.cell import CellActor, answered, namespace, own_title
from ..actors.messages import Envelope, unpack_reply
from ..actors.pulse import PERIOD_S, SUPERVISOR, HangDetector, Pulse
from ..actors.segments import PULSES, leave, sweep
from ..model.errors import MeshError, Misconfigured
from ..orderbook.place import segment_directory
from . import events as m
from . import plan as plans
from .child import ChildSpec, Tier
from .desired import Desired
from .machine import Machine, agent_address
from .mirrors import LEASE_S, MirrorLeases, mirror_address, mirror_spec
from .policy import Policy
from .records import ChildState, Settings
from .routes import Route
from .tree import describe

T = TypeVar("T")
GROUPS = {"control": 256, "polls": 8192}
KV = b"venuemesh"
HEALTH_S = 0.25
CATALOG_S = 5.0
NODES_S = 0.5
MIRROR_S = 0.1


class Supervisor:
    """Watches the cells of one mesh, replaces what dies and keeps the routes."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._home = asyncio.get_running_loop()
        self._mesh: str = config["mesh"]
        self._title = f"venuemesh: supervisor {self._mesh}"
        own_title(self._title)
        self._node = ray.get_runtime_context().get_node_id()
        self._segments = segment_directory(self._mesh, self._node)
        self._pulse = Pulse(self._segments / PULSES, SUPERVISOR)
        self._config = config
        self._desired: Desired
        self._leases = MirrorLeases()
        self._handles: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()  # set and replaced when a route changes
        self._moved = asyncio.Event()  # set and replaced at every event
        self._sequence = 0
        self._answers: dict[str, int] = {}
        self._agents = HangDetector(0, int(3 * PERIOD_S * 1e9))
        self._machine: Machine
        self._ready = asyncio.Event()
        self._spawn(self._boot())

    def __repr__(self) -> str:
        return self._title

    # --- for everyone -------------------------------------------------------------------------------------------------

    @ray.method(concurrency_group="polls")
    async def routes(self, after: int = -1, timeout_s: float = 0.0) -> dict[str, Any]:
        """Return the whole route table, once it is later than version `after` or at the timeout."""
        return await self._at_home(self._wait_routes(after, None, timeout_s))

    @ray.method(concurrency_group="polls")
    async def watch(self, after: int, addresses: list[str], timeout_s: float) -> dict[str, Any]:
        """Like `routes`, of some addresses and without their instruments: what cells use."""
        return await self._at_home(self._wait_routes(after, addresses, timeout_s))

    @ray.method(concurrency_group="polls")
    async def resolve(self, address: str) -> dict[str, Any] | None:
        """Return the route of one address now, or None."""
        return await self._at_home(self._resolve(address))

    @ray.method(concurrency_group="control")
    async def status(self) -> dict[str, Any]:
        """Return the tree as plain values."""
        return await self._at_home(self._status())

    @ray.method(concurrency_group="control")
    async def track(self, exchange: str, pairs: list[str]) -> None:
        """Track these pairs (or patterns) too. Idempotent; returns when the wish is durable.

        Raises:
            UnknownExchange, UnknownInstrument (a literal name that the exchange's list, when known, does not have).
        """
        await self._at_home(self._rule(exchange, True, pairs))

    @ray.method(concurrency_group="control")
    async def untrack(self, exchange: str, pairs: list[str]) -> None:
        """Track these pairs (or patterns) no more. Idempotent."""
        await self._at_home(self._rule(exchange, False, pairs))

    @ray.method(concurrency_group="control")
    async def restart(self, pattern: str) -> list[str]:
        """Restart the children that match, one after another; return their addresses when all serve again."""
        return await self._at_home(self._restart(pattern))

    @ray.method(concurrency_group="control")
    async def mirror(self, node: str, addresses: list[str]) -> float:
        """A process on `node` reads these books: have them mirrored there. A lease; return its length in seconds."""
        return await self._at_home(self._mirror(node, addresses))

    @ray.method(concurrency_group="control")
    async def shutdown(self, timeout_s: float = 30.0) -> bool:
        """Stop everything in reverse order; True when nothing of the mesh is left but this actor."""
        return await self._at_home(self._shutdown(timeout_s))

    # --- at home ------------------------------------------------------------------------------------------------------

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._once_ready(work), self._home))

    async def _once_ready(self, work: Coroutine[Any, Any, T]) -> T:
        await self._ready.wait()
        return await work

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._home.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error, file=sys.stderr)  # a bug here: let Ray start us anew
            os._exit(70)

    # --- boot ---------------------------------------------------------------------------------------------------------

    async def _boot(self) -> None:
        self._spawn(self._beat())
        epoch = await asyncio.to_thread(self._next_epoch)
        self._desired = Desired(self._config, await asyncio.to_thread(self._kv_get, "desired"))
        config = self._desired.config
        await self._save()
        self._hang_s = float(config.get("hang_limit_s", 1.0))
        self._agents.limit_ns = int((HEALTH_S + self._hang_s) * 1e9)
        wishes = {k: v for k, v in (config.get("policy") or {}).items() if k in Policy.__dataclass_fields__}
        own = {k: v for k, v in (config.get("settings") or {}).items() if k in Settings.__dataclass_fields__}
        settings = Settings(
            **{"spares_per_node": int(config.get("spares_per_node", 2)), **own}, policy=Policy(**wishes)
        )
        self._machine = Machine(epoch, settings, lambda: f"cell-{secrets.token_hex(6)}")
        await self._find_cells()
        self._on(m.Want(tuple(self._desired.first_specs())))
        self._ready.set()
        catalogs = [self._follow_catalog(exchange) for exchange in self._desired.exchanges]
        for work in (self._watch_nodes(), self._mirrors(), *catalogs):
            self._spawn(work)

    def _next_epoch(self) -> int:
        key = f"{self._mesh}/epoch".encode()
        stored = internal_kv._internal_kv_get(key, namespace=KV)
        epoch = max(int(stored or 0) + 1, time.time_ns() // 1_000_000)
        internal_kv._internal_kv_put(key, str(epoch).encode(), overwrite=True, namespace=KV)
        return epoch

    def _kv_get(self, name: str) -> Any:
        raw = internal_kv._internal_kv_get(f"{self._mesh}/{name}".encode(), namespace=KV)
        return None if raw is None else msgpack.unpackb(raw, strict_map_key=False)

    def _kv_put(self, name: str, value: Any) -> None:
        internal_kv._internal_kv_put(
            f"{self._mesh}/{name}".encode(), msgpack.packb(value), overwrite=True, namespace=KV
        )

    def _kv_del(self, name: str) -> None:
        internal_kv._internal_kv_del(f"{self._mesh}/{name}".encode(), namespace=KV)

    async def _kv(self, operation: Callable[..., None], *arguments: Any) -> None:
        """Write to the store; while the GCS is away this is given up: cells say themselves what they are."""
        try:
            await asyncio.to_thread(operation, *arguments)
        except (RayError, OSError, RuntimeError) as error:
            print(f"{self._title}: {operation.__name__}: {error}", file=sys.stderr, flush=True)

    async def _save(self) -> None:
        await asyncio.to_thread(self._kv_put, "desired", self._desired.to_dict())

    async def _find_cells(self) -> None:
        mine = namespace(self._mesh)
        listed = await asyncio.to_thread(ray.util.list_named_actors, True)
        names = [a["name"] for a in listed if a["namespace"] == mine and a["name"].startswith("cell-")]
        for found in await asyncio.gather(*(self._find_cell(name) for name in names)):
            if found is not None:
                self._on(found)
                self._spawn(self._attend(found.cell))

    async def _find_cell(self, name: str) -> m.Found | None:
        try:
            handle = self._handles[name] = await asyncio.to_thread(ray.get_actor, name, namespace(self._mesh))
            said = await answered(handle.hello.remote(self._epoch), self._hang_s)
        except (ValueError, RayError):
            self._handles.pop(name, None)
            return None
        except TimeoutError:
            said = await asyncio.to_thread(self._kv_get, f"cell/{name}")
            if said is None:  # never told to be anything: nothing is lost with it
                await self._discard(name)
                return None
        order = said["order"]
        if order is None:
            return m.Found(name, said["node"], said["pid"], said["start"], None, None)
        epoch, counter = order["incarnation"]
        spec = ChildSpec.from_dict(order["spec"])
        serving = said.get("serving", True)
        return m.Found(
            name, said["node"], said["pid"], said["start"], (epoch, counter), spec, order["restarts"], serving
        )

    @property
    def _epoch(self) -> int:
        return self._machine.routes.epoch

    # --- the loops ----------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        last_ns = time.monotonic_ns()
        attended: dict[str, str] = {}
        while True:
            await asyncio.sleep(PERIOD_S)
            now_ns = time.monotonic_ns()
            own_title(self._title)
            self._pulse.beat(now_ns, now_ns - last_ns - int(PERIOD_S * 1e9))
            last_ns = now_ns
            if not self._ready.is_set():
                continue
            self._on(m.Tick())
            agents = {
                child.spec.node: child.cell
                for child in self._machine.children.values()
                if child.spec.tier is Tier.AGENT
                and child.state is ChildState.SERVING
                and child.cell
                and child.spec.node
            }
            for node, cell in agents.items():
                if attended.get(node) != cell:
                    attended[node] = cell
                    self._answers[cell] = 0
                    self._spawn(self._health(cell, node))
            self._answers = {cell: self._answers.get(cell, 0) for cell in agents.values()}
            for cell in self._agents.look(self._answers, now_ns):
                self._on(m.Hung(cell))

    async def _watch_nodes(self) -> None:
        while True:
            try:
                listed = await asyncio.to_thread(ray.nodes)
            except (RayError, OSError, RuntimeError):  # the GCS is away: nothing is known to have changed
                await asyncio.sleep(NODES_S)
                continue
            alive = {n["NodeID"]: n.get("Labels") or {} for n in listed if n["Alive"]}
            for node in [node for node in self._machine.nodes if node not in alive]:
                self._on(m.NodeLost(node))
            for node, labels in alive.items():
                if self._machine.nodes.get(node) != labels:
                    self._on(m.NodeSeen(node, labels))
            await asyncio.sleep(NODES_S)

    async def _health(self, cell: str, node: str) -> None:
        """Long-poll one agent while it serves."""
        stale: list[str] = []
        address = agent_address(node)
        while cell in self._answers:
            try:
                said = await self._ask_cell(cell, address, "poll:health", {"stale": stale}, HEALTH_S, 3600.0)
            except (MeshError, RayError, TimeoutError):
                await asyncio.sleep(PERIOD_S)
                continue
            if cell in self._answers:
                self._answers[cell] += 1
            for name in said["stale"]:
                if name not in stale:
                    self._on(m.Hung(name))
            stale = said["stale"]

    async def _follow_catalog(self, exchange: str) -> None:
        address, after = plans.catalog_address(exchange), 0
        while not self._machine.ending:
            route = self._machine.routes.get(address)
            if route is None:
                await self._wait_routes(self._machine.routes.version, None, 1.0)
                continue
            try:
                body = {"after": after}
                said = await self._ask_cell(route.cell, address, "poll:instruments", body, CATALOG_S, CATALOG_S + 1.0)
            except (MeshError, RayError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            if said and said.get("version", 0) != after:
                after = said["version"]
                self._desired.listed(exchange, said["instruments"])
                self._replan(exchange)

    # --- events and effects -------------------------------------------------------------------------------------------

    def _on(self, event: m.Event) -> None:
        version = self._machine.routes.version
        for effect in self._machine.on(event, time.monotonic_ns()):
            self._spawn(self._perform(effect))
        if self._machine.routes.version != version:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _until(self, reached: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Return when the machine has come there, or at the timeout."""
        deadline = None if timeout_s is None else self._home.time() + timeout_s
        while not reached() and (deadline is None or self._home.time() < deadline):
            await self._moved.wait()  # the machine ticks, so this returns soon

    async def _perform(self, effect: m.Effect) -> None:
        match effect:
            case m.Create(cell, node):
                await self._create(cell, node)
            case m.AdoptCell():
                await self._adopt(effect)
            case m.StopCell(cell, timeout_s):
                try:
                    await answered(self._handles[cell].stop.remote(self._epoch, timeout_s), timeout_s + 1.0)
                except (KeyError, RayError, TimeoutError, MeshError):
                    return  # its deadline or its death follows
            case m.KillCell(cell, node, pid, start, agent):
                await self._kill(cell, node, pid, start, agent)
            case m.Discard(cell):
                await self._discard(cell)
            case m.Sweep(node):
                sweeper = self._machine.routes.get(agent_address(node))
                if sweeper is not None:
                    try:
                        await self._ask_cell(sweeper.cell, sweeper.address, "sweep", None, 5.0, 5.0)
                    except (MeshError, RayError, TimeoutError):
                        return  # it sweeps by itself every second

    async def _create(self, cell: str, node: str) -> None:
        try:
            handle = CellActor.options(
                name=cell,
                namespace=namespace(self._mesh),
                lifetime="detached",
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            ).remote(self._mesh, cell, self._hang_s)
            self._handles[cell] = handle
            said = await asyncio.wrap_future(handle.hello.remote(self._epoch).future())
        except (RayError, ValueError) as error:
            self._on(m.CreateFailed(cell, str(error)[:500]))
            return
        self._on(m.CellCreated(cell, said["pid"], said["start"]))
        self._spawn(self._attend(cell))

    async def _attend(self, cell: str) -> None:
        """Pend on the cell's life. Doubt is asked again; a newer supervisor's word ends this one."""
        while cell in self._handles:
            try:
                said = await asyncio.wrap_future(self._handles[cell].life.remote(self._epoch).future())
            except ActorUnavailableError:
                await asyncio.sleep(PERIOD_S)
                continue
            except ActorDiedError:
                break
            except RayError as raised:
                if isinstance(getattr(raised, "cause", None), MeshError):
                    os._exit(0)  # fenced: there is a newer supervisor
                break
            if said["why"] == "superseded":
                os._exit(0)
            self._on(m.Failed(cell, said["error"]))
        self._handles.pop(cell, None)
        self._on(m.Died(cell))
        await self._kv(self._kv_del, f"cell/{cell}")

    async def _adopt(self, effect: m.AdoptCell) -> None:
        order = {
            "epoch": self._epoch,
            "incarnation": list(effect.incarnation),
            "spec": effect.spec.to_dict() | {"config": self._config_of(effect.spec)},
            "restarts": effect.restarts,
            "predecessor": effect.predecessor,
        }
        handle = self._handles.get(effect.cell)
        if handle is None:
            return
        cell = self._machine.cells[effect.cell]
        known = {"node": cell.node, "pid": cell.pid, "start": cell.start, "order": order}
        self._spawn(self._kv(self._kv_put, f"cell/{effect.cell}", known))
        try:
            said = await asyncio.wrap_future(handle.adopt.remote(order).future())
        except RayError:
            return  # its death or its deadline follows
        if said["ok"]:
            self._on(m.Adopted(effect.cell))
        else:
            self._on(m.Failed(effect.cell, said["error"]))

    def _config_of(self, spec: ChildSpec) -> dict[str, Any]:
        if spec.tier is Tier.AGENT:
            limit = float(self._desired.config.get("supervisor_limit_s", max(5.0, 5 * self._hang_s)))
            return {"hang_limit_s": self._hang_s, "supervisor_limit_s": limit, **spec.config}
        return spec.config

    async def _kill(self, cell: str, node: str, pid: int, start: int, agent: str | None) -> None:
        if agent is None or not pid:
            self._on(m.KillFailed(cell))
            return
        try:
            body = {"pid": pid, "start": start, "timeout_s": 2.0}
            gone = await self._ask_cell(agent, agent_address(node), "kill", body, 2.5, 2.5)
        except (MeshError, RayError, TimeoutError):
            gone = False
        self._on(m.Died(cell) if gone else m.KillFailed(cell))

    async def _discard(self, cell: str) -> None:
        handle = self._handles.pop(cell, None)
        try:
            handle = handle or await asyncio.to_thread(ray.get_actor, cell, namespace(self._mesh))
            await asyncio.to_thread(ray.kill, handle)
        except (ValueError, RayError):
            return  # it is gone

    async def _ask_cell(
        self, cell: str, address: str, kind: str, body: Any, timeout_s: float, deadline_s: float
    ) -> Any:
        handle = self._handles.get(cell)
        if handle is None:
            raise TimeoutError
        self._sequence += 1
        sender = f"supervisor@{self._epoch}"
        envelope = Envelope(address, sender, (0, 0), self._sequence, kind, timeout_s, body).pack()
        method = handle.poll if kind.startswith("poll:") else handle.ask
        return unpack_reply(await answered(method.remote(envelope), deadline_s))

    # --- what is asked ------------------------------------------------------------------------------------------------

    async def _wait_routes(self, after: int, addresses: list[str] | None, timeout_s: float) -> dict[str, Any]:
        deadline = self._home.time() + timeout_s
        table = self._machine.routes
        while not table.changed_since(after, addresses) and (left := deadline - self._home.time()) > 0:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                break
        answer = table.to_dict(addresses, instruments=addresses is None)
        if addresses is None:
            answer["exchanges"] = self._desired.exchanges
            answer["tracked"] = {  # whether or not somebody serves it just now
                served: plain
                for child in self._machine.children.values()
                if child.wanted
                for served, plain in child.spec.serves
                if plain is not None
            }
        return answer

    async def _resolve(self, address: str) -> dict[str, Any] | None:
        route: Route | None = self._machine.routes.get(address)
        return None if route is None else route.to_dict()

    async def _rule(self, exchange: str, track: bool, pairs: Iterable[str]) -> None:
        self._desired.rule(exchange, track, pairs)
        await self._save()
        self._replan(exchange)

    def _replan(self, exchange: str) -> None:
        if self._machine.ending:
            return
        running = {address: child.spec for address, child in self._machine.children.items() if child.wanted}
        todo = self._desired.books(exchange, running)
        if todo.unwant:
            self._on(m.Unwant(todo.unwant))
        for spec in todo.amend:
            before = running[spec.address]
            self._on(m.Amend(spec))
            self._spawn(self._tell_amended(spec, before))
        if todo.want:
            self._on(m.Want(todo.want))

    async def _tell_amended(self, spec: ChildSpec, before: ChildSpec) -> None:
        """Tell a running group which pairs it has lost. What it does not hear, its next incarnation knows."""
        left = {plain["name"] for plain in spec.config["instruments"]}
        route = self._machine.routes.get(spec.address)
        for plain in before.config["instruments"]:
            if plain["name"] not in left and route is not None:
                await self._said(route.cell, spec.address, "untrack", {"pair": plain["name"]})

    async def _restart(self, pattern: str) -> list[str]:
        found = sorted(a for a in self._machine.children if a == pattern or fnmatchcase(a, pattern))
        if not found:
            raise Misconfigured(f"restart {pattern!r}", "matches no child of the mesh")
        self._on(m.RestartAsked(tuple(found)))
        await self._until(lambda: not any(address in self._machine.rolling for address in found))
        return found

    async def _mirror(self, node: str, addresses: list[str]) -> float:
        if node not in self._machine.nodes:
            raise Misconfigured(f"node {node[:12]}", "is not part of the cluster")
        self._leases.ask(node, addresses, time.monotonic_ns())
        return LEASE_S

    async def _mirrors(self) -> None:
        """Keep a mirror on each node that asks, and tell it its sources when they or its cell change."""
        told: dict[str, Any] = {}
        limit_s = float(self._desired.config.get("heartbeat_limit_s", 0.25))
        while not self._machine.ending:
            await asyncio.sleep(MIRROR_S)
            nodes = [node for node in self._leases.nodes(time.monotonic_ns()) if node in self._machine.nodes]
            gone = [
                a for a in self._machine.children if a.startswith("mirror/") and a not in map(mirror_address, nodes)
            ]
            if gone:
                self._on(m.Unwant(tuple(gone)))
            for node in nodes:
                address = mirror_address(node)
                if address not in self._machine.children:
                    self._on(m.Want((mirror_spec(node, limit_s),)))
                route = self._machine.routes.get(address)
                if route is None:
                    continue
                specs = {a: child.spec for a, child in self._machine.children.items()}
                sources = self._leases.sources(node, self._machine.routes, specs)
                if told.get(node) != (route.cell, sources) and await self._said(
                    route.cell, address, "follow", {"sources": sources}
                ):
                    told[node] = (route.cell, sources)

    async def _shutdown(self, timeout_s: float) -> bool:
        self._on(m.ShutDown())
        await self._until(lambda: self._machine.ended, timeout_s)
        if self._machine.ended:
            self._pulse.path.unlink(missing_ok=True)
            await asyncio.to_thread(sweep, self._segments)
            leave(self._segments)
            await asyncio.to_thread(self._forget)
        return self._machine.ended

    def _forget(self) -> None:
        for key in internal_kv._internal_kv_list(f"{self._mesh}/".encode(), namespace=KV):
            if not key.endswith(b"/epoch"):
                internal_kv._internal_kv_del(key, namespace=KV)

    async def _status(self) -> dict[str, Any]:
        machine = self._machine
        agents = [r for r in machine.routes if r.address.startswith("agent/")]
        usage: dict[str, dict[str, Any]] = {}
        for said in await asyncio.gather(*(self._said(r.cell, r.address, "usage") for r in agents)):
            usage |= said or {}
        serving = [c for c in machine.children.values() if c.state is ChildState.SERVING and c.cell]
        reports = dict(
            zip(
                (c.spec.address for c in serving),
                await asyncio.gather(*(self._report(c.cell) for c in serving if c.cell)),
                strict=True,
            )
        )
        return describe(machine, usage, reports, self._desired.refused) | {
            "mesh": self._mesh,
            "pid": os.getpid(),
            "exchanges": self._desired.exchanges,
            "unread": self._desired.unread,
            "refused": self._desired.refused,
        }

    async def _said(self, cell: str, address: str, kind: str, body: Any = None) -> Any:
        try:
            return await self._ask_cell(cell, address, kind, body, 1.0, 1.0)
        except (MeshError, RayError, TimeoutError):
            return None

    async def _report(self, cell: str) -> dict[str, Any] | None:
        try:
            said: dict[str, Any] = await answered(self._handles[cell].report.remote(), 0.5)
        except (KeyError, RayError, TimeoutError):
            return None
        return said


_OPTIONS: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0, "concurrency_groups": GROUPS}
SupervisorActor: Any = ray.remote(**_OPTIONS)(Supervisor)


def create(config: dict[str, Any]) -> Any:
    """Start the supervisor of a mesh on the Ray cluster this process is connected to; return its handle.

    Raises:
        ValueError: there is one already (Ray's own error for a taken name).
    """
    return SupervisorActor.options(name=SUPERVISOR, namespace=namespace(config["mesh"]), lifetime="detached").remote(
        config
    )

"""`Cells` over Ray: creates, finds, adopts, asks, kills and discards cells by name. This module decides nothing.

Messages to a role on the supervisor's own node go over the cell's socket; when the socket is gone, over Ray.
`actors.cell.ray_calls` maps Ray's errors. Calls that may block on the GCS run in threads, so the supervisor's loop
keeps running while the GCS is away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..actors.cell.messages import ASK_METHOD, POLL, POLL_METHOD, Envelope, Gone, unpack_reply
from ..actors.cell.near import Method, socket_name
from ..actors.cell.near_client import Lost, NearCalls, NotSent
from ..actors.cell.ray_calls import call, find, in_thread, namespace
from ..actors.cell.ray_cell import CellActor
from .cells import PREFIX, NodeFacts


class RayCells:
    """The cells of one mesh. `epoch` is the supervisor's; it is set before the first call to a cell."""

    def __init__(
        self,
        mesh: str,
        leases: tuple[float, float],
        node: str,
        near: NearCalls,
        connectors: tuple[str, ...] = (),
    ) -> None:
        """`leases` are those of `Cell`; `node` is the node of this process; `near` calls its sockets; cells
        load `connectors` at their start."""
        self._connectors = connectors
        self._mesh, self._leases, self._node, self._near = mesh, leases, node, near
        self._sockets: dict[str, str] = {}  # by cell, of the cells on this node that have a role
        self._here: set[str] = set()  # the cells on this node
        self._namespace = namespace(mesh)
        self._handles: dict[str, Any] = {}
        self._sequence = 0
        self.epoch = 0

    def __contains__(self, cell: str) -> bool:
        return cell in self._handles

    def forget(self, cell: str) -> None:
        self._handles.pop(cell, None)
        self._sockets.pop(cell, None)
        self._here.discard(cell)

    async def nodes(self) -> dict[str, NodeFacts]:
        """Return the living nodes of the cluster. Raises Unreachable."""
        listed: list[dict[str, Any]] = await in_thread(ray.nodes)
        return {
            n["NodeID"]: NodeFacts(n.get("Labels") or {}, n.get("NodeManagerHostname") or "")
            for n in listed
            if n["Alive"]
        }

    async def names(self) -> list[str]:
        """Return the names of this mesh's cells that the cluster knows. Raises Unreachable."""
        listed: list[dict[str, Any]] = await in_thread(ray.util.list_named_actors, True)
        return [a["name"] for a in listed if a["namespace"] == self._namespace and a["name"].startswith(PREFIX)]

    async def find(self, cell: str) -> None:
        """Get the handle of a cell that this process did not create. Raises Gone (no such cell), Unreachable."""
        self._handles[cell] = await find(cell, self._mesh)

    async def hello(self, cell: str, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the cell's identity and assignment. Raises Gone, Unreachable, TimeoutError, Fenced."""
        answer: dict[str, Any] = await self._call(cell, timeout_s, "hello", self.epoch)
        if answer["node"] == self._node:
            self._here.add(cell)
            if answer["assignment"] is not None:
                self._note_socket(cell, answer["assignment"])
        return answer

    def _note_socket(self, cell: str, assignment: Mapping[str, Any]) -> None:
        epoch, counter = assignment["incarnation"]
        self._sockets[cell] = socket_name(assignment["spec"]["address"], (epoch, counter))

    async def create(self, cell: str, node: str, trading: bool = False) -> dict[str, Any]:
        """Create a cell on a node; return its `hello` when it runs. Raises Gone, Unreachable, ValueError.

        `trading`: the cell also imports the modules of an order manager.
        """
        options = CellActor.options(
            name=cell,
            namespace=self._namespace,
            lifetime="detached",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        self._handles[cell] = await in_thread(options.remote, self._mesh, cell, self._leases, trading, self._connectors)
        return await self.hello(cell)

    async def life(self, cell: str) -> dict[str, Any]:
        """Wait as long as the cell lives; return why its life ended. Raises Gone, Unreachable, Fenced."""
        answer: dict[str, Any] = await self._call(cell, None, "life", self.epoch)
        return answer

    async def adopt(self, cell: str, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """Give a spare its assignment; return the result of `Cell.adopt`. Raises Gone, Unreachable, Fenced."""
        answer: dict[str, Any] = await self._call(cell, None, "adopt", assignment)
        if answer["ok"] and cell in self._here:
            self._note_socket(cell, assignment)
        return answer

    async def stop(self, cell: str, timeout_s: float, final: bool) -> None:
        """Stop the role, then the cell; `final`: see `Context.is_final`.

        Raises Gone, Unreachable, TimeoutError, Fenced.
        """
        more = () if final else (False,)  # a cell of an older version takes two arguments: for it every end is final
        await self._call(cell, timeout_s + 1.0, "stop", self.epoch, timeout_s, *more)

    async def status(self, cell: str, timeout_s: float) -> dict[str, Any]:
        """Return the role's status. Raises Gone, Unreachable, TimeoutError."""
        packed = await self._call_near(cell, timeout_s, Method.STATUS, b"")
        answer: dict[str, Any] = await self._call(cell, timeout_s, "status") if packed is None else unpack_reply(packed)
        return answer

    async def ask(self, cell: str, address: str, kind: str, body: Any, timeout_s: float, deadline_s: float) -> Any:
        """Send one message to the role of a cell.

        Raises Gone, Unreachable, TimeoutError, Fenced (a later supervisor has called the cell, or the role is another),
        and the role's errors.
        """
        self._sequence += 1
        sender = f"supervisor@{self.epoch}"
        envelope = Envelope(address, sender, (self.epoch, 0), self._sequence, kind, timeout_s, body).pack()
        is_poll = kind.startswith(POLL)
        packed = await self._call_near(cell, deadline_s, Method.POLL if is_poll else Method.ASK, envelope)
        if packed is None:
            packed = await self._call(cell, deadline_s, POLL_METHOD if is_poll else ASK_METHOD, envelope)
        return unpack_reply(packed)

    async def _call_near(self, cell: str, timeout_s: float, method: Method, content: bytes) -> bytes | None:
        """Return the packed reply over the socket of a cell; None: it has none, or its socket is gone."""
        name = self._sockets.get(cell)
        if name is None:
            return None
        try:
            return await self._near.call(name, method, content, timeout_s)
        except (NotSent, Lost):  # Ray knows whether the cell has ended; if not, it knows the message already
            return None

    async def discard(self, cell: str) -> None:
        """Make Ray end the cell in any state. Raises Gone, Unreachable."""
        if cell not in self._handles:
            await self.find(cell)
        handle = self._handles.get(cell)
        self.forget(cell)
        if handle is not None:
            try:
                await in_thread(ray.kill, handle)
            except ValueError as error:
                raise Gone from error

    async def _call(self, cell: str, timeout_s: float | None, method: str, *arguments: Any) -> Any:
        handle = self._handles.get(cell)
        if handle is None:
            raise Gone(sent=False)
        return await call(handle, method, *arguments, timeout_s=timeout_s)

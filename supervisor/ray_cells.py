"""`Cells` over Ray: creates, finds, adopts, asks, kills and discards cells by name. This module decides nothing.

`actors.cell.ray_calls` maps Ray's errors. Calls that may block on the GCS run in threads, so the supervisor's loop
keeps running while the GCS is away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..actors.cell.messages import POLL, Envelope, Gone, unpack_reply
from ..actors.cell.ray_calls import call, find, in_thread, namespace
from ..actors.cell.ray_cell import CellActor
from .cells import PREFIX


class RayCells:
    """The cells of one mesh. `epoch` is the supervisor's; it is set before the first call to a cell."""

    def __init__(self, mesh: str, lease_s: float) -> None:
        self._mesh, self._lease_s = mesh, lease_s
        self._namespace = namespace(mesh)
        self._handles: dict[str, Any] = {}
        self._sequence = 0
        self.epoch = 0

    def __contains__(self, cell: str) -> bool:
        return cell in self._handles

    def forget(self, cell: str) -> None:
        self._handles.pop(cell, None)

    async def nodes(self) -> dict[str, Mapping[str, str]]:
        """Return the living nodes of the cluster and their labels. Raises Unreachable."""
        listed: list[dict[str, Any]] = await in_thread(ray.nodes)
        return {n["NodeID"]: n.get("Labels") or {} for n in listed if n["Alive"]}

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
        return answer

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
        self._handles[cell] = await in_thread(options.remote, self._mesh, cell, self._lease_s, trading)
        return await self.hello(cell)

    async def life(self, cell: str) -> dict[str, Any]:
        """Wait as long as the cell lives; return why its life ended. Raises Gone, Unreachable, Fenced."""
        answer: dict[str, Any] = await self._call(cell, None, "life", self.epoch)
        return answer

    async def adopt(self, cell: str, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """Give a spare its assignment; return the result of `Cell.adopt`. Raises Gone, Unreachable, Fenced."""
        answer: dict[str, Any] = await self._call(cell, None, "adopt", assignment)
        return answer

    async def stop(self, cell: str, timeout_s: float) -> None:
        """Stop the role, then the cell. Raises Gone, Unreachable, TimeoutError, Fenced."""
        await self._call(cell, timeout_s + 1.0, "stop", self.epoch, timeout_s)

    async def status(self, cell: str, timeout_s: float) -> dict[str, Any]:
        """Return the role's status. Raises Gone, Unreachable, TimeoutError."""
        answer: dict[str, Any] = await self._call(cell, timeout_s, "status")
        return answer

    async def ask(self, cell: str, address: str, kind: str, body: Any, timeout_s: float, deadline_s: float) -> Any:
        """Send one message to the role of a cell. Raises Gone, Unreachable, TimeoutError, and the role's errors."""
        self._sequence += 1
        sender = f"supervisor@{self.epoch}"
        envelope = Envelope(address, sender, (0, 0), self._sequence, kind, timeout_s, body).pack()
        return unpack_reply(await self._call(cell, deadline_s, "poll" if kind.startswith(POLL) else "ask", envelope))

    async def discard(self, cell: str) -> None:
        """Make Ray end the cell in any state. Raises Gone, Unreachable."""
        if cell not in self._handles:
            await self.find(cell)
        handle = self._handles.pop(cell, None)
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

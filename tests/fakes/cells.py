"""Fakes of the supervisor's two ports: the cells and the durable store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from venuemesh.actors.cell.messages import Gone, Unreachable
from venuemesh.supervisor.cells import NodeFacts
from venuemesh.supervisor.retrying_store import StoreAway


class FakeStore:
    """`GcsStore` in memory. Fails the next `away` operations."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.away = 0
        self.failures = 0

    def _try(self) -> None:
        if self.away:
            self.away -= 1
            self.failures += 1
            raise StoreAway("down")

    def get(self, name: str) -> Any:
        self._try()
        return self.values.get(name)

    def put(self, name: str, value: Any) -> None:
        self._try()
        self.values[name] = value

    def delete(self, name: str) -> None:
        self._try()
        self.values.pop(name, None)

    def names(self, beginning: str) -> list[str]:
        self._try()
        return [name for name in self.values if name.startswith(beginning)]

    def next_epoch(self) -> int:
        self._try()
        self.values["epoch"] = epoch = self.values.get("epoch", 0) + 1
        return epoch

    def clear(self) -> None:
        self._try()
        self.values = {"epoch": self.values["epoch"]}


class FakeCells:
    """`Cells` in memory: `cells` has each cell's own answers. The GCS is away `away` times."""

    def __init__(self, cells: Mapping[str, Any] | None = None) -> None:
        self.cells: dict[str, Any] = dict(cells or {})
        self.held: set[str] = set()
        self.epoch = 0
        self.away = 0
        self.gone: set[str] = set()  # cells that are listed and have ended
        self.created: list[str] = []
        self.adopted: list[Mapping[str, Any]] = []
        self.refusals: dict[str, Exception] = {}  # by cell: its answer to every message
        self.statuses: dict[str, dict[str, Any]] = {}  # by cell; a cell that has none does not answer
        self.asked: list[tuple[str, str, Any]] = []  # messages: cell, kind, body

    def __contains__(self, cell: str) -> bool:
        return cell in self.held

    def _try(self) -> None:
        if self.away:
            self.away -= 1
            raise Unreachable("the GCS is away")

    def forget(self, cell: str) -> None:
        self.held.discard(cell)

    async def nodes(self) -> dict[str, NodeFacts]:
        self._try()
        return {"n": NodeFacts({})}

    async def names(self) -> list[str]:
        self._try()
        return list(self.cells)

    async def find(self, cell: str) -> None:
        self._try()
        if cell not in self.cells or cell in self.gone:
            raise Gone(sent=False)
        self.held.add(cell)

    async def hello(self, cell: str, timeout_s: float | None = None) -> dict[str, Any]:
        status: dict[str, Any] = self.cells[cell]
        return status

    async def create(self, cell: str, node: str, trading: bool = False) -> dict[str, Any]:
        self._try()
        self.created.append(cell)
        self.held.add(cell)
        number = len(self.created)
        self.cells[cell] = status = {"node": node, "pid": number, "start": number, "assignment": None}
        return status

    async def life(self, cell: str) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def adopt(self, cell: str, assignment: Mapping[str, Any]) -> dict[str, Any]:
        self.adopted.append(assignment)
        return {"ok": True}

    async def stop(self, cell: str, timeout_s: float, final: bool) -> None: ...

    async def ask(self, cell: str, address: str, kind: str, body: Any, timeout_s: float, deadline_s: float) -> Any:
        self.asked.append((cell, kind, body))
        if cell in self.refusals:
            raise self.refusals[cell]
        if cell not in self.statuses:
            raise TimeoutError
        return None

    async def status(self, cell: str, timeout_s: float) -> dict[str, Any]:
        if cell not in self.statuses:
            raise TimeoutError
        return self.statuses[cell]

    async def discard(self, cell: str) -> None:
        self._try()
        self.held.discard(cell)

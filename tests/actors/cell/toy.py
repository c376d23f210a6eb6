"""A role that returns its identity, fails on request, and records how its task ended."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from venuemesh.actors.cell.role import Context
from venuemesh.model.errors import Rejected


class Nobody:
    """Routes without an address."""

    async def find(self, address: str, newer_than: Any, timeout_s: float) -> None:
        return None


async def nowhere(*_: Any) -> bytes:
    raise AssertionError("nothing is sent")


class Toy:
    reads: ClassVar[frozenset[str]] = frozenset({"who", "broken_read"})

    def __init__(self, context: Context, ended: list[Any] | None = None) -> None:
        self.context, self.ended, self.beats, self.handled = context, [] if ended is None else ended, 0, 0
        self.broken: str | None = None  # which of start, stop, beat raises
        self.may_start = asyncio.Event()  # until it is set, the role starts
        self.may_start.set()

    def _maybe(self, method: str) -> None:
        if self.broken == method:
            raise KeyError(method)

    async def start(self) -> None:
        await self.may_start.wait()
        self._maybe("start")
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(("task", self.context.incarnation))

    async def stop(self) -> None:
        self._maybe("stop")
        self.context.alive()
        self.ended.append(("stop", self.context.incarnation))
        self._task.cancel()

    async def handle(self, kind: str, body: Any) -> Any:
        self.handled += 1
        match kind:
            case "who":
                return {"incarnation": list(self.context.incarnation), "restarts": self.context.restarts, "body": body}
            case "ask":
                return await self.context.ask(body["address"], "who", None, 0.2)
            case "hang":
                await asyncio.Event().wait()
            case "fail":
                self.context.fail(KeyError("asked"))
                return "failed"
            case "broken_read" | "broken":
                raise KeyError(kind)
        raise Rejected("unknown_kind", kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        await asyncio.sleep(0)
        return kind

    def status(self) -> dict[str, Any]:
        return {"state": "SERVING", "error": None, "beats": self.beats}

    def beat(self) -> None:
        self._maybe("beat")
        self.beats += 1

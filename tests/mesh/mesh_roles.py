"""Roles of the tests, loaded by import path in the cells: this folder is on PYTHONPATH there."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from venuemesh.actors.cell.role import Context
from venuemesh.model.errors import Rejected


class EchoRole:
    """Answers what it is asked, counts, and misbehaves on request."""

    reads = frozenset({"echo", "count", "who", "stumble"})

    def __init__(self, config: dict[str, Any], context: Context) -> None:
        self._config, self._context = config, context
        self._asked = 0
        self._beats = 0

    async def start(self) -> None:
        if self._config.get("fail"):
            raise RuntimeError("told to fail")
        if self._config.get("linger"):
            await asyncio.Event().wait()

    async def stop(self) -> None: ...

    async def handle(self, kind: str, body: Any) -> Any:
        self._asked += 1
        match kind:
            case "echo":
                return body
            case "count":
                return self._asked
            case "who":
                return {"pid": os.getpid(), "incarnation": list(self._context.incarnation), "beats": self._beats}
            case "refuse":
                raise Rejected("no", "as asked")
            case "crash" | "stumble":
                raise RuntimeError("as asked")
            case "relay":  # ask another role on behalf of the caller
                return await self._context.ask(body["address"], body["kind"], body.get("body"), body["timeout_s"])
        raise Rejected("kind", kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        await asyncio.sleep(timeout_s)
        return {"slept": timeout_s}

    def status(self) -> dict[str, Any]:
        return {"state": "SERVING", "error": None, "asked": self._asked}

    def beat(self) -> None:
        self._context.alive()
        self._beats += 1

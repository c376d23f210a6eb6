"""Roles of the tests, loaded in the cells by import path: their PYTHONPATH has this folder."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from venuemesh.actors.cell.role import Context
from venuemesh.model.errors import Rejected


@dataclass(frozen=True, slots=True)
class EchoSettings:
    """How the echo role misbehaves at its start."""

    fail: bool = False
    linger: bool = False


class EchoRole:
    """Returns its messages, counts, and misbehaves on request."""

    reads = frozenset({"echo", "count", "who", "stumble"})

    def __init__(self, settings: EchoSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._asked = 0
        self._beats = 0

    async def start(self) -> None:
        if self._settings.fail:
            raise RuntimeError("told to fail")
        if self._settings.linger:
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

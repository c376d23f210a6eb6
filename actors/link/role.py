"""The role of a link: on a node whose books other nodes read, it sends their mirrors what changes (`server`).

It runs while a mirror of another node needs it. It reads segments only, so it may die at any moment: mirrors show its
books SILENT until its successor serves. A new incarnation starts empty, with another secret and, unless the port is
set, another port.

    where     the host, the port and the secret of this incarnation: for mirrors, over Ray
    stats     the same as `status`
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from ..cell.role import Context
from .access import SECRET_BYTES, cluster_token, link_key, tls_context
from .server import LinkServer
from .settings import LinkSettings


class LinkRole:
    """See the module."""

    reads = frozenset({"where", "stats"})

    def __init__(self, settings: LinkSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._server: LinkServer | None = None
        self._port = 0

    async def start(self) -> None:
        """Listen. Raises Misconfigured: the port, Ray's token or the files of Ray's TLS cannot be used."""
        context = self._context
        token = await asyncio.to_thread(cluster_token)
        tls = await asyncio.to_thread(tls_context, True)
        key = link_key(token, self._secret)
        self._server = LinkServer(context.segments, key, tls, context.fail, context.monotonic_ns, context.time_ns)
        self._port = await self._server.open(context.host, self._settings.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def handle(self, kind: str, body: Any) -> Any:
        match kind:
            case "where":
                return {"host": self._context.host, "port": self._port, "secret": self._secret}
            case "stats":
                return self.status()
        raise self._context.unknown(kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        raise self._context.unknown_poll(kind)

    def status(self) -> dict[str, Any]:
        server = {} if self._server is None else self._server.status()
        return {"state": "SERVING", "error": None, "host": self._context.host, "port": self._port, **server}

    def beat(self) -> None:
        self._context.alive()
        if self._server is not None:
            self._server.beat()

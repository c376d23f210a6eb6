"""The process of the local exchange: listeners for each protocol and the admin interface, the timer, the shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aiohttp import web

from ..model.errors import Misconfigured
from .admin.api import Admin
from .clock import Clock
from .face import Face, Protocol, find_protocols
from .options import Options
from .venue import SLICE_NS, Venue


class Server:
    """The exchange with its sockets. `start` returns when it serves; `urls` has the base URLs.

    `protocols` defaults to those of `options.protocols`.
    """

    def __init__(
        self, options: Options, clock: Clock | None = None, protocols: Sequence[Protocol] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.options = options
        self.clock = clock or Clock()
        self.venue = Venue(options, protocols or find_protocols(options.protocols), self.clock, loop.call_later)
        self.venue.crowd.paused = options.paused
        self.urls: dict[str, Any] = {}
        self._runners: list[web.AppRunner] = []
        self._beat: asyncio.Task[None] | None = None

    async def start(self) -> dict[str, Any]:
        """Listen and start trading; return the base URLs: of each protocol by its name, and `admin`.

        Raises:
            Misconfigured: cannot listen on an address.
        """
        protocols: dict[str, Any] = {}
        for position, (name, face) in enumerate(self.venue.faces.items()):
            protocols[name] = dict(face.urls(await self._serve(face, position)))
        admin, host = Admin(self.venue, self.options.admin_token), self.options.admin_host
        admin_port = await self._listen(admin.app(), host, self.options.admin_port, "--admin-port")
        # Every protocol is at the top level, and again under `protocols` for programs that iterate over all protocols.
        self.urls = {**protocols, "protocols": protocols, "admin": f"http://{_at(host, admin_port)}"}
        self._beat = asyncio.create_task(self._beats())
        return self.urls

    async def stop(self) -> None:
        """Announce the end to websocket clients and close everything."""
        if self._beat is not None:
            self._beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beat
        self.venue.announce_shutdown()
        for connection in list(self.venue.connections.values()):
            connection.close(1001, "Server shutdown", "shutdown")
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, face: Face, position: int) -> str:
        """Listen for one protocol, `position` ports after the first; return `address:port`."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_routes(face.routes())
        port = self.options.port and self.options.port + position
        port = await self._listen(app, self.options.host, port, "--port")
        return _at(self.options.host, port)

    async def _listen(self, app: web.Application, host: str, port: int, option: str) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise Misconfigured(option, f"cannot listen on {host}:{port}: {error.strerror}") from None
        bound: int = runner.addresses[0][1]
        return bound

    async def _beats(self) -> None:
        while True:
            now = self.clock.monotonic_ns()
            self.venue.beat(now)
            spent = self.clock.monotonic_ns() - now
            await asyncio.sleep(max(0.001, (SLICE_NS - spent) / 1e9))


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def serve(options: Options, ready: Callable[[dict[str, Any]], None] | None = None) -> int:
    """Run the exchange until SIGINT, SIGTERM or the end of `options.parent`; return the exit status, 0.

    Prints the base URLs as the first line of standard output, as one JSON object with `options.json`.

    Raises:
        Misconfigured: an option cannot be used.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    server = Server(options)
    watch = _watch_parent(options.parent, ended) if options.parent is not None else None
    try:
        urls = await server.start()
        _print(urls, options.json)
        if ready is not None:
            ready(urls)
        await ended.wait()
    finally:
        if watch is not None:
            watch()
        await server.stop()
    return 0


def _print(urls: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(urls).decode(), flush=True)
    else:
        for name, places in urls["protocols"].items():
            print(f"{name}: " + "  ".join(f"{role} {url}" for role, url in places.items()))
        print(f"admin: {urls['admin']}", flush=True)


def _watch_parent(pid: int, ended: asyncio.Event) -> Callable[[], None]:
    """Set `ended` when the process `pid` ends; return a function that stops the watch."""
    loop = asyncio.get_running_loop()
    if hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(pid)
        except OSError as error:
            raise Misconfigured("--parent", f"no process {pid}: {error.strerror}") from None
        loop.add_reader(handle, ended.set)

        def undo() -> None:
            loop.remove_reader(handle)
            os.close(handle)

        return undo

    async def poll() -> None:
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                ended.set()
                return
            await asyncio.sleep(0.2)

    task = loop.create_task(poll())

    def stop() -> None:
        task.cancel()

    return stop


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def run(options: Options) -> int:
    """Run `serve` on the fastest available loop; return the exit status. A wrong option prints one line: status 2."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(serve(options))
    except Misconfigured as error:
        print(error, file=sys.stderr)
        return 2

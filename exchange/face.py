"""The interface between a protocol and the local exchange, and the lookup of protocols by name.

A protocol is a folder of `exchange/` whose package has a `PROTOCOL`; nothing outside that folder names the protocol.
`PROTOCOL.face(floor)` makes the server side of one exchange over the market of `floor`. Several faces serve one market.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Structural

from aiohttp import web

from ..model.errors import Misconfigured
from .engine.accounts import Account
from .engine.market import Listener, Market
from .floor import Floor
from .wire.connection import Connection, ConnectionLimits


class Face(Listener, Structural):
    """The server side of one exchange's protocol. It gets the engine's events, like any `Listener`."""

    @property
    def name(self) -> str:
        """The protocol's name, as in `--protocols`."""

    @property
    def limits(self) -> ConnectionLimits:
        """The protocol's limits: a dataclass of numbers, changeable while running.

        `metadata["least"]`: a field's minimum.
        """

    @property
    def unknown_outcomes(self) -> Sequence[int | str]:
        """The error codes that mean "outcome unknown"; the first is the usual one of `accept_then_status`."""

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """The HTTP routes and websocket endpoints. Every protocol has a separate port, so paths cannot collide."""

    def urls(self, host: str) -> Mapping[str, str]:
        """Return the base URLs for clients; `host` is `address:port`."""

    def listed(self, market: Market) -> None:
        """Called when a symbol was listed: its streams begin."""

    def delisted(self, market: Market) -> None:
        """Called when a symbol was delisted."""

    def tick(self, number: int) -> None:
        """Send what is due; called every 10 ms with a rising number."""

    def flush(self, market: Market) -> None:
        """Send all pending changes of a book now, before their time."""

    def flush_user_data(self) -> None:
        """Send all pending user data now."""

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """Called when a deposit, or with a negative `delta` a withdrawal, changed a balance."""

    def locked_outside(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """Called when a system outside the engine locked `delta` of a balance, or (negative) released it."""

    def listeners(self, account: Account) -> set[Connection]:
        """Return the connections with an account's user data."""

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        """End the user data streams of an account, or those of one key; return their number."""

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        """Announce the end to some of the protocol's connections; return their number."""

    def forgive(self) -> None:
        """Reset the counts against limits, and bans."""

    def describe(self, connection: Connection) -> dict[str, Any]:
        """Return the protocol's own facts about one of its connections, as plain values."""

    def statistics(self) -> dict[str, Any]:
        """Counts: `messages_encoded`, `frames_sent`, `streams`, and `user_events` by type."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol in a folder. Without `--protocols` the exchange serves those marked `by_default`."""

    name: str
    face: Callable[[Floor], Face]
    by_default: bool = False


def protocol_names() -> list[str]:
    """Return the names of all protocols: the folders here that have a `PROTOCOL`."""
    return sorted(name for name in _folders() if _load(name) is not None)


def find_protocols(names: Sequence[str]) -> list[Protocol]:
    """Return protocols by name; without names the default ones.

    Raises:
        Misconfigured: a name that is unknown or given twice.
    """
    if not names:
        every = [_load(name) for name in _folders()]
        return [protocol for protocol in every if protocol is not None and protocol.by_default]
    found = []
    for name in names:
        protocol = _load(name) if name in _folders() else None
        if protocol is None:
            raise Misconfigured(
                "--protocols", f"unknown protocol {name!r}; the protocols are {', '.join(protocol_names())}"
            )
        if protocol in found:
            raise Misconfigured("--protocols", f"{name} is given twice")
        found.append(protocol)
    return found


def _folders() -> list[str]:
    package = importlib.import_module(__package__)
    return [module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg]


def _load(name: str) -> Protocol | None:
    found = getattr(importlib.import_module(f"{__package__}.{name}"), "PROTOCOL", None)
    return found if isinstance(found, Protocol) else None

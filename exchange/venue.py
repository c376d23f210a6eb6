"""The local exchange without its sockets: engine, participants, faults, and the protocols that serve the market."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..model.time import SECOND_NS
from .clock import Clock
from .engine.accounts import Account
from .engine.crowd import Crowd
from .engine.engine import Engine
from .engine.market import Listeners, Market
from .engine.rules import Rules, listing
from .face import Face, Protocol
from .faults import Faults
from .floor import Floor
from .options import Options
from .wire.connection import Connection

SLICE_NS = 10_000_000
BEHIND = 20  # most slices played after a stall; further slices are dropped
SUMMED = ("messages_encoded", "frames_sent", "streams")


class Venue:
    """One exchange. Everything runs in one thread; `beat` is called about every 10 ms."""

    def __init__(
        self,
        options: Options,
        protocols: Sequence[Protocol],
        clock: Clock,
        later: Callable[[float, Callable[[], None]], Any],
    ) -> None:
        self.options = options
        self.clock = clock
        self.faults = Faults(options.seed, later)
        listeners = Listeners()
        self.engine = Engine(listeners, options.history)
        self.floor = Floor(self.engine, self.faults, clock, later)
        self.faces: dict[str, Face] = {protocol.name: protocol.face(self.floor) for protocol in protocols}
        listeners.all.extend(self.faces.values())
        self.crowd = Crowd(self.engine, options.seed, options.rate)
        self.started_ns = clock.monotonic_ns()
        self._played = 0
        self._ticks = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._first_beat_ns: int | None = None
        for account in options.accounts:
            self.engine.add_account(account)
        for rules in listing(options.symbols):
            self.list(rules if options.levels is None else replace(rules, levels=options.levels))

    # -------------------------------------------------------------------------------------------------- time

    def beat(self, monotonic_ns: int) -> None:
        """Let the participants trade for the time that has passed, then send due messages."""
        if self._first_beat_ns is None:
            self._first_beat_ns = monotonic_ns
        due = (monotonic_ns - self._first_beat_ns) // SLICE_NS
        if due - self._played > BEHIND:
            self._played = due - BEHIND
        while self._played < due:
            self._played += 1
            if not self.crowd.paused:
                self.crowd.play(self.clock.now_ns())
            for face in self.faces.values():
                face.tick(self._ticks)
            self._ticks += 1
            if self._played % 10 == 0:
                self._keep(monotonic_ns)
        if self._waiting and not self.unsent:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _keep(self, monotonic_ns: int) -> None:
        for connection in list(self.connections.values()):
            connection.keep(monotonic_ns, self.faults.withholds_ping)

    def pause(self) -> None:
        """Stop the participants and send all pending changes. After that, levels change only by admin requests."""
        self.crowd.paused = True
        self.flush()

    def resume(self) -> None:
        self.crowd.paused = False

    def step(self, slices: int) -> int:
        """Play a number of slices of 10 ms, and send each window's diffs; return the number of changes."""
        made = 0
        for number in range(1, slices + 1):
            made += self.crowd.play(self.clock.now_ns())
            if number % 10 == 0 or number == slices:
                self.flush()
        return made

    def flush(self) -> None:
        """Send all pending diffs and user data now."""
        for market in list(self.engine.markets.values()):
            self.flush_market(market)
        for face in self.faces.values():
            face.flush_user_data()
        self.faults.release()

    def flush_market(self, market: Market) -> None:
        """Send all pending diffs of one symbol now."""
        for face in self.faces.values():
            face.flush(market)

    async def drained(self) -> None:
        """Wait until all frames are written to all clients."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    @property
    def connections(self) -> dict[int, Connection]:
        """The open websocket connections of all protocols, by number."""
        return self.floor.connections.open

    @property
    def unsent(self) -> int:
        """Bytes and held frames that are not written to clients yet."""
        return self.floor.connections.unsent + self.faults.held

    # ----------------------------------------------------------------------------------------------- symbols

    def list(self, rules: Rules) -> Market:
        """List a symbol and start its participants. No stream reports the first levels of the book."""
        market = self.engine.list(rules)
        self.crowd.join(market, self.clock.now_ns())
        for face in self.faces.values():
            face.listed(market)
        return market

    def delist(self, symbol: str) -> None:
        market = self.engine.market(symbol)
        self.crowd.leave(symbol)
        self.flush_market(market)
        self.engine.delist(symbol, self.clock.now_ns())
        self.flush_market(market)
        for face in self.faces.values():
            face.delisted(market)

    def market(self, symbol: str) -> Market:
        """Return a market or raise Rejected(UNKNOWN_SYMBOL)."""
        return self.engine.market(symbol)

    # ---------------------------------------------------------------------------------- events for protocols

    def balance_changed(self, account: Account, asset: str, delta: int) -> None:
        """Inform all protocols of a deposit or, with a negative `delta`, a withdrawal."""
        for face in self.faces.values():
            face.balance_changed(account, asset, delta, self.clock.now_ns())

    def locked_outside(self, account: Account, asset: str, delta: int) -> None:
        """Inform all protocols that another system locked `delta` or, if negative, released it."""
        for face in self.faces.values():
            face.locked_outside(account, asset, delta, self.clock.now_ns())

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        """End the user data streams of an account, or those of one key; return their number."""
        return sum(face.end_user_data(account, key) for face in self.faces.values())

    def announce_shutdown(self, connections: Sequence[Connection] | None = None) -> int:
        """Announce the end to some connections, or to all; return their number."""
        chosen = list(self.connections.values()) if connections is None else connections
        return sum(
            face.announce_shutdown([connection for connection in chosen if connection.protocol == name])
            for name, face in self.faces.items()
        )

    # ------------------------------------------------------------------------------------------------ numbers

    def statistics(self) -> dict[str, Any]:
        """Return counts since the start as plain values: sums over all protocols, then each protocol's own."""
        uptime = (self.clock.monotonic_ns() - self.started_ns) / SECOND_NS
        own = {name: face.statistics() for name, face in self.faces.items()}
        events: dict[str, int] = {}
        for counts in own.values():
            for kind, number in counts["user_events"].items():
                events[kind] = events.get(kind, 0) + number
        return {
            "uptime_s": round(uptime, 3),
            "cpu_s": round(time.process_time(), 3),
            "paused": self.crowd.paused,
            "rate": self.crowd.rate,
            "level_updates": sum(market.changes for market in self.engine.markets.values()),
            **{name: sum(counts[name] for counts in own.values()) for name in SUMMED},
            "user_events": events,
            "connections": len(self.connections),
            "unsent": self.unsent,
            "requests": dict(self.floor.requests),
            "statuses": {str(status): count for status, count in self.floor.statuses.items()},
            "faults_done": dict(self.faults.counters),
            "protocols": own,
            "symbols": {
                market.symbol: {
                    "status": market.rules.status,
                    "update_id": market.update_id,
                    "changes": market.changes,
                    "bids": len(market.bids.keys),
                    "asks": len(market.asks.keys),
                    "trades": len(market.trades),
                    "last_trade_id": market.next_trade_id - 1,
                }
                for market in self.engine.markets.values()
            },
        }

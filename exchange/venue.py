"""The local exchange without its sockets: engine, crowd, streams, faults, limits, and what the admin asks of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..model.time import SECOND_NS
from .binance.limits import Limits, Meter
from .binance.streams import Hub
from .binance.user_data import UserData
from .clock import Clock
from .engine.accounts import Account
from .engine.crowd import Crowd
from .engine.engine import Engine
from .engine.keys import ApiKey
from .engine.market import Market
from .engine.rules import Rules, listing
from .faults import Faults
from .options import Options
from .receipts import Receipts

SLICE_NS = 10_000_000
BEHIND = 20  # slices that are caught up at most after a stall; the rest is let go


class Venue:
    """One exchange. Everything runs in one thread; `beat` is called about every 10 ms."""

    def __init__(self, options: Options, clock: Clock, later: Callable[[float, Callable[[], None]], Any]) -> None:
        self.options = options
        self.clock = clock
        self.limits = Limits()
        self.meter = Meter(self.limits)
        self.faults = Faults(options.seed, later)
        self.hub = Hub(self.faults, clock.now_ns)
        self.engine = Engine(self.hub, options.history)
        self.hub.engine = self.engine
        self.user_data = self.hub.user_data = UserData(self.faults, clock.now_ns, later)
        self.crowd = Crowd(self.engine, options.seed, options.rate)
        self.started_ns = clock.monotonic_ns()
        self.receipts: dict[str, Receipts] = {}
        self.requests: dict[str, int] = {}
        self.statuses: dict[int, int] = {}
        self.next_connection = 1
        self._played = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._first_beat_ns: int | None = None
        for account in options.accounts:
            self.engine.add_account(account)
        for rules in listing(options.symbols):
            self.list(rules if options.levels is None else replace(rules, levels=options.levels))

    # -------------------------------------------------------------------------------------------------- time

    def beat(self, monotonic_ns: int) -> None:
        """Let the crowd trade what time has passed, then send what is due."""
        if self._first_beat_ns is None:
            self._first_beat_ns = monotonic_ns
        due = (monotonic_ns - self._first_beat_ns) // SLICE_NS
        if due - self._played > BEHIND:
            self._played = due - BEHIND
        while self._played < due:
            self._played += 1
            if not self.crowd.paused:
                self.crowd.play(self.clock.now_ns())
            self.hub.tick()
            if self._played % 10 == 0:
                self._keep(monotonic_ns)
        if self._waiting and not self.unsent:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _keep(self, monotonic_ns: int) -> None:
        for client in list(self.hub.clients.values()):
            client.keep(monotonic_ns, self.faults.withholds_ping)

    def pause(self) -> None:
        """Stop the crowd and send all that is pending: after this no level changes but by hand."""
        self.crowd.paused = True
        self.flush()

    def resume(self) -> None:
        self.crowd.paused = False

    def step(self, slices: int) -> int:
        """Play so many slices of 10 ms by hand, sending each window's diffs; return how many changes were made."""
        made = 0
        for number in range(1, slices + 1):
            made += self.crowd.play(self.clock.now_ns())
            if number % 10 == 0 or number == slices:
                self.flush()
        return made

    def flush(self) -> None:
        """Send all pending diffs now."""
        for market in list(self.engine.markets.values()):
            self.hub.flush(market)
        self.user_data.flush()
        self.faults.release()

    async def drained(self) -> None:
        """Wait until every client has been given everything."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    @property
    def unsent(self) -> int:
        """Bytes and held frames that clients have not been given yet."""
        return sum(client.unsent for client in self.hub.clients.values()) + self.faults.held

    # ----------------------------------------------------------------------------------------------- symbols

    def list(self, rules: Rules) -> Market:
        """List a symbol and let the crowd in."""
        market = self.engine.list(rules)
        self.crowd.join(market, self.clock.now_ns())
        market.take_pending()  # nobody listened while the book was filled
        self.hub.listed(rules.symbol)
        return market

    def delist(self, symbol: str) -> None:
        market = self.engine.market(symbol)
        self.crowd.leave(symbol)
        self.hub.flush(market)
        self.engine.delist(symbol, self.clock.now_ns())
        self.hub.flush(market)

    def market(self, symbol: str) -> Market:
        """Return a market or raise Rejected(UNKNOWN_SYMBOL)."""
        return self.engine.market(symbol)

    # ----------------------------------------------------------------------------------------------- accounts

    def owner(self, key: object) -> tuple[Account, ApiKey] | None:
        """The account and key that a key's name belongs to."""
        if isinstance(key, str):
            for account in self.engine.accounts.values():
                if key in account.keys:
                    return account, account.keys[key]
        return None

    def receipts_of(self, account: Account) -> Receipts:
        """What the exchange was asked to place for an account."""
        found = self.receipts.get(account.name)
        if found is None:
            found = self.receipts[account.name] = Receipts()
        return found

    # ------------------------------------------------------------------------------------------------ numbers

    def count(self, endpoint: str, status: int) -> None:
        """Count a request and how it was answered."""
        if endpoint in self.requests or len(self.requests) < 200:
            self.requests[endpoint] = self.requests.get(endpoint, 0) + 1
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def statistics(self) -> dict[str, Any]:
        """Plain values of what went on since the start."""
        uptime = (self.clock.monotonic_ns() - self.started_ns) / SECOND_NS
        return {
            "uptime_s": round(uptime, 3),
            "cpu_s": round(time.process_time(), 3),
            "paused": self.crowd.paused,
            "rate": self.crowd.rate,
            "level_updates": sum(market.changes for market in self.engine.markets.values()),
            "messages_encoded": self.hub.messages,
            "frames_sent": self.hub.frames,
            "user_events": dict(self.user_data.sent),
            "connections": len(self.hub.clients),
            "streams": len(self.hub.streams),
            "unsent": self.unsent,
            "requests": dict(self.requests),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "faults_done": dict(self.faults.counters),
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

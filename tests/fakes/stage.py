"""A book session of two pairs, whose connection, clock, budget and answers over REST the test controls."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.fakes.styles import ASKS, BIDS, SYMBOL, Model, connector
from tests.fakes.transport import FakeFeed, FakeRest
from tests.fakes.venue import Clock
from venuemesh.actors.book.ingest import NoSink, Pair
from venuemesh.actors.book.machine import BookMachine
from venuemesh.actors.book.shell import BookSession
from venuemesh.actors.book.surroundings import Surroundings
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l2 import OrderBook

OTHER = "CCCDDD"
NAMES = {SYMBOL: "BNB-BTC", OTHER: "CCC-DDD"}


class Budget:
    """Grants or refuses everything; records the requests."""

    def __init__(self) -> None:
        self.costs: list[Any] = []
        self.priorities: list[Any] = []
        self.refusal: Exception | None = None

    async def acquire(self, cost: Any, priority: Any = None, wait_s: float = 5.0) -> int:
        self.costs.append(cost)
        self.priorities.append(priority)
        if self.refusal is not None:
            raise self.refusal
        return 1

    async def connection(self) -> Any:
        await self.acquire((("connections", 1),))
        return lambda: None

    def answered(self, lease: int, response: Any, cost: Any) -> None: ...
    def unsent(self, lease: int) -> None: ...
    def lost(self, lease: int, cost: Any) -> None: ...
    def refused(self, status: int, headers: Any) -> None: ...


class Stage:
    """A session of two pairs, whose connection the test controls."""

    def __init__(self, style: str, codec_class: type | None = None, **spec: Any) -> None:
        made = connector(style, codec_class)
        limits = {name: limit for name, limit in made.spec.limits.items() if name != "messages"}  # no pace
        made = replace(made, spec=replace(made.spec, **({"limits": limits} | spec)))
        self.codec = made.codec()
        self.clock, self.budget, self.rest = Clock(), Budget(), FakeRest()
        self.models = {symbol: Model(style, BIDS, ASKS, 1000) for symbol in NAMES}
        self.failed: list[BaseException] = []
        self.tapped: list[tuple[str, bytes]] = []
        around = Surroundings(
            connect=self._connect,
            rest=self.rest,
            budget=self.budget,
            monotonic_ns=self.clock,
            time_ns=lambda: 10**18,
            alive=lambda: None,
            fail=self.failed.append,
            tap=lambda kind, url, raw, recv_ns: self.tapped.append((kind, raw)),
        )
        self.session = BookSession(self.codec, around, levels=10)
        self.pairs = {symbol: self._pair(symbol) for symbol in NAMES}
        self.session.track(list(self.pairs.values()))

    def _pair(self, symbol: str) -> Pair:
        feed, name = self.codec.spec.book, NAMES[symbol]
        instrument = Instrument("acme", name, symbol, *name.split("-"), 8, 8)
        machine = BookMachine(self.codec.classify, lambda: 0.5, feed=feed)
        return Pair(instrument, OrderBook(8, 8, window=feed.window or 0), machine, NoSink())

    def _connect(self, *args: Any, **options: Any) -> FakeFeed:
        self.feed = FakeFeed(*args, **options)
        return self.feed

    def open(self) -> None:
        self.feed.open(self.clock.now_ns)

    def tell(self, **message: Any) -> None:
        self.feed.frame(json.dumps(message).encode())

    def confirm(self, symbol: str, *kinds: str) -> None:
        for kind in kinds or ("book", "trade"):
            self.tell(t="ok", key=f"{kind}:{symbol}")

    def renamed(self, frame: bytes, symbol: str) -> bytes:
        return frame.replace(SYMBOL.encode(), symbol.encode())

    def book(self, symbol: str, **more: Any) -> None:
        self.feed.frame(self.renamed(self.models[symbol].book(**more), symbol))

    def change(self, symbol: str, lost: bool = False) -> None:
        model = self.models[symbol]
        frame = model.change(bids=[("0.00244", str(1 + model.sequence % 5))])
        if not lost:
            self.feed.frame(self.renamed(frame, symbol))

    def state(self, symbol: str) -> BookState:
        return self.pairs[symbol].machine.state

    @property
    def sent(self) -> list[Any]:
        """Return the sent messages, as (operation, channels)."""
        messages = [json.loads(frame) for frame in self.feed.link.sent]
        return [(message["op"], message.get("channels") or message.get("s")) for message in messages if "op" in message]

    def beat(self, seconds: float = 0.0) -> None:
        self.clock.pass_s(seconds)
        self.feed.link.last_recv_ns = self.clock.now_ns
        self.session.beat()


def channels(*symbols: str) -> list[str]:
    return [f"{kind}:{symbol}" for symbol in symbols for kind in ("book", "trade")]


def live(stage: Stage) -> Stage:
    stage.open()
    for symbol in NAMES:
        stage.confirm(symbol)
        stage.book(symbol)
        assert stage.state(symbol) is BookState.LIVE
    return stage

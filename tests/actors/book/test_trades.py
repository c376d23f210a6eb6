"""The separate connection of trades: subscriptions, refusals, pings, and its independence from the books."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes.clock import until
from tests.fakes.stage import NAMES, OTHER, Stage
from tests.fakes.styles import SYMBOL, StyledCodec
from tests.fakes.transport import FakeFeed
from venuemesh.connectors.market_codec import Expected, Outgoing
from venuemesh.model.events import BookState


class Apart(StyledCodec):
    """A codec whose trades have their own address; each pair has its own message."""

    def trades_url(self) -> str | None:
        return "wss://trades.test"

    def subscribe(self, instruments: Sequence[Any], request_id: int) -> list[Outgoing]:
        return self._each("subscribe", "book", instruments)

    def subscribe_trades(self, instruments: Sequence[Any], request_id: int) -> list[Outgoing]:
        return self._each("subscribe", "trade", instruments)

    def unsubscribe_trades(self, instruments: Sequence[Any], request_id: int) -> list[Outgoing]:
        return self._each("unsubscribe", "trade", instruments)

    @staticmethod
    def _each(op: str, kind: str, instruments: Sequence[Any]) -> list[Outgoing]:
        return [
            Outgoing(
                json.dumps({"op": op, "channels": f"{kind}:{one.symbol}"}).encode(),
                (Expected(f"{kind}:{one.symbol}", (one.symbol,)),) if op == "subscribe" else (),
            )
            for one in instruments
        ]


class TradeStage(Stage):
    """A stage whose second connection is `trades`."""

    def __init__(self) -> None:
        self.feeds: list[FakeFeed] = []
        super().__init__("chain", Apart)
        self.feed, self.trades = self.feeds

    def _connect(self, *args: Any, **options: Any) -> FakeFeed:
        self.feeds.append(FakeFeed(*args, **options))
        return self.feeds[-1]

    def books_live(self) -> None:
        self.open()
        for symbol in NAMES:
            self.confirm(symbol, "book")
            self.book(symbol)

    def trade(self, symbol: str, number: int) -> None:
        message = {"t": "trade", "s": symbol, "id": str(number), "p": "0.0024", "q": "1", "side": "buy"}
        self.trades.frame(json.dumps(message).encode())

    def answer(self, **message: Any) -> None:
        self.trades.frame(json.dumps(message).encode())

    def asked(self) -> list[tuple[str, str]]:
        assert self.trades.link is not None
        return [(one["op"], one["channels"]) for one in map(json.loads, self.trades.link.sent) if "op" in one]

    def pass_s(self, seconds: float) -> None:
        """Let time pass while both connections receive something."""
        self.clock.pass_s(seconds)
        for feed in self.feeds:
            if feed.link is not None:
                feed.link.last_recv_ns = self.clock.now_ns
        self.session.beat()


@pytest.fixture
async def stage():
    made = TradeStage()
    made.trades.open(made.clock.now_ns)
    await until(lambda: len(made.asked()) == 2)
    yield made
    await made.session.stop()
    assert made.failed == []
    assert [feed.stopped for feed in made.feeds] == [True, True]


def counts(stage: TradeStage) -> list[int]:
    return [stage.pairs[symbol].trades for symbol in NAMES]


async def test_trades_come_over_their_own_connection(stage):
    assert [feed.url() for feed in stage.feeds][1] == "wss://trades.test"
    await until(lambda: stage.asked() == [("subscribe", f"trade:{symbol}") for symbol in NAMES])
    stage.books_live()
    stage.trade(SYMBOL, 1)
    stage.trade(SYMBOL, 1)  # again
    stage.trade(OTHER, 7)
    assert counts(stage) == [1, 1]
    assert stage.pairs[SYMBOL].duplicate_trades == 1
    kinds = [kind for kind, _ in stage.tapped]
    assert kinds.count("connect") == 1  # only a new connection of books begins the books again
    assert kinds.count("recv") == 3 + 4


async def test_a_lost_connection_of_trades_leaves_the_books_alone(stage):
    stage.books_live()
    stage.trades.close("reset")
    assert [stage.state(symbol) for symbol in NAMES] == [BookState.LIVE] * 2
    assert stage.session.status()["trades"]["connected"] is False
    stage.pass_s(1)
    stage.trades.open(stage.clock.now_ns)
    await until(lambda: stage.asked() == [("subscribe", f"trade:{symbol}") for symbol in NAMES])
    stage.feed.close("reset")
    stage.trade(SYMBOL, 3)
    assert (stage.state(SYMBOL), counts(stage)[0]) == (BookState.CONNECTING, 1)


async def test_a_ping_is_answered_on_the_connection_on_which_it_came(stage):
    stage.books_live()
    before = len(stage.feed.link.sent)
    stage.answer(t="ping", n=5)
    assert json.loads(stage.trades.link.sent[-1]) == {"pong": 5}
    assert len(stage.feed.link.sent) == before


async def test_refused_trades_are_requested_again_and_the_others_stay(stage):
    stage.answer(t="ok", key=f"trade:{OTHER}")
    stage.answer(t="no", key=f"trade:{SYMBOL}", code="60018", why="no such channel")
    assert stage.session.status()["trades"]["refused"] == [SYMBOL]
    assert "no such channel" in stage.session.status()["trades"]["last_error"]
    stage.pass_s(0.1)
    assert len(stage.asked()) == 2
    stage.pass_s(5)
    await until(lambda: stage.asked()[2:] == [("subscribe", f"trade:{SYMBOL}")])
    stage.answer(t="ok", key=f"trade:{SYMBOL}")
    assert stage.session.status()["trades"]["refused"] == []


async def test_unconfirmed_trades_are_requested_again(stage):
    stage.answer(t="ok", key=f"trade:{OTHER}")
    stage.pass_s(10.1)
    stage.pass_s(5)
    await until(lambda: stage.asked()[2:] == [("subscribe", f"trade:{SYMBOL}")])
    assert stage.trades.reconnects == []


async def test_a_connection_that_confirms_nothing_or_is_silent_is_left(stage):
    stage.pass_s(10.1)
    assert "not confirmed" in stage.trades.reconnects[0]
    stage.trades.open(stage.clock.now_ns)
    stage.clock.pass_s(stage.codec.spec.silence_s + 0.1)
    stage.session.beat()
    assert "silent" in stage.trades.reconnects[1]


async def test_pairs_come_and_go(stage):
    stage.session.untrack(OTHER)
    await until(lambda: stage.asked()[-1] == ("unsubscribe", f"trade:{OTHER}"))
    stage.trade(OTHER, 9)  # still on its way
    assert counts(stage) == [0, 0]
    stage.session.track([stage.pairs[OTHER]])
    await until(lambda: stage.asked()[-1] == ("subscribe", f"trade:{OTHER}"))
    stage.trade(OTHER, 9)
    assert counts(stage) == [0, 1]


async def test_an_unreadable_frame_is_counted_and_no_book_is_doubted(stage):
    stage.books_live()
    stage.trades.frame(b'{"t":"trade","s":"')
    assert stage.session.status()["trades"]["unreadable"] == 1
    assert stage.state(SYMBOL) is BookState.LIVE

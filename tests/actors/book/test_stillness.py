"""Books whose stream is silent: quiet ones stay LIVE at a bounded cost, stopped ones leave LIVE within the bound."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.fakes.captures import captures
from tests.fakes.clock import until
from tests.fakes.stage import NAMES, OTHER, Stage
from tests.fakes.styles import SYMBOL, connector
from tests.fakes.transport import response
from venuemesh.actors.book.comparison import compared_levels
from venuemesh.actors.book.stillness import AGAIN_S, PAUSE_S, STILL_S, UNPROVEN_S, StillBooks
from venuemesh.actors.limits.machine import Priority
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors import registry
from venuemesh.connectors.spec import Compared
from venuemesh.model.errors import OutcomeUnknown, RetryLater
from venuemesh.model.events import BookState, Side
from venuemesh.model.http import HttpRequest, HttpResponse

LIVE, GAP = BookState.LIVE, BookState.GAP
STYLES = ("range", "chain", "checksum", "step")
BID = "0.00241"


class Market:
    """A stage whose REST answers with the models' books; `changes` happen at the exchange, sent or not."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.refusal: Exception | None = None
        self.asked: list[str] = []  # symbols of the requests over REST
        self.shown: tuple[tuple[str, str], ...] | None = None  # bids over REST, if they differ from those of the feed
        stage.rest.auto = self._answer

    def _answer(self, request: HttpRequest) -> HttpResponse | Exception:
        symbol = next(symbol for symbol in NAMES if symbol in request.url)
        self.asked.append(symbol)
        if self.refusal is not None:
            return self.refusal
        model = self.stage.models[symbol]
        bids = self.shown if self.shown and symbol == SYMBOL else model.rows("b")
        return response(orjson.dumps({"lastUpdateId": model.sequence, "bids": bids, "asks": model.rows("a")}))

    @property
    def is_joined(self) -> bool:
        return self.stage.codec.spec.book.is_joined

    async def subscribed(self, symbol: str) -> None:
        """Confirm the subscription and let the whole book come."""
        machine = self.stage.pairs[symbol].machine
        self.stage.confirm(symbol)
        if not self.is_joined:
            self.stage.book(symbol)
        await until(lambda: machine.is_joined)

    async def live(self) -> Market:
        self.stage.open()
        for symbol in NAMES:
            await self.subscribed(symbol)
        assert [self.stage.state(symbol) for symbol in NAMES] == [LIVE, LIVE]
        self.asked.clear()
        self.stage.budget.priorities.clear()
        return self

    def change(self, size: str, sent: bool = False) -> None:
        frame = self.stage.models[SYMBOL].change(bids=[(BID, size)])
        if sent:
            self.stage.feed.frame(frame)

    def trade(self, number: int) -> None:
        message = {"t": "trade", "s": SYMBOL, "id": str(number), "p": "0.0025", "q": "1", "side": "buy"}
        self.stage.feed.frame(json.dumps(message).encode())

    async def pass_s(self, seconds: float, frames: Any = lambda second: None) -> None:
        """Let time pass in steps of half a second; `frames` is called before each with the seconds passed."""
        for step in range(int(seconds * 2)):
            frames(step / 2)
            self.stage.beat(0.5)
            if self.stage.session.status()["comparisons"]["under_way"]:
                await until(lambda: not self.stage.session.status()["comparisons"]["under_way"])

    async def seconds_until(self, state: BookState, most: float = 60.0) -> float:
        for passed in range(int(most)):
            if self.stage.state(SYMBOL) is state:
                return passed
            await self.pass_s(1)
        raise AssertionError(f"{SYMBOL} is {self.stage.state(SYMBOL).name} after {most} s")

    async def resubscribed(self, times: int = 1) -> None:
        """Wait for another subscription of the doubted pair, and answer it."""
        await until(lambda: [op for op, _ in self.stage.sent].count("unsubscribe") == times)
        await self.subscribed(SYMBOL)

    @property
    def counters(self) -> Any:
        return self.stage.pairs[SYMBOL].machine.counters


@pytest.fixture
async def markets():
    made: list[Market] = []

    async def make(style: str, **feed: Any) -> Market:
        made.append(Market(Stage(style, book=replace(connector(style).spec.book, **feed))))
        return await made[-1].live()

    yield make
    for market in made:
        await market.stage.session.stop()
        assert market.stage.failed == []


@pytest.mark.parametrize("style", STYLES)
async def test_a_stopped_stream_ends_live_and_only_another_frame_or_agreement_restores_it(markets, style):
    market = await markets(style)
    market.change("7")
    assert 5 <= await market.seconds_until(GAP) <= 9
    assert "stopped" in market.stage.pairs[SYMBOL].machine.error
    await market.resubscribed()
    assert market.stage.state(SYMBOL) is GAP  # this book may be the last message of the new subscription
    market.change("8", sent=True)
    assert market.stage.state(SYMBOL) is LIVE
    assert market.counters.stalls == market.counters.resyncs == 1
    assert market.stage.state(OTHER) is LIVE
    assert market.stage.pairs[OTHER].machine.counters.resyncs == 0


@pytest.mark.parametrize("style", STYLES)
async def test_a_stream_that_stays_silent_after_each_subscription_is_never_live(markets, style):
    market = await markets(style)
    market.change("7")
    await market.seconds_until(GAP)
    for times in (1, 2):
        await market.resubscribed(times)
        market.change(str(7 + times))
        for _ in range(8):
            if market.counters.stalls > times:
                break
            await market.pass_s(1)
            assert market.stage.state(SYMBOL) is GAP
        assert market.counters.stalls == times + 1


@pytest.mark.parametrize("style", STYLES)
async def test_a_pair_that_falls_silent_for_good_becomes_live_again_when_the_exchange_agrees(markets, style):
    market = await markets(style)
    market.change("7")
    await market.seconds_until(GAP)
    await market.resubscribed()
    assert await market.seconds_until(LIVE) <= 4
    await market.pass_s(120)
    assert market.stage.state(SYMBOL) is LIVE
    assert market.counters.stalls == 1


@pytest.mark.parametrize("style", STYLES)
async def test_a_quiet_pair_whose_exchange_agrees_stays_live_at_a_bounded_cost(markets, style):
    market = await markets(style)
    await market.pass_s(600, lambda second: market.trade(int(second)) if second == 300 else None)
    assert [market.stage.state(symbol) for symbol in NAMES] == [LIVE, LIVE]
    assert market.counters.resyncs == market.counters.stalls == 0
    assert 600 / (AGAIN_S + 1) <= market.asked.count(SYMBOL) <= 600 / AGAIN_S + 2
    assert set(market.stage.budget.priorities) == {Priority.SPARE, Priority.BACKGROUND}
    assert market.stage.budget.priorities.count(Priority.BACKGROUND) == 1  # after the trade
    assert [op for op, _ in market.stage.sent] == ["subscribe"]


async def test_a_stream_that_speaks_is_never_compared(markets):
    market = await markets("chain")
    await market.pass_s(60, lambda second: market.change(str(1 + second), sent=True) if second % 4 == 0 else None)
    assert market.asked.count(SYMBOL) == 0


@pytest.mark.parametrize("style", STYLES)
async def test_one_answer_that_differs_proves_nothing_if_a_frame_follows(markets, style):
    market = await markets(style)
    for number in range(20):
        frame = market.stage.models[SYMBOL].change(bids=[(BID, str(3 + number))])
        await market.pass_s(STILL_S + 1.0)
        market.stage.feed.frame(frame)  # it was late
    assert market.counters.stalls == market.counters.resyncs == 0


async def test_a_frame_that_comes_before_the_second_answer_clears_the_first(markets):
    market = await markets("chain")
    frame = market.stage.models[SYMBOL].change(bids=[(BID, "7")])
    rest, model = market.stage.rest, market.stage.models[SYMBOL]
    answer = orjson.dumps({"lastUpdateId": 1, "bids": model.rows("b"), "asks": model.rows("a")})
    await market.pass_s(STILL_S + 1.0)
    assert market.asked.count(SYMBOL) == 1  # it differed
    rest.auto = None
    market.stage.beat(3.0)
    await until(lambda: rest.waiting)
    market.stage.feed.frame(frame)
    market.change("8", sent=True)
    rest.answer(answer)
    await until(lambda: market.stage.session.status()["comparisons"]["under_way"] == 0)
    assert (market.stage.state(SYMBOL), market.counters.stalls) == (LIVE, 0)


async def test_trades_without_a_change_end_live_where_no_comparison_is_possible(markets):
    market = await markets("chain")
    market.stage.budget.refusal = RetryLater(3.0, "used up")
    await market.pass_s(120)
    assert market.stage.state(SYMBOL) is LIVE  # without evidence
    assert market.asked == []
    market.trade(1)
    assert UNPROVEN_S <= await market.seconds_until(GAP) <= UNPROVEN_S + 2
    assert market.stage.state(OTHER) is LIVE


@pytest.mark.parametrize("error", [OutcomeUnknown("no answer"), RetryLater(1.0, "busy")])
async def test_comparisons_that_fail_are_no_evidence(markets, error):
    market = await markets("chain")
    market.refusal = error
    market.change("7")
    await market.pass_s(60)
    assert market.stage.state(SYMBOL) is LIVE
    market.refusal = None
    assert await market.seconds_until(GAP) <= 6


async def test_a_trade_that_changes_nothing_is_cleared_by_an_equal_book(markets):
    market = await markets("chain")
    await market.pass_s(60, lambda second: market.trade(int(second * 2)))  # an iceberg shows the same size again
    assert market.stage.state(SYMBOL) is LIVE


async def test_equal_prices_do_not_clear_a_trade(markets):
    market = await markets("chain", compared=Compared.PRICES)
    market.stage.models[SYMBOL].change(bids=[("0.0024", "3")])
    await market.pass_s(60)
    assert market.stage.state(SYMBOL) is LIVE  # only a size differs, and REST rounds sizes
    market.trade(1)
    assert await market.seconds_until(GAP) <= UNPROVEN_S + 1


async def test_a_trade_that_follows_its_change_is_no_evidence(markets):
    market = await markets("chain", compared=Compared.PRICES)
    for number in range(5):
        market.change(str(3 + number), sent=True)
        await market.pass_s(1.5)
        market.trade(number)
        await market.pass_s(30)
    assert market.counters.stalls == 0


async def test_without_a_comparable_book_nothing_is_requested(markets):
    market = await markets("chain", compared=None)
    market.change("7")
    await market.pass_s(60)
    assert (market.asked, market.stage.state(SYMBOL)) == ([], LIVE)
    market.trade(1)
    assert await market.seconds_until(GAP) <= UNPROVEN_S + 1


async def test_an_equal_number_agrees_with_any_levels_and_equal_levels_with_any_number(markets):
    market = await markets("range", compared=Compared.NUMBER)
    market.shown = (("0.0024", "1"),)  # an answer from a cache, from before the last frame
    await market.pass_s(30)
    market.shown = None
    market.stage.models[SYMBOL].change(by=5)  # numbers without changes
    await market.pass_s(30)
    assert (market.stage.state(SYMBOL), market.counters.stalls) == (LIVE, 0)
    market.change("7")
    assert await market.seconds_until(GAP) <= AGAIN_S + 3


async def test_an_exchange_whose_rest_always_differs_from_its_stream_is_not_doubted_for_ever(markets):
    market = await markets("chain")
    market.shown = (("0.0024", "10"), ("0.00239", "1"))
    await market.seconds_until(GAP)
    await market.resubscribed()
    assert await market.seconds_until(LIVE) <= 2
    asked = len(market.asked)
    await market.pass_s(PAUSE_S - 60)
    assert (market.stage.state(SYMBOL), market.counters.stalls) == (LIVE, 1)
    assert market.asked[asked:].count(SYMBOL) == 0


async def test_levels_beyond_the_proven_ones_are_not_compared(markets):
    market = await markets("chain")
    book = market.stage.pairs[SYMBOL].book
    book.load(book.levels(Side.BUY, 2), book.levels(Side.SELL, 2), book.sequence)
    assert (book.proven_bids, book.bids_complete) == (2, False)
    await market.pass_s(60)
    assert market.asked.count(SYMBOL) > 0
    assert market.stage.state(SYMBOL) is LIVE


async def test_a_pair_that_is_no_longer_served_is_no_longer_compared(markets):
    market = await markets("chain")
    market.stage.rest.auto = None
    market.stage.beat(0.5)
    market.stage.beat(STILL_S)
    await until(lambda: len(market.stage.rest.waiting) == 2)
    market.stage.session.untrack(SYMBOL)
    await until(lambda: len(market.stage.rest.waiting) == 1)
    market.stage.beat(60.0)
    assert list(market.stage.session.ingest.pairs) == [OTHER]


async def test_halted_books_are_not_compared(markets):
    market = await markets("chain")
    market.stage.tell(t="state", s=SYMBOL, state="halt")
    market.change("7")
    await market.pass_s(60)
    assert market.asked.count(SYMBOL) == 0
    assert market.stage.state(SYMBOL) is BookState.HALTED
    market.stage.tell(t="state", s=SYMBOL, state="open")
    assert await market.seconds_until(GAP) <= 9


def test_comparisons_request_as_many_levels_as_cost_the_least():
    found = {
        name: compared_levels(registry.connector(name).codec())
        for name in ("binance", "kraken", "okx", "bybit", "coinbase", "htx")
    }
    assert found == {"binance": 100, "kraken": 10, "okx": 50, "bybit": 50, "coinbase": 50, "htx": 50}
    codec = registry.connector("binance").codec()
    spec = codec.spec
    endpoint = spec.endpoints["snapshot"]
    assert endpoint.spends(found["binance"]) == endpoint.spends(1)


RECORDINGS = {
    "binance": "market.jsonl.gz",
    "kraken": "book_v2.jsonl.gz",
    "okx": "market.jsonl.gz",
    "bybit": "orderbook_500.jsonl.gz",
    "coinbase": "market.jsonl.gz",
    "htx": "market.jsonl.gz",
}


@pytest.mark.parametrize("exchange", RECORDINGS)
def test_recorded_traffic_is_no_evidence(exchange):
    codec = registry.connector(exchange).codec()
    run = Replay(codec, {}, {}, fast=True)
    still = StillBooks(codec.spec.book, compared_levels(codec))
    looked_ns, found = 0, []
    for record in read(captures(exchange) / RECORDINGS[exchange]):
        run.feed(RECORDINGS[exchange], record)
        if record.recv_ns - looked_ns >= 500_000_000:
            looked_ns = record.recv_ns
            found += still.look(run.ingest.pairs.values(), looked_ns)
    assert run.ingest.pairs
    assert found == []

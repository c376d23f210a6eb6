"""An order manager's market data: the fees of an account come from the exchange once it has stated them."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.fakes.clock import FakeClock
from tests.fakes.context import context_of, grant
from tests.fakes.trading import PAIR, PlainCodec
from venuemesh.actors.limits.machine import Priority
from venuemesh.actors.orders.markets import FEES_KEPT_NS, FeeRates, Markets
from venuemesh.connectors.order_codec import Draft, Kind, Reply
from venuemesh.connectors.reports import Fees
from venuemesh.model.address import book_address
from venuemesh.model.errors import RetryLater
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentWriter


async def test_the_published_schedule_is_shown_only_until_the_exchange_has_stated_the_account_s_fees() -> None:
    clock, answers, asked = FakeClock(), list[Fees](), list[Priority]()

    async def read(draft: Draft, priority: Priority) -> Reply:
        asked.append(priority)
        if not answers:
            raise RetryLater(5.0, "the account's counters are high")
        return Reply(fees=answers.pop())

    codec = SimpleNamespace(
        offer=PlainCodec().offer, fees=lambda instrument: Draft(Kind.FEES, ("GET", "/fees"), None, ())
    )
    gateway: Any = SimpleNamespace(codec=codec, read=read)
    settings: Any = SimpleNamespace(machine=SimpleNamespace(exchange="acme"), maker_fee=None, taker_fee=None)
    markets = Markets(settings, context_of("orders/acme/main", clock, ask=grant), gateway, lambda found: None)
    markets._by_name = {PAIR.name: PAIR}
    assert (await markets.fees(PAIR.name)).source == "schedule"
    answers.append(Fees("BTCUSDT", D("0.0010"), D("0.0020"), "exchange"))
    known = FeeRates(D("0.0010"), D("0.0020"), "exchange", "")
    assert await markets.fees(PAIR.name) == known
    clock.advance(FEES_KEPT_NS / 10**9 + 1)
    assert await markets.fees(PAIR.name) == known  # asked again, without an answer
    assert asked == [Priority.URGENT] * 3  # a caller waits


async def test_levels_come_from_the_segment_else_from_the_book_s_actor_else_from_the_exchange(tmp_path: Path) -> None:
    answers: dict[str, Any] = {}

    async def ask(address: str, kind: str, body: Any, timeout_s: float) -> Any:
        assert body == {"pair": PAIR.name}
        if kind not in answers:
            raise RetryLater(1.0, f"{address} does not answer")
        return answers[kind]

    def levels(*rows: tuple[int, int]) -> bytes:
        return np.array(rows, "<i8").reshape(-1, 2).tobytes()

    settings: Any = SimpleNamespace(machine=SimpleNamespace(exchange="acme"), maker_fee=None, taker_fee=None)
    context = context_of("orders/acme/main", FakeClock(), ask=ask, segments=tmp_path)
    gateway: Any = SimpleNamespace()
    markets = Markets(settings, context, gateway, lambda found: None)
    markets._by_name = {PAIR.name: PAIR}
    assert markets.levels_here(PAIR.name) is None
    assert await markets.all_levels(PAIR.name) is None
    scales = {"price_scale": 2, "size_scale": 1}
    answers["get_snapshot"] = {"bids": levels((9900, 15)), "asks": levels(), "state": BookState.HALTED} | scales
    top = await markets.all_levels(PAIR.name)
    assert top is not None
    assert (top.bid, top.ask, top.bids, top.asks) == (D(99), None, ((D(99), D("1.5")),), ())
    rows = levels((9900, 15), (9800, 20), (9700, 1))
    answers["snapshot"] = {"bids": rows, "proven_bids": 2, "asks": levels(), "state": BookState.LIVE} | scales
    top = await markets.all_levels(PAIR.name)
    assert top is not None
    assert top.bids == ((D(99), D("1.5")), (D(98), D(2)))  # levels that are not proven do not count
    answers["snapshot"]["state"] = BookState.SYNCING
    top = await markets.all_levels(PAIR.name)
    assert top is not None
    assert top.bids == ((D(99), D("1.5")),)  # the actor's book is not LIVE: the exchange's answer counts
    writer = SegmentWriter(
        tmp_path, book_address("acme", PAIR.name), (1, 1), 2, 5, levels=10, heartbeat_limit_ns=10**11
    )
    asks = np.array([(9910, 100_000)], np.int64)
    bids = np.array([(9900, 1)], np.int64)
    writer.publish_levels(bids, asks, True, True, 7, BookState.LIVE, 1, 2)
    markets = Markets(settings, context, gateway, lambda found: None)  # another reader, which finds the segment now
    markets._by_name = {PAIR.name: PAIR}
    here = markets.levels_here(PAIR.name)
    assert here is not None
    assert (here.bid, here.ask, here.asks) == (D(99), D("99.1"), ((D("99.1"), D(1)),))
    writer.close()

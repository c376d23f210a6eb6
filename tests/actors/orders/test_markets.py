"""An order manager's market data: the fees of an account come from the exchange once it has stated them."""

from __future__ import annotations

from decimal import Decimal as D
from types import SimpleNamespace
from typing import Any

from tests.fakes.clock import FakeClock
from tests.fakes.context import context_of, grant
from tests.fakes.trading import PAIR, PlainCodec
from venuemesh.actors.limits.machine import Priority
from venuemesh.actors.orders.markets import FEES_KEPT_NS, FeeRates, Markets
from venuemesh.connectors.order_codec import Draft, Kind, Reply
from venuemesh.connectors.reports import Fees
from venuemesh.model.errors import RetryLater


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

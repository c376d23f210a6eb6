"""One strategy on `kraken` and on `ccxt:kraken` ends with equal ledgers, at the exchange and in the journal."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any

import pytest

pytest.importorskip("ccxt", reason="ccxt is not installed: pip install 'venuemesh[ccxt]'")

from venuemesh.cli.local_venue import LocalLedger
from venuemesh.connectors.ccxt import ccxt_connector
from venuemesh.connectors.market_codec import Connector
from venuemesh.connectors.registry import connector
from venuemesh.exchange.kraken.checking import LIMITS
from venuemesh.market.market import Market
from venuemesh.model.address import orders_address
from venuemesh.model.events import Side
from venuemesh.model.order import AccountEvent, Order, OrderStatus
from venuemesh.testing import ACCOUNT, LocalExchange, LocalMesh, local_exchange

EXCHANGE, PAIR, SYMBOL = "kraken", "BTC-USDT", "BTCUSDT"
QUICK = '{"rateLimit": 20}'  # the local exchange's limits are wider than ccxt's
SOON_S = 60.0  # ccxt's orders of Kraken are polled
OF_ORDERS = attrgetter(
    *("side", "order_type", "amount", "price", "time_in_force", "status"), *("filled", "quote_filled", "fees")
)
OF_FILLS = attrgetter(*["side", "price", "amount", "quote_amount", "fee", "fee_asset", "more_fees", "is_maker"])
OF_BALANCES = attrgetter(*["free", "locked", "available", "total"])
OF_ONE_RUN = ("_id", "_ns", "_ms", "key", "number")  # ends of the names of ids and times


@dataclass(frozen=True, slots=True)
class Ledgers:
    """An account after the strategy, in the mesh and at the exchange, without what no two runs share."""

    orders: list[Any]
    fills: Counter[Any]  # the order of one order's fills is that of the exchange's list, or of its reports
    balances: dict[str, Any]
    at_exchange: Any
    differences: list[str]  # between the mesh and the exchange, ids included


def trade(market: Market, exchange: LocalExchange) -> Iterator[Order]:
    """Trade in every way that both connectors offer, in a market that stands still; yield orders that ended."""
    ledger, book = LocalLedger(exchange.admin, EXCHANGE), exchange.admin.book(SYMBOL)
    bid, ask, fifth_ask = (Decimal(book[side][n][0]) for side, n in (("bids", 0), ("asks", 0), ("asks", 4)))
    resting = []
    for side, amount, kind, price in (
        ("buy", "0.005", "LIMIT", bid),
        ("buy", "0.01", "LIMIT", bid - 500),
        ("sell", "0.0123", "LIMIT_MAKER", ask + 700),
    ):
        resting.append(getattr(market, side)(PAIR, amount, kind, price=price))
        assert market.wait(resting[-1], "open", SOON_S).status is OrderStatus.OPEN
    maker, *others = resting
    ledger.trade(SYMBOL, Side.SELL, bid)
    yield market.wait(maker, timeout_s=SOON_S)
    for side, amount, kind, more in (
        ("buy", "0.05", "MARKET", {}),
        ("sell", "0.0371", "MARKET", {}),
        ("buy", "2", "LIMIT", {"price": fifth_ask, "time_in_force": "IOC"}),
        ("sell", "0.003", "LIMIT", {"price": ask + 300, "time_in_force": "IOC"}),
        ("buy", "0.002", "LIMIT_MAKER", {"price": ask + 500}),
    ):
        yield market.wait(getattr(market, side)(PAIR, amount, kind, **more), timeout_s=SOON_S)
    for name in others:
        market.cancel_and_wait(name, SOON_S)
        yield market.wait(name, timeout_s=SOON_S)


def account_of(used: Connector, exchange: LocalExchange) -> dict[str, Any]:
    """Return the settings of a connector for an exchange; only ccxt of Kraken has no stream of orders."""
    account = {**exchange.account, "stream": "websocket" if used.name == EXCHANGE else "polling"}
    return {**{name: exchange.urls[name] for name in ("rest", "ws", "ws_api")}, "accounts": {ACCOUNT: account}}


def traded(mesh: LocalMesh, name: str, exchange: LocalExchange) -> Ledgers:
    """Run the strategy on an account; return its ledgers."""
    market = mesh.market(name, owner="strategy")
    ended = {order.client_order_id for order in trade(market, exchange)}

    def differences() -> list[str]:
        body = {"after": 0, "limit": 500, "owner": None}
        listed = mesh.ask(orders_address(name, ACCOUNT), "poll:events", body)["events"]
        events = [AccountEvent.from_dict(one) for one in listed]
        return record.problems(market.orders(), market.fills(), events, market.balances(), ended)

    record, deadline = LocalLedger(exchange.admin, EXCHANGE), time.monotonic() + SOON_S
    while (found := differences()) and time.monotonic() < deadline:  # balances follow the orders
        time.sleep(0.05)
    orders = market.orders()
    assert {order.client_order_id for order in orders} == ended
    (at_exchange,) = exchange.admin.ledger(ACCOUNT)["accounts"]
    return Ledgers(
        [OF_ORDERS(order) for order in orders],
        Counter(OF_FILLS(fill) for fill in market.fills()),
        {asset: OF_BALANCES(held) for asset, held in market.balances().items()},
        without_ids_and_times(at_exchange),
        found,
    )


def without_ids_and_times(record: Any) -> Any:
    if isinstance(record, list):
        return [without_ids_and_times(row) for row in record]
    if isinstance(record, Mapping):
        kept = {name: value for name, value in record.items() if not name.endswith(OF_ONE_RUN)}
        return {name: without_ids_and_times(value) for name, value in kept.items()}
    return record


@pytest.mark.soak  # on a loaded machine an order may come too late for one of the two, and fail
def test_the_same_strategy_ends_with_equal_ledgers() -> None:
    used = connector(EXCHANGE), ccxt_connector(EXCHANGE, QUICK)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as both:
        venues = [stack.enter_context(local_exchange([PAIR], protocol=EXCHANGE, rate=0)) for _ in used]
        for venue in venues:
            venue.admin.limits(**LIMITS)
        config = {
            "mesh": {"name": "local", "heartbeat_limit_s": 2.0},
            "exchanges": {one.name: account_of(one, venue) for one, venue in zip(used, venues, strict=True)},
        }
        mesh = stack.enter_context(LocalMesh(config, connectors=used))
        mesh.wait_ready(SOON_S)
        native, by_ccxt = both.map(lambda one, venue: traded(mesh, one.name, venue), used, venues)
        assert not mesh.failures
    assert native.differences == by_ccxt.differences == []
    assert by_ccxt.orders == native.orders
    assert by_ccxt.fills == native.fills
    assert by_ccxt.balances == native.balances
    assert by_ccxt.at_exchange == native.at_exchange
    assert len(native.orders) == 8
    assert {fill[-1] for fill in native.fills} == {True, False}  # as a maker and as a taker

"""Books, orders, fills and balances by ccxt's classes of Coinbase Exchange and HTX, against the local exchange."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

pytest.importorskip("ccxt", reason="ccxt is not installed: pip install 'venuemesh[ccxt]'")

from venuemesh.cli.local_venue import LocalLedger
from venuemesh.connectors.ccxt import ccxt_connector
from venuemesh.exchange.coinbase.checking import LIMITS as COINBASE_LIMITS
from venuemesh.exchange.htx.checking import LIMITS as HTX_LIMITS
from venuemesh.model.address import orders_address
from venuemesh.model.order import AccountEvent, OrderStatus
from venuemesh.testing import ACCOUNT, LocalMesh, local_exchange

PAIR = "BTC-USDT"
QUICK = '{"rateLimit": 20}'  # the local exchange's limits are wider than ccxt's
SOON_S = 45.0


@pytest.mark.parametrize(
    ("exchange_id", "protocol", "limits"),
    [("htx", "htx", HTX_LIMITS), ("coinbaseexchange", "coinbase", COINBASE_LIMITS)],
)
def test_a_strategy_by_ccxt_ends_as_the_local_exchange_says(exchange_id, protocol, limits):
    used = ccxt_connector(exchange_id, QUICK)
    with local_exchange([PAIR], protocol=protocol, rate=20.0) as exchange:
        exchange.admin.limits(**limits)
        urls = {name: exchange.urls[name] for name in ("rest", "ws")}
        account = {**exchange.account, "stream": "polling"}  # ccxt's Coinbase has none, its HTX signs wss:// alone
        table = {**urls, "pairs": [PAIR], "accounts": {ACCOUNT: account}, "options": {"poll_s": 0.5}}
        config = {"mesh": {"name": "local", "heartbeat_limit_s": 2.0}, "exchanges": {used.name: table}}
        with LocalMesh(config, connectors=[used]) as mesh:
            mesh.wait_ready(SOON_S)
            market, record = mesh.market(used.name), LocalLedger(exchange.admin, protocol)
            top = market.order_book(PAIR).top()
            assert Decimal(60_000) < top.best_bid.price < top.best_ask.price < Decimal(70_000)
            taken = market.buy(PAIR, "0.01", price=top.best_ask.price + 100)
            rests = market.sell(PAIR, "0.002", price=top.best_ask.price + 1000)
            assert market.wait(rests, "open", SOON_S).status is OrderStatus.OPEN
            assert market.wait(taken, timeout_s=SOON_S).status is OrderStatus.FILLED
            assert market.cancel_and_wait(rests, SOON_S).status is OrderStatus.CANCELED

            def differences():
                body = {"after": 0, "limit": 500, "owner": None}
                listed = mesh.ask(orders_address(used.name, ACCOUNT), "poll:events", body)["events"]
                events = [AccountEvent.from_dict(one) for one in listed]
                return record.problems(market.orders(), market.fills(), events, market.balances(), {taken, rests})

            deadline = time.monotonic() + SOON_S
            while (found := differences()) and time.monotonic() < deadline:  # fees and balances come last
                time.sleep(0.05)
            assert found == []
            assert not mesh.failures

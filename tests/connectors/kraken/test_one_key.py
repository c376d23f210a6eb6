"""Roles that sign for one account send rising nonces after any kill: the local exchange refuses all other nonces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.exchange.kraken.checking import ACCOUNT_LIMITS, ADDRESS_LIMITS, LIMITS
from venuemesh.model.order import OrderStatus
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

PAIR, ORDERS, STREAM = "BTC-USDT", "orders/kraken/main", "stream/kraken/main"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange([PAIR], protocol="kraken") as running:
        running.admin.limits(**LIMITS)
        yield running


def config(exchange: LocalExchange, **account: Any) -> dict[str, Any]:
    found = exchange.config(account_limits=ACCOUNT_LIMITS, **account)
    found["exchanges"]["kraken"]["limits"] = dict(ADDRESS_LIMITS)
    return found


def refused(exchange: LocalExchange) -> int:
    """Return how many requests the exchange has refused for any reason."""
    return int(exchange.admin.stats()["statuses"].get("400", 0))


@pytest.mark.parametrize(("orders", "stream"), [("rest", "websocket"), ("rest", "polling"), ("websocket", "websocket")])
async def test_manager_and_stream_never_overtake_each_other(exchange: LocalExchange, orders: str, stream: str) -> None:
    """Orders by websocket have no nonces; reads have them all the same."""
    before = refused(exchange)
    with LocalMesh(config(exchange, orders=orders, stream=stream), connectors=[CONNECTOR]) as mesh:
        await asyncio.to_thread(mesh.wait_ready)
        market = mesh.aio.market("kraken")
        await market.wait_trading(30.0)
        low = (await market.get_snapshot(PAIR)).best_bid.price * Decimal("0.9")
        for killed in (STREAM, ORDERS, STREAM):
            placing = [market.place("buy", PAIR, Decimal("0.001"), price=low) for _ in range(8)]
            await asyncio.gather(*placing, asyncio.to_thread(mesh.restart, STREAM))
            if killed == ORDERS:
                await asyncio.to_thread(mesh.restart, ORDERS)
                await market.wait_trading(30.0)
            results = await market.cancel_all(20.0)
            assert len(results) == 8
            assert {result.status for result in results} == {OrderStatus.CANCELED}
        status = mesh.role_status(ORDERS)
        assert status["nonce_refusals"] == 0
        assert not mesh.failures
    assert refused(exchange) == before
    assert exchange.admin.stats()["statuses"]["200"] > 50  # cancels go in batches

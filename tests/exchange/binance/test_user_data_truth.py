"""In traffic, user data alone is enough to rebuild the ledger: every order, every fill, every balance."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.fakes.signed_ws import Api, Key

pytestmark = pytest.mark.timeout(120)
KEY = Key("KEY", "SECRET")
FINAL = ("FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH")


class Replayed:
    """The state that a reader of user data knows."""

    def __init__(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {}
        self.fills: dict[int, tuple[Any, ...]] = {}
        self.balances: dict[str, tuple[str, str]] = {}
        self.last_execution = 0

    def on(self, event: dict[str, Any]) -> None:
        if event["e"] == "outboundAccountPosition":
            self.balances |= {line["a"]: (line["f"], line["l"]) for line in event["B"]}
        elif event["e"] == "executionReport":
            before = self.orders.get(event["i"])
            assert event["I"] > self.last_execution
            assert before is None or before["X"] not in FINAL
            assert before is None or float(before["z"]) <= float(event["z"]) <= float(event["q"])
            self.last_execution = event["I"]
            self.orders[event["i"]] = event
            if event["x"] == "TRADE":
                assert event["t"] not in self.fills
                self.fills[event["t"]] = (event["i"], event["l"], event["L"], event["n"], event["N"], event["m"])


def order(draw: random.Random, bid: float, number: int) -> dict[str, Any]:
    """Return a random order near the top of the book."""
    side = draw.choice(("BUY", "SELL"))
    kind = draw.choice(("LIMIT", "LIMIT", "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS_LIMIT"))
    price = f"{bid + draw.randint(-300, 300) / 100:.2f}"
    params = {"symbol": "BTCUSDT", "side": side, "type": kind, "newClientOrderId": f"o{number}"}
    params["quantity"] = f"{draw.randint(1, 400) / 10_000:.4f}"
    if kind != "MARKET":
        params["price"] = price
    if kind in ("LIMIT", "STOP_LOSS_LIMIT"):
        params["timeInForce"] = draw.choice(("GTC", "GTC", "IOC", "FOK"))
    if kind == "STOP_LOSS_LIMIT":
        params["stopPrice"] = f"{bid + (5 if side == 'BUY' else -5):.2f}"
    return params


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_reader_of_user_data_knows_the_ledger(exchange: Any, seed: int) -> None:
    draw = random.Random(seed)
    await exchange.admin.limits(orders_10s=10**6, weight=10**6)
    async with exchange.socket("/ws-api/v3") as socket:
        ws = Api(socket, KEY, lambda: exchange.clock.wall_ns // 1_000_000)
        await ws.ask("userDataStream.subscribe.signature")
        sent: list[int] = []
        for number in range(150):
            bid = float((await exchange.admin.book("BTCUSDT"))["bids"][0][0])
            action = draw.random()
            if action < 0.7:
                answer = await ws.ask("order.place", **order(draw, bid, number))
                if answer["status"] == 200:
                    sent.append(answer["result"]["orderId"])
            elif sent and action < 0.9:
                await ws.ask("order.cancel", symbol="BTCUSDT", orderId=draw.choice(sent))
            elif action < 0.93:
                await ws.ask("openOrders.cancelAll", symbol="BTCUSDT")
            exchange.advance(draw.choice((0, 20, 100)))
        await exchange.admin.pause()
        await ws.call("ping")  # everything before its answer was sent before it
        known = Replayed()
        for message in ws.events:
            known.on(message["event"])
    ledger = (await exchange.admin.ledger("main"))["accounts"][0]
    assert len(ledger["orders"]) > 50
    assert len(ledger["fills"]) > 20
    assert {event["X"] for event in known.orders.values()} >= {"FILLED", "CANCELED", "EXPIRED"}
    assert {identity: (event["X"], event["q"], event["z"], event["Z"]) for identity, event in known.orders.items()} == {
        found["order_id"]: (found["status"], found["size"], found["filled"], found["quote_filled"])
        for found in ledger["orders"]
    }
    assert known.fills == {
        fill["trade_id"]: (
            fill["order_id"],
            fill["size"],
            fill["price"],
            fill["fee"],
            fill["fee_asset"],
            fill["maker"],
        )
        for fill in ledger["fills"]
    }
    assert known.balances == {
        asset: (balance["free"], balance["locked"]) for asset, balance in ledger["balances"].items()
    }

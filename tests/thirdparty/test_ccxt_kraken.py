"""ccxt's own kraken classes, REST and websocket, work against the local exchange, and what they see is the ledger's.

What ccxt does here is in `ccxt_kraken.py`; `conftest.py` says where ccxt lives. ccxt's check of book checksums is
broken in Python (it reads numbers as floats), so the book is compared with the exchange's own instead.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from venuemesh.exchange.kraken.ids import order_number

pytestmark = [pytest.mark.thirdparty, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
SECRET = base64.b64encode(b"a secret of the tests").decode()


@pytest.fixture(scope="module")
def seen(ccxt_python: Path) -> Iterator[dict[str, Any]]:
    """What ccxt saw of an exchange in traffic and then at rest, and the exchange's ledger of its account."""
    command = [sys.executable, "-m", "venuemesh.exchange", "--json", "--protocols", "binance,kraken", "--seed", "11"]
    command += ["--rate", "1000", "--account", f"main:KEY:{SECRET}:BTC=10,USDT=1000000"]
    exchange = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert exchange.stdout is not None
        urls = json.loads(exchange.stdout.readline())
        spoken = urls["kraken"]
        script = Path(__file__).with_name("ccxt_kraken.py")
        done = subprocess.run(
            [ccxt_python, script, spoken["rest"], spoken["ws"], spoken["ws_private"], urls["admin"]],
            input=json.dumps({"apiKey": "KEY", "secret": SECRET}),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        yield json.loads(done.stdout.splitlines()[-1])
    finally:
        exchange.terminate()
        exchange.wait(timeout=60)
    assert exchange.returncode == 0


@pytest.fixture
def truth(seen: dict[str, Any]) -> dict[str, Any]:
    """The ledger of the account."""
    ledger: dict[str, Any] = seen["ledger"]["accounts"][0]
    return ledger


def test_market_data(seen: dict[str, Any]) -> None:
    rest, ws = seen["rest"], seen["ws"]
    assert rest["markets"] == ["BNB/USDT", "BTC/USDT", "ETH/BTC", "ETH/USDT", "SOL/USDT"]
    assert (rest["precision"]["price"], rest["precision"]["amount"]) == (0.01, 0.00001)
    bids, asks = rest["book"]
    assert len(bids) == len(asks) == 5
    assert bids[0][0] < asks[0][0]
    assert {side for _, _, side in rest["trades"]} <= {"buy", "sell"}
    assert rest["ticker"] > 0
    assert len(rest["candles"][0]) == 6
    opened_ms, *prices, volume = ws["candle"]
    assert (len(prices), opened_ms % 60_000) == (4, 0)
    assert prices[2] <= min(prices[0], prices[3]) <= max(prices[0], prices[3]) <= prices[1]
    assert volume >= 0
    assert rest["time"] > 1_600_000_000_000
    assert len(ws["book"]["bids"]) == len(ws["book"]["asks"]) == 25  # the exchange's own, which the watched one became
    assert ws["ticker"] > 0
    assert ws["trade"][1] in ("buy", "sell")


def test_orders_ended_as_their_kind_says(seen: dict[str, Any], truth: dict[str, Any]) -> None:
    rest = seen["rest"]
    status = {order["order_id"]: order["status"] for order in truth["orders"]}
    ended = {name: status[order_number(identity)] for name, identity in rest["made"].items()}
    assert ended == {
        "resting": "CANCELED",
        "crossing": "FILLED",
        "market": "FILLED",
        "cost": "FILLED",
        "ioc": "EXPIRED",
        "passive": "CANCELED",
        "taking": "CANCELED",  # accepted, then cancelled, as Kraken does
        "doomed": "CANCELED",
    }
    assert {order["id"] for order in rest["open"]} == {rest["made"]["resting"], rest["made"]["passive"]}
    assert rest["left"] == []
    known = {order["id"]: order["status"] for order in rest["closed"]}
    assert [known[rest["made"][name]] for name in ("crossing", "ioc", "taking")] == ["closed", "canceled", "canceled"]
    assert (rest["one"]["status"], rest["one"]["filled"]) == ("closed", 0.001)


def test_refusals_are_understood(seen: dict[str, Any]) -> None:
    assert seen["rest"]["errors"] == {
        "no funds": "InsufficientFunds",
        "too small": "ExchangeError",  # ccxt has no class for EOrder:Cost minimum not met
        "same id": "ExchangeError",  # nor for the id of another open order
        "unknown": "InvalidOrder",  # ccxt takes EOrder:Invalid order for a bad order
        "symbol": "ExchangeError",
    }


def test_fills_are_the_ledgers(seen: dict[str, Any], truth: dict[str, Any]) -> None:
    """Over REST the fills of one taker order are one trade; over the websocket each is known."""
    by_order: dict[int, list[Decimal]] = {}
    for fill in truth["fills"]:
        sums = by_order.setdefault(fill["order_id"], [Decimal(0)] * 3)
        for at, name in enumerate(("size", "quote", "fee")):
            sums[at] += Decimal(fill[name])
    over_rest = {order_number(trade["order"]): trade for trade in seen["rest"]["fills"]}
    for number, trade in over_rest.items():
        assert number is not None
        known = [Decimal(str(figure)) for figure in (trade["amount"], trade["cost"], trade["fee"]["cost"])]
        assert known == by_order[number]
        assert trade["fee"]["currency"] == "USDT"
    watched = {fill["id"]: fill for fill in seen["ws"]["fills"]}
    sizes: dict[int | None, Decimal] = {}
    for fill in watched.values():
        number = order_number(fill["order"])
        sizes[number] = sizes.get(number, Decimal(0)) + Decimal(str(fill["amount"]))
    assert set(over_rest) | set(sizes) == set(by_order)
    for number, size in sizes.items():
        assert number is not None
        assert size == by_order[number][0]


def test_balances_read_and_watched_are_the_ledgers(seen: dict[str, Any], truth: dict[str, Any]) -> None:
    """The websocket tells totals only."""
    for asset, total in seen["ws"]["balance"].items():
        held = truth["balances"][asset]
        assert Decimal(str(total)) == Decimal(held["free"]) + Decimal(held["locked"])
    assert seen["rest"]["balance"]["BTC"]["used"] == 0.01  # behind the post-only order of then

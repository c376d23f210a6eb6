"""ccxt's own bybit classes work against the local exchange, REST and websocket, and what they see is the ledger's.

What ccxt does here is in `ccxt_bybit.py`; `conftest.py` says where ccxt lives.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from venuemesh.exchange.bybit.orders import order_number
from venuemesh.exchange.bybit.pairs import trade_uuid

pytestmark = [pytest.mark.thirdparty, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def seen(ccxt_python: Path) -> Iterator[dict[str, Any]]:
    """What ccxt saw of an exchange in traffic, and the exchange's ledger of its account."""
    command = [sys.executable, "-m", "venuemesh.exchange", "--json", "--protocols", "binance,bybit", "--seed", "11"]
    command += ["--rate", "1000", "--account", "main:KEY:a-secret:BTC=10,USDT=1000000"]
    exchange = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert exchange.stdout is not None
        urls = json.loads(exchange.stdout.readline())
        bybit = urls["bybit"]
        script = Path(__file__).with_name("ccxt_bybit.py")
        done = subprocess.run(
            [ccxt_python, script, bybit["rest"], bybit["ws"], bybit["ws_api"], urls["admin"]],
            input=json.dumps({"apiKey": "KEY", "secret": "a-secret"}),
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


def test_market_data_read_and_watched(seen: dict[str, Any]) -> None:
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
    assert ws["ticker"] > 0
    assert ws["trade"][1] in ("buy", "sell")


def test_orders_ended_as_their_kind_says(seen: dict[str, Any], truth: dict[str, Any]) -> None:
    status = {int(order["order_id"]): order["status"] for order in truth["orders"]}
    ended = {name: status[order_number(number) or 0] for name, number in seen["rest"]["made"].items()}
    assert ended == {
        "resting": "CANCELED",  # by the last call of the script over REST
        "crossing": "FILLED",
        "market": "FILLED",
        "cost": "FILLED",
        "ioc": "EXPIRED",
        "taking": "REJECTED",
        "doomed": "CANCELED",
    }
    assert seen["rest"]["left"] == []
    assert seen["rest"]["errors"] == {
        "no funds": "InsufficientFunds",
        "same id": "InvalidOrder",
        "unknown": "OrderNotFound",
    }


def test_orders_fills_and_balances_are_the_ledgers(seen: dict[str, Any], truth: dict[str, Any]) -> None:
    rest, made = seen["rest"], seen["rest"]["made"]
    assert [(order["id"], order["clientOrderId"]) for order in rest["open"]] == [(made["resting"], "ccxt-resting")]
    assert (rest["one"]["id"], rest["one"]["status"], rest["one"]["filled"]) == (made["market"], "closed", 0.001)
    assert {made["crossing"], made["market"], made["cost"]} <= {order["id"] for order in rest["closed"]}
    assert {made["doomed"], made["ioc"]} <= set(rest["canceled"])
    theirs = {
        (trade_uuid(fill["symbol"], int(fill["trade_id"])), int(fill["order_id"]), fill["side"], fill["fee_asset"])
        for fill in truth["fills"]
    }
    ours = {
        (fill["id"], order_number(fill["order"]), fill["side"], fill["fee"]["currency"])
        for fill in (*rest["fills"], *seen["ws"]["fills"])
    }
    assert ours == theirs
    assert {seen["ws"]["maker"], seen["ws"]["taker"]} <= {fill["order"] for fill in seen["ws"]["fills"]}
    for asset, total in seen["ws"]["balance"].items():
        held = truth["balances"][asset]
        assert Decimal(str(total)) == Decimal(held["free"]) + Decimal(held["locked"])
    price = next(order["price"] for order in rest["open"])
    assert rest["balance"]["USDT"]["used"] == pytest.approx(price * 0.01)

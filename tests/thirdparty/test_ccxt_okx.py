"""ccxt's own okx classes work against the local exchange, REST and websocket, and what they see is the ledger's.

What ccxt does here is in `ccxt_okx.py`; `conftest.py` says where ccxt lives.
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

pytestmark = [pytest.mark.thirdparty, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def seen(ccxt_python: Path) -> Iterator[dict[str, Any]]:
    """What ccxt saw of an exchange in traffic, and the exchange's ledger of its account."""
    command = [sys.executable, "-m", "venuemesh.exchange", "--json", "--protocols", "binance,okx", "--seed", "11"]
    command += ["--rate", "1000", "--account", "main:KEY:a-secret:BTC=10,USDT=1000000"]
    exchange = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert exchange.stdout is not None
        urls = json.loads(exchange.stdout.readline())
        okx, script = urls["okx"], Path(__file__).with_name("ccxt_okx.py")
        done = subprocess.run(
            [ccxt_python, script, okx["rest"], okx["ws"], urls["admin"]],
            input=json.dumps({"apiKey": "KEY", "secret": "a-secret", "password": "passphrase"}),
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
    status = {str(order["order_id"]): order["status"] for order in truth["orders"]}
    assert {name: status[number] for name, number in seen["rest"]["made"].items()} == {
        "resting": "NEW",
        "crossing": "FILLED",
        "market": "FILLED",
        "cost": "FILLED",
        "ioc": "EXPIRED",
        "taking": "EXPIRED",
        "doomed": "CANCELED",
    }
    assert seen["rest"]["errors"] == {
        "no funds": "InsufficientFunds",
        "same id": "InvalidOrder",
        "unknown": "OrderNotFound",
        "lookup": "OrderNotFound",
    }


def test_orders_fills_and_balances_are_the_ledgers(seen: dict[str, Any], truth: dict[str, Any]) -> None:
    rest, made = seen["rest"], seen["rest"]["made"]
    assert [(order["id"], order["clientOrderId"]) for order in rest["open"]] == [(made["resting"], "ccxtresting")]
    assert (rest["one"]["id"], rest["one"]["status"], rest["one"]["filled"]) == (made["market"], "closed", 0.001)
    assert {made["crossing"], made["market"], made["cost"]} <= {order["id"] for order in rest["closed"]}
    told = [*rest["fills"], *seen["ws"]["fills"]]
    ours = {(fill["id"], fill["order"], fill["side"], fill["fee"]["currency"]) for fill in told}
    theirs = {(str(f["trade_id"]), str(f["order_id"]), f["side"], f["fee_asset"]) for f in truth["fills"]}
    assert ours == theirs
    assert sum(Decimal(str(fill["fee"]["cost"])) for fill in rest["fills"]) > 0
    assert {seen["ws"]["maker"], seen["ws"]["taker"]} <= {fill["order"] for fill in seen["ws"]["fills"]}
    for asset, total in seen["ws"]["balance"].items():
        held = truth["balances"][asset]
        assert Decimal(str(total)) == Decimal(held["free"]) + Decimal(held["locked"])
    price = next(order["price"] for order in rest["open"])
    assert rest["balance"]["USDT"]["used"] == pytest.approx(price * 0.01)

"""The real ccxt works against the local exchange, REST and websocket, with only its base URLs changed.

`conftest.py` says where ccxt lives.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.thirdparty, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def seen(ccxt_python: Path) -> Iterator[dict[str, Any]]:
    """What ccxt saw of an exchange in traffic, and then at rest."""
    command = [sys.executable, "-m", "venuemesh.exchange", "--json", "--rate", "1500", "--seed", "11"]
    exchange = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert exchange.stdout is not None
        urls = json.loads(exchange.stdout.readline())
        done = subprocess.run(
            [
                ccxt_python,
                Path(__file__).with_name("ccxt_client.py"),
                urls["binance"]["rest"],
                urls["binance"]["ws"],
                urls["admin"],
            ],
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


def test_markets_and_rules(seen: dict[str, Any]) -> None:
    rest = seen["rest"]
    assert rest["markets"] == ["BNB/USDT", "BTC/USDT", "ETH/BTC", "ETH/USDT", "SOL/USDT"]
    assert rest["precision"]["price"] == 0.01
    assert rest["precision"]["amount"] == 0.00001


def test_books_trades_tickers_candles_over_rest(seen: dict[str, Any]) -> None:
    rest = seen["rest"]
    bids, asks, nonce = rest["book"]
    assert len(bids) == len(asks) == 5
    assert bids[0][0] < asks[0][0]
    assert nonce > 0
    assert rest["trades"]
    assert {side for _, _, side in rest["trades"]} <= {"buy", "sell"}
    assert all(value > 0 for value in rest["ticker"])
    assert rest["tickers"] == rest["markets"]
    assert rest["ohlcv"]
    assert len(rest["ohlcv"][0]) == 6
    assert rest["time"] > 1_600_000_000_000
    assert rest["refused"] == "BadSymbol"


def test_the_watched_book_is_the_exchanges_own_at_rest(seen: dict[str, Any]) -> None:
    ws = seen["ws"]
    assert ws["nonce"][0] == ws["nonce"][1]
    assert len(ws["own"][0]) == 500
    assert ws["watched"] == ws["own"]


def test_trades_tickers_and_candles_are_watched(seen: dict[str, Any]) -> None:
    ws = seen["ws"]
    assert ws["trade"][0] > 0
    assert ws["trade"][1] in ("buy", "sell")
    assert ws["ticker"] > 0
    opened_ms, *prices, volume = ws["candle"]
    assert (len(prices), opened_ms % 60_000) == (4, 0)
    assert prices[2] <= min(prices[0], prices[3]) <= max(prices[0], prices[3]) <= prices[1]
    assert volume >= 0

"""freqtrade trades on the local exchange, and nautilus_trader's data client reads it: with URLs and a key alone."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from venuemesh.exchange.admin.client import AdminClient
from venuemesh.exchange.launch import serving

from .environments import python_of

pytestmark = [pytest.mark.thirdparty, pytest.mark.soak, pytest.mark.timeout(1500)]
KEY = {"apiKey": "BOT-KEY", "secret": "BOT-SECRET"}
WAIT_S = 120.0
SETTINGS: dict[str, Any] = {
    "max_open_trades": 1,
    "stake_currency": "USDT",
    "stake_amount": 100,
    "dry_run": False,
    "trading_mode": "spot",
    "timeframe": "1m",
    "unfilledtimeout": {"entry": 10, "exit": 10, "unit": "minutes"},
    "entry_pricing": {"price_side": "same", "use_order_book": True, "order_book_top": 1},
    "exit_pricing": {"price_side": "same", "use_order_book": True, "order_book_top": 1},
    "pairlists": [{"method": "StaticPairList"}],
    "initial_state": "running",
    "internals": {"process_throttle_secs": 1},
}
STRATEGY = """
from freqtrade.strategy import IStrategy

class Buys(IStrategy):
    INTERFACE_VERSION = 3
    timeframe, minimal_roi, stoploss, startup_candle_count = "1m", {"0": 10}, -0.5, 0
    def populate_indicators(self, frame, metadata):
        return frame
    def populate_entry_trend(self, frame, metadata):
        frame["enter_long"] = 1
        return frame
    def populate_exit_trend(self, frame, metadata):
        return frame
"""


@pytest.fixture
def exchange() -> Iterator[dict[str, Any]]:
    account = f"main:{KEY['apiKey']}:{KEY['secret']}:BTC=1,USDT=10000"
    with serving("venuemesh.exchange", "--json", "--rate", "600", "--account", account) as (_, urls):
        yield urls


def environment(name: str) -> Path:
    try:
        return python_of(name, name)
    except (subprocess.SubprocessError, OSError) as error:
        reason = f"{name} cannot be installed here: {getattr(error, 'stderr', None) or error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def eventually(found: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    until = time.monotonic() + WAIT_S
    while not (result := found()):
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < until, "not in time"
        time.sleep(0.2)
    return result


def test_freqtrade_buys_and_sees_its_fill(exchange: dict[str, Any], tmp_path: Path) -> None:
    python, own = environment("freqtrade"), exchange["binance"]
    api: dict[str, Any] = {
        name: own["rest"] + path
        for name, path in {
            "public": "/api/v3",
            "private": "/api/v3",
            "v1": "/api/v1",
            "sapi": "/sapi/v1",
            "fapiPublic": "/fapi/v1",
            "dapiPublic": "/dapi/v1",
        }.items()
    }
    api["ws"] = {"spot": own["ws"] + "/ws", "ws-api": {"spot": own["ws_api"]}}
    named = {"name": "binance", "key": KEY["apiKey"], "secret": KEY["secret"], "pair_whitelist": ["BTC/USDT"]}
    journal = tmp_path / "trades.sqlite"
    settings = SETTINGS | {
        "exchange": {**named, "ccxt_config": {"urls": {"api": api}}},
        "db_url": f"sqlite:///{journal}",
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "Buys.py").write_text(STRATEGY)
    command = [python.with_name("freqtrade"), "trade", "--strategy", "Buys", "-c", tmp_path / "config.json"]
    bot = subprocess.Popen(
        [*command, "--userdir", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
    )
    admin = AdminClient(exchange["admin"])
    try:
        order = eventually(lambda: admin.orders("main")["orders"], bot)[0]
        assert (order["symbol"], order["side"], order["type"]) == ("BTCUSDT", "BUY", "LIMIT")
        if order["status"] == "NEW":
            admin.fill("BTCUSDT", order["order_id"])

        def held() -> list[tuple[Any, ...]]:
            with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as stored:
                return stored.execute("select amount, open_rate from trades where amount > 0").fetchall()

        ((amount, rate),) = eventually(held, bot)
        assert amount == pytest.approx(float(order["size"]) * 0.999, rel=2e-3)  # the fee is taken from it
        assert rate == pytest.approx(float(order["price"]), rel=1e-3)
    finally:
        bot.send_signal(signal.SIGINT)
        bot.communicate(timeout=60)


def test_nautilus_trader_reads_instruments_and_follows_a_pair(exchange: dict[str, Any]) -> None:
    script = Path(__file__).with_name("nautilus_data.py")
    own = exchange["binance"]
    done = subprocess.run(
        [environment("nautilus_trader"), script, own["rest"], own["ws"]],
        input=json.dumps(KEY),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert [float(value) for value in seen["instrument"]] == [0.01, 0.00001, 0.001]
    assert min(seen["quotes"], seen["trades"], seen["deltas"]) >= 5
    bid, ask = seen["book"]
    assert 0 < bid < ask

"""`venuemesh.testing`: a whole mesh in this process, and what docs/testing.md shows, executed."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import venuemesh
from venuemesh.model.errors import (
    ConfigError,
    Misconfigured,
    OutcomeUnknown,
    RetryLater,
    UnknownExchange,
    UnknownInstrument,
)
from venuemesh.model.events import BookState
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

ROOT = Path(__file__).resolve().parents[2]
BOOK, ORDERS, STREAM = "book/binance/BTC-USDT", "orders/binance/main", "stream/binance/main"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange(["BTC-USDT", "ETH-USDT"]) as running:
        yield running


@pytest.fixture(scope="module")
def mesh(exchange: LocalExchange) -> Iterator[LocalMesh]:
    config = exchange.config(recv_window_ms=500)
    config["exchanges"]["binance"]["pairs"] = ["BTC-USDT", "NONE-SUCH"]
    with LocalMesh(config) as made:
        made.wait_ready()
        yield made
        assert not made.failures


def test_what_runs_is_what_a_supervisor_would_run(mesh: LocalMesh) -> None:
    assert mesh.addresses() == ["limits/binance/default", "catalog/binance", BOOK, STREAM, ORDERS]
    rows = {row["address"]: row["state"] for row in mesh.status()["children"]}
    assert rows.pop("book/binance/NONE-SUCH") == "REFUSED"
    assert set(rows.values()) == {"SERVING"}


def test_a_market_reads_and_trades(mesh: LocalMesh) -> None:
    market = mesh.market("binance", owner="me")
    assert market.account == "main"
    assert list(market.trading_pairs) == ["BTC-USDT"]
    assert market.ready
    book = market.order_book("BTC-USDT")
    assert book.best_bid.price < book.best_ask.price
    assert market.balance("USDT").total > 0
    with pytest.raises(UnknownExchange):
        mesh.market("nowhere")


WITH_A_PAIR = {
    "order_book": lambda market, pair: market.order_book(pair),
    "instrument": lambda market, pair: market.instrument(pair),
    "quantize_price": lambda market, pair: market.quantize_price(pair, "1"),
    "ticker": lambda market, pair: market.ticker(pair),
    "candles": lambda market, pair: market.candles(pair, "1h"),
    "mid_price": lambda market, pair: market.mid_price(pair),
    "get_snapshot": lambda market, pair: market.get_snapshot(pair),
    "l3_book": lambda market, pair: market.l3_book(pair),
    "get_fee": lambda market, pair: market.get_fee(pair),
    "buy": lambda market, pair: market.buy(pair, "0.01", price="1"),
    "place": lambda market, pair: market.place("sell", pair, "0.01", "MARKET"),
    "orders": lambda market, pair: market.orders(pair=pair),
    "in_flight_orders": lambda market, pair: market.in_flight_orders(pair=pair),
    "fills": lambda market, pair: market.fills(pair=pair),
    "cancel_all": lambda market, pair: market.cancel_all(pair=pair),
    "pause": lambda market, pair: market.pause(pair),
    "resume": lambda market, pair: market.resume(pair),
}


@pytest.mark.parametrize("call", WITH_A_PAIR)
def test_every_call_suggests_the_right_spelling_of_a_pair(mesh: LocalMesh, call: str) -> None:
    market = mesh.market("binance")
    for pair in ("BTC/USDT", "BTCUSDT", "btc-usdt"):
        with pytest.raises(UnknownInstrument, match="did you mean BTC-USDT") as error:
            WITH_A_PAIR[call](market, pair)
        assert error.value.similar == ["BTC-USDT"]


def test_a_near_miss_of_an_order_is_refused_with_a_suggestion(mesh: LocalMesh) -> None:
    with pytest.raises(UnknownInstrument, match="does not list it; did you mean BTC-USDT"):
        mesh.market("binance").place("buy", "BTC-UDST", "0.01", "MARKET")


def test_a_listed_pair_without_orders_is_no_error(mesh: LocalMesh) -> None:
    market = mesh.market("binance")
    assert list(market.orders(pair="ETH-USDT")) == list(market.fills(pair="ETH-USDT")) == []
    assert market.cancel_all(pair="ETH-USDT") == []
    market.resume("ETH-USDT")


def test_pairs_come_and_go(mesh: LocalMesh) -> None:
    mesh.track("binance", "ETH-USDT")
    mesh.wait_ready()
    market = mesh.market("binance")
    assert set(market.trading_pairs) == {"BTC-USDT", "ETH-USDT"}
    mesh.untrack("binance", "ETH-USDT")
    assert list(market.trading_pairs) == ["BTC-USDT"]
    assert "book/binance/ETH-USDT" not in mesh.addresses()


def test_a_stopped_network_has_no_books_and_knows_its_pairs(mesh: LocalMesh) -> None:
    market = mesh.market("binance")
    market.stop_network()
    assert BOOK not in mesh.addresses()
    assert list(market.trading_pairs) == ["BTC-USDT"]
    market.start_network()
    mesh.wait_ready()
    assert market.order_book("BTC-USDT").state is BookState.LIVE


def test_a_killed_role_is_away_until_it_is_restarted(mesh: LocalMesh) -> None:
    mesh.kill(ORDERS)
    with pytest.raises((RetryLater, OutcomeUnknown)):
        mesh.ask(ORDERS, "account", None, 0.1)
    with pytest.raises(RetryLater, match=f"{ORDERS} is WAITING"):
        mesh.wait_ready(0.1)
    mesh.restart(ORDERS)
    mesh.wait_ready()
    assert mesh.role_status(ORDERS)["ready"]


def test_a_role_that_fails_states_the_reason(exchange: LocalExchange) -> None:
    config = exchange.config()
    del config["exchanges"]["binance"]["accounts"]
    with LocalMesh(config) as mesh:
        with pytest.raises(OutcomeUnknown):
            mesh.ask("limits/binance/default", "release", {"lease": []}, 0.5)
        assert [address for address, _ in mesh.failures] == ["limits/binance/default"]
        with pytest.raises(TypeError):
            mesh.wait_ready(1.0)
        assert len(mesh.take_failures()) == 1
        mesh.restart("limits/binance/default")
        mesh.wait_ready()


def test_a_wrong_configuration_is_refused_and_leaves_nothing() -> None:
    before = threading.active_count()
    with pytest.raises(ConfigError, match="no exchange"):
        LocalMesh({"exchanges": {}})
    with pytest.raises(ConfigError):
        LocalMesh({"exchanges": {"binance": {"rest": "http://127.0.0.1:1", "pairz": []}}})
    assert threading.active_count() == before


def test_a_mesh_that_cannot_start_leaves_nothing() -> None:
    before = threading.active_count()
    urls = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}
    account = {"api_key_file": "/nonexistent/key", "secret_file": "/nonexistent/secret"}
    mesh = LocalMesh({"exchanges": {"binance": {**urls, "accounts": {"main": account}}}})
    folder = mesh.folder
    with pytest.raises(Misconfigured):
        mesh.start_accounts()
    mesh.close()
    assert threading.active_count() == before
    assert not folder.exists()


def test_a_local_exchange_says_which_protocols_it_speaks() -> None:
    with pytest.raises(Misconfigured, match="binance"), local_exchange(protocol="acme"):
        pass


def test_the_example_that_trades_runs_here_as_on_a_mesh(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mesh: LocalMesh
) -> None:
    monkeypatch.setattr(venuemesh, "connect", lambda: mesh)
    runpy.run_path(str(ROOT / "examples" / "quote_and_take.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith("FILLED ")
    assert "cancelled: CANCELED" in printed
    assert sum("cancelled" in line or "completed" in line for line in printed.splitlines()) == 3


def test_the_documented_tests_pass(tmp_path: Path) -> None:
    """docs/testing.md shows a strategy and its tests, which run unchanged."""
    text = (ROOT / "docs" / "testing.md").read_text()
    files = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))
    assert set(files) == {"strategy.py", "conftest.py", "test_strategy.py"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "test_strategy.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120.0, check=False)
    assert f"{text.count('def test_')} passed" in ended.stdout, ended.stdout + ended.stderr


def test_it_needs_no_ray() -> None:
    code = "import sys, venuemesh.testing; print('ray' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0, check=True)
    assert ran.stdout.strip() == "False"

"""The real ccxt trades on the local exchange, and its results are compared with the exchange's own ledger.

What ccxt does here is in `ccxt_trader.py`: limit, market, post-only, IOC, FOK, stop-limit and quote-amount orders,
cancels and a replacement over REST; orders and a cancel over the WebSocket API while it watches orders, balances and
own trades. ccxt 4.5 subscribes to user data by `userDataStream.subscribe.signature`, so nothing is served here that the
manual does not have.
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

from tests.fakes.signed_ws import Key

pytestmark = [pytest.mark.thirdparty, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
PAIRS = {"ED25519": Key.ed25519("CCXT-ED25519"), "RSA": Key.rsa("CCXT-RSA")}
KEYS = [
    {"apiKey": "CCXT-HMAC", "secret": "CCXT-SECRET"},
    *({"apiKey": key.name, "secret": key.private_pem} for key in PAIRS.values()),
]
STATUSES = {
    "NEW": "open",
    "PARTIALLY_FILLED": "open",
    "FILLED": "closed",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
}


@pytest.fixture(scope="module")
def traded(ccxt_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Any]]:
    """Return ccxt's results, and the exchange's ledger of its account after the first key had traded."""
    folder = tmp_path_factory.mktemp("accounts")
    for kind, key in PAIRS.items():
        (folder / f"{kind}.pem").write_text(key.public_pem)
    keys = [{"key": "CCXT-HMAC", "secret": "CCXT-SECRET"}] + [
        {"key": key.name, "public_key_file": f"{kind}.pem"} for kind, key in PAIRS.items()
    ]
    accounts = folder / "accounts.json"
    accounts.write_text(
        json.dumps({"accounts": {"main": {"balances": {"BTC": "10", "USDT": "1000000"}, "keys": keys}}})
    )
    accounts.chmod(0o600)
    command = [sys.executable, "-m", "venuemesh.exchange", "--json", "--paused", "--accounts", str(accounts)]
    exchange = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert exchange.stdout is not None
        urls = json.loads(exchange.stdout.readline())
        spoken = urls["binance"]
        script = Path(__file__).with_name("ccxt_trader.py")
        done = subprocess.run(
            [ccxt_python, script, spoken["rest"], spoken["ws"], spoken["ws_api"], urls["admin"]],
            input=json.dumps(KEYS),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        seen = json.loads(done.stdout.splitlines()[-1])
        yield seen, seen["ledger"]["accounts"][0]
    finally:
        exchange.terminate()
        exchange.wait(timeout=60)


def number(value: Any) -> Decimal:
    """What ccxt's float was before it was one."""
    return Decimal(repr(value)) if value is not None else Decimal(0)


def same_order(shown: dict[str, Any], truth: dict[str, Any]) -> None:
    """An order as ccxt has it is the ledger's."""
    assert shown["clientOrderId"] == truth["client_order_id"]
    assert shown["side"] == truth["side"].lower()
    assert shown["amount"] == float(truth["size"])
    assert shown["filled"] == float(truth["filled"])
    assert number(shown["cost"]) == Decimal(truth["quote_filled"])
    assert shown["status"] == STATUSES[truth["status"]]
    if truth["price"] is not None:
        assert shown["price"] == float(truth["price"])
    if truth["stop_price"] is not None:
        assert shown["triggerPrice"] == float(truth["stop_price"])


def same_trade(shown: dict[str, Any], truth: dict[str, Any]) -> None:
    assert int(shown["order"]) == truth["order_id"]
    assert (shown["side"], shown["takerOrMaker"]) == (truth["side"], "maker" if truth["maker"] else "taker")
    assert (number(shown["price"]), number(shown["amount"])) == (Decimal(truth["price"]), Decimal(truth["size"]))
    assert (number(shown["fee"]["cost"]), shown["fee"]["currency"]) == (Decimal(truth["fee"]), truth["fee_asset"])
    assert shown["timestamp"] == truth["time_ns"] // 1_000_000


def test_every_order_is_the_ledgers_and_no_other_is_there(traded: tuple[dict[str, Any], Any]) -> None:
    seen, ledger = traded
    rest, ws = seen["rest"], seen["ws"]
    truth = {str(order["order_id"]): order for order in ledger["orders"]}
    over_rest = {order["id"]: order for order in rest["orders"]}
    over_ws = {ws["maker"]["id"], ws["taker"]["id"]}
    assert set(truth) == set(over_rest) | over_ws
    ended_later = {order["id"] for order in rest["open"]}  # by the last cancel_all_orders
    for identity, shown in over_rest.items():
        expected = truth[identity]
        if identity in ended_later:
            assert expected["status"] == "CANCELED"
            expected = expected | {"status": "NEW"}
        same_order(shown, expected)
    assert rest["left"] == []
    assert {order["id"] for order in rest["made"].values()} <= set(truth)


def test_orders_ended_as_their_kind_says(traded: tuple[dict[str, Any], Any]) -> None:
    seen, ledger = traded
    rest = seen["rest"]
    status = {str(order["order_id"]): order["status"] for order in ledger["orders"]}
    ended = {name: status[order["id"]] for name, order in rest["made"].items()}
    assert ended == {
        "resting": "CANCELED",
        "crossing": "FILLED",
        "market": "FILLED",
        "cost": ended["cost"],  # what whole steps leave of the amount expires
        "ioc": "EXPIRED",
        "fok": "EXPIRED",
        "post_only": "CANCELED",
        "stop": "CANCELED",
        "doomed": "CANCELED",
        "edited": "CANCELED",
    }
    assert rest["made"]["resting"]["clientOrderId"] == "ccxt-resting"
    assert rest["by_client_id"]["id"] == rest["made"]["resting"]["id"]
    assert 99 < rest["made"]["cost"]["cost"] <= 100
    assert rest["one"]["status"] == "closed"
    assert rest["cancelled"]["id"] == rest["made"]["doomed"]["id"]
    assert rest["replaced"]["id"] not in {order["id"] for order in rest["made"].values()}


def test_currencies_and_fees_come_from_the_wallet(traded: tuple[dict[str, Any], Any]) -> None:
    rest = traded[0]["rest"]
    assert set(rest["currencies"]) - {"BNFCR"} == {"BNB", "BTC", "ETH", "SOL", "USDT"}  # ccxt adds that one itself
    assert rest["fee"] == [0.001, 0.001]


def test_refusals_are_understood(traded: tuple[dict[str, Any], Any]) -> None:
    rest = traded[0]["rest"]
    assert rest["errors"] == {
        "would take": "OrderImmediatelyFillable",
        "no funds": "InsufficientFunds",
        "too small": "BadRequest",  # ccxt has no class for filter failures
        "same id": "InvalidOrder",
        "unknown": "OrderNotFound",
    }
    assert rest["again"] == "OrderNotFound"


def test_every_trade_is_the_ledgers(traded: tuple[dict[str, Any], Any]) -> None:
    seen, ledger = traded
    truth = {str(fill["trade_id"]): fill for fill in ledger["fills"]}
    shown = {trade["id"]: trade for trade in seen["ws"]["my_trades"]}
    watched = {trade["id"]: trade for trade in seen["ws"]["trades"]}
    assert set(shown) == set(truth)
    assert {trade["id"] for trade in seen["rest"]["trades"]} | set(watched) == set(truth)
    for trades in (shown, watched):
        for identity, trade in trades.items():
            same_trade(trade, truth[identity])


def test_watched_orders_end_as_the_ledger_says(traded: tuple[dict[str, Any], Any]) -> None:
    seen, ledger = traded
    ws = seen["ws"]
    truth = {str(order["order_id"]): order for order in ledger["orders"]}
    latest = {order["id"]: order for order in ws["orders"]}
    assert {ws["maker"]["id"], ws["taker"]["id"]} <= set(latest)
    for identity in (ws["maker"]["id"], ws["taker"]["id"]):
        same_order(latest[identity], truth[identity])
    maker = truth[ws["maker"]["id"]]
    assert (maker["status"], maker["filled"]) == ("CANCELED", "0.02000000")
    assert [order["id"] for order in ws["open"]] == [ws["maker"]["id"]]
    assert ws["cancelled"]["id"] == ws["maker"]["id"]


def test_balances_read_and_watched_are_the_ledgers(traded: tuple[dict[str, Any], Any]) -> None:
    seen, ledger = traded
    for asset in ("BTC", "USDT"):
        watched, truth = seen["ws"]["balance"][asset], ledger["balances"][asset]
        assert (number(watched["free"]), number(watched["used"])) == (Decimal(truth["free"]), Decimal(truth["locked"]))
    assert seen["rest"]["balance"]["BTC"]["used"] > 0  # the post-only and stop orders of then


@pytest.mark.parametrize("kind", list(PAIRS))
def test_keys_of_pairs_trade_too(traded: tuple[dict[str, Any], Any], kind: str) -> None:
    rest, heard, gone, status, ws, also, ws_status = traded[0]["others"][list(PAIRS).index(kind)]
    assert rest == heard == gone
    assert ws == also
    assert (status, ws_status) == ("canceled", "canceled")

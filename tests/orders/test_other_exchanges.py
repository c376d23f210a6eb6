"""Managers of Kraken and OKX accounts, killed and stopped: these exchanges differ in acknowledgements and lookups.

`test_kills` and `test_paused` do the same at Binance, at every failpoint. Here one process serves both exchanges, and a
manager is killed where the exchanges differ: at the boundaries of requests and of their intents. The test takes long
because each kill needs two processes. Kraken's stopped managers are in tests/connectors/kraken/test_two_processes.py.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.account_host import Place
from tests.fakes.manager_host import Hosts
from venuemesh.cli.demo.audit import compare
from venuemesh.cli.local_venue import ledger_in_client_form
from venuemesh.connectors import registry
from venuemesh.exchange.admin.client import AdminClient
from venuemesh.exchange.coinbase.limits import Limits as CoinbaseLimits
from venuemesh.exchange.kraken.checking import LIMITS
from venuemesh.exchange.okx.limits import Limits
from venuemesh.exchange.wire.connection import ConnectionLimits
from venuemesh.journal.journal import Journal
from venuemesh.model.ids import OrderIds
from venuemesh.model.order import AccountEvent, Balance, Fill, Order
from venuemesh.testing import serving

from .conftest import SETTLED
from .test_kills import spread

KILLED, LEASE_ENDED = -signal.SIGKILL, 75
LEASE_S = 2.0  # a slow machine comes to the failpoint in time
IDS = 12
NUMBERS = itertools.count(1)
_KEPT = {field.name for field in fields(ConnectionLimits)}
OKX_LIMITS = [field.name for field in fields(Limits) if field.type == "int" and field.name not in _KEPT]
COINBASE_LIMITS = {
    field.name: 1_000_000 for field in fields(CoinbaseLimits) if field.type == "int" and field.name not in _KEPT
}
# Kraken takes no shorter deadline than two seconds; timestamps of HTX are whole seconds
VALID_MS = {"kraken": 2_300, "okx": 500, "bybit": 500, "coinbase": 500, "htx": 2_300}
EXCHANGES = ("kraken", "okx", "bybit", "coinbase", "htx")
ASKED = ("kraken", "coinbase")  # `Offer.asks_balances`
AT_ONCE = 4
POINTS = ("request.send:2", "request.written:3", "request.written:9", "request.answered:4", "commit.intent:6")


class Case:
    """One account with its journal, at one of the exchanges."""

    def __init__(self, urls: dict[str, Any], exchange: str, folder: Path, **changes: Any) -> None:
        self.admin, self.exchange, number = AdminClient(urls["admin"]), exchange, next(NUMBERS)
        secret, key, name = base64.b64encode(os.urandom(48)).decode(), f"KEY{number:032d}", f"{exchange}{number}"
        self.admin.add_account(name, key, secret=secret, passphrase="word", balances={"BTC": "5", "USDT": "500000"})
        self.folder = folder / name
        self.folder.mkdir()
        url = f"sqlite:///{self.folder / 'journal.sqlite3'}"
        Journal.open(url).close()
        known = folder / f"{exchange}-instruments.json"
        if known.exists():
            shutil.copy(known, self.folder / "instruments.json")
        own = urls[exchange]
        given = {"recv_window_ms": VALID_MS[exchange], "answer_s": 1.0, **changes}
        given |= {"reconcile_s": (0.2, 0.2)} if exchange in ASKED else {}
        fields = {"passphrase": "word"} if exchange in ("okx", "coinbase") else {}
        ws_api = own.get("ws_private") or own["ws_api"]
        self.place = Place(own["rest"], ws_api, url, name, key, secret, given, exchange, fields)
        self.price = int(float(self.admin.book("BTCUSDT")["asks"][0][0]))
        stem = OrderIds(time.time_ns(), number)()[:-4]
        self.stem, self.ids = stem, [f"{stem}{one:04d}" for one in range(IDS)]

    def job(self, script: str, failpoint: str = "", **more: Any) -> dict[str, Any]:
        common = {"place": asdict(self.place), "stem": self.stem, "price": self.price, "ids": self.ids}
        rounds = self.exchange in ASKED and script in ("trade", "verify")
        return {**common, "script": script, "failpoint": failpoint, "rounds": rounds, **more}

    def problems(self, found: dict[str, Any]) -> list[str]:
        """Return the differences between a manager's state at rest and the exchange's ledger, and broken invariants."""
        if "error" in found:
            return [found["error"]]
        orders = [Order.from_dict(plain) for plain in found["orders"]]
        ledger, receipts = ledger_in_client_form(self.admin, self.exchange, self.place.account, self.ids)
        wrong = compare(
            orders,
            [Fill.from_dict(plain) for plain in found["fills"]],
            [AccountEvent.from_dict(plain) for plain in found["events"]],
            {asset: Balance.from_dict(plain) for asset, plain in found["balances"].items()},
            [],
            ledger,
            receipts,
            registry.connector(self.exchange).trading().offer.purges_unfilled,
        ).problems
        wrong += [f"{one}: {fate}" for one, fate in found["fates"].items() if fate not in SETTLED]
        if found["account"]["unresolved_requests"]:
            wrong.append(f"{found['account']['unresolved_requests']} requests are unresolved")
        return wrong

    @property
    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin.ledger(self.place.account)["accounts"][0]["orders"]
        return found


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, Any]]:
    arguments = ("--json", "--paused", "--parent", str(os.getpid()), "--symbols", "BTCUSDT", "--levels", "50")
    with serving("venuemesh.exchange", *arguments, "--protocols", "kraken,okx,bybit,coinbase,htx") as (_, found):
        admin = AdminClient(found["admin"])
        admin.limits(protocol="kraken", connections=10**6, **LIMITS)
        admin.limits(protocol="okx", **dict.fromkeys(OKX_LIMITS, 100_000))
        for protocol in ("bybit", "htx"):
            admin.limits(protocol=protocol, requests=10**9, connections=10**9, account_share=1000.0)
        admin.limits(protocol="coinbase", **COINBASE_LIMITS)
        best = {side: float(admin.book("BTCUSDT")[side][0][0]) for side in ("bids", "asks")}
        for side, price in (("BUY", best["bids"] - 1), ("SELL", best["asks"] + 1)):  # enough for all orders
            admin.order("BTCUSDT", side, quantity="100", price=f"{price:.2f}", account="admin")
        yield found


async def kill_at(case: Case, hosts: Hosts, failpoint: str) -> list[str]:
    """Return the problems after another manager took over."""
    status, found = await hosts.run(case.job("trade", failpoint))
    if status != KILLED:
        return [f"it was not killed: {found.get('error', status)}"]
    status, found = await hosts.run(case.job("verify", incarnation=2))
    return case.problems(found) if status == 0 else [found.get("error", f"exit {status}")]


@pytest.mark.parametrize(
    ("exchange", "send_by", "points"),
    [
        ("kraken", "rest", POINTS),
        ("kraken", "websocket", POINTS[1:4]),
        ("okx", "rest", POINTS[::4]),
        ("okx", "websocket", POINTS[1:4]),
        ("bybit", "rest", POINTS[3:]),
        ("coinbase", "rest", POINTS[1:4]),
        ("htx", "rest", POINTS),
    ],
)
async def test_a_manager_may_be_killed_at_the_boundaries_of_its_requests(
    urls: dict[str, Any], hosts: Hosts, tmp_path: Path, exchange: str, send_by: str, points: tuple[str, ...]
) -> None:
    quiet = Case(urls, exchange, tmp_path, send_by=send_by)
    status, found = await hosts.run(quiet.job("trade"))
    assert status == 0, found
    assert quiet.problems(found) == []
    assert len(found["orders"]) >= 8
    shutil.copy(quiet.folder / "instruments.json", tmp_path / f"{exchange}-instruments.json")
    cases = [(failpoint, Case(urls, exchange, tmp_path, send_by=send_by)) for failpoint in points]
    results = await asyncio.gather(*(kill_at(case, hosts, failpoint) for failpoint, case in cases))
    assert {name: wrong for (name, _), wrong in zip(cases, results, strict=True) if wrong} == {}


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_a_manager_may_be_killed_at_every_failpoint(
    urls: dict[str, Any], hosts: Hosts, tmp_path: Path, exchange: str
) -> None:
    quiet = Case(urls, exchange, tmp_path)
    status, found = await hosts.run(quiet.job("trade", f"trace:{tmp_path / 'trace'}"))
    assert status == 0, found
    shutil.copy(quiet.folder / "instruments.json", tmp_path / f"{exchange}-instruments.json")
    counts = Counter((tmp_path / "trace").read_text().split())
    wrong: dict[str, list[str]] = {}
    killed = 0
    gate = asyncio.Semaphore(AT_ONCE)

    async def kill(failpoint: str) -> None:
        nonlocal killed
        async with gate:
            case = Case(urls, exchange, tmp_path)
            try:
                status, found = await hosts.run(case.job("trade", failpoint), 120.0)
                if status == KILLED:
                    killed += 1
                    status, found = await hosts.run(case.job("verify", incarnation=2), 120.0)
                problems = case.problems(found)
            except TimeoutError as error:
                problems = [f"did not come to an end: {error!r}"]
            if problems:
                wrong[failpoint] = problems
                print(failpoint, case.place.account, *problems, sep="\n  ", flush=True)

    chosen = spread(counts, int(os.environ.get("KILLS_EACH", "1000")))
    await asyncio.gather(*(kill(failpoint) for failpoint in chosen))
    print(f"{exchange}: {killed} of {len(chosen)} killed", flush=True)
    assert wrong == {}
    assert killed >= len(counts)


async def test_an_okx_manager_that_stood_still_for_longer_than_its_lease_writes_nothing(
    urls: dict[str, Any], hosts: Hosts, tmp_path: Path
) -> None:
    case = Case(urls, "okx", tmp_path)
    first = await hosts.start(case.job("place_one", "request.send:1:stop", lease_s=LEASE_S))
    await first.stopped()
    ended = time.monotonic() + LEASE_S
    status, found = await hosts.run(case.job("cancel_all", incarnation=2))
    assert status == 0, found
    assert [(row["client_order_id"], row["status"]) for row in found["results"]] == [(case.ids[0], "FAILED")]
    await asyncio.sleep(ended - time.monotonic())
    first.signal(signal.SIGCONT)
    assert (await first.result())[0] == LEASE_ENDED
    assert case.orders == []
    assert case.problems(found) == []


async def test_okx_refuses_a_request_that_comes_after_its_time(
    urls: dict[str, Any], hosts: Hosts, tmp_path: Path
) -> None:
    case = Case(urls, "okx", tmp_path)
    first = await hosts.start(case.job("place_one", "request.write:1:stop"))
    await first.stopped()
    status, found = await hosts.run(case.job("cancel_all", incarnation=2))
    assert status == 0, found
    first.signal(signal.SIGCONT)
    status, end = await first.result()
    assert (status, end.get("type")) == (1, "Fenced"), end
    assert case.orders == []
    status, found = await hosts.run(case.job("verify", incarnation=3))
    assert (status, found["fates"][case.ids[0]]) == (0, "FAILED"), found
    assert case.problems(found) == []


async def test_an_okx_order_that_got_in_while_the_successor_waited_is_found_and_cancelled(
    urls: dict[str, Any], hosts: Hosts, tmp_path: Path
) -> None:
    case = Case(urls, "okx", tmp_path, recv_window_ms=3_000)
    first = await hosts.start(case.job("place_one", "request.write:1:stop"))
    await first.stopped()
    second = await hosts.start(case.job("cancel_all", incarnation=2))
    await asyncio.sleep(0.5)  # the successor asks, and the order is not there yet; the request is still valid
    assert not second.done
    first.signal(signal.SIGCONT)
    status, found = await second.result()
    assert status == 0, found
    assert (await first.result())[1].get("type") == "Fenced"
    assert [(row["client_order_id"], row["done"], row["status"]) for row in found["results"]] == [
        (case.ids[0], True, "CANCELED")
    ]
    assert [row["status"] for row in case.orders] == ["CANCELED"]
    assert case.problems(found) == []

"""Two processes of one account and key: the local exchange refuses every nonce that is not above the last nonce.

The order manager owns the nonces and signs for the user stream of another process. A manager that was paused writes
nothing after its successor has signed.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.account_host import Place
from tests.fakes.manager_host import Hosts, Running
from venuemesh.exchange.kraken.checking import LIMITS
from venuemesh.journal.journal import Journal
from venuemesh.model.ids import OrderIds
from venuemesh.testing import LocalExchange, local_exchange

LEASE_ENDED = 75
KILLED = -signal.SIGKILL
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange(protocol="kraken") as running:
        running.admin.limits(**LIMITS)
        yield running


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    running = Hosts()
    yield running
    running.end()


class Case:
    """One account with its journal."""

    def __init__(self, exchange: LocalExchange, folder: Path) -> None:
        self.admin, number = exchange.admin, next(NUMBERS)
        secret = base64.b64encode(os.urandom(48)).decode()
        key, name = f"KEY{number:032d}", f"account{number}"
        self.admin.add_account(name, key, secret=secret, balances={"BTC": "5", "USDT": "500000"})
        url = f"sqlite:///{folder / 'journal.sqlite3'}"
        Journal.open(url).close()
        self.place = Place(exchange.urls["rest"], exchange.urls["ws_api"], url, name, key, secret, {}, "kraken")
        self.price = int(float(self.admin.book("BTCUSDT")["asks"][0][0]))
        self.refused_before = self._refusals()

    def job(
        self, script: str, failpoint: str = "", source: str = "polling", validity_ms: int = 5_000, **more: Any
    ) -> dict[str, Any]:
        changes = {"recv_window_ms": validity_ms, "answer_s": 2.0, "source": source}
        place = replace(self.place, changes=changes)
        stem = OrderIds(time.time_ns(), next(NUMBERS))()[:-4]
        common = {"place": asdict(place), "stem": stem, "price": self.price}
        return {**common, "script": script, "failpoint": failpoint, **more}

    @property
    def refused(self) -> int:
        """Return how many requests of this case the exchange has refused for any reason."""
        return self._refusals() - self.refused_before

    @property
    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin.ledger(self.place.account)["accounts"][0]["orders"]
        return found

    async def placed(self, count: int) -> None:
        """Wait until the account has this many orders."""
        async with asyncio.timeout(20.0):
            while len(self.orders) < count:  # noqa: ASYNC110 - the exchange sends no notice
                await asyncio.sleep(0.02)

    def _refusals(self) -> int:
        return int(self.admin.stats()["statuses"].get("400", 0))


@pytest.fixture
def case(exchange: LocalExchange, tmp_path: Path) -> Case:
    return Case(exchange, tmp_path)


@pytest.mark.parametrize("source", ["polling", "websocket"])
async def test_the_manager_signs_for_a_stream_of_another_process(case: Case, hosts: Hosts, source: str) -> None:
    async def stream(incarnation: int) -> Running:
        return await hosts.start(case.job("follow", source=source, only="stream", incarnation=incarnation))

    manager = await hosts.start(case.job("compete", source=source, only="orders"))
    first = await stream(1)
    await case.placed(10)
    first.signal(signal.SIGKILL)
    second = await stream(2)
    await case.placed(20)
    manager.signal(signal.SIGKILL)
    successor = await hosts.start(case.job("compete", source=source, only="orders", incarnation=2))
    await case.placed(40)
    (case.place.folder / "stop-stream").touch()
    assert (await first.result())[0] == (await manager.result())[0] == KILLED
    status, found = await second.result()
    (case.place.folder / "stop-orders").touch()  # the stream needed its manager to the end
    assert status == 0, found
    assert found["stream"]["state"] == "LIVE", found
    assert (await successor.result())[0] == 0
    assert found["stream"]["reports"] >= 10
    assert case.refused == 0


async def stopped_before_write(case: Case, hosts: Hosts, failpoint: str, **more: Any) -> tuple[Running, str]:
    """Start a manager that stops at `failpoint`; return the manager and its order's id."""
    job = case.job("place_one", f"{failpoint}:1:stop", only="orders", validity_ms=2_300, **more)
    first = await hosts.start(job)
    await first.stopped()
    return first, f"{job['stem']}0000"


async def test_a_manager_that_did_not_run_for_longer_than_its_lease_writes_nothing(case: Case, hosts: Hosts) -> None:
    first, order = await stopped_before_write(case, hosts, "request.send", lease_s=1.5)
    status, found = await hosts.run(case.job("cancel_all", incarnation=2))
    assert status == 0, found
    assert [(row["client_order_id"], row["status"]) for row in found["results"]] == [(order, "FAILED")]
    first.signal(signal.SIGCONT)
    assert (await first.result())[0] == LEASE_ENDED
    assert (case.refused, case.orders) == (0, [])


async def test_the_exchange_refuses_bytes_that_a_successor_has_overtaken(case: Case, hosts: Hosts) -> None:
    """The manager is stopped after its last check and writes its bytes later: their nonce is too low."""
    first, order = await stopped_before_write(case, hosts, "request.write")
    status, found = await hosts.run(case.job("cancel_all", incarnation=2))
    assert status == 0, found
    assert [(row["client_order_id"], row["status"]) for row in found["results"]] == [(order, "FAILED")]
    first.signal(signal.SIGCONT)
    status, end = await first.result()
    assert (status, end.get("type")) == (1, "Fenced"), end
    assert case.refused >= 1
    assert case.orders == []
    status, found = await hosts.run(case.job("verify", ids=[order], incarnation=3))
    assert (status, found["fates"]) == (0, {order: "FAILED"}), found

"""A quiet local exchange, processes that host an account's manager, and a separate account for every case."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.account_host import Place
from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.manager_host import Hosts
from venuemesh.cli.demo.audit import compare
from venuemesh.exchange.admin.client import AdminClient
from venuemesh.journal.journal import Journal
from venuemesh.model.ids import OrderIds
from venuemesh.model.order import AccountEvent, Balance, Fill, Order

SETTLED = {"OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "REJECTED", "FAILED", "UnknownOrder"}
IDS = 12  # that the script `trade` uses


@dataclass
class Case:
    """One account with its journal, at an exchange."""

    place: Place
    admin: AdminClient
    price: int
    stem: str = field(default_factory=lambda: OrderIds(time.time_ns(), next(_SALTS))()[:-4])

    @property
    def ids(self) -> list[str]:
        return [f"{self.stem}{number:04d}" for number in range(IDS)]

    def job(self, script: str, failpoint: str = "", **more: Any) -> dict[str, Any]:
        common = {"place": asdict(self.place), "stem": self.stem, "price": self.price, "ids": self.ids}
        return {**common, "script": script, "failpoint": failpoint, **more}

    def problems(self, final: dict[str, Any]) -> list[str]:
        """Return the differences between a manager's state at rest and the exchange's ledger, and broken invariants."""
        if "error" in final:
            return [final["error"]]
        name = self.place.account
        found = compare(
            [Order.from_dict(plain) for plain in final["orders"]],
            [Fill.from_dict(plain) for plain in final["fills"]],
            [AccountEvent.from_dict(plain) for plain in final["events"]],
            {asset: Balance.from_dict(plain) for asset, plain in final["balances"].items()},
            [],
            self.admin.ledger(name)["accounts"][0],
            self.receipts(),
        ).problems
        found += [f"{one}: {fate}" for one, fate in final["fates"].items() if fate not in SETTLED]
        if final["account"]["unresolved_requests"]:
            found.append(f"{final['account']['unresolved_requests']} requests are unresolved")
        return found

    def receipts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin.receipts(self.place.account)["receipts"]
        return found

    def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = self.admin.ledger(self.place.account)["accounts"][0]
        return found


_NUMBERS = itertools.count(1)
_SALTS = itertools.count(int(time.time()) % 10**6 * 10_000)


class Bench:
    """Makes cases."""

    def __init__(self, exchange: ExchangeProcess, folder: Path) -> None:
        self._exchange, self._folder = exchange, folder
        self._empty = folder / "empty.sqlite3"
        Journal.open(f"sqlite:///{self._empty}").close()
        self.admin = exchange.admin
        self.price = int(float(exchange.admin.book("BTCUSDT")["asks"][0][0]))

    def case(self, **changes: Any) -> Case:
        number = next(_NUMBERS)
        name, key, secret = f"account{number}", f"KEY{number:032d}", f"secret-of-{number}-0123456789"
        self.admin.add_account(name, key, secret=secret, balances={"BTC": "5", "USDT": "500000"})
        folder = self._folder / name
        folder.mkdir()
        shutil.copy(self._empty, folder / "journal.sqlite3")
        known = self._folder / "instruments.json"
        if known.exists():
            shutil.copy(known, folder)
        place = Place(
            self._exchange.rest,
            f"{self._exchange.ws}/ws-api/v3",
            f"sqlite:///{folder / 'journal.sqlite3'}",
            name,
            key,
            secret,
            changes,
        )
        return Case(place, self.admin, self.price)

    def remember_instruments(self, case: Case) -> None:
        """Let later cases begin without a request for the list."""
        shutil.copy(case.place.folder / "instruments.json", self._folder / "instruments.json")


@pytest.fixture(scope="session")
def exchange() -> Iterator[ExchangeProcess]:
    with ExchangeProcess("--paused", "--symbols", "BTCUSDT", "--levels", "50", without_limits=True) as process:
        admin = process.admin
        admin.limits(orders_10s=10**9, orders_1d=10**9)
        best = {side: float(admin.book("BTCUSDT")[side][0][0]) for side in ("bids", "asks")}
        for side, price in (("BUY", best["bids"] - 1), ("SELL", best["asks"] + 1)):  # enough for all orders
            for _ in range(3):
                admin.order("BTCUSDT", side, quantity="100", price=f"{price:.2f}", account="admin")
        yield process


@pytest.fixture
def bench(exchange: ExchangeProcess, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(exchange, tmp_path)
    exchange.admin.clear_faults()


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    running = Hosts()
    yield running
    running.end()

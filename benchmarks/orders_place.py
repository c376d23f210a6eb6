"""The setup of the order benchmarks: a local exchange without limits, and a mesh with accounts on it.

The journal is SQLite on a real file system, flushed at every commit, as in production. The benchmarks measure what the
mesh itself can do, so the exchange's limits are lifted on both sides: on the exchange by its admin interface, for the
account by its configuration (`account_limits`), for the egress by a special connector (`connector_without_limits`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from venuemesh.actors.cell.ray_routes import RayRoutes
from venuemesh.exchange.admin.client import AdminClient
from venuemesh.exchange.launch import serving
from venuemesh.journal.journal import Journal
from venuemesh.market.market import Market

from . import connector_without_limits as lifted
from .harness import EXCHANGE, Json, cpu_ns, median, mesh_of, rows_of
from .journal import log_bytes

PAIR, SYMBOL = "BTC-USDT", "BTCUSDT"
WAYS = ("rest", "websocket")
AMOUNT = Decimal("0.001")
FUNDS = {"USDT": "100000000", "BTC": "1000"}
RATE = 50  # level changes a second: an active market at little cost
START_LIMIT_S = 60.0
BUSY_S = 0.002  # between flushes that keep disk and processor awake


@dataclass(frozen=True, slots=True)
class TradingPlace:
    """An exchange and a mesh for a benchmark."""

    mesh: Any
    admin: AdminClient
    exchange_pid: int
    folder: Path  # URL of the journal

    def market(self, account: str, owner: str = "bench") -> Market:
        market: Market = self.mesh.market(EXCHANGE, account, owner=owner)
        return market

    def price(self) -> Decimal:
        """Return a price for a buy order that rests."""
        return Decimal(self.admin.book(SYMBOL)["bids"][0][0]).quantize(Decimal(1)) * 9 // 10

    def ask(self, account: str, kind: str, body: Any = None) -> Any:
        return self.market(account).ask_role(f"orders/{EXCHANGE}/{account}", kind, body, 30.0)

    def processes(self, account: str) -> dict[str, int]:
        """Return the ids of the processes that an order of the account passes, by role."""
        found = {"exchange": self.exchange_pid}
        for name in ("orders", "stream"):
            (row,) = rows_of(self.mesh, f"{name}/{EXCHANGE}/{account}")
            found["manager" if name == "orders" else name] = row["pid"]
        return found

    def cancel_all(self, account: str) -> None:
        """Cancel an account's open orders on the exchange; return when its manager knows that every order has ended."""
        self.admin.cancel_all(account)
        deadline = time.monotonic() + 60.0
        while self.ask(account, "account")["open_orders"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"orders of {account} are still open")
            time.sleep(0.05)


@contextlib.contextmanager
def trading_place(
    accounts: dict[str, Json], mesh: Json | None = None, exchange: Json | None = None
) -> Iterator[TradingPlace]:
    """Run an exchange and a mesh with these accounts (name -> further configuration) on the cluster of this process;
    yield when every account is reconciled and the book is LIVE."""
    with _folder() as folder:
        keys = {name: _secrets(folder, name) for name in accounts}
        listed = folder / "accounts.toml"
        listed.touch(mode=0o600)
        listed.write_text("".join(text for _, text in keys.values()))
        options = ["--json", "--parent", str(os.getpid()), "--rate", str(RATE), "--symbols", SYMBOL]
        with serving("venuemesh.exchange", *options, "--accounts", str(listed)) as (pid, urls):
            admin = AdminClient(urls["admin"])
            limits = ("weight", "raw_requests", "connections", "messages", "orders_10s", "orders_1d")
            admin.limits(**dict.fromkeys(limits, lifted.MANY))
            admin.rules(SYMBOL, max_orders=100_000)
            config = {
                name: {**keys[name][0], "account_limits": lifted.ACCOUNT_LIMITS, **more}
                for name, more in accounts.items()
            }
            places = {name: urls[EXCHANGE][name] for name in ("rest", "ws", "ws_api")}
            settings = {"pairs": [PAIR], "connector": lifted.NAME, **places, "accounts": config, **(exchange or {})}
            journal = {"url": f"sqlite:///{folder / 'journal.sqlite'}", "pinned": True}
            with mesh_of("bench-orders", {EXCHANGE: settings}, mesh, journal=journal) as running:
                place = TradingPlace(running, admin, pid, folder)
                for name in accounts:
                    place.market(name).wait_trading(START_LIMIT_S)
                    _wait_streaming(place, name)
                yield place


def _wait_streaming(place: TradingPlace, account: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while place.ask(account, "account")["stream"] != "up":
        if time.monotonic() > deadline:
            raise TimeoutError(f"the stream of {account} is not up")
        time.sleep(0.05)


def _secrets(folder: Path, account: str) -> tuple[Json, str]:
    """Write a key's files; return the account's configuration with them, and the exchange's."""
    found = {"api_key_file": folder / f"{account}-key", "secret_file": folder / f"{account}-secret"}
    texts = [secrets.token_hex(16), secrets.token_hex(32)]
    for path, text in zip(found.values(), texts, strict=True):
        path.touch(mode=0o600)
        path.write_text(text)
    funds = ", ".join(f'{asset} = "{amount}"' for asset, amount in FUNDS.items())
    key = f'{{key = "{texts[0]}", secret_file = "{account}-secret"}}'
    toml = f"[accounts.{account}]\nbalances = {{{funds}}}\nkeys = [{key}]\n"
    return {name: str(path) for name, path in found.items()}, toml


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Yield a folder on a disk (not in memory, as /tmp may be); remove it at the end."""
    base = Path("bench-results")
    base.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="orders-", dir=base)).resolve()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def send_by_ray() -> None:
    """Make this process reach every cell by Ray calls, as if all cells were on another node."""
    setattr(RayRoutes, "send", RayRoutes._send_elsewhere)  # noqa: B010


# ---------------------------------------------------------------------- figures


class Flushes:
    """Writes and flushes as many bytes as the commit of one intent, on the journal's disk: the cost of the disk
    alone."""

    def __init__(self, folder: Path) -> None:
        sized = Journal.open(f"sqlite:///{folder / 'sized.db'}")
        self.size = log_bytes(sized, sized.take("bench", "main", "size", 1), folder / "sized.db-wal")
        sized.close()
        self._file = os.open(folder / "bare", os.O_CREAT | os.O_RDWR)
        os.pwrite(self._file, bytes(4 * 2**20), 0)
        os.fsync(self._file)

    def measure(self, times: int, pause_s: float = BUSY_S) -> list[int]:
        """Return the duration of each flush, in ns. A disk and a processor that rested for `pause_s` are slower."""
        took = []
        block = os.urandom(self.size)
        for n in range(times):
            before = time.perf_counter_ns()
            os.pwrite(self._file, block, n * self.size % (4 * 2**20 - self.size))
            os.fdatasync(self._file)
            took.append(time.perf_counter_ns() - before)
            time.sleep(pause_s)
        return took

    def both(self, times: int, pause_s: float) -> Json:
        """Return (p50, p99) in ms of flushes with the pauses of what is measured, and of flushes almost without."""
        return {"bare_flush": spread(self.measure(times, pause_s)), "busy_flush": spread(self.measure(times))}

    def close(self) -> None:
        os.close(self._file)


def spread(values: Sequence[int]) -> tuple[float, float]:
    """p50 and p99 in ms."""
    p50, p99 = np.percentile(np.asarray(values), (50, 99))
    return round(float(p50) / 1e6, 3), round(float(p99) / 1e6, 3)


def flush_figures(totals: Sequence[tuple[float, float]], flushes: Sequence[Json]) -> Json:
    """Return, over the rounds, how many flushes of its round the p50 of each total is, and p99 of p50. Both (p50, p99)
    in ms; `flushes` as from `Flushes.both`."""
    p50s = [total[0] for total in totals]
    return {
        "flushes_p50": times(p50s, [one["bare_flush"][0] for one in flushes]),
        "busy_flushes_p50": times(p50s, [one["busy_flush"][0] for one in flushes]),
        "p99_of_p50": times([total[1] for total in totals], p50s),
    }


def times(values: Sequence[float], units: Sequence[float]) -> float | None:
    """Return the median over the rounds of how many units of its round each value is."""
    found = median([value / unit for value, unit in zip(values, units, strict=True)])
    return None if found is None else round(found, 1)


class Cpu:
    """The CPU time of processes between `start` and `shares`."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = processes
        self._before = {name: cpu_ns(pid) for name, pid in processes.items()}
        self._began = time.monotonic_ns()

    def shares(self) -> dict[str, float]:
        """Return the cores that each process used since `start`."""
        took = time.monotonic_ns() - self._began
        return {name: round((cpu_ns(pid) - self._before[name]) / took, 2) for name, pid in self._processes.items()}

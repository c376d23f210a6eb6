"""A manager with a journal that was restored from a backup, against the local exchange in all five protocols."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.account_host import Mesh, order, placing
from tests.fakes.manager_host import everything
from venuemesh.cli.journal import restore
from venuemesh.exchange.admin.client import AdminClient
from venuemesh.journal import care
from venuemesh.model.ids import OrderIds
from venuemesh.testing import serving

from . import test_other_exchanges as others
from .conftest import Bench

EXCHANGES = ("binance", "kraken", "okx", "bybit", "coinbase", "htx")


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, Any]]:
    arguments = ("--json", "--paused", "--parent", str(os.getpid()), "--symbols", "BTCUSDT", "--levels", "50")
    with serving("venuemesh.exchange", *arguments, "--protocols", "kraken,okx,bybit,coinbase,htx") as (_, found):
        admin = AdminClient(found["admin"])
        admin.limits(protocol="kraken", connections=10**6, **others.LIMITS)
        admin.limits(protocol="okx", **dict.fromkeys(others.OKX_LIMITS, 100_000))
        for protocol in ("bybit", "htx"):
            admin.limits(protocol=protocol, requests=10**9, connections=10**9, account_share=1000.0)
        admin.limits(protocol="coinbase", **others.COINBASE_LIMITS)
        best = float(admin.book("BTCUSDT")["bids"][0][0])
        admin.order("BTCUSDT", "BUY", quantity="100", price=f"{best - 1:.2f}", account="admin")
        yield found


@pytest.fixture
def case(request: pytest.FixtureRequest, bench: Bench, urls: dict[str, Any], tmp_path: Path) -> Any:
    """Return an account at the exchange of the parameter; a session made its ids an hour ago."""
    if request.param == "binance":
        found: Any = bench.case(recv_window_ms=1_500, owner_grace_s=60.0)
    else:
        found = others.Case(urls, request.param, tmp_path, owner_grace_s=60.0, recv_window_ms=4_000)
    stem = OrderIds(time.time_ns() - 3600 * 10**9, hash(found.place.account))()[:-4]
    found.stem = stem
    if request.param != "binance":  # there the ids follow the stem
        found.ids = [f"{stem}{number:04d}" for number in range(12)]
    return found


async def ended(case: Any, mesh: Mesh) -> None:
    """Check that no order of the account is open, and that mesh and exchange agree about each order and fill."""
    final = await everything(mesh, {"ids": case.ids[:4], "rounds": case.place.exchange in others.ASKED})
    assert case.problems(final) == []
    assert not mesh.failures
    assert not [row for row in final["orders"] if row["status"] in ("OPEN", "PARTIALLY_FILLED") or row["external"]]


@pytest.mark.parametrize("wants_out", ["cancel_all", "on_death"])
@pytest.mark.parametrize("case", EXCHANGES, indirect=True)
async def test_orders_placed_after_the_backup_are_adopted_and_cancelled(case: Any, wants_out: str) -> None:
    journal = Path(case.place.journal.removeprefix("sqlite:///"))
    low, high = str(case.price * 9 // 10), str(case.price * 11 // 10)
    mesh = Mesh(case.place)
    await mesh.start()
    await mesh.ready()
    await mesh("lease", {"owner": "quoter", "on_death": "cancel", "lease_s": 60.0})
    await mesh("place", placing(order(case.ids[0], "buy", "0.01", low, owner="quoter")))
    backup = journal.with_suffix(".backup")
    await asyncio.to_thread(care.back_up, case.place.journal, backup)
    await mesh("place", placing(order(case.ids[1], "buy", "0.01", low, owner="quoter")))
    await mesh("place", placing(order(case.ids[2], "sell", "0.02", high, owner="quoter")))
    await mesh("place", placing(order(case.ids[3], "sell", "0.003", owner="quoter")))  # it is filled at once
    await everything(mesh, {"ids": []})
    await mesh.stop()
    await asyncio.to_thread(restore, backup, journal=case.place.journal, yes=True)

    mesh = Mesh(case.place, incarnation=2)
    await mesh.start()
    try:
        status = await mesh.ready()
        assert sorted(status["adopted"]) == [case.ids[1], case.ids[2]]
        assert "the journal is older than the exchange" in status["error"]
        assert status["external_orders"] == 0
        rows = {row["client_order_id"]: row for row in (await mesh("orders", {"open": True}))["rows"]}
        assert {row["owner"] for row in rows.values()} == {"quoter"}
        if wants_out == "cancel_all":
            results = await mesh("cancel_all", {"timeout_s": 15.0})
            assert {one["client_order_id"] for one in results} == set(case.ids[:3])
            assert all(one["done"] for one in results)
        else:
            await mesh("lease", {"owner": "quoter", "on_death": "cancel", "lease_s": 0.1})
            for one in case.ids[:3]:
                await mesh.ask(mesh.orders, "poll:order", {"id": one, "until": "done"}, 15.0)
        await ended(case, mesh)
        page = await mesh.ask(mesh.orders, "poll:events", {"after": 0, "limit": 5000}, 0.1)
        told = [row["order"]["client_order_id"] for row in page["events"] if row["type"] == "adopted"]
        assert sorted(told) == case.ids[1:4]  # with the order that had ended
    finally:
        await mesh.stop()

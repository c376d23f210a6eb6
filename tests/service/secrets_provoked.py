"""Run by `test_secrets` in a separate process: use the account of mesh "service" in every way that may show its key.

Usage: secrets_provoked.py FILE ADMIN KEYSTORE. Standard input: API key, secret and passphrase, a line each. Writes
everything that a client can see to FILE, and the folder of Ray's session next to FILE.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

import venuemesh
from venuemesh.exchange.admin.client import AdminClient
from venuemesh.keystore.key import make_key
from venuemesh.keystore.store import Keystore
from venuemesh.market.market import AsyncMarket, Market
from venuemesh.model.errors import MeshError, RetryLater

LIMIT_S = 60.0
PAIR = "BTC-USDT"
ORDERS = "orders/binance/main"


@ray.remote(num_cpus=0)
class Strategy:
    """Places orders from an actor; shows what its process has."""

    def __init__(self, market: AsyncMarket) -> None:
        self._market = market

    async def place(self, amount: str, price: str) -> str:
        return repr(await self._market.place("buy", PAIR, amount, price=price, expires_s=2.0))

    def process(self) -> bytes:
        return Path("/proc/self/environ").read_bytes() + Path("/proc/self/cmdline").read_bytes()


def errors_of(work: Any) -> str:
    """Return the error's text, repr, pickle and traceback with the locals of every frame."""
    try:
        ray.get(work)
    except ray.exceptions.RayTaskError as error:
        formatted = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "\n".join((str(error), repr(error), repr(pickle.dumps(error.cause)), *formatted.format()))
    raise AssertionError("not refused")


def ready(market: Market) -> None:
    market.wait_trading(LIMIT_S)


def manager(mesh: venuemesh.Mesh) -> dict[str, Any]:
    return next(row for row in mesh.status()["children"] if row["address"] == ORDERS)


def kill_manager(mesh: venuemesh.Mesh, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """SIGKILL the manager; return its successor's row in the tree once the condition holds."""
    before = manager(mesh)
    os.kill(before["pid"], signal.SIGKILL)
    deadline = time.monotonic() + LIMIT_S
    while (now := manager(mesh))["incarnation"] == before["incarnation"] or not until(now):
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def is_ready(row: dict[str, Any]) -> bool:
    return bool((row.get("status") or {}).get("ready"))


def is_refused(row: dict[str, Any]) -> bool:
    return "-1022" in repr(row)


def main() -> None:
    target, admin, store = Path(sys.argv[1]), AdminClient(sys.argv[2]), Keystore(Path(sys.argv[3]))
    api_key, secret, passphrase = sys.stdin.read().split("\n")

    def sign_with(one: str) -> None:
        key = make_key("binance", api_key, one)
        store.add("service-main", key, passphrase, added="2026-01-01", replace=True)

    mesh = venuemesh.connect()
    market = mesh.market("binance", owner="provoker")
    strategy = Strategy.remote(market.aio)
    ready(market)
    seen: list[Any] = [mesh, market, market.order_book(PAIR), market.account_status(), market.balances()]
    seen.append(ray.get(strategy.place.remote("0.001", "40000")))
    seen.append(errors_of(strategy.place.remote("100", "40000")))
    seen += [market.request("GET", "/api/v3/account"), refused_request(market)]

    sign_with(secret[::-1])  # every signature of the next manager is wrong
    seen += [kill_manager(mesh, is_refused), errors_of(strategy.place.remote("0.001", "40000"))]
    seen += [market.account_status(), mesh.status()]
    sign_with(secret)
    seen.append(kill_manager(mesh, is_ready))
    ready(market)
    seen += [market.cancel_all(owner="provoker"), market.orders(), market.fills(), market.account_status()]
    seen += asyncio.run(all_events(market.aio))

    admin.revoke(api_key)
    seen += [ray.get(strategy.place.remote("0.001", "40000")), market.account_status(), mesh.status()]
    admin.reinstate(api_key)  # other tests continue with the account
    ready(market)
    seen.append(ray.get(strategy.process.remote()))

    accessor = ray._private.state.state._connect_and_get_accessor()
    actors = accessor.get_actor_table(None, None)  # what `ray list actors --detail` shows
    assert len(actors) > 5
    with target.open("wb") as out:
        for one in seen:
            out.write(one if isinstance(one, bytes) else f"{one!r}\n{one}\n".encode())
        for raw in actors:
            out.write(raw)
    session = ray._private.worker.global_worker.node.get_session_dir_path()
    target.with_name("session").write_text(session)


def refused_request(market: Market) -> str:
    try:
        market.request("POST", "/api/v3/order", {"symbol": "BTCUSDT"})
    except MeshError as error:
        return f"{error!r} {error}"
    return "answered"


async def all_events(market: AsyncMarket) -> list[Any]:
    found: list[Any] = []
    with contextlib.suppress(TimeoutError, RetryLater):
        async with asyncio.timeout(1.0):
            async for event in market.events(after=0):
                found.append(event)
    return found


if __name__ == "__main__":
    main()

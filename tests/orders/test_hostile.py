"""Wrong and repeated messages: the manager refuses them with typed errors, keeps running, and does nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.account_host import Mesh, order, placing
from venuemesh.model.errors import MeshError, OutcomeUnknown, Rejected

from .conftest import Bench, Case

WRONG: tuple[Any, ...] = (
    *(True, 0, -1, 1.5, "", "x" * 2_000, "\x00", [], {}, [1], {"a": 1}),
    *("NaN", "sNaN", "1e999999", float("nan"), "external:BTC-USDT:1"),
)


@pytest.fixture
async def case(bench: Bench) -> Case:
    return bench.case(recv_window_ms=1_500)


@pytest.fixture
async def mesh(case: Case) -> AsyncIterator[Mesh]:
    one = Mesh(case.place, stream=False)
    await one.start()
    await one.ready()
    yield one
    await one.stop()


async def refused(mesh: Mesh, kind: str, body: Any) -> None:
    """Assert that the message only gets a typed refusal."""
    manager = mesh.manager
    assert manager is not None
    try:
        await manager.handle(kind, body)
    except MeshError:
        return


async def test_no_wrong_order_ends_the_manager(mesh: Mesh, case: Case) -> None:
    good, number = order("", "buy", "0.01", str(case.price * 9 // 10)), 0
    for field in (*good, "quote_amount", "stop_price", "self_trade", "owner"):
        for wrong in (*WRONG, None):
            number += 1
            name = f"{case.stem}{number:04d}"
            body = placing({**good, "client_order_id": name, field: wrong})
            await refused(mesh, "place", body)
            await refused(mesh, "replace", {"id": case.ids[0], "order": body["orders"][0]})
    await mesh("cancel_all", {"timeout_s": 5.0})
    assert not mesh.failures
    async with asyncio.timeout(60.0):  # an account whose machine is busy may reconcile first
        while not (await mesh("account"))["ready"]:  # noqa: ASYNC110 - nothing announces it to a caller
            await asyncio.sleep(0.05)
    assert not mesh.failures


async def test_no_wrong_state_is_restored(mesh: Mesh, case: Case) -> None:
    (state,) = await mesh("place", placing(order(case.ids[0], "buy", "0.01", str(case.price * 9 // 10))))
    for field in state:
        for number, wrong in enumerate(WRONG):
            body = {**state, "client_order_id": f"{case.stem}9{number:03d}", field: wrong, "status": "FILLED"}
            await refused(mesh, "restore", {"states": {"one": body}})
    assert not mesh.failures
    assert (await mesh("account"))["ready"]


@pytest.mark.parametrize("kind", ["amend", "cancel", "cursor", "get", "lease", "pause", "reports", "request", "resume"])
async def test_no_wrong_body_ends_the_manager(mesh: Mesh, kind: str) -> None:
    fields = ("id", "amount", "pair", "exchange_order_id", "name", "number", "owner", "on_death", "lease_s", "scope")
    for wrong in (*WRONG, None):
        await refused(mesh, kind, wrong)
        for field in (*fields, "reason", "stream", "first", "reports", "method", "path", "params"):
            await refused(mesh, kind, {"id": "x", "owner": "o", "name": "n", "method": "GET", field: wrong})
    assert not mesh.failures


@pytest.mark.parametrize("report", ["order", "fill", "balances", "change", "list", "ended", "marker", "nothing"])
async def test_no_wrong_report_ends_the_manager(mesh: Mesh, report: str) -> None:
    for wrong in (*WRONG, None):
        for field in ("symbol", "ts_event_ns", "balances", "orders", "fills", "status", "filled", "what", "asset"):
            plain = {"type": report, "symbol": "BTCUSDT", "client_order_id": "vmx", "exchange_order_id": "7"}
            plain |= {"status": "OPEN", "ts_event_ns": 1} if report == "order" else {}
            await refused(mesh, "reports", {"stream": [9, 1], "first": 1, "reports": [{**plain, field: wrong}]})
    assert not mesh.failures


async def test_a_poll_that_is_no_table_is_refused(mesh: Mesh) -> None:
    assert mesh.manager is not None
    for kind in ("events", "order"):
        with pytest.raises(Rejected):
            await mesh.manager.poll(kind, ["x"], 0.01)


async def test_a_raw_request_that_comes_again_to_a_successor_is_not_sent_again(mesh: Mesh, case: Case) -> None:
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    params |= {"quantity": "0.01", "price": str(case.price * 9 // 10)}
    body = {"method": "POST", "path": "/api/v3/order", "params": params, "id": "once"}
    assert (await mesh("request", body))["status"] == 200
    await mesh.stop_manager()
    await mesh.start_manager()
    await mesh.ready()
    with pytest.raises(OutcomeUnknown):
        await mesh("request", body)
    assert (await mesh("request", {**body, "id": "another"}))["status"] == 200
    assert len(case.ledger()["orders"]) == 2


async def test_an_owner_s_word_does_not_stand_behind_commands(mesh: Mesh) -> None:
    assert mesh.manager is not None
    await mesh.manager.poll("lease", {"owner": "bob", "on_death": "cancel", "lease_s": 5.0}, 1.0)
    with pytest.raises(Rejected):
        await mesh.manager.poll("lease", {"owner": "bob", "on_death": "perhaps"}, 1.0)

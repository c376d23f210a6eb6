"""Faults of an exchange, and their repair: one manager in this process, a real exchange in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.fakes.account_host import Mesh, order, placing
from tests.fakes.manager_host import everything

from .conftest import Bench, Case

PLACE = "POST /api/v3/order"
CANCEL = "DELETE /api/v3/order"


class Traded:
    """A case with its mesh in this process."""

    def __init__(self, case: Case, mesh: Mesh) -> None:
        self.case, self.mesh = case, mesh
        self.low, self.high = str(case.price * 9 // 10), str(case.price * 11 // 10)

    def fault(self, kind: str, **more: Any) -> None:
        self.case.admin.fault(kind=kind, account=self.case.place.account, **more)

    async def place(self, number: int, side: str = "buy", price: str | None = None, amount: str = "0.01") -> Any:
        wanted = order(self.case.ids[number], side, amount, price)
        return (await self.mesh("place", placing(wanted)))[0]

    async def known(self, number: int, until: str = "done") -> str:
        """Wait until the manager knows an order's state."""
        body = {"id": self.case.ids[number], "until": until}
        found = await self.mesh.ask(self.mesh.orders, "poll:order", body, 15.0)
        return str(found["status"])

    async def right(self, deadline_s: float = 8.0) -> dict[str, Any]:
        """Check that everything agrees with the exchange after reconciliation; return everything that the manager
        knows."""
        ids = [row["client_order_id"] for row in self.case.ledger()["orders"]]
        problems: list[str] = ["not looked at"]
        async with asyncio.timeout(deadline_s):
            while problems:
                final = await everything(self.mesh, {"ids": ids})
                problems = self.case.problems(final)
        assert not self.mesh.failures
        return final


@pytest.fixture
async def trading(bench: Bench) -> AsyncIterator[Callable[..., Any]]:
    meshes: list[Mesh] = []

    async def start(**changes: Any) -> Traded:
        case = bench.case(**{"reconcile_s": (0.3, 1.0), "recv_window_ms": 1_500, **changes})
        mesh = Mesh(case.place)
        meshes.append(mesh)
        await mesh.start()
        await mesh.ready()
        await mesh.streaming()
        return Traded(case, mesh)

    yield start
    for mesh in meshes:
        await mesh.stop()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "accept_then_hang"},
        {"kind": "accept_then_status", "status": 503},
        {"kind": "accept_then_cut"},
        {"kind": "accept_then_wait", "ms": 200},
    ],
    ids=lambda fault: fault["kind"],
)
@pytest.mark.parametrize("reported", [True, False], ids=["reported", "without a report"])
async def test_an_order_that_was_accepted_and_not_answered_is_found(trading, fault, reported):
    one = await trading()
    if not reported:
        one.fault("drop", stream="user")
    one.fault(endpoint=PLACE, count=2, **fault)
    rests, fills = await asyncio.gather(one.place(0, price=one.low), one.place(1, price=one.high))
    assert {rests["status"], fills["status"]} <= {"OPEN", "FILLED", "UNKNOWN", "PARTIALLY_FILLED"}
    assert (await one.known(0, "open"), await one.known(1)) == ("OPEN", "FILLED")
    one.case.admin.clear_faults()
    await one.right()


@pytest.mark.parametrize("kind", ["hang", "disconnect", "status"])
async def test_an_order_that_never_got_in_is_failed_only_by_proof(trading, kind):
    one = await trading()
    one.fault(kind, endpoint=PLACE, count=1, status=503)
    assert (await one.place(0, price=one.low))["status"] in ("UNKNOWN", "FAILED")
    assert await one.known(0) == "FAILED"
    assert one.case.ledger()["orders"] == []
    await one.right()


async def test_a_request_that_is_held_and_executed_late_is_not_given_up_too_early(trading):
    one = await trading(recv_window_ms=3_000, answer_s=0.3)
    one.fault("late", endpoint=PLACE, count=1, ms=1_500)
    assert (await one.place(0, price=one.low))["status"] == "UNKNOWN"
    assert await one.known(0, "open") == "OPEN"
    await one.right()


async def test_a_request_that_is_held_beyond_its_time_is_refused_by_the_exchange_and_failed_here(trading):
    one = await trading(recv_window_ms=500, answer_s=0.3)
    one.fault("late", endpoint=PLACE, count=1, ms=1_000)
    assert (await one.place(0, price=one.low))["status"] == "UNKNOWN"
    assert await one.known(0) == "FAILED"
    await one.right()


async def test_a_cancel_that_was_executed_and_not_answered_ends_the_order(trading):
    one = await trading()
    await one.place(0, price=one.low)
    one.fault("drop", stream="user")
    one.fault("accept_then_hang", endpoint=CANCEL, count=1)
    result = await one.mesh("cancel", {"id": one.case.ids[0]})
    assert result["status"] in ("PENDING_CANCEL", "CANCELED")
    assert await one.known(0) == "CANCELED"
    one.case.admin.clear_faults()
    await one.right()


async def test_a_cancel_that_never_got_in_leaves_the_order_open_and_reports_it(trading):
    one = await trading()
    await one.place(0, price=one.low)
    one.fault("hang", endpoint=CANCEL, count=1)
    result = await one.mesh("cancel", {"id": one.case.ids[0]})
    assert not result["done"] or result["status"] == "CANCELED"
    await one.right()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop", "probability": 0.5},
        {"kind": "duplicate"},
        {"kind": "reorder", "probability": 0.5, "ms": 50},
        {"kind": "delay", "ms": 150},
        {"kind": "corrupt", "probability": 0.3, "mode": "text"},
        {"kind": "cut", "count": 2},
    ],
    ids=lambda fault: fault["kind"],
)
async def test_reports_may_be_dropped_doubled_late_or_spoilt(trading, fault):
    one = await trading()
    one.fault(stream="user", **fault)
    await asyncio.gather(
        *(one.place(number, price=one.low) for number in range(4)),
        *(one.place(number, "sell" if number % 2 else "buy", None, "0.001") for number in range(4, 8)),
    )
    await asyncio.gather(*(one.mesh("cancel", {"id": one.case.ids[number]}) for number in range(3)))
    one.case.admin.clear_faults()
    await one.mesh.streaming()
    final = await one.right()
    ends = {row["client_order_id"]: row["status"] for row in final["orders"]}
    assert [ends[one.case.ids[number]] for number in range(8)] == ["CANCELED"] * 3 + ["OPEN"] + ["FILLED"] * 4


async def test_a_fill_may_come_before_the_acknowledgement(trading):
    one = await trading()
    one.fault("accept_then_wait", endpoint=PLACE, count=1, ms=150)
    await one.place(0, price=one.high)
    assert await one.known(0) == "FILLED"
    final = await one.right()
    assert [event["type"] for event in final["events"]][:2] == ["created", "filled"]


async def test_a_clock_that_is_skewed_is_measured_and_then_nothing_is_refused(trading):
    one = await trading()
    one.case.admin.clock(5_000)
    try:
        await one.place(0, price=one.low)
        found = await one.place(1, price=one.low)
        if found["status"] != "OPEN":
            assert found["status"] in ("REJECTED", "FAILED")
        async with asyncio.timeout(5.0):
            while (await one.mesh("account"))["clock_offset_ms"] < 4_000:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await one.place(2, price=one.low))["status"] == "OPEN"
        await one.right()
    finally:
        one.case.admin.clock(0)


async def test_an_order_placed_elsewhere_is_reported_and_left_alone(trading):
    one = await trading()
    one.case.admin.order("BTCUSDT", "BUY", quantity="0.01", price=f"{one.low}.00", account=one.case.place.account)
    async with asyncio.timeout(5.0):
        while (await one.mesh("account"))["external_orders"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    results = await one.mesh("cancel_all", {"timeout_s": 1.0})
    assert results == []
    assert (await one.mesh("orders", {"open": True}))["rows"] == []
    assert [row["external"] for row in (await one.mesh("orders", {"open": True, "external": True}))["rows"]] == [True]
    assert await one.mesh("tracking_states") == {}
    page = await one.mesh.ask(one.mesh.orders, "poll:events", {"after": 0}, 2.0)
    assert [event["type"] for event in page["events"]] == ["external"]
    assert [row["status"] for row in one.case.ledger()["orders"]] == ["NEW"]


async def test_a_stream_that_the_exchange_ends_is_opened_again_and_what_was_missed_is_found(trading):
    one = await trading(reconcile_s=(30.0, 60.0))
    await one.place(0, price=one.low)
    name = one.case.place.account
    one.case.admin.fault(kind="status", endpoint="/ws-api/v3", status=503, count=1)
    assert one.case.admin.expire(name)["streams"] == 1
    one.case.admin.cancel_all(name)
    assert await one.known(0) == "CANCELED"
    await one.mesh.streaming()
    final = await one.right()
    assert final["account"]["stream_gaps"] >= 1


async def test_another_stream_role_takes_over_and_what_was_missed_is_found(trading):
    one = await trading(reconcile_s=(30.0, 60.0))
    await one.place(0, price=one.low)
    await one.mesh.stop_stream()
    one.case.admin.cancel_all(one.case.place.account)
    await one.mesh.restart_stream()
    assert await one.known(0) == "CANCELED"
    assert (await one.place(1, price=one.low))["status"] == "OPEN"
    await one.right()


async def test_reports_wait_for_the_next_manager_when_one_is_away(trading):
    one = await trading(reconcile_s=(30.0, 60.0))
    await one.place(0, price=one.low)
    await one.mesh.stop_manager()
    one.case.admin.cancel_all(one.case.place.account)
    async with asyncio.timeout(5.0):
        while one.mesh.stream.status()["unacknowledged"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await one.mesh.start_manager()
    assert await one.known(0) == "CANCELED"
    await one.right()
    async with asyncio.timeout(5.0):
        while one.mesh.stream.status()["unacknowledged"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

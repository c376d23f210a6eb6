"""A manager that is stopped between journal and socket, its successor, and two managers at the same time.

The order is the first manager's intent: journaled, signed, and written late or never. In every case the exchange gets
the order at most once, the successor decides nothing before the request has expired, and a cancel_all in the meantime
finds and cancels an order that reached the exchange.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest

from tests.fakes.manager_host import Hosts, Running
from venuemesh.journal.journal import Journal

from .conftest import Bench, Case

LEASE_ENDED = 75
LEASE_S = 2.0  # a slow machine comes to the failpoint in time


async def stopped_before_write(case: Case, hosts: Hosts, failpoint: str, **more: Any) -> tuple[Running, int]:
    """Start a manager that stops at `failpoint`; return it, and its request's not_after."""
    first = await hosts.start(case.job("place_one", f"{failpoint}:1:stop", **more))
    await first.stopped()
    journal = Journal.open(case.place.journal)
    try:
        (request,) = journal.load("binance", case.place.account).requests
    finally:
        journal.close()
    return first, request.not_after_ns


def received(case: Case) -> dict[str, Any]:
    found = [row for row in case.receipts() if row["client_order_id"] == case.ids[0]]
    return found[0] if found else {"received": 0, "accepted": 0, "refused": 0}


async def test_a_manager_that_did_not_run_for_longer_than_its_lease_writes_nothing(bench: Bench, hosts: Hosts) -> None:
    case = bench.case()
    first, not_after_ns = await stopped_before_write(case, hosts, "request.send", lease_s=LEASE_S)
    ended = time.monotonic() + LEASE_S
    status, outcome = await hosts.run(case.job("cancel_all", incarnation=2))
    assert status == 0, outcome
    assert outcome["cancelled_ns"] > not_after_ns
    assert [(one["client_order_id"], one["done"], one["status"]) for one in outcome["results"]] == [
        (case.ids[0], True, "FAILED")
    ]
    await asyncio.sleep(ended - time.monotonic())
    first.signal(signal.SIGCONT)
    assert (await first.result())[0] == LEASE_ENDED
    assert received(case)["received"] == 0
    assert case.problems(outcome) == []


async def test_without_its_lease_a_late_request_is_not_written_as_its_time_has_passed(
    bench: Bench, hosts: Hosts
) -> None:
    case = bench.case()
    first, _ = await stopped_before_write(case, hosts, "request.send")
    status, outcome = await hosts.run(case.job("cancel_all", incarnation=2))
    assert status == 0, outcome
    first.signal(signal.SIGCONT)
    status, end = await first.result()
    assert (status, end.get("type")) == (1, "Fenced")
    assert received(case)["received"] == 0
    assert case.problems(outcome) == []


async def test_without_any_check_here_the_exchange_refuses_the_late_request(bench: Bench, hosts: Hosts) -> None:
    case = bench.case()
    first, not_after_ns = await stopped_before_write(case, hosts, "request.write")
    status, outcome = await hosts.run(case.job("cancel_all", incarnation=2))
    assert status == 0, outcome
    assert outcome["cancelled_ns"] > not_after_ns
    first.signal(signal.SIGCONT)
    status, end = await first.result()
    assert (status, end.get("type")) == (1, "Fenced")
    assert received(case) == {"client_order_id": case.ids[0], "received": 1, "accepted": 0, "refused": 1} | (
        {"number": 1} if "number" in received(case) else {}
    )
    status, outcome = await hosts.run(case.job("verify", incarnation=3))
    assert case.problems(outcome) == []
    assert outcome["fates"][case.ids[0]] == "FAILED"


async def test_an_order_that_got_in_while_the_successor_waited_is_found_and_cancelled(
    bench: Bench, hosts: Hosts
) -> None:
    case = bench.case(recv_window_ms=2_000)
    first, not_after_ns = await stopped_before_write(case, hosts, "request.write")
    second = await hosts.start(case.job("cancel_all", incarnation=2))
    await asyncio.sleep(0.5)  # it asks, and the order is not there yet; the request is still valid
    assert not second.done
    assert time.time_ns() < not_after_ns
    first.signal(signal.SIGCONT)
    status, outcome = await second.result()
    assert status == 0, outcome
    status, end = await first.result()
    assert (status, end.get("type")) == (1, "Fenced"), end
    assert (received(case)["received"], received(case)["accepted"]) == (1, 1)
    assert [(one["client_order_id"], one["done"], one["status"]) for one in outcome["results"]] == [
        (case.ids[0], True, "CANCELED")
    ]
    assert [row["status"] for row in case.ledger()["orders"]] == ["CANCELED"]
    assert case.problems(outcome) == []


@pytest.mark.parametrize("together", [False, True], ids=["one-after-the-other", "at-once"])
async def test_of_two_managers_one_is_fenced_and_no_intent_is_sent_twice(
    bench: Bench, hosts: Hosts, together: bool
) -> None:
    case = bench.case()
    other = bench.case()
    other.place = case.place
    first = await hosts.start(case.job("compete"))
    if not together:
        async with asyncio.timeout(20.0):
            while len(case.ledger()["orders"]) < 5:  # noqa: ASYNC110 - the exchange sends no notice
                await asyncio.sleep(0.02)
    second = await hosts.start(other.job("compete", incarnation=2))
    async with asyncio.timeout(20.0):
        while not (first.done or second.done):  # noqa: ASYNC110 - the manager that took the account first ends
            await asyncio.sleep(0.02)
        while not case.ledger()["orders"]:  # noqa: ASYNC110 - the other manager continues
            await asyncio.sleep(0.02)
    (case.place.folder / "stop-orders").touch()
    ends = [await first.result(), await second.result()]
    assert sorted(status for status, _ in ends) == [0, 1], ends
    assert next(outcome["type"] for status, outcome in ends if status == 1) == "Fenced"
    assert together or ends[0][0] == 1
    status, outcome = await hosts.run(case.job("verify", incarnation=3))
    assert status == 0, outcome
    assert case.problems(outcome) == []
    assert len(outcome["orders"]) >= (1 if together else 5)

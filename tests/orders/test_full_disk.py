"""Cancels of a manager whose journal's disk is full, at the local exchange."""

from __future__ import annotations

from tests.fakes.manager_host import Hosts

from .conftest import Bench

AT_ONCE_S = 3.0  # below the time limits of the commands; a healthy cancel takes milliseconds


async def test_a_full_disk_holds_back_no_cancel(bench: Bench, hosts: Hosts) -> None:
    case = bench.case(recv_window_ms=1_500)
    low = f"{case.price * 9 // 10:.2f}"
    case.admin.order("BTCUSDT", "BUY", quantity="0.01", price=low, account=case.place.account)
    status, found = await hosts.run(case.job("full_disk"))
    assert status == 0, found
    answers, took_s, outage = found["answers"], found["took_s"], found["outage"]
    assert (answers["cancel"]["done"], answers["cancel"]["journaled"]) == (True, False)
    assert (answers["external"]["done"], answers["external"]["journaled"]) == (True, False)
    assert {one["client_order_id"] for one in answers["cancel_all"]} >= set(case.ids[2:6])
    assert all(one["done"] and not one["journaled"] for one in answers["cancel_all"])
    assert (answers["place"], answers["amend"]) == ("JournalUnavailable", "JournalUnavailable")
    assert max(took_s.values()) < AT_ONCE_S, took_s
    assert outage["state"] == "NO_JOURNAL"
    assert outage["unjournaled_cancels"] >= 7
    assert "cancels are sent without it" in outage["error"]
    assert found["account"]["journal"] is None
    elsewhere = next(row["client_order_id"] for row in found["orders"] if row["external"])
    ours = [one for one in case.problems(found) if elsewhere not in one and not one.startswith("x-")]
    assert ours == []
    assert {row["status"] for row in case.ledger()["orders"]} == {"CANCELED"}
    assert case.ids[6] not in {row["client_order_id"] for row in case.receipts()}

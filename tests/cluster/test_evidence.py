"""The checks of the cluster's cases find what they look for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster import page
from tests.cluster.evidence import Log, contradictions, live_at, shown, since_when_live, without_orders

BOOKS = {"book/x/A-B", "book/x/C-D"}


def note(what: str, **fields: Any) -> dict[str, Any]:
    return {"t": 1, "what": what, "id": "o1", "account": "x/main", **fields}


def account(**changed: Any) -> dict[str, Any]:
    row = {"journal": {"o1": "FILLED"}, "exchange": ["o1"], "receipts": {"o1": 1}, "fills": ["7"], "events": 2}
    return {"x/main": row | changed}


GOOD = [note("placing"), note("placed", status="FILLED"), note("event", fill="7", type="filled")]


def test_agreement_is_no_contradiction() -> None:
    assert contradictions(GOOD, account()) == []


@pytest.mark.parametrize(
    ("notes", "changed", "complaint"),
    [
        (GOOD, {"journal": {}}, "journal does not have it"),
        ([note("placing"), note("refused")], {}, "told as never sent"),
        (GOOD, {"journal": {"o1": "FAILED"}}, "FAILED in the journal"),
        (GOOD, {"receipts": {"o1": 2}}, "received it 2 times"),
        (GOOD, {"fills": []}, "fill 7"),
        ([*GOOD, note("cancelled", done=True)], {"journal": {"o1": "OPEN"}}, "cancel told as done"),
        ([note("placing"), note("cancelled", done=True)], {"journal": {}, "exchange": []}, "cancel told as done"),
        (GOOD, {"exchange": ["o1", "o2"]}, "o2: at the exchange"),
    ],
)
def test_each_contradiction_is_found(notes: list[dict[str, Any]], changed: dict[str, Any], complaint: str) -> None:
    (found,) = contradictions(notes, account(**changed))
    assert complaint in found


def test_an_order_that_was_never_sent_has_ended_for_a_later_cancel() -> None:
    rows = [note("placing"), note("refused"), note("cancelled", done=True)]
    assert contradictions(rows, account(journal={}, exchange=[], fills=[], receipts={})) == []


def test_a_sign_of_life_from_before_the_time_does_not_count() -> None:
    rows = [{"t": 10, "live": sorted(BOOKS)}, {"t": 20, "live": ["book/x/A-B"]}]
    assert live_at(rows, 5) == {"book/x/A-B"}
    assert live_at(rows[:1], 5) == BOOKS
    assert live_at(rows[:1], 10) == set()


def test_the_time_since_when_every_book_is_live_begins_again_after_a_gap() -> None:
    rows = [{"t": t, "live": sorted(BOOKS) if t != 20 else []} for t in (10, 20, 30, 40)]
    assert since_when_live(rows, BOOKS) == 30
    assert since_when_live(rows[:2], BOOKS) is None


def test_gaps_are_measured_from_the_loss_to_the_next_live_top() -> None:
    second = 1_000_000_000
    states = [(1, "LIVE"), (2, "DEAD"), (3, "SYNCING"), (6, "LIVE"), (8, "DEAD")]
    rows = [{"t": t * second, "book": "b", "state": state} for t, state in states]
    assert shown(rows, 0, 10 * second)["b"].gaps == [4.0, 2.0]
    assert shown(rows, 5 * second, 7 * second)["b"].gaps == [1.0]


def test_a_log_is_read_in_steps_and_a_half_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log(path)
    assert log.read() == []
    path.write_text('{"t": 1}\n{"t"')
    assert log.read() == [{"t": 1}]
    path.write_text('{"t": 1}\n{"t": 2}\n')
    assert log.read() == [{"t": 1}, {"t": 2}]


def test_the_page_has_what_the_cluster_is_started_by() -> None:
    head, worker = page.unit("head"), page.unit("worker", {page.WORKER: "192.0.2.12"})
    assert "--head" in head.argv
    assert f"--node-ip-address={page.HEAD}" in head.argv
    assert head.environment["RAY_gcs_storage"] == "rocksdb"
    assert "--node-ip-address=192.0.2.12" in worker.argv
    assert head.environment["RAY_AUTH_MODE"] == worker.environment["RAY_AUTH_MODE"] == "token"
    for name in ("every-host", "head", "up", "status", "down"):
        assert page.command(name)


def test_the_time_without_orders_is_that_of_all_traders_together() -> None:
    second = 10**9
    placing = [{"t": 0, "what": "placing", "id": name, "account": "x/main"} for name in "abcd"]
    placed = [{"t": at * second, "what": "placed", "id": name} for name, at in zip("abcd", (2, 3, 9, 30), strict=True)]
    refused = [{"t": 5 * second, "what": "refused", "id": "z"}]
    other = [{"t": 0, "what": "placing", "id": "e", "account": "x/second"}]
    found = without_orders([*placing, *other, *placed, *refused], second, 20 * second)
    assert found == {"x/main": 11.0, "x/second": 19.0}
    assert without_orders([*placing, *placed], second, 10 * second) == {"x/main": 6.0}

from dataclasses import replace

import pytest

from tests.fakes.records import ACCOUNT, intent, put, put_event, put_fill
from venuemesh.journal import trim
from venuemesh.journal.records import Trimmed
from venuemesh.journal.writes import Batch, CloseRequest, PutTombstone
from venuemesh.model.errors import EventsTrimmed
from venuemesh.model.order import OrderStatus

S = OrderStatus
LONG_AGO, NOW = 1_000, 10_000


@pytest.fixture
def commit(journal, monkeypatch):
    monkeypatch.setattr(trim, "_STEP", 3)  # so that few rows take several transactions
    epoch = journal.take(*ACCOUNT, "holder", 1)
    made = iter(range(1000))

    def one(*writes):
        return journal.commit(*ACCOUNT, epoch, [Batch(f"b{next(made)}", writes)])[0]

    return one


def test_what_is_over_goes_and_what_is_open_stays(journal, commit):
    statuses = {"open": S.OPEN, "unknown": S.UNKNOWN, "leaving": S.PENDING_CANCEL}
    over = {f"over{n}": S.FILLED for n in range(7)}
    for name, status in {**statuses, **over, "asked": S.CANCELED, "young": S.CANCELED}.items():
        when = NOW if name == "young" else LONG_AGO
        commit(put(name, S.PENDING_NEW), put(name, status, updated_ns=when), put_fill(name, name, ts_event_ns=LONG_AGO))
    commit(intent("r-open", "asked"), intent("r-over", "over1"), intent("r-young", "young"))
    commit(CloseRequest("r-open", "unknown", LONG_AGO), CloseRequest("r-over", "accepted", LONG_AGO))
    commit(CloseRequest("r-young", "accepted", NOW))
    commit(put_fill("stray", "nobody's", ts_event_ns=LONG_AGO), put_fill("young stray", "nobody's", ts_event_ns=NOW))
    commit(PutTombstone("old", LONG_AGO), PutTombstone("new", NOW))

    trimmed = journal.trim(*ACCOUNT, before_ns=NOW)

    kept = [*statuses, "asked", "young"]
    assert trimmed == Trimmed(orders=7, fills=8, requests=1, events=0)
    assert [one.client_order_id for one in journal.orders().rows] == kept
    assert [one.trade_id for one in journal.fills().rows] == [*kept, "young stray"]
    assert all(len(journal.transitions(*ACCOUNT, name)) == 2 for name in kept if name != "young")
    assert journal.transitions(*ACCOUNT, "over1") == []
    assert [one.request_id for one in journal.load(*ACCOUNT).requests] == ["r-open"]
    assert journal.request(*ACCOUNT, "r-over") is None
    assert journal.request(*ACCOUNT, "r-young") is not None
    assert (journal.is_tombstone(*ACCOUNT, "old"), journal.is_tombstone(*ACCOUNT, "new")) == (False, True)
    assert journal.trim(*ACCOUNT, before_ns=NOW) == Trimmed(0, 0, 0, 0)

    commit(CloseRequest("r-open", "resolved: absent", LONG_AGO))
    assert journal.trim(*ACCOUNT, before_ns=NOW).orders == 1
    assert journal.order(*ACCOUNT, "asked") is None


def test_events_go_by_age_and_by_number(journal, commit):
    commit(*(put_event(ts_recv_ns=LONG_AGO if n < 5 else NOW) for n in range(20)))
    assert journal.trim(*ACCOUNT, before_ns=NOW).events == 5
    assert journal.event_range(*ACCOUNT) == (6, 21)
    assert journal.trim(*ACCOUNT, before_ns=NOW, keep_events=8).events == 7
    assert [one.number for one in journal.events(*ACCOUNT, 12)] == list(range(13, 21))
    with pytest.raises(EventsTrimmed):
        journal.events(*ACCOUNT, 11)
    assert journal.trim(*ACCOUNT, before_ns=NOW, keep_events=0).events == 8
    assert journal.event_range(*ACCOUNT) == (21, 21)
    assert commit(put_event()) == [21]


def test_an_event_out_of_time_leaves_no_hole(journal, commit):
    commit(*(put_event(ts_recv_ns=when) for when in (LONG_AGO, NOW, LONG_AGO, NOW)))
    assert journal.trim(*ACCOUNT, before_ns=NOW).events == 1
    assert [one.number for one in journal.events(*ACCOUNT, 1)] == [2, 3, 4]


def test_other_accounts_are_left_alone(journal, commit):
    other = journal.take("acme", "hedge", "holder", 1)
    theirs = replace(put("o1", S.FILLED, updated_ns=LONG_AGO).order, account="hedge")
    journal.commit("acme", "hedge", other, [Batch("b", (replace(put(), order=theirs), put_fill(ts_event_ns=1)))])
    commit(put("o1", S.FILLED, updated_ns=LONG_AGO))
    assert journal.trim(*ACCOUNT, before_ns=NOW).orders == 1
    assert journal.order("acme", "hedge", "o1") == theirs
    assert len(journal.fills().rows) == 1
    assert journal.trim("acme", "never taken", before_ns=NOW) == Trimmed(0, 0, 0, 0)

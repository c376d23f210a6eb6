"""Text that PostgreSQL refuses (NUL) or that has no UTF-8 (half of a surrogate pair) never stops a commit."""

import pytest

from tests.fakes.records import ACCOUNT, order, put, put_event, put_fill
from venuemesh.journal.writes import (
    Batch,
    PutCursor,
    PutMark,
    PutOrder,
    PutOwner,
    PutPause,
    PutRequest,
    PutTombstone,
)

NUL = "a\0b"
WRITES = {
    "order": put(code=NUL, reason=NUL, exchange_order_id=NUL),
    "id": put(NUL),
    "step": PutOrder(order(), NUL, 1),
    "fill": put_fill(NUL, fee_asset=NUL),
    "request": PutRequest("r", "place", (NUL,), NUL, "d" * 64, 1, 1),
    "event": put_event(order(reason=NUL), reason=NUL),
    "owner": PutOwner(NUL, "keep", 1),
    "pause": PutPause("account", NUL, 1),
    "cursor": PutCursor(NUL, 1),
    "mark": PutMark("m", NUL),
    "tombstone": PutTombstone(NUL, 1),
}


@pytest.mark.parametrize("what", WRITES)
def test_nul_in_a_text_stops_no_commit(journal, what):
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [Batch("b1", (WRITES[what],))])
    journal.commit(*ACCOUNT, epoch, [Batch("b2", (put("o2"),))])
    assert "o2" in {one.client_order_id for one in journal.load(*ACCOUNT).orders}


def test_an_id_with_nul_is_found_again(journal):
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [Batch("b", (put(NUL), PutTombstone(NUL, 1)))])
    assert journal.order(*ACCOUNT, NUL) is not None
    assert journal.is_tombstone(*ACCOUNT, NUL)
    assert journal.order(*ACCOUNT, "other\0") is None


def test_text_that_can_be_stored_comes_back_as_it_was(journal):
    epoch = journal.take(*ACCOUNT, "holder", 1)
    words = "é \U0001f600 \\u0000 \x01 \x7f \n"
    journal.commit(*ACCOUNT, epoch, [Batch("b", (put(reason=words), PutMark("m", words)))])
    assert journal.order(*ACCOUNT, "o1").reason == words
    assert journal.load(*ACCOUNT).marks["m"] == words

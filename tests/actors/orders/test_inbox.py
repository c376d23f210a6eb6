"""The manager's end of the user stream: numbered messages, gaps, silence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.trading import order_plain
from venuemesh.actors.account.reports import Marker
from venuemesh.actors.orders.inbox import StreamInbox
from venuemesh.connectors.reports import OrderReport
from venuemesh.model.errors import Rejected


def message(first: int, *reports: Any, stream: tuple[int, int] = (1, 1), up: bool = True) -> dict[str, Any]:
    return {"stream": list(stream), "first": first, "reports": list(reports), "up": up}


UP = {"type": "marker", "what": "up", "reason": ""}
A, B, C = (order_plain(name, name) for name in "abc")


def kinds(found: tuple[list[Any], int]) -> list[str]:
    return [one.what if isinstance(one, Marker) else one.client_order_id for one in found[0]]


def test_reports_are_taken_once_and_what_is_missing_is_a_gap():
    end = StreamInbox()
    assert kinds(end.take(message(1, UP, A), 0)) == ["up", "a"]
    assert kinds(end.take(message(1, UP, A, B), 0)) == ["b"]
    assert end.take(message(4), 0) == ([], 3)
    assert kinds(end.take(message(6, C), 0)) == ["gap", "c"]
    assert isinstance(end.take(message(7, A), 0)[0][0], OrderReport)


def test_another_incarnation_of_the_stream_is_a_gap_and_an_older_one_is_ignored():
    end = StreamInbox()
    end.take(message(1, UP, A), 0)
    assert kinds(end.take(message(1, UP, B, stream=(1, 2)), 0)) == ["gap", "up", "b"]
    assert end.take(message(3, C), 0) == ([], 3)
    assert kinds(end.take(message(3, C, stream=(1, 2)), 0)) == ["c"]


def test_a_stream_that_was_open_before_this_manager_is_up():
    end = StreamInbox()
    assert kinds(end.take(message(41, A), 0)) == ["up", "a"]
    assert kinds(StreamInbox().take(message(41, A, up=False), 0)) == ["a"]


def test_a_silent_stream_role_is_down_until_its_next_message():
    end = StreamInbox()
    end.take(message(1, UP), 0)
    assert end.silent(4_000_000_000) == []
    assert [one.what for one in end.silent(5_000_000_000) if isinstance(one, Marker)] == ["down"]
    assert end.silent(9_000_000_000) == []
    assert kinds(end.take(message(2), 9_000_000_000)) == ["up"]
    assert end.up


@pytest.mark.parametrize(
    "body",
    [None, {}, {"stream": [1], "first": 1, "reports": []}, message(1, {"type": "?"}), message(1, {"type": "order"})],
)
def test_a_malformed_message_of_reports_is_refused(body):
    with pytest.raises(Rejected):
        StreamInbox().take(body, 0)

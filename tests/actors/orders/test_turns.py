"""Whose orders are placed next, and what is refused or dropped before its turn."""

from __future__ import annotations

from decimal import Decimal

import pytest

from venuemesh.actors.orders.turns import Turn, Turns
from venuemesh.model.errors import InboxFull
from venuemesh.model.events import Side
from venuemesh.model.order import NewOrder, OrderType


def order(name: str, owner: str = "", pair: str = "A-B") -> NewOrder:
    return NewOrder(name, pair, Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(1), owner=owner)


def queue(turns: Turns, owner: str, *names: str, **more: bool) -> Turn:
    return turns.add(owner, [order(name, owner) for name in names], None, **more)


def begun(turns: Turns) -> list[str]:
    found = list(turns.begin())
    for turn in found:
        turns.passed(turn)
    return [one.client_order_id for turn in found for one in turn.orders]


def test_an_order_waits_for_one_command_of_each_other_owner():
    turns = Turns("orders/acme/main", room=(1, 1))
    queued = [queue(turns, "flood", f"f{n}") for n in range(50)] + [queue(turns, "other", f"o{n}") for n in range(50)]
    assert begun(turns) == ["f0"]
    calm = queue(turns, "calm", "c")
    served = []
    by_id = {turn.orders[0].client_order_id: turn for turn in [*queued, calm]}
    last = "f0"
    while "c" not in served:
        turns.end(by_id[last])
        (last,) = begun(turns)
        served.append(last)
    assert served == ["o0", "f1", "c"]


def test_one_command_of_an_owner_waits_for_budget_and_others_pass_it():
    turns = Turns("orders/acme/main", room=(8, 8))
    first, second = queue(turns, "a", "a1"), queue(turns, "a", "a2")
    other = queue(turns, "b", "b1")
    assert list(turns.begin()) == [first, other]  # both wait for budget
    assert list(turns.begin()) == []
    turns.passed(first)
    assert list(turns.begin()) == [second]
    assert turns.under_way == 3
    for turn in (first, second, other):
        turns.end(turn)
        turns.end(turn)
    assert turns.status() == {"orders_under_way": 0, "orders_room": 8, "orders_queued": 0}


def test_a_large_command_begins_where_there_is_room_and_the_others_wait_for_it():
    turns = Turns("orders/acme/main", room=(4, 4))
    small = queue(turns, "a", "a1")
    large = queue(turns, "b", *(f"b{n}" for n in range(9)))
    queue(turns, "c", "c1")
    assert len(begun(turns)) == 10
    assert turns.under_way == 10
    turns.end(small)
    assert begun(turns) == []
    turns.end(large)
    assert begun(turns) == ["c1"]


def test_one_owner_that_fills_its_queue_leaves_room_for_the_others():
    turns = Turns("orders/acme/main", of_owner=3, in_all=5)
    queue(turns, "flood", "f1", "f2", "f3")
    with pytest.raises(InboxFull, match=r"owner 'flood' at orders/acme/main.*3"):
        queue(turns, "flood", "f4")
    queue(turns, "calm", "c1", "c2")
    with pytest.raises(InboxFull, match=r"inbox of orders/acme/main.*5"):
        queue(turns, "third", "t1")
    turns.drop(["c1"])
    queue(turns, "third", "t1")


def test_an_order_is_dropped_until_the_machine_decides_about_it():
    turns = Turns("orders/acme/main", room=(9, 9))
    batch, whole = queue(turns, "a", "a1", "a2"), queue(turns, "b", "b1", "b2", is_whole=True)
    ended, dropped = turns.drop(["a1", "none"])
    assert (ended, [one.client_order_id for one in dropped]) == ([], ["a1"])
    ended, dropped = turns.drop(["b2"])
    assert (ended, len(dropped)) == ([whole], 2)
    assert len(turns) == 1
    assert list(turns.begin()) == [batch]
    assert turns.matching("A-B", "a") == ["a2"]
    assert turns.matching("A-B", "b") == turns.matching("X-Y", None) == []
    assert turns.find("a2") is batch
    turns.decided(batch)
    assert turns.drop(["a2"]) == ([], [])
    assert turns.find("a2") is None
    turns.end(batch)


def test_a_caller_that_gives_up_leaves_the_queue():
    turns = Turns("orders/acme/main", room=(1, 1))
    first, second = queue(turns, "a", "a1"), queue(turns, "a", "a2")
    assert begun(turns) == ["a1"]
    turns.end(second)
    turns.end(first)
    assert begun(turns) == []
    assert len(turns) == turns.under_way == 0


def test_fewer_orders_are_under_way_in_a_process_that_lags():
    turns = Turns("orders/acme/main", room=(2, 4))
    for _ in range(9):
        turns.lagged(100_000)
    assert turns.room == 4
    turns.lagged(500_000)  # neither
    assert turns.room == 4
    queue(turns, "a", *(f"a{n}" for n in range(9)))
    (large,) = turns.begin()
    for _ in range(9):
        turns.lagged(50_000_000)
    assert turns.room == 2
    queue(turns, "b", "b1")
    assert begun(turns) == []
    turns.end(large)
    assert begun(turns) == ["b1"]
    turns.limit(1, 1)
    turns.lagged(0)
    assert turns.room == 1

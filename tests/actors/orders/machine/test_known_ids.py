"""Ids without a lookup in the journal: never an id that the journal has, in any order of events."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from venuemesh.actors.orders.machine.known_ids import MOST, PASSED, KnownIds
from venuemesh.model.ids import OrderIds, maker_of

IDS = [one() for maker in (OrderIds(1, 1), OrderIds(1, 2)) for one in [maker] * 12]
STRANGE = ["vm1", "", "VM" + IDS[0][2:], IDS[0] + "0", IDS[0][:-1], IDS[0][:-1] + "\N{FULLWIDTH DIGIT ONE}", "x" * 24]


def of_maker(number: int, salt: int = 1) -> str:
    stem, _ = maker_of(OrderIds(1, salt)()) or ("", 0)
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return stem + "".join(digits[number // 36**at % 36] for at in reversed(range(6)))


def highest(journal: set[str], one: str) -> str:
    named = maker_of(one)
    assert named is not None
    return max((other for other in journal if other.startswith(named[0])), default="")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_new_id_is_not_in_the_journal(data: st.DataObject) -> None:
    journal = set(data.draw(st.lists(st.sampled_from(IDS), max_size=8)))
    makers, written, asked = KnownIds(), set(journal), dict[str, str]()
    for _ in range(data.draw(st.integers(1, 30))):
        one = data.draw(st.sampled_from(IDS))
        match data.draw(st.sampled_from(("write", "commit", "ask", "answer"))):
            case "write":
                written.add(one)
                makers.add(one)
            case "commit":
                journal |= written
            case "ask":
                asked[one] = highest(journal, one)
            case "answer" if asked:
                name = data.draw(st.sampled_from(sorted(asked)))
                makers.learn(name, asked.pop(name))
        assert not [new for new in IDS if makers.is_new(new) and new in written]


def test_once_known_every_further_id_is_new_in_any_order() -> None:
    makers, ids = KnownIds(), [of_maker(number) for number in range(1, 9)]
    assert not makers.is_new(ids[0])
    makers.learn(ids[2], ids[1])
    assert [makers.is_new(one) for one in ids] == [False, False, *[True] * 6]
    for one in (ids[5], ids[3], ids[7]):
        assert makers.is_new(one)
        makers.add(one)
        assert not makers.is_new(one)
    assert [one for one in ids if makers.is_new(one)] == [ids[2], ids[4], ids[6]]


def test_ids_of_others_are_never_new() -> None:
    makers = KnownIds()
    for one in STRANGE:
        assert maker_of(one) is None
        makers.add(one)
        makers.learn(one, "")
        makers.learn(IDS[0], one or "x")
        assert not makers.is_new(one)
    assert not makers.is_new(IDS[0])


def test_remembered_ids_are_bounded() -> None:
    makers = KnownIds()
    makers.learn(of_maker(1), "")
    makers.add(of_maker(10**6))  # far above: what was passed over is looked up
    assert not makers.is_new(of_maker(5))
    makers.add(of_maker(10**6 + PASSED))
    assert makers.is_new(of_maker(10**6 + 1))
    for salt in range(2, MOST + 2):
        makers.add(of_maker(1, salt))
    assert not makers.is_new(of_maker(10**6 + 1))


def test_ids_are_in_the_order_of_their_numbers() -> None:
    make = OrderIds(1_700_000_000_000_000_000, 7)
    made = [make() for _ in range(2_000)]
    assert made == sorted(made)
    assert [maker_of(one) for one in made] == [(made[0][:18], number) for number in range(1, 2_001)]

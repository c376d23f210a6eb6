"""What becomes of tracked pairs that a list lacks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from venuemesh.actors.book.settings import BookSettings
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.model.errors import RetryLater
from venuemesh.model.instrument import Instrument
from venuemesh.supervisor.retirement import AGAIN_S, ListingClock, Verdict, judge
from venuemesh.supervisor.tree.child import ChildSpec

PAIRS = [Instrument("x", name, name.replace("-", ""), *name.split("-"), 2, 2) for name in ("A-B", "C-D", "E-F")]
BOOKS = {
    "book/x/A-B": ChildSpec("book/x/A-B", "book", BookSettings(ConnectorSettings("x"), instruments=(PAIRS[0],))),
    "book/x/group-1": ChildSpec(
        "book/x/group-1", "book", BookSettings(ConnectorSettings("x"), instruments=(*PAIRS[1:],))
    ),
    "limits/x/here": ChildSpec("limits/x/here", "limits"),
}


class Roles:
    """Answers for the roles: `speaking` pairs have more trades at each question."""

    def __init__(self, speaking: str, gone: str, present: str, lists_halted: bool = True) -> None:
        self.speaking = speaking.split()
        self.probed = {"gone": gone.split(), "present": present.split(), "lists_halted": lists_halted}
        self.count = 0

    async def ask(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        if address == "catalog/x":
            assert [plain["name"] for plain in body["instruments"]] == ["A-B", "C-D", "E-F"]
            return self.probed
        assert kind == "stats"
        self.count += 1
        names = [one.name for one in BOOKS[address].config.instruments]
        return {"pairs": {n: {"updates": 7, "trades": self.count if n in self.speaking else 3} for n in names}}


@pytest.mark.parametrize(
    ("roles", "verdict"),
    [
        (Roles("A-B C-D E-F", "", "A-B C-D E-F"), Verdict()),  # a wrong list
        (Roles("A-B C-D E-F", "A-B C-D E-F", ""), Verdict()),  # the exchange's answers are wrong, too
        (Roles("C-D", "A-B", "C-D E-F"), Verdict(("A-B",))),  # one was delisted, a quiet one was not
        (Roles("", "A-B", "C-D E-F"), Verdict(("A-B",))),
        (Roles("C-D", "A-B", "C-D E-F", lists_halted=False), Verdict(("A-B",), ("E-F",))),
        (Roles("", "", ""), Verdict()),  # nothing is known
    ],
)
async def test_a_pair_is_gone_if_it_is_refused_by_name_and_silent(roles: Roles, verdict: Verdict) -> None:
    assert await judge("x", PAIRS, BOOKS, roles.ask, quiet_s=0.0) == verdict


@pytest.mark.parametrize("speaks", ["book/x/A-B", "replica/x/A-B"])
async def test_a_pair_of_which_one_copy_still_has_changes_is_not_gone(speaks: str) -> None:
    count = itertools.count()

    async def ask(address: str, kind: str, body: Any, timeout_s: float) -> Any:
        if address == "catalog/x":
            return {"gone": ["A-B"], "present": [], "lists_halted": True}
        return {"pairs": {"A-B": {"updates": next(count) if address == speaks else 7, "trades": 0}}}

    copies = dict.fromkeys(("book/x/A-B", "replica/x/A-B"), BOOKS["book/x/A-B"])
    assert await judge("x", PAIRS[:1], copies, ask, quiet_s=0.0) == Verdict()


async def test_without_the_catalog_nothing_is_known() -> None:
    async def ask(address: str, kind: str, body: Any, timeout_s: float) -> Any:
        raise RetryLater(1.0, "away")

    with pytest.raises(RetryLater):
        await judge("x", PAIRS, BOOKS, ask, quiet_s=0.0)


def test_lists_are_fetched_at_intervals() -> None:
    clock = ListingClock()
    assert [clock.is_due(at) for at in (1.0, 1.1, AGAIN_S, 1.0 + AGAIN_S, 2.0 + AGAIN_S)] == [
        True,
        False,
        False,
        True,
        False,
    ]

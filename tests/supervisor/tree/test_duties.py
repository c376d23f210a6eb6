"""What a role reports, compared with what it must do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.fakes.settings import exchange_settings
from tests.supervisor.tree.test_plan import listed
from venuemesh.actors.node.settings import MirrorSettings
from venuemesh.model.instrument import Instrument
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.duties import corrections, has_no_role
from venuemesh.supervisor.tree.mirror_leases import mirror_spec

MIRROR = mirror_spec("n", MirrorSettings())
SOURCES = {"book/x/group-1": {"node": "far", "books": {"book/x/A-B": {"levels": 7, "trades": 20}}}}
BOOKS = tuple(Instrument.from_dict(plain) for plain in listed("A-B", "C-D"))
BOOK = ChildSpec("book/x/group-1", "book", replace(exchange_settings("x").book, instruments=BOOKS))


def report(node: str = "far", **books: dict[str, int]) -> dict[str, Any]:
    return {"state": "SERVING", "sources": {"book/x/group-1": {"node": node, "books": books}} if books else {}}


def test_a_mirror_gets_its_sources_again_while_its_report_differs() -> None:
    follow = [("follow", {"sources": SOURCES})]
    assert corrections(MIRROR, report(), SOURCES) == follow
    assert corrections(MIRROR, report(**{"book/x/A-B": {"levels": 9, "trades": 20}}), SOURCES) == follow
    same = report(**{"book/x/A-B": {"levels": 7, "trades": 20}})
    assert corrections(MIRROR, same, SOURCES) == []
    moved = report("nearer", **{"book/x/A-B": {"levels": 7, "trades": 20}})
    assert corrections(MIRROR, moved, SOURCES) == follow
    assert corrections(MIRROR, same, {}) == [("follow", {"sources": {}})]
    assert corrections(MIRROR, report(), None) == []


def test_a_book_gets_its_pairs_again_with_the_status_of_the_list() -> None:
    listed = {"A-B": {"listed": "TRADING"}, "C-D": {"listed": "TRADING"}}
    assert corrections(BOOK, {"pairs": listed}, None) == []
    halted = listed | {"A-B": {"listed": "BREAK"}, "E-F": {"listed": "TRADING"}}
    assert corrections(BOOK, {"pairs": halted}, None) == [
        ("untrack", {"pair": "E-F"}),
        ("track", {"instrument": BOOKS[0].to_dict()}),
    ]
    assert corrections(BOOK, {"pairs": {}}, None) == [("track", {"instrument": one.to_dict()}) for one in BOOKS]


def test_other_roles_get_nothing_and_a_cell_without_a_role_is_seen() -> None:
    assert corrections(ChildSpec("limits/x/default", "limits"), {"state": "SERVING"}, None) == []
    assert has_no_role({"state": "SPARE", "error": None})
    assert not has_no_role({"state": "LIVE", "error": None})

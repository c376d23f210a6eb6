"""The watchers without Ray: mirrors across supervisors, and roles that do not do what they must."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.cells import FakeCells, FakeStore
from tests.fakes.settings import exchange_settings
from tests.supervisor.test_shell import living, made, until
from tests.supervisor.tree.test_plan import listed
from venuemesh.actors.node.settings import MirrorSettings
from venuemesh.model.instrument import Instrument
from venuemesh.supervisor import watchers
from venuemesh.supervisor.shell import SupervisorShell
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.mirror_leases import mirror_spec
from venuemesh.supervisor.tree.records import ChildState
from venuemesh.supervisor.watchers import Watchers

BOOK_AT = "book/x/A-B"
PLAIN = listed("A-B")[0]
SIZES = {"levels": 100, "trades": 64}
MIRROR = mirror_spec("n", MirrorSettings())
FOLLOWS = {"state": "SERVING", "sources": {BOOK_AT: {"polls": 1, "books": {BOOK_AT: SIZES}}}}
FORGOT = {"state": "SERVING", "sources": {}}


def book(**changes: Any) -> ChildSpec:
    settings = exchange_settings("x", instruments=(Instrument.from_dict(PLAIN),), levels=100, trade_ring=64).book
    return ChildSpec(BOOK_AT, "book", settings, group="x", serves=((BOOK_AT, PLAIN),))


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> FakeCells:
    """Cells that an earlier supervisor left: a book on another node, and a mirror of it on node n."""
    monkeypatch.setattr(watchers, "DUTIES_S", 0.02)
    found = FakeCells(
        {"cell-b": living(book(), (1, 1)) | {"node": "far"}, "cell-m": living(MIRROR, (1, 2)) | {"pid": 78}}
    )
    found.statuses["cell-b"] = {"state": "LIVE", "pairs": {"A-B": {"listed": "TRADING"}}}
    return found


async def taken_over(port: FakeCells, **changes: Any) -> SupervisorShell:
    shell = made(port, FakeStore(), **changes)
    await shell.boot()
    Watchers(shell).start()
    return shell


def told(port: FakeCells, cell: str) -> list[tuple[str, Any]]:
    return [(kind, body) for asked, kind, body in port.asked if asked == cell]


async def test_a_later_supervisor_leaves_a_mirror_to_its_readers(port: FakeCells) -> None:
    shell = await taken_over(port)
    await until(lambda: "n" in shell.machine.nodes)
    mirror = shell.machine.children[MIRROR.address]
    await until(lambda: shell.machine.routes.get(MIRROR.address))
    assert not told(port, "cell-m"), "it got a message before it reported what it follows"
    port.statuses["cell-m"] = FOLLOWS
    await until(lambda: told(port, "cell-m"))
    assert (mirror.wanted, mirror.state) == (True, ChildState.SERVING)
    kind, body = told(port, "cell-m")[0]
    assert (kind, list(body["sources"][BOOK_AT]["books"])) == ("follow", [BOOK_AT])


async def test_a_mirror_without_readers_ends_after_one_lease(port: FakeCells) -> None:
    port.statuses["cell-m"] = FORGOT
    shell = await taken_over(port, mirror_lease_s=0.5)
    mirror = shell.machine.children[MIRROR.address]
    assert mirror.wanted
    await until(lambda: not mirror.wanted)


async def test_a_mirror_that_forgot_its_sources_gets_them_again(port: FakeCells) -> None:
    port.statuses["cell-m"] = FOLLOWS
    await taken_over(port)
    await until(lambda: told(port, "cell-m"))
    seen = len(told(port, "cell-m"))
    port.statuses["cell-m"] = FORGOT
    await until(lambda: len(told(port, "cell-m")) > seen)
    kind, body = told(port, "cell-m")[-1]
    assert (kind, body["sources"][BOOK_AT]["books"]) == ("follow", {BOOK_AT: SIZES})


async def test_a_book_that_lost_a_pair_gets_it_again(port: FakeCells) -> None:
    await taken_over(port)
    port.statuses["cell-b"] = {"state": "EMPTY", "pairs": {}}
    await until(lambda: told(port, "cell-b"))
    assert told(port, "cell-b")[0] == ("track", {"instrument": Instrument.from_dict(PLAIN).to_dict()})


async def test_a_cell_that_runs_no_role_is_replaced(port: FakeCells) -> None:
    shell = await taken_over(port)
    port.statuses["cell-b"] = {"state": "SPARE", "error": None}
    await until(lambda: shell.machine.children[BOOK_AT].last_error == "its cell runs no role")

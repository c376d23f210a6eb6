"""The watchers without Ray: mirrors across supervisors, and roles that do not do what they must."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.fakes.cells import FakeCells, FakeStore
from tests.fakes.settings import exchange_settings
from tests.supervisor.test_shell import living, made, until
from tests.supervisor.tree.test_plan import listed
from venuemesh.actors.link.settings import LinkSettings
from venuemesh.actors.node.settings import AgentSettings, MirrorSettings
from venuemesh.model.address import AGENT, agent_address
from venuemesh.model.instrument import Instrument
from venuemesh.supervisor import watchers
from venuemesh.supervisor.cells import NodeFacts
from venuemesh.supervisor.commands import Commands
from venuemesh.supervisor.shell import SupervisorShell
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec, Tier
from venuemesh.supervisor.tree.mirror_leases import link_spec, mirror_spec
from venuemesh.supervisor.tree.records import CellState, ChildState
from venuemesh.supervisor.watchers import Watchers

BOOK_AT = "book/x/A-B"
PLAIN = listed("A-B")[0]
SIZES = {"levels": 100, "trades": 64}
MIRROR, LINK = mirror_spec("n", MirrorSettings()), link_spec("far", LinkSettings(6390))
FOLLOWS = {"state": "SERVING", "sources": {BOOK_AT: {"node": "far", "books": {BOOK_AT: SIZES}}}}
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


def agent(node: str) -> ChildSpec:
    return ChildSpec(agent_address(node), AGENT, AgentSettings(), group=AGENT, tier=Tier.AGENT, node=node)


def nodes_of(*names: str) -> Callable[[], Coroutine[Any, Any, dict[str, NodeFacts]]]:
    async def nodes() -> dict[str, NodeFacts]:
        return {name: NodeFacts({}) for name in names}

    return nodes


async def taken_over(port: FakeCells, **changes: Any) -> SupervisorShell:
    shell = made(port, FakeStore(), **changes)
    await shell.boot()
    Watchers(shell, "n").start()
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


async def test_a_supervisor_without_its_majority_declares_no_agent_hung_until_it_hears_again(port: FakeCells) -> None:
    far, farther = (agent(name) for name in ("far", "farther"))
    port.cells |= {
        "cell-f": living(far, (1, 3)) | {"node": "far"},
        "cell-g": living(farther, (1, 4)) | {"node": "farther"},
    }
    port.nodes = nodes_of("n", "far", "farther")  # type: ignore[method-assign]
    shell = made(port, FakeStore())
    await shell.boot()
    watching = Watchers(shell, "n")
    watching.start()
    await until(lambda: len(shell.machine.nodes) == 3)
    second, now = 1_000_000_000, time.monotonic_ns()
    for step in range(120):  # twelve seconds in which no agent answers
        watching.beat(now + step * second // 10)
    assert shell.machine.isolated_ns is not None
    children = shell.machine.children
    assert {children[spec.address].state for spec in (far, farther)} == {ChildState.SERVING}
    watching.quorum.hear("far", now + 12 * second)
    watching.beat(now + 12 * second)
    assert shell.machine.isolated_ns is None
    await until(lambda: children[farther.address].state is not ChildState.SERVING)  # now it is judged


async def test_a_supervisor_ends_when_the_store_knows_a_later_one(
    port: FakeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(watchers, "EPOCH_S", 0.0)
    monkeypatch.setattr(watchers, "NODES_S", 0.01)
    monkeypatch.setattr("os._exit", ends.append)
    shell = await taken_over(port)
    await until(lambda: "n" in shell.machine.nodes)
    assert not ends
    shell.store.put("epoch", shell.port.epoch + 1)
    await until(lambda: ends)


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


async def test_a_node_has_a_link_while_a_mirror_reads_its_books(port: FakeCells) -> None:
    port.nodes = nodes_of("n", "far")  # type: ignore[method-assign]
    port.statuses["cell-m"] = FOLLOWS
    shell = await taken_over(port, mirror_lease_s=0.5, link=LinkSettings(6390))
    await until(lambda: LINK.address in shell.machine.children)
    link = shell.machine.children[LINK.address]
    assert (link.spec, link.wanted) == (LINK, True)
    await until(lambda: LINK.address not in shell.machine.children or not link.wanted)  # no lease was renewed
    assert BOOK_AT in shell.machine.children


async def test_a_later_supervisor_leaves_a_link_to_its_mirrors(port: FakeCells) -> None:
    port.nodes = nodes_of("n", "far")  # type: ignore[method-assign]
    port.cells["cell-l"] = living(LINK, (1, 3)) | {"node": "far"}
    shell = await taken_over(port, mirror_lease_s=0.5)
    link = shell.machine.children[LINK.address]
    await until(lambda: shell.machine.routes.get(MIRROR.address))
    assert link.wanted, "a mirror that has not reported yet may need it"
    port.statuses["cell-m"] = FORGOT
    await until(lambda: not link.wanted)


async def test_a_book_that_lost_a_pair_gets_it_again(port: FakeCells) -> None:
    await taken_over(port)
    port.statuses["cell-b"] = {"state": "EMPTY", "pairs": {}}
    await until(lambda: told(port, "cell-b"))
    assert told(port, "cell-b")[0] == ("track", {"instrument": Instrument.from_dict(PLAIN).to_dict()})


async def test_a_cell_that_runs_no_role_is_replaced(port: FakeCells) -> None:
    shell = await taken_over(port)
    port.statuses["cell-b"] = {"state": "SPARE", "error": None}
    await until(lambda: shell.machine.children[BOOK_AT].last_error == "its cell runs no role")


async def test_a_restart_that_is_requested_again_restarts_nothing_twice(port: FakeCells) -> None:
    """A command's connection ends with the role that passes it on, so the command sends its request again."""

    async def clear() -> None: ...

    shell = await taken_over(port)
    commands, told = Commands(shell, Watchers(shell, "n"), "", clear), shell.on
    seen: list[tuple[str, ...]] = []

    def on(event: m.Event) -> None:
        if isinstance(event, m.RestartRequested):
            seen.append(event.addresses)
        told(event)

    shell.on = on  # type: ignore[method-assign]
    first, again = (asyncio.create_task(commands.restart(BOOK_AT, "one")) for _ in range(2))
    await until(lambda: seen)
    shell.machine.rolling.clear()
    shell.on(m.Tick())
    assert await first == await again == [BOOK_AT]
    assert await commands.restart(BOOK_AT, "one") == [BOOK_AT]
    assert seen == [(BOOK_AT,)]
    another = asyncio.create_task(commands.restart(BOOK_AT, "two"))
    await until(lambda: len(seen) == 2)
    shell.machine.rolling.clear()
    shell.on(m.Tick())
    assert await another == [BOOK_AT]


async def test_a_process_that_an_earlier_supervisor_made_late_is_found(
    port: FakeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "STRANGERS_S", 0.02)
    shell = await taken_over(port)
    await until(lambda: "n" in shell.machine.nodes)
    mirror = shell.machine.children[MIRROR.address]
    port.cells["cell-s"] = {"node": "n", "pid": 90, "start": 5, "assignment": None}  # a spare
    port.cells["cell-r"] = living(MIRROR, (1, 1)) | {"node": "n", "pid": 91}  # older than the mirror that serves
    port.cells["cell-gone"] = port.cells["cell-s"]
    port.gone.add("cell-gone")  # listed, but it has ended
    await until(lambda: {"cell-s", "cell-r"} <= shell.machine.cells.keys())
    assert shell.machine.cells["cell-s"].pid == 90
    assert shell.machine.cells["cell-r"].state is CellState.KILLING
    assert mirror.cell == "cell-m"
    assert "cell-gone" not in shell.machine.cells

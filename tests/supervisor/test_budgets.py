"""The supervisor keeps the promise of a rate budget for its successor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.cells import FakeCells, FakeStore
from tests.supervisor.test_shell import living, made, until
from venuemesh.supervisor import budgets
from venuemesh.supervisor.budgets import Budgets
from venuemesh.supervisor.shell import SupervisorShell
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec, Tier
from venuemesh.supervisor.tree.records import CellState

AT = "limits/other/default"
SPEC = ChildSpec(AT, "limits", group="other", tier=Tier.LIMITS)


class PromisingCells(FakeCells):
    """Each budget's promises are numbered; a poll that acknowledges the last one waits."""

    def __init__(self, cells: dict[str, Any]) -> None:
        super().__init__(cells)
        self.versions: dict[str, int] = {}
        self.more = asyncio.Event()
        self.sharing: set[str] = set()  # cells that share
        self.idle: set[str] = set()  # cells that answer a poll with the promise that is acknowledged

    async def ask(self, cell: str, address: str, kind: str, body: Any, timeout_s: float, deadline_s: float) -> Any:
        self.asked.append((cell, kind, body))
        if cell in self.gone:
            raise TimeoutError
        if kind == "inherit" and body["shared"]:
            self.sharing.add(cell)
        if kind == "alone":
            self.sharing.discard(cell)
        if kind != "poll:levels":
            return None
        if cell in self.idle:
            await asyncio.sleep(0.001)
        elif body["after"] == self.versions.get(cell, 1):
            await self.more.wait()
            self.more.clear()
        return {"version": self.versions.setdefault(cell, 1), "levels": {}, "of": cell, "shared": cell in self.sharing}

    def inherited(self) -> list[tuple[str, Any]]:
        return [(cell, body["promise"]["of"]) for cell, kind, body in self.asked if kind == "inherit"]


async def booted() -> tuple[SupervisorShell, PromisingCells, Budgets]:
    """A budget in cell-a, after three restarts, and spares."""
    port = PromisingCells({"cell-a": living(SPEC)})
    shell = made(port, FakeStore(), children=(SPEC,))
    await shell.boot()
    shell.on(m.NodeSeen("n"))
    kept = Budgets(shell)
    kept.start()
    kept.attend()
    await until(lambda: ("cell-a", "poll:levels", {"after": 1}) in port.asked)
    return shell, port, kept


async def replaced(shell: SupervisorShell, port: PromisingCells, kept: Budgets) -> str:
    """End the budget's cell; return the cell of its successor."""
    child = shell.machine.children[AT]
    before, restarts = child.cell, child.restarts
    assert before is not None
    port.gone.add(before)
    shell.on(m.Died(before))

    def succeeded() -> bool:
        shell.on(m.Tick())
        return (
            child.cell not in (None, before) and child.restarts > restarts and shell.machine.routes.get(AT) is not None
        )

    await until(succeeded)
    assert child.cell is not None
    return child.cell


async def test_a_successor_inherits_the_last_promise_of_its_predecessor() -> None:
    shell, port, kept = await booted()
    successor = await replaced(shell, port, kept)
    kept.attend()
    await until(lambda: (successor, "poll:levels", {"after": 0}) in port.asked)
    assert port.inherited() == [(successor, "cell-a")]
    asked = [kind for cell, kind, _ in port.asked if cell == successor]
    assert asked[0] == "inherit", "it promised before it inherited"


async def test_a_promise_of_an_earlier_predecessor_is_of_no_use() -> None:
    shell, port, kept = await booted()
    await replaced(shell, port, kept)  # this one is never attended: what it granted is unknown
    third = await replaced(shell, port, kept)
    kept.attend()
    await until(lambda: (third, "poll:levels", {"after": 0}) in port.asked)
    assert port.inherited() == []


async def test_a_budget_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "AGAIN_S", 0.001)
    shell, port, kept = await booted()
    port.gone.add("cell-a")
    port.versions["cell-a"] = 2
    port.more.set()
    await until(lambda: port.asked.count(("cell-a", "poll:levels", {"after": 2})) > 3)
    port.gone.clear()
    await replaced(shell, port, kept)
    kept.attend()
    await until(port.inherited)


async def test_a_successor_shares_with_a_predecessor_on_a_silent_host_until_it_is_gone() -> None:
    shell, port, kept = await booted()
    child = shell.machine.children[AT]
    assert AT in kept.promised
    shell.on(m.NodeSeen("other"))
    await until(lambda: any(c.node == "other" and c.state is CellState.SPARE for c in shell.machine.cells.values()))
    shell.on(m.Suspected(frozenset({"n"}), kept.promised))
    await until(lambda: (one := shell.machine.handovers.get(AT)) is not None and one.serves)
    successor = shell.machine.handovers.get(AT)
    assert successor is not None
    assert successor.cell is not None
    shell.on(m.Readiness(successor.cell, True, frozenset()))
    shell.on(m.Tick())
    assert child.cell == successor.cell
    kept.attend()
    await until(lambda: (child.cell, "poll:levels", {"after": 1}) in port.asked)
    assert [body["shared"] for cell, kind, body in port.asked if kind == "inherit"] == [True]
    assert AT not in kept.promised, "what it promises while it shares is of no use to a third one"
    port.more.set()
    shell.on(m.NodeLost("n"))
    port.more.set()
    await until(lambda: (child.cell, "alone", None) in port.asked)
    port.more.set()
    await until(lambda: AT in kept.promised)


def records(store: FakeStore) -> dict[str, Any]:
    """Return what the newest supervisor has stored of all budgets."""
    found: dict[str, Any] = store.values[f"promises/{store.values['epoch']}"]["budgets"]
    return found


def inherit_of(port: PromisingCells, cell: str) -> dict[str, Any]:
    (body,) = [body for other, kind, body in port.asked if (other, kind) == (cell, "inherit")]
    return dict(body)


async def test_a_promise_is_acknowledged_when_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "POLL_S", 0.05)
    port, store = PromisingCells({"cell-a": living(SPEC)}), FakeStore()
    shell = made(port, store, children=(SPEC,))
    await shell.boot()
    store.away = 10**9
    kept = Budgets(shell)
    kept.start()
    kept.attend()
    await until(lambda: len(port.asked) > 2)
    assert {body["after"] for _, kind, body in port.asked if kind == "poll:levels"} == {0}
    assert AT in kept.promised, "a successor that this supervisor starts can have it"
    store.away = 0
    await until(lambda: ("cell-a", "poll:levels", {"after": 1}) in port.asked)
    assert records(store)[AT]["promise"]["version"] == 1


async def test_a_successor_has_the_whole_rest_when_it_is_stored_that_the_promise_is_used_up() -> None:
    shell, port, kept = await booted()
    successor = await replaced(shell, port, kept)
    kept.attend()
    await until(lambda: (successor, "poll:levels", {"after": 1}) in port.asked)
    assert inherit_of(port, successor)["rest"] == "whole"
    store = shell.store
    assert isinstance(store, FakeStore)
    assert records(store)[AT]["promise"]["of"] == successor


async def test_a_successor_has_half_of_the_rest_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "USED_UP_S", 0.02)
    shell, port, kept = await booted()
    store = shell.store
    assert isinstance(store, FakeStore)
    successor = await replaced(shell, port, kept)
    store.away = 10**9
    kept.attend()
    await until(lambda: port.inherited() == [(successor, "cell-a")])
    assert inherit_of(port, successor)["rest"] == "half"
    assert records(store)[AT]["promise"]["of"] == "cell-a"


async def test_a_promise_is_stored_once() -> None:
    shell, port, _ = await booted()
    store = shell.store
    assert isinstance(store, FakeStore)
    store.values.clear()
    port.idle.add("cell-a")
    port.more.set()
    asked = len(port.asked)
    await until(lambda: len(port.asked) > asked + 5)
    assert not store.values


async def next_supervisor(store: FakeStore, cells: dict[str, Any]) -> tuple[SupervisorShell, PromisingCells, Budgets]:
    port = PromisingCells(cells)
    shell = made(port, store, children=(SPEC,))
    await shell.boot()
    shell.on(m.NodeSeen("n"))
    kept = Budgets(shell)
    kept.start()

    def serves() -> bool:
        shell.on(m.Tick())
        return shell.machine.routes.get(AT) is not None

    await until(serves)
    kept.attend()
    return shell, port, kept


async def test_the_next_supervisor_gives_a_successor_half_of_what_is_stored_and_only_once() -> None:
    first, _, _ = await booted()
    store = first.store
    assert isinstance(store, FakeStore)
    first.machine.ending = True  # it has died with its host, and the role with it
    second, port, _ = await next_supervisor(store, {})
    successor = second.machine.children[AT].cell
    assert successor is not None
    await until(lambda: port.inherited() == [(successor, "cell-a")])
    body = inherit_of(port, successor)
    assert (body["rest"], body["age_s"], body["shared"]) == ("half", 0.0, False)
    await until(lambda: records(store).get(AT, {}).get("cell") == successor)
    assert [name for name in store.values if name.startswith("promises/")] == [f"promises/{second.port.epoch}"]

    store.values[f"promises/{second.port.epoch}"]["budgets"][AT] = None  # it has died before it promised
    third, port, _ = await next_supervisor(store, {})
    successor = third.machine.children[AT].cell
    await until(lambda: (successor, "poll:levels", {"after": 0}) in port.asked)
    assert (successor, "inherit") not in [(cell, kind) for cell, kind, _ in port.asked]


async def test_without_the_store_the_next_supervisor_gives_nothing_of_what_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budgets, "USED_UP_S", 0.02)
    first, _, _ = await booted()
    store = first.store
    assert isinstance(store, FakeStore)
    port = PromisingCells({})
    second = made(port, store, children=(SPEC,))
    await second.boot()
    second.on(m.NodeSeen("n"))
    store.away = 10**9
    kept = Budgets(second)
    kept.start()

    def attended() -> bool:
        second.on(m.Tick())
        kept.attend()
        return bool(port.inherited())

    await until(attended)
    assert [body["rest"] for _, kind, body in port.asked if kind == "inherit"] == ["none"]


async def test_the_next_supervisor_continues_with_a_role_that_lives() -> None:
    first, _, _ = await booted()
    store = first.store
    assert isinstance(store, FakeStore)
    second, port, kept = await next_supervisor(store, {"cell-a": living(SPEC)})
    await until(lambda: ("cell-a", "poll:levels", {"after": 1}) in port.asked)
    assert port.inherited() == []
    assert AT in kept.promised
    successor = await replaced(second, port, kept)
    kept.attend()
    await until(port.inherited)
    assert inherit_of(port, successor)["rest"] == "whole"

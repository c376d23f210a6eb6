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
        if body["after"] == self.versions.get(cell, 1):
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

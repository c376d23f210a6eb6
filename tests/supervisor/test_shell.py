"""The supervisor's shell without Ray: its boot, and changes of the desired state while the GCS is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.cells import FakeCells, FakeStore
from tests.fakes.settings import exchange_settings
from venuemesh.model.backoff import Backoff
from venuemesh.model.errors import Fenced, RetryLater, UnknownExchange
from venuemesh.supervisor import retrying_store, shell
from venuemesh.supervisor.shell import SupervisorShell, end_of
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.records import ChildState
from venuemesh.supervisor.tree.settings import MeshSettings

A = ChildSpec("echo/a", "echo", group="echo")
SETTINGS = MeshSettings("m", {"x": exchange_settings("x", pairs=("A-B",))}, birth="1", children=(A,))


def living(spec: ChildSpec, incarnation: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    assignment = {"incarnation": list(incarnation), "spec": spec.to_dict(), "restarts": 3}
    return {"node": "n", "pid": 77, "start": 770, "assignment": assignment, "serving": True}


def made(port: FakeCells, store: FakeStore, **changes: Any) -> SupervisorShell:
    made = SupervisorShell(replace(SETTINGS, **changes), port, store)
    made.durable = retrying_store.Durable(Backoff(0.001, 0.01, jitter=0.0))
    return made


async def until(reached: Callable[[], Any]) -> None:
    async with asyncio.timeout(10.0):
        while True:
            if reached():
                return
            await asyncio.sleep(0.005)


async def test_boot_waits_for_a_gcs_that_is_away_and_then_finds_what_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "AWAY", Backoff(0.001, 0.01, jitter=0.0))
    port, store = FakeCells({"cell-1": living(A), "cell-2": living(A) | {"assignment": None, "pid": 78}}), FakeStore()
    port.away, store.away = 5, 5
    mine = made(port, store)
    await asyncio.wait_for(mine.boot(), 10.0)
    assert store.failures == 5
    assert port.epoch == store.values["epoch"] == 1
    child = mine.machine.children[A.address]
    assert (child.state, child.cell, child.restarts) == (ChildState.SERVING, "cell-1", 3)
    assert port.held == {"cell-1", "cell-2"}
    assert mine.ready.is_set()


async def test_what_was_lost_with_the_supervisor_waits_for_nothing_and_takes_a_spare_on_any_node() -> None:
    lost, spare = replace(A, address="echo/b"), living(A) | {"assignment": None, "pid": 78}
    store = FakeStore()
    first = made(FakeCells(), store, children=(A, lost))
    await first.boot()
    cells = {"cell-1": living(A)} | {f"spare-{n}": spare | {"pid": 100 + n} for n in range(9)}
    mine = made(FakeCells(cells), store, children=(A, lost))
    await mine.boot()
    mine.on(m.NodeSeen("empty"))  # it has the least to do, and no process yet
    mine.on(m.NodeSeen("n"))
    assert str(mine.machine.children[lost.address].cell).startswith("spare-")


async def test_a_cell_that_cannot_be_queried_does_not_count_as_gone() -> None:
    port, store = FakeCells({"cell-1": living(A)}), FakeStore()
    mine = made(port, store)

    async def away_once(name: str) -> None:
        port.find = find  # type: ignore[method-assign]
        port.away = 1
        await find(name)

    find, port.find = port.find, away_once  # type: ignore[method-assign]
    await mine.boot()
    assert mine.machine.children[A.address].cell == "cell-1"


async def test_a_wish_is_durable_or_refused_and_a_refused_one_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    port, store = FakeCells(), FakeStore()
    mine = made(port, store)
    await mine.boot()
    store.away = 3
    await mine.wish("x", lambda desired: desired.rule("x", True, ["C-D"]))
    assert [True, "C-D"] in store.values["desired"]["rules"]["x"]
    before = mine.desired.to_dict()
    store.away = 10**9
    monkeypatch.setattr(retrying_store.Durable.run, "__kwdefaults__", {"patience_s": 0.05})
    with pytest.raises(RetryLater):
        await mine.wish("x", lambda desired: desired.network("x", False))
    assert mine.desired.to_dict() == before
    with pytest.raises(UnknownExchange):
        await mine.wish("y", lambda desired: desired.network("y", False))
    store.away = 0
    await mine.wish("x", lambda desired: desired.network("x", False))
    assert mine.desired.stopped == store.values["desired"]["stopped"] == ["x"]


async def test_what_is_only_good_to_have_is_given_up_and_cells_are_adopted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, store = FakeCells(), FakeStore()
    mine = made(port, store)
    await mine.boot()
    store.away = 10**9
    monkeypatch.setattr(retrying_store.Durable.run, "__kwdefaults__", {"patience_s": 0.02})
    mine.on(m.NodeSeen("n"))
    await until(lambda: A.address in {assignment["spec"]["address"] for assignment in port.adopted})
    await until(lambda: mine.machine.children[A.address].state is ChildState.SERVING)


async def test_a_cell_that_cannot_be_created_is_tried_again() -> None:
    port, store = FakeCells(), FakeStore()
    mine = made(port, store)
    await mine.boot()
    port.away = 4
    mine.on(m.NodeSeen("n"))
    await until(lambda: mine.on(m.Tick()) or mine.machine.children[A.address].state is ChildState.SERVING)


async def test_the_hosts_of_pinned_children_are_stored_for_a_later_supervisor() -> None:
    pinned = replace(A, node="n", pinned="its journal is there")
    port, store = FakeCells({"cell-1": living(pinned) | {"identity": "alpha/1"}}), FakeStore()
    mine = made(port, store, children=(pinned,))
    await mine.boot()
    await until(lambda: store.values.get("homes") == {"n": "alpha/1"})
    later = made(FakeCells(), store, children=(pinned,))
    await later.boot()
    assert later.machine.homes == {"n": "alpha/1"}


async def test_a_restart_keeps_changes_and_a_mesh_created_again_does_not() -> None:
    store = FakeStore()
    first = made(FakeCells(), store)
    await first.boot()
    await first.wish("x", lambda desired: desired.network("x", False))
    again = made(FakeCells(), store)
    await again.boot()
    assert again.desired.stopped == ["x"]
    assert again.port.epoch == 2
    gone = ChildSpec("echo/gone", "echo", group="echo")
    restarted = made(FakeCells({"cell-9": living(gone)}), store, birth="2")
    await restarted.boot()
    assert restarted.desired.stopped == []
    assert not restarted.machine.children[gone.address].wanted
    assert store.values["desired"]["birth"] == "2"


async def test_a_supervisor_ends_as_soon_as_a_cell_has_heard_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    port, ends = FakeCells({"cell-1": living(A)}), list[int]()
    monkeypatch.setattr(shell.os, "_exit", ends.append)
    mine = made(port, FakeStore())
    await mine.boot()
    for seen in ((port.epoch, 8), (port.epoch - 1, 8), (0, 0)):  # the cell runs another role, or none now
        port.refusals["cell-1"] = Fenced(A.address, (port.epoch, 0), seen)
        assert await mine.ask_briefly("cell-1", A.address, "who") is None
    assert not ends
    port.refusals["cell-1"] = Fenced("cell-1", (port.epoch, 0), (port.epoch + 1, 0))
    await mine.ask_briefly("cell-1", A.address, "who")
    assert ends == [0]


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (
            RuntimeError(
                "The actor died because of an error raised in its creation task, ray::Cell.__init__()\n"
                'Traceback (most recent call last):\n  File "a.py", line 1, in __init__\n'
                "venuemesh.model.errors.Misconfigured: the folder /dev/shm/x: no room for the 304 bytes of cell-1\n"
            ),
            "Misconfigured: the folder /dev/shm/x: no room for the 304 bytes of cell-1",
        ),
        (
            RuntimeError("Traceback (most recent call last):\n  x\nOSError: [Errno 28] No space"),
            "OSError: [Errno 28] No space",
        ),
        (ValueError("no such name"), "ValueError('no such name')"),
    ],
)
def test_the_end_of_a_traceback_is_the_cause(error: Exception, end: str) -> None:
    assert end_of(error) == end

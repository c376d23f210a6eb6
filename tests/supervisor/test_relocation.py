"""The commands that move children, without Ray: what they refuse, and that a drained host stays drained."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from tests.fakes.cells import FakeCells, FakeStore
from tests.supervisor.test_shell import A, living, made, until
from venuemesh.model.errors import Misconfigured, RetryLater
from venuemesh.supervisor.relocation import Relocation
from venuemesh.supervisor.shell import SupervisorShell
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.watchers import Watchers

NODE, OTHER = "n" * 28, "f" * 28
WEST = replace(A, address="echo/west", labels=(("zone", "west"),))
HOME = replace(A, address="echo/home", node=NODE, pinned="its journal is here")


async def shell_of(store: FakeStore, birth: str = "1") -> SupervisorShell:
    cells = {f"cell-{n}": living(spec, (1, n)) | {"node": NODE, "pid": n} for n, spec in enumerate((A, WEST, HOME), 1)}
    shell = made(FakeCells(cells), store, children=(A, WEST, HOME), birth=birth)
    await shell.boot()
    shell.on(m.NodeSeen(NODE, {"zone": "west"}, "alpha"))
    shell.on(m.NodeSeen(OTHER, {"zone": "east"}, "beta"))
    return shell


async def tick(shell: SupervisorShell) -> None:
    """What the supervisor's heartbeat does."""
    while True:
        shell.on(m.Tick())
        await asyncio.sleep(0.01)


def of(shell: SupervisorShell) -> Relocation:
    return Relocation(shell, Watchers(shell, NODE))


@pytest.mark.parametrize(
    ("address", "where", "reason"),
    [
        ("echo/none", "beta", "no such actor; it has "),
        (A.address, "gamma", "is no host or node of the cluster, which has alpha, beta"),
        (A.address, "f" * 7, "is no host or node"),  # too short to name a node
        (WEST.address, "beta", "does not have the labels {'zone': 'west'}"),
        (HOME.address, OTHER[:12], "its journal is here"),
        (f"agent/{NODE[:12]}", "beta", "it belongs to its node"),
    ],
)
async def test_a_move_that_cannot_be_is_refused_at_once(address: str, where: str, reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason):
        await of(await shell_of(FakeStore())).move(address, where)


async def test_a_host_with_several_nodes_and_a_drained_one_are_refused() -> None:
    shell = await shell_of(FakeStore())
    await shell.drain(lambda drained: drained | {"beta"})
    with pytest.raises(Misconfigured, match="the node is drained"):
        await of(shell).move(A.address, "beta")
    shell.on(m.NodeSeen("e" * 28, {}, "beta"))
    with pytest.raises(Misconfigured, match=r"several nodes .*: eeeeeeeeeeee, ffffffffffff|ffffffffffff, eeeeeeeeeeee"):
        await of(shell).move(A.address, "beta")


async def test_a_child_that_is_there_already_stays() -> None:
    shell = await shell_of(FakeStore())
    assert await of(shell).move(A.address, "alpha") == {
        "address": A.address,
        "from": "alpha",
        "to": "alpha",
        "moved": False,
    }
    assert not shell.machine.rolling.queue


async def test_a_drained_host_is_stored_and_a_later_supervisor_knows_it() -> None:
    store = FakeStore()
    shell = await shell_of(store)
    shell.spawn(tick(shell))
    done = await of(shell).drain("alpha", undo=False, timeout_s=0.1)
    assert done["left"][WEST.address] == "no other node has the labels {'zone': 'west'}"
    assert done["left"][HOME.address] == "its journal is here"
    assert done["left"]["supervisor"].startswith("it runs here")
    later = await shell_of(store)
    assert later.machine.drained == {"alpha"}
    assert later.machine.drained_nodes == {NODE}
    assert not (await shell_of(store, birth="2")).machine.drained  # another mesh of the same name
    assert (await of(later).drain(NODE[:10], undo=True, timeout_s=1.0))["drained"] is False
    assert not (await shell_of(store)).machine.drained
    with pytest.raises(Misconfigured, match="is not drained"):
        await of(later).drain("alpha", undo=True, timeout_s=1.0)


async def test_a_drain_that_is_not_stored_changes_nothing_and_the_last_host_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = FakeStore()
    shell = await shell_of(store)
    store.away = 1_000_000
    monkeypatch.setattr(shell.durable, "run", partial(shell.durable.run, patience_s=0.05))
    with pytest.raises(RetryLater):
        await of(shell).drain("alpha", undo=False, timeout_s=1.0)
    assert not shell.machine.drained
    store.away = 0
    await shell.drain(lambda drained: drained | {"beta"})
    with pytest.raises(Misconfigured, match="no other host would be left"):
        await of(shell).drain("alpha", undo=False, timeout_s=1.0)


async def test_a_child_leaves_a_drained_host_when_a_process_waits_elsewhere() -> None:
    shell = await shell_of(FakeStore())
    await shell.drain(lambda drained: drained | {"alpha"})
    shell.on(m.Readiness("cell-1", True))
    await until(lambda: shell.machine.rolling.has(A.address))
    assert shell.machine.rolling.queue[0].node == OTHER

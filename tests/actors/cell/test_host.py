"""The host of a role, without a mesh: adopting, fencing, answering, failing, and its lease."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.actors.cell.toy import Nobody, Toy, nowhere
from venuemesh.actors.cell.host import Assignment, Hooks, Host, Surroundings
from venuemesh.actors.cell.messages import Envelope, unpack_reply
from venuemesh.model.errors import Fenced, OutcomeUnknown, Rejected

ADDRESS, OTHER = "book/acme/group-1", "book/acme/BTC-USDT"
SPEC = {"address": ADDRESS, "kind": "toy", "config": {}, "serves": [[OTHER, None]]}
ASSIGNMENT = Assignment(epoch=5, incarnation=(5, 3), spec=SPEC, restarts=2)


class Scene:
    """A host whose clock and end the test controls."""

    def __init__(self, lease_s: float | None = 1.0, long_lease_s: float | None = None) -> None:
        self.now_ns = 10**9
        self.failures: list[BaseException] = []
        self.leases: list[int] = []
        self.failed_reads: list[str] = []
        self.toys: list[Toy] = []
        self.broken: str | None = None
        self.starts_at_once = True
        around = Surroundings("m", "node", Path("/nonexistent"), Nobody(), nowhere, monotonic_ns=lambda: self.now_ns)
        hooks = Hooks(
            self.failures.append, self.leases.append, lambda envelope, _: self.failed_reads.append(envelope.kind)
        )
        self.host = Host("cell-1", around, hooks, self._make, lease_s, long_lease_s)
        self._sequence = 0

    def _make(self, assignment: Assignment, context: Any) -> Toy:
        assert context.address == assignment.address
        self.toys.append(Toy(context))
        self.toys[-1].broken = self.broken
        if not self.starts_at_once:
            self.toys[-1].may_start.clear()
        return self.toys[-1]

    def envelope(self, kind: str, *, address: str = ADDRESS, incarnation: tuple[int, int] = (5, 3)) -> bytes:
        self._sequence += 1
        return Envelope(address, "me", incarnation, self._sequence, kind, 1.0, None).pack()

    async def ask(self, kind: str, **to: Any) -> Any:
        return unpack_reply(await self.host.ask(self.envelope(kind, **to)))


@pytest.fixture
async def scene() -> Scene:
    made = Scene()
    assert await made.host.adopt(ASSIGNMENT) == {"ok": True}
    return made


def test_an_assignment_travels_as_plain_values() -> None:
    for assignment in (ASSIGNMENT, replace(ASSIGNMENT, predecessor=(77, 770))):
        assert Assignment.from_dict(assignment.to_dict()) == assignment


async def test_a_spare_shows_its_identity_and_answers_no_message() -> None:
    scene = Scene()
    assert scene.host.hello(1) == {"cell": "cell-1", "node": "node", "assignment": None, "serving": False}
    assert scene.host.status() == {"state": "SPARE", "error": None}
    with pytest.raises(Fenced):
        await scene.ask("who")
    with pytest.raises(Fenced):
        unpack_reply(await scene.host.poll(scene.envelope("poll:news")))


async def test_it_serves_its_addresses_in_its_incarnation_only(scene: Scene) -> None:
    hello = scene.host.hello(5)
    assert (hello["assignment"], hello["serving"]) == (ASSIGNMENT.to_dict(), True)
    for to in ({}, {"address": OTHER}, {"incarnation": (5, 0)}, {"incarnation": (6, 0)}):
        assert (await scene.ask("who", **to))["restarts"] == 2
    for wrong in ({"incarnation": (5, 2)}, {"incarnation": (5, 4)}, {"address": "book/acme/ETH-USDT"}):
        with pytest.raises(Fenced):
            await scene.ask("who", **wrong)
        with pytest.raises(Fenced):
            unpack_reply(await scene.host.poll(scene.envelope("poll:news", **wrong)))
    assert unpack_reply(await scene.host.poll(scene.envelope("poll:news"))) == "news"


async def test_a_repeated_message_is_handled_once(scene: Scene) -> None:
    packed = scene.envelope("who")
    assert await scene.host.ask(packed) == await scene.host.ask(packed)
    assert scene.toys[0].handled == 1


async def test_it_adopts_once(scene: Scene) -> None:
    again = await scene.host.adopt(replace(ASSIGNMENT, incarnation=(5, 4)))
    assert not again["ok"]
    assert "adopted already" in again["error"]
    assert (await scene.ask("who"))["incarnation"] == [5, 3]
    assert not scene.failures


async def test_an_earlier_supervisor_is_refused(scene: Scene) -> None:
    for call in (scene.host.hello, scene.host.fence):
        with pytest.raises(Fenced):
            call(4)
    with pytest.raises(Fenced):
        await scene.host.life(4)
    with pytest.raises(Fenced):
        await scene.host.adopt(replace(ASSIGNMENT, epoch=4))


async def test_messages_of_an_earlier_supervisor_change_nothing(scene: Scene) -> None:
    await scene.ask("who", incarnation=(5, 0))
    scene.host.hello(6)
    late = scene.envelope("who", incarnation=(5, 0))
    for answer in (scene.host.ask, scene.host.poll):
        with pytest.raises(Fenced) as caught:
            unpack_reply(await answer(late))
        assert (caught.value.held, caught.value.seen) == ((5, 0), (6, 0))
    assert scene.toys[0].handled == 1
    await scene.ask("who", incarnation=(6, 0))
    await scene.ask("who")  # from a role: heard as before
    assert scene.toys[0].handled == 3


async def test_a_refusal_because_the_role_has_ended_names_no_later_supervisor(scene: Scene) -> None:
    await scene.host.stop(1.0)
    with pytest.raises(Fenced) as caught:
        await scene.ask("who", incarnation=(5, 0))
    assert caught.value.seen == (5, 3)  # the supervisor ends only where `seen` has a later epoch than its own


async def test_a_message_with_a_wrong_epoch_fences_no_supervisor(scene: Scene) -> None:
    await scene.ask("who", incarnation=(10**15, 0))
    assert scene.host.hello(5)["serving"]


async def test_a_later_supervisor_takes_over_the_life_call(scene: Scene) -> None:
    older = asyncio.ensure_future(scene.host.life(5))
    await asyncio.sleep(0)
    newer = asyncio.ensure_future(scene.host.life(6))
    assert await older == {"why": "superseded"}
    await scene.ask("fail")
    assert await newer == {"why": "failed", "error": "KeyError: 'asked'"}


@pytest.mark.parametrize("what", ["start", "prepare"])
async def test_a_role_that_does_not_start_ends_its_cell(what: str) -> None:
    scene = Scene()
    scene.broken = what

    async def prepare(assignment: Assignment) -> None:
        scene.toys.clear()
        if what == "prepare":
            raise KeyError(what)

    adopted = await scene.host.adopt(ASSIGNMENT, prepare)
    assert adopted == {"ok": False, "error": f"KeyError: '{what}'"}
    assert [type(error) for error in scene.failures] == [KeyError]
    assert scene.host.ended
    assert len(scene.toys) == (what == "start")


async def test_an_unexpected_error_ends_the_cell_but_not_after_a_query(scene: Scene) -> None:
    with pytest.raises(Rejected, match="broken_read"):
        await scene.ask("broken_read")
    assert scene.failed_reads == ["broken_read"]
    assert (await scene.ask("who"))["restarts"] == 2
    with pytest.raises(OutcomeUnknown, match="KeyError"):
        await scene.ask("broken")
    assert len(scene.failures) == 1
    with pytest.raises(Fenced):
        await scene.ask("who")
    with pytest.raises(asyncio.CancelledError):
        scene.toys[0].context.alive()


async def test_it_fails_once(scene: Scene) -> None:
    scene.host.fail(KeyError(1))
    scene.host.fail(KeyError(2))
    assert [error.args for error in scene.failures] == [(1,)]


async def test_a_beat_that_raises_ends_the_cell(scene: Scene) -> None:
    scene.host.beat()
    assert scene.host.status()["beats"] == 1
    scene.toys[0].broken = "beat"
    scene.host.beat()
    scene.host.beat()
    assert len(scene.failures) == 1


async def test_a_loop_that_did_not_run_for_longer_than_the_lease_ends_before_it_continues(scene: Scene) -> None:
    scene.now_ns += 10**9
    scene.toys[0].context.alive()
    assert scene.host.check_lease() == 10**9
    assert not scene.leases
    scene.now_ns += 10**9 + 1
    scene.toys[0].context.alive()
    assert scene.leases == [10**9 + 1]
    scene.host.check_lease()
    assert len(scene.leases) == 2


@pytest.mark.parametrize(("kind", "lease_ns"), [("orders", 10**9), ("toy", 5 * 10**9)])
async def test_a_role_that_does_not_trade_has_a_longer_lease(kind: str, lease_ns: int) -> None:
    scene = Scene(1.0, 5.0)
    assert await scene.host.adopt(replace(ASSIGNMENT, spec={**ASSIGNMENT.spec, "kind": kind})) == {"ok": True}
    scene.now_ns += lease_ns
    scene.host.check_lease()
    assert not scene.leases
    scene.now_ns += lease_ns + 1
    scene.toys[0].context.alive()
    assert scene.leases == [lease_ns + 1]


async def test_a_spare_may_stand_still() -> None:
    scene = Scene()
    scene.now_ns += 10**12
    scene.host.check_lease()
    assert not scene.leases


async def test_a_role_that_stops_may_still_work_and_nothing_is_answered(scene: Scene) -> None:
    await scene.host.stop(1.0)
    assert scene.toys[0].ended[0] == ("stop", (5, 3))
    assert not scene.failures
    with pytest.raises(Fenced):
        await scene.ask("who")
    with pytest.raises(asyncio.CancelledError):
        scene.toys[0].context.alive()


async def test_a_stop_that_fails_is_reported(scene: Scene) -> None:
    scene.toys[0].broken = "stop"
    with pytest.raises(KeyError):
        await scene.host.stop(1.0)
    assert scene.host.ended


async def starting(broken: str | None = None) -> tuple[Scene, asyncio.Task[dict[str, Any]]]:
    """Return a scene whose role starts until `may_start` is set, and the adoption."""
    scene = Scene()
    scene.starts_at_once, scene.broken = False, broken
    adopting = asyncio.ensure_future(scene.host.adopt(ASSIGNMENT))
    await asyncio.sleep(0)
    assert scene.toys
    return scene, adopting


async def test_a_stop_waits_for_a_role_that_starts_and_lets_it_do_its_last_work() -> None:
    scene, adopting = await starting()
    stopping = asyncio.ensure_future(scene.host.stop(60.0))
    await asyncio.sleep(0)
    scene.now_ns += 10**9  # the wait does not use up the lease
    scene.host.check_lease()
    (toy,) = scene.toys
    assert not toy.ended
    toy.may_start.set()
    assert await adopting == {"ok": True}, "the supervisor kills a cell whose role did not start"
    with pytest.raises(Fenced):
        await scene.ask("who")
    await stopping
    assert toy.ended[0] == ("stop", (5, 3))
    assert 0 < toy.context.stop_s <= 60.0
    assert toy.context.is_final
    assert not scene.failures
    assert not scene.leases
    assert toy.handled == 0


@pytest.mark.parametrize("broken", ["start", "stop"])
async def test_a_stop_of_a_role_that_starts_reports_what_fails(broken: str) -> None:
    scene, adopting = await starting(broken)
    stopping = asyncio.ensure_future(scene.host.stop(60.0))
    await asyncio.sleep(0)
    scene.toys[0].may_start.set()
    assert (await adopting)["ok"] is (broken == "stop")
    if broken == "stop":
        with pytest.raises(KeyError):
            await stopping
    else:
        await stopping
    assert not scene.toys[0].ended
    assert scene.host.ended


async def test_a_role_that_does_not_start_in_time_does_nothing() -> None:
    scene, adopting = await starting()
    with pytest.raises(TimeoutError):
        await scene.host.stop(0.001)
    (toy,) = scene.toys
    with pytest.raises(asyncio.CancelledError):
        toy.context.alive()
    toy.may_start.set()
    assert not (await adopting)["ok"]
    await scene.host.stop(60.0)
    assert not toy.ended


async def test_a_role_whose_cell_ends_while_a_stop_waits_for_it_does_nothing() -> None:
    scene, adopting = await starting()
    stopping = asyncio.ensure_future(scene.host.stop(60.0))
    await asyncio.sleep(0)
    scene.toys[0].context.fail(Fenced("orders", (1, 1), (2, 1)))
    scene.toys[0].may_start.set()
    assert not (await adopting)["ok"]
    await stopping
    assert not scene.toys[0].ended


async def test_a_stop_before_a_successor_does_not_wait_for_the_start() -> None:
    scene, adopting = await starting()
    await scene.host.stop(60.0, final=False)
    assert scene.host.ended
    scene.toys[0].may_start.set()
    assert not (await adopting)["ok"]
    assert not scene.toys[0].ended


async def test_an_ended_spare_adopts_nothing() -> None:
    scene = Scene()
    await scene.host.stop(1.0)
    assert not (await scene.host.adopt(ASSIGNMENT))["ok"]
    assert not scene.toys

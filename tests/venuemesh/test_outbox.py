"""The orders that a process has handed over: bounded for each owner, and sent in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.fakes.clock import until
from venuemesh.mesh.outbox import Outbox, owner_of
from venuemesh.model.errors import InboxFull, Rejected


class Sender:
    """Records the commands that were sent; `gate` holds their answers back."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.gate = asyncio.Event()

    def send(self, name: str) -> Callable[[], Coroutine[Any, Any, str]]:
        async def send() -> str:
            self.sent.append(name)
            await self.gate.wait()
            if name == "bad":
                raise Rejected("no", "x")
            return name

        return send


def test_only_commands_with_orders_have_an_owner() -> None:
    assert owner_of("place", {"orders": [{"owner": "a"}, {"owner": "b"}]}) == "a"
    assert owner_of("replace", {"order": {"owner": ""}}) == ""
    for kind, body in (("cancel", {"id": "x"}), ("cancel_all", {"owner": "a"}), ("place", {"orders": []})):
        assert owner_of(kind, body) is None


async def test_owners_are_sent_in_turn_and_a_cancel_goes_past_all_but_a_few_orders() -> None:
    loop, sender = asyncio.get_running_loop(), Sender()
    outbox = Outbox(loop, at_once=4)
    answers = [outbox.submit("flood", sender.send(f"f{n}")) for n in range(20)]
    answers.append(outbox.submit("calm", sender.send("c")))
    loop.call_soon_threadsafe(sender.sent.append, "cancel")
    await until(lambda: len(sender.sent) == 22)
    assert sender.sent.index("c") <= 2
    assert sender.sent.index("cancel") <= 4
    sender.gate.set()
    assert await asyncio.gather(*map(asyncio.wrap_future, answers)) == [*(f"f{n}" for n in range(20)), "c"]


async def test_a_full_owner_is_refused_at_once_and_the_others_are_not() -> None:
    loop, sender = asyncio.get_running_loop(), Sender()
    outbox = Outbox(loop, most=3)
    full = [outbox.submit("flood", sender.send("f")) for _ in range(4)]
    with pytest.raises(InboxFull, match="owner 'flood' in this process"):
        full[3].result(0)
    calm = outbox.submit("calm", sender.send("bad"))
    await until(lambda: len(sender.sent) == 4)
    sender.gate.set()
    with pytest.raises(Rejected):
        await asyncio.wrap_future(calm)
    await asyncio.gather(*map(asyncio.wrap_future, full[:3]))
    assert await asyncio.wrap_future(outbox.submit("flood", sender.send("f"))) == "f"  # there is room again


async def test_cancelling_the_future_cancels_the_command() -> None:
    loop, sender = asyncio.get_running_loop(), Sender()
    outbox = Outbox(loop, most=2, at_once=1)
    one, two = (outbox.submit("a", sender.send(name)) for name in ("one", "two"))
    two.cancel()  # it has not started
    await until(lambda: sender.sent == ["one"])
    one.cancel()
    await until(lambda: not outbox.submit("a", sender.send("three")).done())
    await until(lambda: "three" in sender.sent)
    assert "two" not in sender.sent
    waiting = outbox.submit("b", sender.send("four"))
    outbox.end()
    assert waiting.cancelled()

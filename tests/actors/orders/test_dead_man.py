"""The dead-man switch of an account: renewed in time, repeated after a failure, disarmed at the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from venuemesh.actors.orders import dead_man
from venuemesh.actors.orders.dead_man import DeadMan
from venuemesh.connectors.okx import CONNECTOR
from venuemesh.connectors.order_codec import Draft, Kind, Reply
from venuemesh.connectors.spec import ExchangeSpec
from venuemesh.model.errors import Misconfigured, RetryLater


@dataclass
class FakeGateway:
    """Takes the switch's requests, or refuses them while `refuses` is set."""

    codec: Any = field(default_factory=CONNECTOR.trading)
    spec: ExchangeSpec = CONNECTOR.spec
    refuses: bool = False
    sent: list[str] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, draft: Draft, priority: Any) -> Reply:
        assert draft.kind is Kind.DEAD_MAN
        self.answered.set()
        if self.refuses:
            raise RetryLater(1.0, "no answer")
        self.sent.append(dict(draft.params)["timeOut"])
        return Reply()

    async def times(self, count: int) -> None:
        for _ in range(count):
            await self.answered.wait()
            self.answered.clear()


def switch(gateway: FakeGateway, after_s: int = 60) -> DeadMan:
    return DeadMan(gateway, after_s, lambda: 5_000_000_000)  # type: ignore[arg-type]


async def test_the_switch_is_armed_anew_and_disarmed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "RENEWALS", 100_000)
    gateway = FakeGateway()
    held = switch(gateway)
    assert held.status() == {"after_s": 60, "armed_s_ago": None, "problem": None}
    task = asyncio.get_running_loop().create_task(held.run())
    async with asyncio.timeout(10.0):
        await gateway.times(3)
    task.cancel()
    assert set(gateway.sent) == {"60"}
    assert held.status() == {"after_s": 60, "armed_s_ago": 0.0, "problem": None}
    await held.disarm()
    assert gateway.sent[-1] == "0"


async def test_the_switch_is_disarmed_after_a_renewal_under_way() -> None:
    """The exchange would otherwise execute the renewal after the end, and cancel orders that were to stay."""
    gateway, executed = FakeGateway(), []
    arrives = asyncio.Event()

    async def read(draft: Draft, priority: Any) -> Reply:
        gateway.answered.set()
        if dict(draft.params)["timeOut"] != "0":
            await arrives.wait()
        executed.append(dict(draft.params)["timeOut"])
        return Reply()

    gateway.read = read  # type: ignore[method-assign]
    held = switch(gateway)
    task = asyncio.get_running_loop().create_task(held.run())
    await gateway.times(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    end = asyncio.get_running_loop().create_task(held.disarm())
    await asyncio.sleep(0)
    arrives.set()
    await end
    assert executed == ["60", "0"]


async def test_a_renewal_that_is_not_answered_does_not_keep_the_switch_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "RENEWED_S", 0.01)
    gateway = FakeGateway()
    never, sent = asyncio.Event(), gateway.read

    async def read(draft: Draft, priority: Any) -> Reply:
        gateway.answered.set()
        if dict(draft.params)["timeOut"] != "0":
            await never.wait()
        return await sent(draft, priority)

    gateway.read = read  # type: ignore[method-assign]
    held = switch(gateway)
    task = asyncio.get_running_loop().create_task(held.run())
    await gateway.times(1)
    task.cancel()
    await held.disarm()
    assert gateway.sent == ["0"]


async def test_a_failure_is_shown_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "RETRY_S", 0.001)
    gateway = FakeGateway(refuses=True)
    held = switch(gateway)
    task = asyncio.get_running_loop().create_task(held.run())
    async with asyncio.timeout(10.0):
        await gateway.times(2)
        assert held.status()["problem"] == str(RetryLater(1.0, "no answer"))
        gateway.refuses = False
        await gateway.times(1)
    task.cancel()
    assert (gateway.sent[0], held.status()["problem"]) == ("60", None)
    gateway.refuses = True
    await held.disarm()


@pytest.mark.parametrize("after_s", [9, 121])
def test_a_time_that_the_exchange_does_not_take_is_refused(after_s: int) -> None:
    with pytest.raises(Misconfigured, match="10 to 120 s"):
        switch(FakeGateway(), after_s)


def test_an_exchange_without_the_switch_is_refused() -> None:
    codec = CONNECTOR.trading()
    codec.offer = replace(codec.offer, dead_man_s=None)
    with pytest.raises(Misconfigured, match="okx has no dead-man switch"):
        switch(FakeGateway(codec))

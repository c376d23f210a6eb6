"""The queue of a connection sends no faster than the exchange allows, as the exchange sees the messages arrive."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from venuemesh.actors.book import send_queue
from venuemesh.actors.book.send_queue import CLOSER_S, SendQueue
from venuemesh.connectors.market_codec import Outgoing
from venuemesh.connectors.spec import Limit
from venuemesh.model.time import in_ns

PERIOD_S = 0.02
COST = (("books", 1),)


class Sent(list[int]):
    """When each message was sent, in ns."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def write(self, _: Outgoing, now_ns: int) -> None:
        self.append(now_ns)
        self._news.set()

    async def reaches(self, count: int) -> None:
        async with asyncio.timeout(30.0):
            while len(self) < count:
                self._news.clear()
                await self._news.wait()


async def sent_at(limit: Limit, count: int) -> list[int]:
    """Return when each of `count` messages of that cost was sent, in ns."""
    sent = Sent()
    queue = SendQueue({"books": limit}, sent.write, time.monotonic_ns)
    queue.send([Outgoing(b"{}", cost=COST) for _ in range(count)])
    await sent.reaches(count)
    queue.clear()
    return sent


async def test_messages_keep_the_limit_even_if_they_arrive_closer_together() -> None:
    times = await sent_at(Limit(1, PERIOD_S, "connection"), 4)
    assert all(later - earlier >= in_ns(PERIOD_S + CLOSER_S) for earlier, later in itertools.pairwise(times))


async def test_a_message_leaves_a_period_after_the_answer_to_the_one_before() -> None:
    sent = Sent()
    queue = SendQueue({"books": Limit(1, PERIOD_S, "connection")}, sent.write, time.monotonic_ns)
    queue.send([Outgoing(b"{}", cost=COST, answer=str(number)) for number in range(2)])
    await asyncio.sleep(3 * (PERIOD_S + CLOSER_S))
    assert len(sent) == 1, "the first is not answered"
    answered_ns = time.monotonic_ns()
    queue.answered("1")  # of a message that was not sent
    queue.answered("0")
    await sent.reaches(2)
    queue.clear()
    assert sent[1] - answered_ns >= in_ns(PERIOD_S)


async def test_a_message_without_an_answer_blocks_the_next_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_queue, "ANSWER_S", 0.05)
    sent = Sent()
    queue = SendQueue({"books": Limit(1, PERIOD_S, "connection")}, sent.write, time.monotonic_ns)
    queue.send([Outgoing(b"{}", cost=COST, answer=str(number)) for number in range(2)])
    await sent.reaches(2)
    queue.clear()
    assert sent[1] - sent[0] >= in_ns(0.05 + PERIOD_S)


async def test_a_limit_of_several_messages_lets_them_go_together() -> None:
    times = await sent_at(Limit(3, PERIOD_S, "connection"), 4)
    assert times[3] - times[0] >= in_ns(PERIOD_S + CLOSER_S)


async def test_limits_of_others_than_the_connection_are_not_counted_here() -> None:
    assert len(await sent_at(Limit(1, 3600.0, "egress"), 3)) == 3

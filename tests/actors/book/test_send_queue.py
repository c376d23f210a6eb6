"""The queue of a connection sends no faster than the exchange allows, as the exchange sees the messages arrive."""

from __future__ import annotations

import asyncio
import itertools
import time

from venuemesh.actors.book.send_queue import CLOSER_S, SendQueue
from venuemesh.connectors.market_codec import Outgoing
from venuemesh.connectors.spec import Limit
from venuemesh.model.time import in_ns

PERIOD_S = 0.02
COST = (("books", 1),)


async def sent_at(limit: Limit, count: int) -> list[int]:
    """Return when each of `count` messages of that cost was sent, in ns."""
    times: list[int] = []
    done = asyncio.Event()

    def write(message: Outgoing, now_ns: int) -> None:
        times.append(now_ns)
        if len(times) == count:
            done.set()

    queue = SendQueue({"books": limit}, write, time.monotonic_ns)
    queue.send([Outgoing(b"{}", cost=COST) for _ in range(count)])
    async with asyncio.timeout(30.0):
        await done.wait()
    queue.clear()
    return times


async def test_messages_keep_the_limit_even_if_they_arrive_closer_together() -> None:
    times = await sent_at(Limit(1, PERIOD_S, "connection"), 4)
    assert all(later - earlier >= in_ns(PERIOD_S + CLOSER_S) for earlier, later in itertools.pairwise(times))


async def test_a_limit_of_several_messages_lets_them_go_together() -> None:
    times = await sent_at(Limit(3, PERIOD_S, "connection"), 4)
    assert times[3] - times[0] >= in_ns(PERIOD_S + CLOSER_S)


async def test_limits_of_others_than_the_connection_are_not_counted_here() -> None:
    assert len(await sent_at(Limit(1, 3600.0, "egress"), 3)) == 3

"""Joins queries for single orders into one request, for exchanges that take several orders in one query.

Queries that come together, or while an earlier one waits for its answer, go out in one request. If the exchange refuses
it (one unknown id may be enough), each order is queried alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ...connectors.order_codec import Draft, JoinsQueries, Reply
from ...model.errors import Rejected
from ..limits.machine import Priority


class Query(NamedTuple):
    draft: Draft
    priority: Priority
    wait_s: float
    answer: asyncio.Future[Reply]


class Lookups:
    """See the module. `read` sends one request, and raises as `Gateway.read`."""

    def __init__(self, codec: JoinsQueries, read: Callable[[Draft, Priority, float], Awaitable[Reply]]) -> None:
        self._codec, self._read = codec, read
        self._waiting: deque[Query] = deque()
        self._task: asyncio.Task[None] | None = None

    def takes(self, draft: Draft) -> bool:
        return self._codec.can_join(draft)

    async def read(self, draft: Draft, priority: Priority, wait_s: float) -> Reply:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append(Query(draft, priority, wait_s, answer))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        return await answer

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for one in self._waiting:
            one.answer.cancel()

    async def _run(self) -> None:
        await asyncio.sleep(0)  # for the other queries of this moment
        while self._waiting:
            size = min(self._codec.query_batch, len(self._waiting))
            queries = [self._waiting.popleft() for _ in range(size)]
            try:
                await self._answer(queries)
            finally:
                for one in queries:
                    one.answer.cancel()  # only if this task was cancelled: it has no effect on an answer

    async def _answer(self, queries: Sequence[Query]) -> None:
        draft = queries[0].draft if len(queries) == 1 else self._codec.join_queries([one.draft for one in queries])
        priority, wait_s = min(one.priority for one in queries), min(one.wait_s for one in queries)
        try:
            reply = await self._read(draft, priority, wait_s)
        except Rejected as error:
            if len(queries) == 1:
                _fail(queries, error)
            else:
                for one in queries:
                    await self._answer([one])
        except Exception as error:  # each caller gets it, of any kind
            _fail(queries, error)
        else:
            for one in queries:
                part = reply if len(queries) == 1 else _part(reply, one.draft)
                if part.absent and reply.left_out and len(queries) > 1:  # an unreadable row may be of this order
                    await self._answer([one])
                elif not one.answer.done():
                    one.answer.set_result(part)


def _part(reply: Reply, draft: Draft) -> Reply:
    """Return the part of an answer that is about one order."""
    own = tuple(report for report in reply.orders if report.client_order_id in draft.orders)
    return Reply(orders=own, absent=not own)


def _fail(queries: Sequence[Query], error: Exception) -> None:
    for one in queries:
        if not one.answer.done():
            one.answer.set_exception(error)

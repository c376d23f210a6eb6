"""Requests that only read a redundant book: either of its copies answers them.

Two actors on two nodes keep a redundant book (`redundancy = 2`). A request goes to one of them, that of this node if
there is one. If that copy has not answered within `SILENCE_S`, or has no LIVE book, the request goes to the other copy,
too, and the first answer with a LIVE book counts. So a copy that hangs, or whose host is silent, costs a request
`SILENCE_S`, and no supervisor must have noticed it. A copy that was silent is the second one for the next `SECOND_S`.

If neither has a LIVE book, the caller gets an answer that is not LIVE, or else the error of the book's own actor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..model.errors import NotSynced, OutcomeUnknown, RetryLater
from ..model.events import BookState

KINDS = frozenset({"snapshot", "orders"})  # requests that change nothing, and whose answer has the state of the book
SILENCE_S = 0.25  # as for readers of memory, who distrust a book without a heartbeat for so long
SECOND_S = 2.0  # about the time in which the supervisor notices a process or a host that is silent

Ask = Callable[[str, str, Any, float], Awaitable[Any]]


class BookCopies:
    """See the module. Used on the session's loop.

    `ask` sends the session's messages. `copies` returns the addresses of the actors that keep a book, the nearest
    first: one, or two if it is redundant.
    """

    def __init__(
        self,
        ask: Ask,
        copies: Callable[[str], Sequence[str]],
        clock_s: Callable[[], float],
        silence_s: float = SILENCE_S,
    ) -> None:
        self._ask, self._copies, self._clock_s, self._silence_s = ask, copies, clock_s, silence_s
        self._silent_s: dict[str, float] = {}  # copy -> when it was silent last

    async def ask(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """As `ask` of the session, for any message to any role."""
        copies = self._copies(address) if kind in KINDS else (address,)
        if len(copies) == 1:
            return await self._ask(address, kind, body, timeout_s)
        first, second = sorted(copies, key=self._was_silent)
        deadline_s = self._clock_s() + timeout_s
        asked = {first: self._begin(first, kind, body, timeout_s)}
        try:
            await asyncio.wait(asked.values(), timeout=min(self._silence_s, timeout_s / 2))
            if not asked[first].done():
                self._silent_s[first] = self._clock_s()
            elif not _is_doubtful(asked[first]):
                return asked[first].result()
            asked[second] = self._begin(second, kind, body, max(0.001, deadline_s - self._clock_s()))
            best = await self._best(list(asked.values()))
            return (best or asked[address]).result()
        finally:
            for one in asked.values():
                one.cancel()

    def _begin(self, address: str, kind: str, body: Any, timeout_s: float) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(self._ask(address, kind, body, timeout_s))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the other answer may count
        return task

    def _was_silent(self, address: str) -> bool:
        silent_s = self._silent_s.get(address)
        if silent_s is not None and self._clock_s() - silent_s >= SECOND_S:
            del self._silent_s[address]
            return False
        return silent_s is not None

    async def _best(self, asked: list[asyncio.Task[Any]]) -> asyncio.Task[Any] | None:
        """Wait for an answer that is not doubtful; return the best one, or None if there is no answer.

        When one copy has answered that its book is not LIVE, the other one has `silence_s` more.
        """
        waiting = {one for one in asked if not one.done()}
        while waiting:
            timeout_s = self._silence_s if _answers(asked) else None
            done, waiting = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for one in asked:
                if one in done and not _is_doubtful(one):
                    return one
            if not done:
                break
        return next(iter(_answers(asked)), None)


def _answers(asked: list[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    return [one for one in asked if one.done() and one.exception() is None]


def _is_doubtful(done: asyncio.Task[Any]) -> bool:
    """Return whether the other copy may have a better answer: this one has none now, or no LIVE book."""
    error = done.exception()
    if error is not None:
        return isinstance(error, (RetryLater, OutcomeUnknown, NotSynced))
    return bool(done.result()["state"] != BookState.LIVE)

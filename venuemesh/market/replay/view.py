"""The view of a replayed book: `AsyncBookView`, whose waiting methods wait for the replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ...model.errors import NotSynced
from ...model.events import BookState
from ...model.instrument import Instrument
from ...model.time import SECOND_NS
from ...orderbook.records import Trade
from ...orderbook.segment import Top
from ...orderbook.segment.names import Incarnation
from ...orderbook.view import AsyncBookView
from .delivery import TOPS, TRADES, Delivery
from .turns import ReplayOver


class ReplayView(AsyncBookView):
    """A book of a recording. Times and timeouts are replay time; iterators end with the recording."""

    def __init__(self, directory: Path, instrument: Instrument, address: str, delivery: Delivery) -> None:
        super().__init__(directory, instrument, address)
        self._delivery = delivery

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a replay lives in one process; pass the paths of the recordings instead")

    async def changes(self, states: bool = False) -> AsyncIterator[Top]:
        """Yield the top of the book now and after every change, each one, in order.

        All tops are LIVE; with `states` each change of state is yielded too, with the last known levels.
        """
        with self._delivery.inbox(self.address, TOPS) as inbox:
            seen: tuple[Incarnation, int, BookState] | None = None
            top = self._observe()[1]
            while True:
                now = (top.incarnation, top.update, top.state)
                if now != seen:
                    seen = now
                    if top.live or states:
                        yield top
                try:
                    top = await inbox.next()
                except ReplayOver:
                    return

    async def _wait(self, after: Top | None, timeout_s: float | None, failure: str) -> Top:
        known = None if after is None else (after.incarnation, after.update)
        clock = self._delivery.clock
        is_limited = timeout_s is not None and timeout_s <= 1e10
        until_ns = clock.now_ns + round(max(timeout_s or 0.0, 0.0) * SECOND_NS) if is_limited else None
        with self._delivery.inbox(self.address, TOPS) as inbox:
            while True:
                top = self._observe()[1]
                if top.live and (top.incarnation, top.update) != known:
                    return top
                left_s = None if until_ns is None else (until_ns - clock.now_ns) / SECOND_NS
                if left_s is not None and left_s <= 0:
                    raise NotSynced(self.address, top.state.name, failure)
                try:
                    await inbox.next(left_s)
                except ReplayOver as over:
                    raise NotSynced(self.address, top.state.name, str(over)) from None

    async def trades(self, after: Trade | int | None = None) -> AsyncIterator[Trade]:
        """Yield trades in order, each one. `after` as in a mesh; the segment keeps the last 1,024 trades."""
        with self._delivery.inbox(self.address, TRADES) as inbox:
            reader = self._serving()
            number, lost = (0 if reader is None else reader.last_trade_number), None
            if isinstance(after, Trade):
                number, lost = after.number, after.lost
            elif after is not None:
                number = after
            if number < 0:
                raise ValueError(f"{after}: trades are numbered from 1")
            while reader is not None and (kept := reader.trades(number, lost=lost)):
                for trade in kept:
                    number, lost = trade.number, trade.lost
                    yield trade
            while True:
                try:
                    trade = await inbox.next()
                except ReplayOver:
                    return
                if trade.number > number:
                    number = trade.number
                    yield trade

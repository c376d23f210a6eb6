"""A strategy that trades on two accounts, on its host: it writes down what it handed over and which answers it got.

    python -m tests.cluster.trader MESH ADDRESS OWNER NOTES PAUSE

It writes the id of an order before it hands the order over. While the file PAUSE exists it places nothing, and writes
"paused" when it waits for no answer. A note is a JSON line with "t" (CLOCK_MONOTONIC in ns) and "what".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import venuemesh
from tests.cluster.reader import joined
from venuemesh.model.errors import MeshError, NotSynced, OutcomeUnknown, Rejected, RetryLater

TURN_S = 1.0  # a faster strategy takes the two cores that all hosts share
WORTH = Decimal(50)  # of one order, in the quote asset
AWAY = Decimal("0.98")  # a resting order's price, of the best bid
Market = venuemesh.AsyncMarket


class Notes:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, what: str, **fields: Any) -> None:
        self._file.write(json.dumps({"t": time.monotonic_ns(), "what": what, **fields}) + "\n")
        self._file.flush()


class Desk:
    """The orders of one account: in turn a resting one with its cancel, an IOC, a market order."""

    def __init__(self, market: Market, notes: Notes, pause: Path) -> None:
        self._market, self._notes, self._pause = market, notes, pause
        self._name = f"{market.exchange}/{market.account}"

    async def work(self) -> None:
        pairs = self._market.trading_pairs
        paused = False
        async for turn in self._market.every(TURN_S):
            if self._pause.exists():
                if not paused:
                    self._notes.write("paused", account=self._name)
                paused = True
                continue
            paused = False
            try:
                await self._trade(turn, pairs[turn // 4 % len(pairs)])
            except NotSynced as error:
                self._notes.write("no book", account=self._name, error=str(error)[:100])

    async def _trade(self, turn: int, pair: str) -> None:
        top = self._market.order_book(pair).top()
        if top.best_bid is None or top.best_ask is None:
            return
        bid, ask = top.best_bid.price, top.best_ask.price
        side, price = ("buy", ask) if turn // 8 % 2 else ("sell", bid)
        amount = self._market.quantize_amount(pair, WORTH / price)
        if turn % 4 == 3:
            await self._place(self._market.new_order(side, pair, amount, "MARKET"))
        elif turn % 4 == 1:
            await self._place(self._market.new_order(side, pair, amount, "LIMIT", price, "IOC"))
        else:
            resting = self._market.quantize_price(pair, bid * AWAY)
            amount = self._market.quantize_amount(pair, WORTH / resting)
            placed = await self._place(self._market.new_order("buy", pair, amount, "LIMIT", resting))
            await self._cancel(placed)

    async def _place(self, order: Any) -> str:
        order_id: str = order.client_order_id
        self._notes.write("placing", id=order_id, account=self._name, type=order.order_type.value, pair=order.pair)
        try:
            (answer,) = await self._market.place_orders([order])
        except (Rejected, RetryLater) as error:
            self._notes.write("refused", id=order_id, error=type(error).__name__, reason=str(error)[:200])
        except OutcomeUnknown as error:
            self._notes.write("unknown", id=order_id, reason=str(error)[:200])
        else:
            self._notes.write("placed", id=order_id, status=answer.status.value, code=answer.code)
        return order_id

    async def _cancel(self, order_id: str) -> None:
        try:
            result = await self._market.cancel_and_wait(order_id)
        except MeshError as error:
            self._notes.write("cancel failed", id=order_id, error=type(error).__name__, reason=str(error)[:200])
        else:
            self._notes.write("cancelled", id=order_id, done=result.done)

    async def listen(self) -> None:
        """Write down every event of this owner's orders."""
        async for event in self._market.events(owner=self._market.owner):
            fill = None if event.fill is None else event.fill.trade_id
            self._notes.write(
                "event", account=self._name, id=event.client_order_id, type=event.type.value, number=event.number,
                fill=fill,
            )  # fmt: skip


async def trade(mesh: Any, owner: str, notes: Notes, pause: Path) -> None:
    markets: list[Market] = []
    while not markets:
        with contextlib.suppress(MeshError):
            markets = [mesh.aio.market(name, owner=owner) for name in mesh.exchanges]
        await asyncio.sleep(0.2)
    for market in markets:
        while True:
            with contextlib.suppress(RetryLater, NotSynced):
                await market.wait_ready(60.0)
                await market.wait_trading(60.0)
                break
    desks = [Desk(market, notes, pause) for market in markets]
    notes.write("ready")
    await asyncio.gather(*(desk.work() for desk in desks), *(desk.listen() for desk in desks))


def main() -> None:
    mesh, address, owner, path, pause = sys.argv[1:]
    with open(path, "a") as file:
        asyncio.run(trade(joined(mesh, address), owner, Notes(file), Path(pause)))


if __name__ == "__main__":
    main()

"""Order-level books: the orders of a book and their queues. Part of `AsyncMarket`."""

from __future__ import annotations

import time

from ...model.address import book_address
from ...model.errors import NotSynced, RetryLater
from ...model.events import BookState
from ...orderbook.order_snapshot import OrderLevelSnapshot, read_orders
from ..rows import orders_body
from .books import AsyncBooks
from .events import AsyncEvents


class AsyncQueues(AsyncBooks, AsyncEvents):
    """The orders of tracked books that are kept with `books = "orders"`."""

    async def l3_book(
        self, pair: str, levels: int = 50, *, own: bool | None = None, timeout_s: float = 5.0
    ) -> OrderLevelSnapshot:
        """Return the orders of the best `levels` a side of a tracked order-level book, at one sequence.

        The book's actor answers (docs/adr/0016): at most 50,000 orders a side, whole levels. Price levels come from
        shared memory, by `order_book`, as of any book.

        Args:
            own: mark own open orders, which the account's order manager states; None: if the market has an account.

        Raises:
            ValueError: `levels` is not a whole number of at least 1.
            UnknownInstrument: the mesh does not track the pair.
            NotOffered: the book is one of price levels.
            NotSynced: the book is not LIVE, at its actor or as this node sees it.
            RetryLater: the book's actor, or with `own` the order manager, is away.
        """
        self.instrument(pair)
        body, deadline = orders_body(pair, levels), time.monotonic() + timeout_s
        marked: dict[str, str] | None = None
        if own or (own is None and self.account is not None):
            mine = await self.in_flight_orders(timeout_s, external=True, pair=pair)
            marked = {order.exchange_order_id: name for name, order in mine.items() if order.exchange_order_id}
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise RetryLater(1.0, f"the open orders of {pair} took {timeout_s:g} s; give more time, or own=False")
        plain = await self.ask_role(book_address(self.exchange, pair), "orders", body, left_s)
        if plain["state"] != BookState.LIVE:
            raise NotSynced(plain["address"], BookState(plain["state"]).name, plain["error"])
        seen = self.order_book(pair).state
        if seen not in (BookState.LIVE, BookState.ABSENT):  # ABSENT: no reader has asked for levels on this node
            raise NotSynced(plain["address"], seen.name, "the book left LIVE while the answer was on its way")
        return read_orders(plain, marked)

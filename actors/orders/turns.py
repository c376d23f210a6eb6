"""Whose orders are placed next: each owner has a bounded queue, and the owners are served in turn. Pure.

    add -> queue of the owner -> begin (its turn, and room) -> passed (rate budget is taken) -> decided -> end

One command of an owner at a time waits for rate budget, and a command begins while fewer than `room` orders of the
account are under way: between their turn and the exchange's answer. More orders under way hide the exchange's distance,
but they also delay everything else in a busy process, so `room` follows the lag of the process's loop (`lagged`). So an
order of one owner waits for room, and then for one command of each other owner, however many orders those have handed
over. Cancels take no turn: an order that is cancelled before it is decided is dropped.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...model.errors import InboxFull
from ...model.order import NewOrder

OF_OWNER = 1_000  # orders of one owner that wait
IN_ALL = 10_000  # orders that wait
ROOM = (12, 32)  # orders under way: in a process that lags, and in one that does not
LAG_NS = (300_000, 1_000_000)  # a shorter lag makes room for one more order, a longer one for one less


@dataclass(slots=True, eq=False)
class Turn:
    """A command that places these orders, less those that were dropped. `token` is the caller's.

    `is_whole`: the orders belong together, so all are dropped with one.
    """

    owner: str
    orders: list[NewOrder]
    token: Any
    is_whole: bool = False
    weight: int = 0  # orders that count as under way; zero before its turn


class Turns:
    """See the module. `address` names the queue in refusals."""

    def __init__(
        self, address: str, *, of_owner: int = OF_OWNER, in_all: int = IN_ALL, room: tuple[int, int] = ROOM
    ) -> None:
        self._address = address
        self._of_owner, self._in_all, self._rooms = of_owner, in_all, room
        self.room = room[0]
        self._queues: OrderedDict[str, deque[Turn]] = OrderedDict()  # the owner whose turn is next comes first
        self._waiting: dict[str, int] = {}  # orders by owner
        self._budgeting: set[str] = set()  # owners with a command that has begun and not passed
        self._by_id: dict[str, Turn] = {}  # of orders that are not decided
        self.under_way = 0

    def __len__(self) -> int:
        """The number of orders that wait."""
        return sum(self._waiting.values())

    def limit(self, least: int, most: int) -> None:
        """Bound the orders under way from now on."""
        self._rooms, self.room = (least, most), least

    def lagged(self, lag_ns: int) -> None:
        """Adjust the room to the time between the begin of a command and the first step of its task."""
        least, most = self._rooms
        if lag_ns < LAG_NS[0]:
            self.room = min(most, self.room + 1)
        elif lag_ns > LAG_NS[1]:
            self.room = max(least, self.room - 1)

    def add(self, owner: str, orders: Sequence[NewOrder], token: Any, *, is_whole: bool = False) -> Turn:
        """Queue a command. Raises InboxFull: too many orders of this owner wait, or of all owners."""
        if self._waiting.get(owner, 0) + len(orders) > self._of_owner:
            raise InboxFull(f"owner {owner!r} at {self._address}", self._of_owner)
        if len(self) + len(orders) > self._in_all:
            raise InboxFull(self._address, self._in_all)
        turn = Turn(owner, list(orders), token, is_whole)
        self._queues.setdefault(owner, deque()).append(turn)
        self._count(owner, len(orders))
        for order in orders:
            self._by_id.setdefault(order.client_order_id, turn)
        return turn

    def begin(self) -> Iterator[Turn]:
        """Yield the commands whose turn it is now. Each must end by `end`."""
        for owner in list(self._queues):
            if owner in self._budgeting:
                continue
            turn = self._queues[owner][0]
            if self.under_way >= self.room:
                return
            self._take(turn)
            turn.weight = max(1, len(turn.orders))
            self.under_way += turn.weight
            self._budgeting.add(owner)
            if owner in self._queues:
                self._queues.move_to_end(owner)
            yield turn

    def passed(self, turn: Turn) -> None:
        """The command has its rate budget: the next one of its owner may begin. Idempotent."""
        if turn.weight:
            self._budgeting.discard(turn.owner)

    def decided(self, turn: Turn) -> None:
        """The machine decides about the command's orders now: they can no longer be dropped. Idempotent."""
        for order in turn.orders:
            if self._by_id.get(order.client_order_id) is turn:
                del self._by_id[order.client_order_id]

    def end(self, turn: Turn) -> None:
        """The command ended, in any way, or its caller gave up. Idempotent."""
        self.decided(turn)
        if turn.weight:
            self.passed(turn)
            self.under_way -= turn.weight
            turn.weight = 0
        elif turn in self._queues.get(turn.owner, ()):
            self._take(turn)

    def drop(self, client_order_ids: Iterable[str]) -> tuple[list[Turn], list[NewOrder]]:
        """Take the orders that are not decided out of their commands.

        Return the commands that have no order left, and the dropped orders. Unknown ids are ignored.
        """
        dropped: list[NewOrder] = []
        ended: list[Turn] = []
        for one in client_order_ids:
            turn = self._by_id.get(one)
            if turn is None:
                continue
            gone = turn.orders if turn.is_whole else [order for order in turn.orders if order.client_order_id == one]
            for order in gone:
                self._by_id.pop(order.client_order_id, None)
            if not turn.weight:
                self._count(turn.owner, -len(gone))
            turn.orders = [order for order in turn.orders if order not in gone]
            dropped += gone
            if not turn.orders:
                ended.append(turn)
                if not turn.weight:
                    self._take(turn)
        return ended, dropped

    def find(self, client_order_id: str) -> Turn | None:
        """Return the command of an order that is not decided; None: there is none."""
        return self._by_id.get(client_order_id)

    def matching(self, pair: str | None, owner: str | None) -> list[str]:
        """Return the ids of the orders of this pair and owner that are not decided; None: any."""
        return [
            one
            for one, turn in self._by_id.items()
            if owner in (None, turn.owner)
            and any(pair in (None, order.pair) for order in turn.orders if order.client_order_id == one)
        ]

    def status(self) -> dict[str, Any]:
        return {"orders_under_way": self.under_way, "orders_room": self.room, "orders_queued": len(self)}

    def _take(self, turn: Turn) -> None:
        """Take a command out of its owner's queue."""
        queue = self._queues[turn.owner]
        queue.remove(turn)
        if not queue:
            del self._queues[turn.owner]
        self._count(turn.owner, -len(turn.orders))

    def _count(self, owner: str, change: int) -> None:
        self._waiting[owner] = self._waiting.get(owner, 0) + change
        if not self._waiting[owner]:
            del self._waiting[owner]

"""One side of a price-time priority book: levels by price, orders of a level in order of arrival."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...model.events import Side

if TYPE_CHECKING:
    from .accounts import Account


@dataclass(slots=True, eq=False)
class Order:
    """One order in the engine. Prices and sizes are raw; `price` is None for MARKET, `size` 0 when by quote amount.

    `working_ns` is when it went to the book (or was matched), -1 while it waits: for its stop price, or in a list for
    another order (status PENDING_NEW).
    """

    id: int
    client_id: str
    account: Account
    symbol: str
    side: Side
    kind: str  # LIMIT | MARKET | LIMIT_MAKER | STOP_LOSS[_LIMIT] | TAKE_PROFIT[_LIMIT]
    time_in_force: str  # GTC | IOC | FOK
    price: int | None
    size: int
    created_ns: int
    updated_ns: int
    self_trade: str
    quote_size: int | None = None
    filled: int = 0
    quote_filled: int = 0
    prevented: int = 0  # taken off by self-trade prevention
    locked: int = 0  # of the asset that the order pays with
    status: str = "NEW"
    working_ns: int = -1
    stop_price: int | None = None
    group: OrderList | None = None
    expiry_reason: str = ""
    prevented_match: int | None = None  # the last one
    strategy_id: int | None = None
    strategy_type: int | None = None
    amends: int = 0

    @property
    def remaining(self) -> int:
        return self.size - self.filled - self.prevented

    @property
    def list_id(self) -> int:
        return -1 if self.group is None else self.group.id

    @property
    def conditional(self) -> bool:
        """Whether it is (or was) to wait for a stop price: an "algo" order of the filters."""
        return self.stop_price is not None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one new order asks for. Prices and sizes are raw; a MARKET order has a size or an amount of quote."""

    side: Side
    kind: str
    size: int
    price: int | None = None
    time_in_force: str = "GTC"
    client_id: str = ""
    quote_size: int | None = None
    self_trade: str = "EXPIRE_MAKER"
    stop_price: int | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None


@dataclass(slots=True, eq=False)
class OrderList:
    """Orders that depend on each other.

    OCO: two of which one trades. OTO: the first works, the others (one, or an OCO pair) are placed when it has filled.
    """

    id: int
    client_id: str
    account: Account
    symbol: str
    contingency: str  # OCO | OTO; a list of three is OTO
    orders: tuple[Order, ...]
    time_ns: int
    status: str = "EXEC_STARTED"  # EXEC_STARTED | ALL_DONE
    updated_ns: int = 0

    @property
    def working(self) -> Order | None:
        """The order that must fill first, of an OTO."""
        return self.orders[0] if self.contingency == "OTO" else None

    @property
    def pending(self) -> tuple[Order, ...]:
        return self.orders[1:] if self.contingency == "OTO" else ()

    @property
    def pair(self) -> tuple[Order, ...]:
        """The two of which one trades, if there are such."""
        return self.orders if self.contingency == "OCO" else self.orders[1:] if len(self.orders) == 3 else ()


class Level:
    """All orders at one price, oldest first, and the sum of their remaining sizes."""

    __slots__ = ("orders", "price", "size")

    def __init__(self, price: int) -> None:
        self.price = price
        self.size = 0
        self.orders: dict[int, Order] = {}


class BookSide:
    """Bids or asks. `keys` are prices (asks negated) in rising order, so the best is last on both sides."""

    __slots__ = ("keys", "levels", "side", "sign")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.sign = 1 if side is Side.BUY else -1
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    @property
    def best(self) -> Level | None:
        return self.levels[self.keys[-1] * self.sign] if self.keys else None

    @property
    def top(self) -> tuple[int, int] | None:
        """Price and size of the best level."""
        if not self.keys:
            return None
        level = self.levels[self.keys[-1] * self.sign]
        return level.price, level.size

    def at_rank(self, rank: int) -> Level:
        """Return the level `rank` places behind the best (0 is the best)."""
        return self.levels[self.keys[-1 - rank] * self.sign]

    def crosses(self, price: int) -> bool:
        """Whether an order of the other side at `price` would trade with the best level here."""
        return bool(self.keys) and self.keys[-1] >= price * self.sign

    def add(self, order: Order) -> int:
        """Queue `order` at its price; return the level's new size."""
        price = order.price
        assert price is not None
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level(price)
            insort(self.keys, price * self.sign)
        level.orders[order.id] = order
        level.size += order.remaining
        return level.size

    def reduce(self, level: Level, order: Order, by: int) -> int:
        """Take `by` off the level because `order` shrank by it (already done); drop what is empty. Return the size."""
        level.size -= by
        if not order.remaining:
            del level.orders[order.id]
        self._drop_if_empty(level)
        return level.size

    def remove(self, order: Order) -> int:
        """Take `order` off with all that remains of it; return the level's new size."""
        assert order.price is not None
        level = self.levels[order.price]
        del level.orders[order.id]
        level.size -= order.remaining
        self._drop_if_empty(level)
        return level.size

    def _drop_if_empty(self, level: Level) -> None:
        if level.orders:
            return
        del self.levels[level.price]
        key = level.price * self.sign
        if self.keys[-1] == key:
            self.keys.pop()
        else:
            del self.keys[bisect_left(self.keys, key)]

    def depth(self, n: int | None = None) -> list[tuple[int, int]]:
        """Return (price, size) of the best `n` levels, all of them without `n`; best first."""
        keys = self.keys if n is None else self.keys[-n:] if n else []
        levels, sign = self.levels, self.sign
        return [(key * sign, levels[key * sign].size) for key in reversed(keys)]

    def best_first(self) -> Iterator[Level]:
        for key in reversed(self.keys):
            yield self.levels[key * self.sign]

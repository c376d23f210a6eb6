"""Accounts and their orders: free and locked balances, keys, orders, order lists, fills.

Orders and accounts refer to each other, so one module has both; `book.py` queues orders, `matching.py` matches them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ...model.errors import Rejected
from ...model.events import Side
from .keys import ApiKey

HISTORY = 100_000  # orders and fills kept per account


@dataclass(slots=True)
class Balance:
    """Raw amounts of one asset: `free` can be spent, `locked` is reserved for open orders."""

    free: int = 0
    locked: int = 0


@dataclass(frozen=True, slots=True)
class Fill:
    """One account's side of one trade."""

    trade_id: int
    order_id: int
    client_id: str
    symbol: str
    side: str
    price: int
    size: int
    quote: int
    fee: int
    fee_asset: str
    maker: bool
    time_ns: int
    list_id: int = -1


@dataclass(frozen=True, slots=True)
class Amendment:
    """One change of an open order's size or price."""

    execution_id: int
    symbol: str
    order_id: int
    old_client_id: str
    new_client_id: str
    old_size: int
    new_size: int
    time_ns: int
    old_price: int | None = None
    new_price: int | None = None


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A prevented trade of an account with itself. Sizes are the reductions of the two sides, 0 for none."""

    id: int
    symbol: str
    mode: str
    price: int
    taker_order: int
    maker_order: int
    taker_size: int
    maker_size: int
    time_ns: int


@dataclass(slots=True, eq=False)
class Order:
    """One order in the engine. Prices and sizes are raw; `price` is None for MARKET, `size` 0 when by quote amount.

    `working_ns` is when it went to the book (or was matched); -1 while it waits for its stop price, or in a list for
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
    prevented: int = 0  # removed by self-trade prevention
    locked: int = 0  # of the asset with which the order pays
    status: str = "NEW"
    working_ns: int = -1
    stop_price: int | None = None
    group: OrderList | None = None
    expiry_reason: str = ""
    prevented_match: int | None = None  # the last one
    strategy_id: int | None = None
    strategy_type: int | None = None
    amends: int = 0
    fee_reserve: int | None = None  # of a buy that pays fees in quote: the highest rate, in parts of 10**8

    @property
    def remaining(self) -> int:
        return self.size - self.filled - self.prevented

    @property
    def list_id(self) -> int:
        return -1 if self.group is None else self.group.id

    @property
    def conditional(self) -> bool:
        """Whether the order waits (or waited) for a stop price: an "algo" order in the filters."""
        return self.stop_price is not None


@dataclass(frozen=True, slots=True)
class Ticket:
    """The terms of one new order. Prices and sizes are raw; a MARKET order has a size or an amount of quote."""

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
    fee_in_quote: bool = False  # otherwise fees are taken from the received asset


@dataclass(slots=True, eq=False)
class OrderList:
    """Orders that depend on each other.

    OCO: two orders, of which only one trades. OTO: when the first has filled, the others (one, or an OCO pair) follow.
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
        """The order of an OTO that must fill first."""
        return self.orders[0] if self.contingency == "OTO" else None

    @property
    def pending(self) -> tuple[Order, ...]:
        return self.orders[1:] if self.contingency == "OTO" else ()

    @property
    def pair(self) -> tuple[Order, ...]:
        """The two orders of which only one trades, if the list has such a pair."""
        return self.orders if self.contingency == "OCO" else self.orders[1:] if len(self.orders) == 3 else ()


@dataclass(frozen=True, slots=True)
class Memory:
    """The time during which lookups find an order: from `appears_ns` after its creation until `lasts_ns` after its end.

    `lasts_ns` is None if the exchange finds orders as long as the engine does, and 0 if it finds only open orders.
    """

    appears_ns: int = 0
    lasts_ns: int | None = None

    def holds(self, order: Order, is_open: bool, now_ns: int) -> bool:
        """Return whether a lookup finds the order."""
        if now_ns - order.created_ns < self.appears_ns:
            return False
        return is_open or self.lasts_ns is None or now_ns - order.updated_ns < self.lasts_ns


FULL_MEMORY = Memory()


@dataclass(slots=True, eq=False)
class Account:
    """One account. Participants of the crowd are `internal`: they have balances and open orders, but no ledger.

    `orders` and `fills` are its history, oldest first: the latest `HISTORY` of each, and all open orders.
    `client_ids` are of open orders only. No repr shows a secret.
    """

    name: str
    internal: bool = False
    keys: dict[str, ApiKey] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    open: dict[int, Order] = field(default_factory=dict, repr=False)
    orders: deque[Order] = field(default_factory=deque, repr=False)
    fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    fill_count: int = 0  # total so far
    order_count: int = 0  # total so far
    client_ids: dict[str, int] = field(default_factory=dict, repr=False)
    by_id: dict[int, Order] = field(default_factory=dict, repr=False)
    by_client: dict[str, Order] = field(default_factory=dict, repr=False)  # the latest order of each id
    amendments: deque[Amendment] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    prevented: deque[PreventedMatch] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    lists: dict[int, OrderList] = field(default_factory=dict, repr=False)
    list_ids: dict[str, int] = field(default_factory=dict, repr=False)  # of open order lists
    open_here: dict[str, int] = field(default_factory=dict, repr=False)  # open orders by symbol
    updated_ns: int = 0  # when a balance last changed

    @property
    def key(self) -> str:
        """The name of its first key, or an empty text."""
        return next(iter(self.keys), "")

    def balance(self, asset: str) -> Balance:
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found

    def deposit(self, asset: str, amount: int) -> None:
        self.balance(asset).free += amount

    def lock(self, asset: str, amount: int) -> None:
        """Move `amount` from free to locked.

        Raises:
            Rejected: INSUFFICIENT_BALANCE; nothing was moved.
        """
        balance = self.balance(asset)
        if balance.free < amount:
            raise Rejected("INSUFFICIENT_BALANCE", f"{self.name} has {balance.free} {asset} free and needs {amount}")
        balance.free -= amount
        balance.locked += amount

    def unlock(self, asset: str, amount: int) -> None:
        balance = self.balance(asset)
        balance.locked -= amount
        balance.free += amount

    def find(self, order_id: int | None, client_id: str | None, now_ns: int, memory: Memory) -> Order | None:
        """Return an order, open or ended, by its id or else by its client order id (the latest that used the id)."""
        order = self.by_id.get(order_id) if order_id is not None else self.by_client.get(client_id or "")
        return order if order is not None and memory.holds(order, order.id in self.open, now_ns) else None

    def remember(self, order: Order) -> None:
        """Add `order` to the history; if the history is full, drop the oldest ended order."""
        self.orders.append(order)
        self.order_count += 1
        self.by_id[order.id] = order
        self.by_client[order.client_id] = order
        if len(self.orders) > HISTORY:
            at = next((n for n, old in enumerate(self.orders) if old.id not in self.open), 0)
            oldest = self.orders[at]
            del self.orders[at]
            self.by_id.pop(oldest.id, None)
            if self.by_client.get(oldest.client_id) is oldest:
                del self.by_client[oldest.client_id]

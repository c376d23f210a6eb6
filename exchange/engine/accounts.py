"""Accounts of the local exchange: balances free and locked, keys, and what they did."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...model.errors import FixedPointError, Misconfigured, Rejected
from ...model.fixed import to_raw
from ...model.time import SECOND_NS
from .book import Order, OrderList
from .keys import ApiKey
from .rules import SCALE

HISTORY = 100_000  # orders and fills kept of an account
INTERVALS = (10 * SECOND_NS, 86_400 * SECOND_NS)  # of the unfilled order count
MAKER_CREDIT = 5


@dataclass(slots=True)
class Balance:
    """Raw amounts of one asset: `free` may be spent, `locked` is behind open orders."""

    free: int = 0
    locked: int = 0


@dataclass(frozen=True, slots=True)
class Fill:
    """One side of one trade, as its account sees it. The fee is taken from the asset received."""

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
    """One change of an open order's size."""

    execution_id: int
    symbol: str
    order_id: int
    old_client_id: str
    new_client_id: str
    old_size: int
    new_size: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A trade of an account with itself that was prevented. Sizes are what each side lost, 0 for none."""

    id: int
    symbol: str
    mode: str
    price: int
    taker_order: int
    maker_order: int
    taker_size: int
    maker_size: int
    time_ns: int


class OrderCount:
    """The unfilled orders an account placed in the present interval of 10 seconds and of a day (UTC).

    An order's first fill takes one off, or `MAKER_CREDIT` when it rested; never below zero.

    Source: faqs/order_count_decrement.md, read 2026-11-22. The manual's figure for makers is an example.
    """

    __slots__ = ("_counts", "_starts")

    def __init__(self) -> None:
        self._starts = [-1] * len(INTERVALS)
        self._counts = [0] * len(INTERVALS)

    def counts(self, now_ns: int) -> tuple[int, int]:
        """Count in the present 10 seconds, and today."""
        self._roll(now_ns)
        return self._counts[0], self._counts[1]

    def add(self, number: int, now_ns: int) -> None:
        self._roll(now_ns)
        for which in range(len(INTERVALS)):
            self._counts[which] = max(0, self._counts[which] + number)

    def first_fill(self, maker: bool, now_ns: int) -> None:
        self.add(-MAKER_CREDIT if maker else -1, now_ns)

    def _roll(self, now_ns: int) -> None:
        for which, width in enumerate(INTERVALS):
            start = now_ns // width
            if self._starts[which] != start:
                self._starts[which], self._counts[which] = start, 0


@dataclass(slots=True, eq=False)
class Account:
    """One account. Participants of the crowd are `internal`: no ledger is kept of them, only balances and open orders.

    `orders` and `fills` are its history, oldest first, the latest `HISTORY` of each, and open orders however old.
    `client_ids` are of open orders only. Secrets are in no repr.
    """

    name: str
    internal: bool = False
    keys: dict[str, ApiKey] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    open: dict[int, Order] = field(default_factory=dict, repr=False)
    orders: deque[Order] = field(default_factory=deque, repr=False)
    fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    fill_count: int = 0  # all there ever were
    client_ids: dict[str, int] = field(default_factory=dict, repr=False)
    by_id: dict[int, Order] = field(default_factory=dict, repr=False)
    by_client: dict[str, Order] = field(default_factory=dict, repr=False)  # the latest order of each id
    amendments: deque[Amendment] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    prevented: deque[PreventedMatch] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    lists: dict[int, OrderList] = field(default_factory=dict, repr=False)
    list_ids: dict[str, int] = field(default_factory=dict, repr=False)  # of open order lists
    unfilled: OrderCount = field(default_factory=OrderCount, repr=False)
    open_here: dict[str, int] = field(default_factory=dict, repr=False)  # open orders by symbol
    updated_ns: int = 0  # when a balance last changed

    @property
    def key(self) -> str:
        """The name of its first key, or nothing."""
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
            raise Rejected("INSUFFICIENT_BALANCE", f"{self.name} has {balance.free} {asset} free of {amount} needed")
        balance.free -= amount
        balance.locked += amount

    def unlock(self, asset: str, amount: int) -> None:
        balance = self.balance(asset)
        balance.locked -= amount
        balance.free += amount

    def remember(self, order: Order) -> None:
        """Keep `order` in the history; forget the oldest that has ended when there are too many."""
        self.orders.append(order)
        self.by_id[order.id] = order
        self.by_client[order.client_id] = order
        if len(self.orders) > HISTORY:
            at = next((n for n, old in enumerate(self.orders) if old.id not in self.open), 0)
            oldest = self.orders[at]
            del self.orders[at]
            self.by_id.pop(oldest.id, None)
            if self.by_client.get(oldest.client_id) is oldest:
                del self.by_client[oldest.client_id]


def parse_account(text: str) -> Account:
    """Read `NAME:KEY:SECRET:BTC=10,USDT=1000000` (the balances may be absent).

    Raises:
        Misconfigured: what is wrong, without repeating the secret.
    """
    parts = text.split(":")
    if len(parts) not in (3, 4) or not all(parts[:3]):
        raise Misconfigured("account", "expected NAME:KEY:SECRET:ASSET=AMOUNT,...")
    account = Account(parts[0], keys={parts[1]: ApiKey(parts[1], parts[2].encode())})
    for item in parts[3].split(",") if len(parts) == 4 and parts[3] else ():
        asset, equals, amount = item.partition("=")
        if not equals or not asset.isalnum() or not asset.isupper():
            raise Misconfigured("account", f"{account.name}: {item!r} is not ASSET=AMOUNT")
        try:
            raw = to_raw(amount, SCALE)
        except FixedPointError as error:
            raise Misconfigured("account", f"{account.name}: {asset}: {error}") from None
        if raw < 0:
            raise Misconfigured("account", f"{account.name}: {asset}: must not be negative")
        account.deposit(asset, raw)
    return account


def give_keys(accounts: Sequence[Account], keys: Iterable[tuple[str, ApiKey]]) -> None:
    """Give further keys (as `keys.parse_account_key` reads them) to the accounts they name.

    Raises:
        Misconfigured: no such account, or a key given twice.
    """
    named = {account.name: account for account in accounts}
    for name, key in keys:
        if name not in named:
            raise Misconfigured("account key", f"no account {name!r}")
        if any(key.name in account.keys for account in accounts):
            raise Misconfigured("account key", f"key given twice: {key.name}")
        named[name].keys[key.name] = key


def check_accounts(accounts: Iterable[Account]) -> list[Account]:
    """Return the accounts, or raise Misconfigured where a name or key is given twice."""
    listed = list(accounts)
    given = {
        "name": [account.name for account in listed],
        "key": [key for account in listed for key in account.keys],
    }
    for what, values in given.items():
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise Misconfigured("account", f"{what} given twice: {sorted(twice)[0]}")
    return listed

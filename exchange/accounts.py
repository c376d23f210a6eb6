"""Accounts of the local exchange: balances free and locked, keys, and what they did."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..model.errors import FixedPointError, Misconfigured, Rejected
from ..model.fixed import to_raw
from .book import Order
from .rules import SCALE

HISTORY = 100_000  # orders and fills kept of an account


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


@dataclass(slots=True, eq=False)
class Account:
    """One account. Participants of the crowd are `internal`: no ledger is kept of them, only balances and open orders.

    The secret is in no repr.
    """

    name: str
    key: str = ""
    secret: str = field(default="", repr=False)
    internal: bool = False
    balances: dict[str, Balance] = field(default_factory=dict)
    open: dict[int, Order] = field(default_factory=dict, repr=False)
    orders: deque[Order] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=HISTORY), repr=False)
    client_ids: dict[str, int] = field(default_factory=dict, repr=False)  # of open orders

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


def parse_account(text: str) -> Account:
    """Read `NAME:KEY:SECRET:BTC=10,USDT=1000000` (the balances may be absent).

    Raises:
        Misconfigured: what is wrong, without repeating the secret.
    """
    parts = text.split(":")
    if len(parts) not in (3, 4) or not all(parts[:3]):
        raise Misconfigured("account", "expected NAME:KEY:SECRET:ASSET=AMOUNT,...")
    account = Account(parts[0], parts[1], parts[2])
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


def check_accounts(accounts: Iterable[Account]) -> list[Account]:
    """Return the accounts, or raise Misconfigured where a name or key is given twice."""
    listed = list(accounts)
    for what in ("name", "key"):
        values = [getattr(account, what) for account in listed]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise Misconfigured("account", f"{what} given twice: {sorted(twice)[0]}")
    return listed

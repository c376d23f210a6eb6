"""Run the local exchange for the trading checks, in a separate process, with one account and one new key."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import ModuleType
from typing import Any

from ..conformance.trading.venue import Venue
from ..connectors import registry
from ..connectors.market_codec import Connector
from ..connectors.order_codec import trading_connector
from ..exchange import face as faces
from ..exchange.admin.client import AdminClient
from ..exchange.engine.rules import SCALE, rules_for
from ..exchange.face import protocol_names
from ..model.errors import Misconfigured
from ..model.events import Side
from ..model.fixed import to_decimal
from ..model.order import AccountEvent, Balance, Fill, Order
from ..testing import ACCOUNT, LocalExchange, local_exchange
from .demo.audit import compare

SPEAKS = tuple(protocol_names())  # the exchanges whose protocols the local exchange speaks
PAIR, SYMBOL = "BTC-USDT", "BTCUSDT"
OTHER_PAIR = "ETH-USDT"
BOOK_STREAM = re.compile("book|depth|level2|mbp")  # in the names of streams of books, in every protocol
HOLDS = {"BTC": "10", "USDT": "1000000", "BNB": "10"}
EXTRA = Decimal("0.01")  # the smallest notional: the rest of an order that takes must still be worth an order


class LocalLedger:
    """The local exchange's own record of the account, read from its admin interface."""

    def __init__(self, admin: AdminClient, exchange: str) -> None:
        self.admin, self._exchange = admin, exchange

    def problems(
        self,
        orders: Iterable[Order],
        fills: Iterable[Fill],
        events: Sequence[AccountEvent],
        balances: Mapping[str, Balance],
        handed_out: Iterable[str],
    ) -> list[str]:
        """See `conformance.venue.Ledger`. Orders placed outside the mesh count in the balances only."""
        ours, names = [order for order in orders if not order.external], set(handed_out)
        account, receipts = ledger_in_client_form(self.admin, self._exchange, ACCOUNT, names)
        account["orders"] = [row for row in account["orders"] if row["client_order_id"] in names]
        account["fills"] = [row for row in account["fills"] if row["client_id"] in names]
        own_fills = [fill for fill in fills if fill.client_order_id in names]
        purges = trading_connector(registry.connector(self._exchange)).trading().offer.purges_unfilled
        return compare(ours, own_fills, events, balances, names, account, receipts, purges).problems

    def trade(self, symbol: str, side: Side, price: Decimal) -> None:
        """See `conformance.venue.Ledger`. `symbol` is the protocol's; the engine's symbol has no separator."""
        symbol, sign = _symbol(symbol), 1 if side is Side.SELL else -1
        rows = self.admin.book(symbol)["bids" if side is Side.SELL else "asks"]
        matching = sum((Decimal(size) for at, size in rows if sign * (Decimal(at) - price) >= 0), EXTRA)
        self.admin.order(symbol, side.name, quantity=f"{matching:f}", price=f"{price:f}", time_in_force="IOC")

    def withhold_fees(self, symbol: str, for_s: float, *, again: bool, zero: bool) -> None:
        """See `conformance.venue.Ledger`."""
        rule = {"protocol": self._exchange, "symbol": _symbol(symbol), "account": ACCOUNT, "count": 1}
        mode = "zero" if zero else "absent"
        self.admin.fault(kind="late_fee", ms=for_s * 1000, mode=mode, again=again, **rule)


def _symbol(symbol: str) -> str:
    """Return the engine's name of a protocol's symbol."""
    return "".join(letter for letter in symbol if letter.isalnum()).upper()


class LocalFaults:
    """A local exchange that stops the stream of a book on request."""

    def __init__(self, running: LocalExchange) -> None:
        self.pairs, self._admin, self._protocol = running.pairs, running.admin, running.protocol
        self._urls = dict(running.urls)

    @property
    def config(self) -> dict[str, Any]:
        """See `conformance.market.stopped.Faulty`."""
        exchange = {**self._urls, "pairs": list(self.pairs), "pairs_per_actor": len(self.pairs)}  # one connection
        mesh = {"name": "local", "heartbeat_limit_s": 2.0}  # it shares an interpreter with the check
        return {"mesh": mesh, "exchanges": {self._protocol: exchange}}

    def stop_book(self, symbol: str) -> None:
        """See `conformance.market.stopped.Faulty`. A stream's name has the word of its protocol for books."""
        engines, lists = _symbol(symbol), [row["streams"] for row in self._admin.connections()["connections"]]
        streams = {name for names in lists for name in names if BOOK_STREAM.search(name)}
        for stream in sorted(streams):
            self._admin.fault(kind="drop", symbol=engines, stream=stream, probability=1)

    def go_on(self) -> None:
        """See `conformance.market.stopped.Faulty`."""
        self._admin.clear_faults()


@contextlib.contextmanager
def local_faults(protocol: str) -> Iterator[LocalFaults]:
    """Run the local exchange with two pairs while the block runs. Raises Misconfigured: it does not start."""
    with local_exchange([PAIR, OTHER_PAIR], protocol=protocol, rate=200.0) as running:
        yield LocalFaults(running)


def ledger_in_client_form(
    admin: AdminClient, exchange: str, account: str, names: Iterable[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an account's ledger and receipts with the ids that clients see; `names`: our client order ids."""
    (ledger,) = admin.ledger(account)["accounts"]
    receipts = admin.receipts(account)["receipts"]
    sent_id = trading_connector(registry.connector(exchange)).trading().offer.sent_id
    ours_by_sent = {sent_id(name): name for name in names}
    for rows, key in (
        (ledger["orders"], "client_order_id"),
        (ledger["fills"], "client_id"),
        (receipts, "client_order_id"),
    ):
        for row in rows:
            row[key] = ours_by_sent.get(row[key], row[key])
    if (checking := _checking(exchange)) is not None:
        checking.to_client_form(ledger)
    return ledger, receipts


def _checking(exchange: str) -> ModuleType | None:
    """Return the settings of a protocol for these checks; None: the protocol needs none."""
    name = f"{faces.__package__}.{exchange}.checking"
    return importlib.import_module(name) if importlib.util.find_spec(name) is not None else None


def protocol_of(connector: Connector) -> str | None:
    """Return the protocol of the local exchange that a connector speaks; None: the local exchange has no such one."""
    return next((name for name in (connector.name, connector.spec.sister_of) if name in SPEAKS), None)


@contextlib.contextmanager
def local_venue(
    exchange: str,
    orders: str = "rest",
    stream: str = "websocket",
    *,
    pairs: Sequence[str] = (PAIR,),
    holds: Mapping[str, str] = HOLDS,
    rate: float = 100.0,
    seed: int = 1,
) -> Iterator[Venue]:
    """Run the local exchange while the block runs. The account's key is in private files, removed at the end.

    Raises:
        Misconfigured: the local exchange does not speak this exchange's protocol, or it does not start.
    """
    if exchange not in SPEAKS:
        raise Misconfigured(
            f"trading checks of {exchange}",
            f"the local exchange speaks only {', '.join(SPEAKS)}; give the URLs and a key of a testnet",
        )
    with local_exchange(pairs, holds, protocol=exchange, rate=rate, seed=seed) as running:
        account = {**running.account, "orders": orders, "stream": stream}
        urls = {name: running.urls.get(name) for name in ("rest", "ws", "ws_api")}
        witness, limits = None, {}
        if (checking := _checking(exchange)) is not None:
            running.admin.limits(**checking.LIMITS)
            account["account_limits"], limits = checking.ACCOUNT_LIMITS, checking.ADDRESS_LIMITS
            witness = running.other_key
        yield Venue(account, **urls, ledger=LocalLedger(running.admin, exchange), witness=witness, limits=limits)


def local_rules() -> dict[str, Any]:
    """Return the pair of a local run: its names, its first price, and the smallest notional of an order."""
    rules = rules_for(SYMBOL)
    return {
        "pair": f"{rules.base}-{rules.quote}",
        "price": to_decimal(rules.start_price, SCALE),
        "min_notional": to_decimal(rules.min_notional, SCALE),
        "tick": to_decimal(rules.tick, SCALE),
        "step": to_decimal(rules.step, SCALE),
        "taker_fee": to_decimal(rules.taker_fee, SCALE),
    }

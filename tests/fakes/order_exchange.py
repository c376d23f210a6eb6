"""A model exchange for the order machine: a correct ledger and a trading codec of plain words. No network, no clock.

Tests compare the machine's journal with its ledger. Orders rest until the test fills them; MARKET and IOC orders take
from the `liquidity` of their pair. Every request is counted by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from venuemesh.connectors.order_codec import At, Draft, Kind, Refusal, Reply, Signed, WhenSuperseded
from venuemesh.connectors.reading import LeftOut
from venuemesh.connectors.reports import AccountReport, BalanceReport, FillReport, OrderReport
from venuemesh.connectors.spec import Amend, Offer
from venuemesh.model.errors import DecodeError, MeshError, Rejected
from venuemesh.model.events import Side
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce
from venuemesh.model.time import SECOND_NS

S = OrderStatus
ZERO = Decimal(0)
FEE = Decimal("0.001")
OFFER = Offer(
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    self_trade_modes=frozenset({"EXPIRE_TAKER"}),
    quote_amount=True,
    amend=frozenset({Amend.SMALLER}),
    replace=True,
    order_lists=frozenset({"OCO"}),
    processing_s=1.0,
    max_validity_s=10.0,
    fills_page=3,
)


def pair(name: str, **rules: Any) -> Instrument:
    base, quote = name.split("-")
    given: dict[str, Any] = {
        "price_increment": Decimal("0.01"),
        "size_increment": Decimal("0.1"),
        "features": ("quote_amount", "amend", "replace", "order_lists"),
        "self_trade_modes": ("EXPIRE_TAKER",),
    }
    return Instrument("acme", name, base + quote, base, quote, 2, 4, **(given | rules))


class FakeCodec:
    """Makes drafts whose parameters are the words that `OrderExchange` reads. Answers are `Reply` objects."""

    def __init__(self, offer: Offer = OFFER) -> None:
        self.offer = offer

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        return self._draft(Kind.PLACE, instrument, self._words(order), (order.client_order_id,))

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        words = (("id", order.client_order_id), ("exchange_id", order.exchange_order_id or ""))
        return self._draft(Kind.CANCEL, instrument, words, (order.client_order_id,))

    def amend(
        self, order: Order, instrument: Instrument, amount: Decimal | None, price: Decimal | None = None
    ) -> Draft:
        given = {"amount": amount, "price": price}
        words = tuple((name, f"{value:f}") for name, value in given.items() if value is not None)
        return self._draft(Kind.AMEND, instrument, (("id", order.client_order_id), *words), (order.client_order_id,))

    def batch(self, drafts: Sequence[Draft]) -> Draft:
        words = tuple((f"{name}.{number}", text) for number, one in enumerate(drafts) for name, text in one.params)
        kind = Kind.BATCH_PLACE if drafts[0].kind is Kind.PLACE else Kind.BATCH_CANCEL
        return self._draft(kind, None, words, tuple(name for one in drafts for name in one.orders))

    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft:
        words = (("old", order.client_order_id), *self._words(new))
        return self._draft(Kind.REPLACE, instrument, words, (order.client_order_id, new.client_order_id))

    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft:
        words = [("list", list_id), ("kind", kind), ("count", str(len(orders)))]
        for number, order in enumerate(orders):
            words += [(f"{name}.{number}", text) for name, text in self._words(order)]
        ids = tuple(order.client_order_id for order in orders)
        return self._draft(Kind.PLACE_LIST, instrument, tuple(words), ids)

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        words = (("id", client_order_id), ("exchange_id", exchange_order_id or ""))
        return self._draft(Kind.ORDER, instrument, words, (client_order_id,))

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, None, ())

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        return self._draft(Kind.ORDERS, instrument, (("since", str(since_ns or 0)),))

    def order_counts(self) -> Draft | None:
        return None

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, None, ())

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        words = (("since", str(since_ns or 0)), ("exchange_id", exchange_order_id or ""))
        return self._draft(Kind.FILLS, instrument, words)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        return self._draft(Kind.FILLS, instrument, (("after", trade_id),))

    def refusal(self, code: str, reason: str = "") -> Refusal:
        return {
            "unknown_order": Refusal.NOT_THERE,
            "duplicate": Refusal.DUPLICATE,
            "clock": Refusal.CLOCK,
            "nonce": Refusal.NONCE,
            "busy": Refusal.BUSY,
            "unknown": Refusal.UNKNOWN,
            "key": Refusal.KEY,
            "no_pair": Refusal.NO_PAIR,
        }.get(code, Refusal.REJECTED)

    def _draft(
        self, kind: Kind, instrument: Instrument | None, words: tuple[tuple[str, str], ...], ids: tuple[str, ...] = ()
    ) -> Draft:
        name = None if instrument is None else instrument.name
        return Draft(kind, ("POST", f"/{kind.value}"), None, words, ids, name)

    def _words(self, order: NewOrder) -> tuple[tuple[str, str], ...]:
        return tuple((name, text) for name, text in order.to_dict().items() if text is not None)


def sign(draft: Draft, request_id: str, exchange_ns: int, validity_s: float = 5.0, nonce: int | None = None) -> Signed:
    """Make a request of words instead of bytes; with a nonce only a later nonce ends its validity."""
    draft = replace(draft, nonce=nonce)
    text = f"{request_id} {draft.kind.value} {draft.pair} {draft.params}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    ends = At(exchange_ns + int(validity_s * SECOND_NS)) if nonce is None else WhenSuperseded(nonce)
    return Signed(draft, request_id, ends, text, digest, call=text.encode())


@dataclass
class Rested:
    """One order of the exchange's ledger."""

    exchange_id: str
    client_id: str
    pair: str
    side: Side
    order_type: OrderType
    price: Decimal | None
    amount: Decimal
    status: OrderStatus
    ts_ns: int
    locked: Decimal
    quote_amount: Decimal | None = None
    filled: Decimal = ZERO
    quote_filled: Decimal = ZERO
    list_id: str | None = None
    fills: list[FillReport] = field(default_factory=list)
    refusal: tuple[str | None, str | None] = (None, None)  # code and reason

    @property
    def open(self) -> bool:
        return self.status in (S.OPEN, S.PARTIALLY_FILLED)


ODD = LeftOut(None, "cannot be read")


class OrderExchange:
    """See the module. `now_ns` is its clock; every change takes one nanosecond."""

    def __init__(self, instruments: Sequence[Instrument], balances: dict[str, Decimal], now_ns: int = 0) -> None:
        self.instruments = {one.name: one for one in instruments}
        self.free = dict(balances)
        self.locked = dict.fromkeys(balances, ZERO)
        self.orders: dict[str, Rested] = {}
        self.now_ns = now_ns
        self.stream: list[OrderReport | BalanceReport] = []  # what the user stream tells, in order
        self.reached: dict[str, int] = {}  # digest -> how often it came
        self.price = {one.name: Decimal(100) for one in instruments}
        self.liquidity = {one.name: Decimal(5) for one in instruments}
        self.refuse_new = False
        self.nonce = 0  # the highest that came
        self.odd: set[str] = set()  # trade ids and the exchange's order ids whose rows in lists cannot be read
        self.odd_queries: set[str] = set()  # the exchange's ids of orders whose queries cannot be read
        self.unlisted: set[str] = set()  # pairs that are refused by name
        self.names_odd = False  # the ids in these rows can be read
        self.acknowledges = False  # it answers requests without the order's status
        self.omits = False  # its answers to batches lack the first order
        self.lazy = False  # it executes acknowledged cancels when `catch_up` is called
        self.lookup_ns: int | None = None  # for how long after its placement a query finds an order that has ended
        self.forgets_unfilled = False  # the list of all orders forgets ended orders without a fill, too
        self.appears_ns = 0  # for how long after its placement it is not found yet
        self.since: dict[str, int] = {}  # exchange's order id -> when it was placed
        self.by_time = False  # answers about fills are whole
        self.first_fee: dict[str, Any] = {}  # what it states of a fee at first; until `state_fees` for lists
        self._without_fee: dict[str, FillReport] = {}  # by trade id, with the fee
        self._late: list[Rested] = []
        self._trades = {one.name: 100 for one in instruments}

    # The two doors

    def execute(self, request: Signed) -> Reply | MeshError:
        """Execute an arriving request that changes something."""
        self.reached[request.digest] = self.reached.get(request.digest, 0) + 1
        if self.now_ns > request.not_after_ns + SECOND_NS:
            return Rejected("clock", "too late")
        if request.draft.nonce is not None and not self.takes(request.draft.nonce):
            return Rejected("nonce", "a higher one came before")
        words, kind = dict(request.draft.params), request.draft.kind
        if request.draft.pair in self.unlisted:
            return Rejected("no_pair", "no such pair")
        if kind is Kind.PLACE:
            return self._one(self.place(NewOrder.from_dict(_new(words))))
        if kind is Kind.CANCEL:
            return self._one(self.cancel(words["id"], words.get("exchange_id", "")), names=False)
        if kind is Kind.AMEND:
            amount, price = (Decimal(words[name]) if name in words else None for name in ("amount", "price"))
            return self._one(self.amend(words["id"], amount, price), names=False)
        if kind is Kind.REPLACE:
            return self._replace(words)
        if kind in (Kind.BATCH_PLACE, Kind.BATCH_CANCEL):
            return self._batch(kind, words, request.draft.orders)
        return self._place_list(words)

    def _batch(self, kind: Kind, words: dict[str, str], names: tuple[str, ...]) -> Reply:
        """Execute a batch; each row has a separate outcome."""
        orders: list[OrderReport] = []
        refused: list[tuple[str, str, str]] = []
        for number, name in enumerate(names):
            own = {key.rpartition(".")[0]: text for key, text in words.items() if key.endswith(f".{number}")}
            is_new = kind is Kind.BATCH_PLACE
            made = self.place(NewOrder.from_dict(_new(own))) if is_new else self.cancel(own["id"], own["exchange_id"])
            answer = self._one(made, names=is_new)
            if isinstance(answer, Reply):
                orders += answer.orders
            else:
                assert isinstance(answer, Rejected)
                refused.append((name, str(answer.code), str(answer.reason)))
        stated = [one for one in names if one != names[0]] if self.omits else list(names)
        taken = tuple(one for one in stated if one not in {row[0] for row in refused}) if self.acknowledges else ()
        return Reply(
            orders=tuple(one for one in orders if one.client_order_id in stated),
            refused=tuple(row for row in refused if row[0] in stated),
            taken=taken,
        )

    def takes(self, nonce: int) -> bool:
        """Return whether a nonce rises; if so, refuse lower nonces from now on."""
        rises, self.nonce = nonce > self.nonce, max(nonce, self.nonce)
        return rises

    def read(self, draft: Draft) -> Reply | MeshError:
        """Answer a query from the current state."""
        words = dict(draft.params)
        if draft.pair in self.unlisted:
            return Rejected("no_pair", "no such pair")
        if draft.kind is Kind.ORDER and words["exchange_id"] in self.odd_queries:
            return DecodeError("'GTD' is not known", None)
        if draft.kind is Kind.ORDER:
            found = self.orders.get(words["exchange_id"]) or self.by_client(words["id"])
            if found is None or not self._is_findable(found):
                return Rejected("unknown_order", "no such order")
            return Reply(orders=(self.report(found),))
        if draft.kind is Kind.OPEN_ORDERS:
            return self._listed([self.report(one) for one in self.orders.values() if one.open])
        if draft.kind is Kind.ORDERS:
            listed = [one for one in self.orders.values() if one.pair == draft.pair]
            return self._listed([self.report(one) for one in listed if self._is_listed(one, int(words["since"]))])
        if draft.kind is Kind.ACCOUNT:
            return Reply(account=AccountReport(self.balances(), True, (), None, None))
        fills = [one for order in self.orders.values() if order.pair == draft.pair for one in order.fills]
        fills.sort(key=lambda one: int(one.trade_id))
        if "after" in words:
            fills = [one for one in fills if int(one.trade_id) > int(words["after"])]
        elif words["exchange_id"]:
            fills = [one for one in fills if one.exchange_order_id == words["exchange_id"]]
        else:
            fills = [one for one in fills if one.ts_event_ns >= int(words["since"])]
        page = [self._as_stated(one) for one in (fills if self.by_time else fills[: OFFER.fills_page])]
        odd = tuple(self._odd(one.exchange_order_id, None) for one in page if one.trade_id in self.odd)
        return Reply(fills=tuple(one for one in page if one.trade_id not in self.odd), left_out=odd)

    def _listed(self, reports: list[OrderReport]) -> Reply:
        odd = [one for one in reports if one.exchange_order_id in self.odd]
        left_out = tuple(self._odd(one.exchange_order_id, one.client_order_id) for one in odd)
        return Reply(orders=tuple(one for one in reports if one not in odd), left_out=left_out)

    def _odd(self, name: str, client_id: str | None) -> LeftOut:
        return LeftOut(name, "cannot be read", client_id=client_id) if self.names_odd else ODD

    # What happens on it

    def place(self, order: NewOrder) -> Rested | Rejected:
        if self.refuse_new:
            return Rejected("filter", "not now")
        if any(one.open and one.client_id == order.client_order_id for one in self.orders.values()):
            return Rejected("duplicate", "an order of this id is open")
        price = order.price if order.price is not None else self.price[order.pair]
        amount = order.amount
        if amount is None:
            assert order.quote_amount is not None
            amount = (order.quote_amount / price).quantize(Decimal("0.1"), rounding="ROUND_DOWN")
        base, quote = order.pair.split("-")
        asset, need = (quote, price * amount) if order.side is Side.BUY else (base, amount)
        if self.free[asset] < need:
            return Rejected("balance", "insufficient")
        self._move(asset, need)
        self.now_ns += 1
        exchange_id = str(1000 + len(self.orders))
        rested = Rested(
            exchange_id,
            order.client_order_id,
            order.pair,
            order.side,
            order.order_type,
            price if order.price is not None else None,
            amount,
            S.OPEN,
            self.now_ns,
            need,
            order.quote_amount,
        )
        self.orders[exchange_id] = rested
        self.since[exchange_id] = self.now_ns
        self._tell(rested)
        if order.order_type is OrderType.MARKET or order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self._take(rested, order, price)
        return rested

    def meet(self, one: Rested, other: Rested, amount: Decimal) -> None:
        """Trade two orders of this account with each other: a fill each, under one trade id."""
        self.fill(one, amount)
        self._trades[one.pair] -= 1
        self.fill(other, amount)

    def fill(self, rested: Rested, amount: Decimal) -> None:
        """Trade some of a resting order."""
        amount = min(amount, rested.amount - rested.filled)
        if not rested.open or amount <= 0:
            return
        self.now_ns += 1
        price = rested.price if rested.price is not None else self.price[rested.pair]
        base, quote = rested.pair.split("-")
        worth = price * amount
        buy = rested.side is Side.BUY
        got, fee_asset = (amount, base) if buy else (worth, quote)
        paid = worth if buy else amount
        self.locked[quote if buy else base] -= paid
        rested.locked -= paid
        self.free[fee_asset] += got * (1 - FEE)
        self._trades[rested.pair] += 1
        rested.filled += amount
        rested.quote_filled += worth
        fill = FillReport(
            str(self._trades[rested.pair]),
            price,
            amount,
            worth,
            got * FEE,
            fee_asset,
            True,
            self.now_ns,
            rested.exchange_id,
            rested.side,
            rested.pair.replace("-", ""),
        )
        rested.fills.append(fill)
        rested.status = S.FILLED if rested.filled == rested.amount else S.PARTIALLY_FILLED
        if rested.status is S.FILLED:
            self._unlock(rested)
        if self.first_fee:
            self._without_fee[fill.trade_id] = fill
        self._tell(rested, (self._as_stated(fill),))
        if rested.list_id is not None and rested.status is S.FILLED:
            for other in self.orders.values():
                if other.list_id == rested.list_id and other.open:
                    self.end(other, S.EXPIRED)

    def state_fees(self, *, again: bool) -> None:
        """State the fees that were not stated at first: in the lists, and with `again` in another report."""
        late, self._without_fee = self._without_fee, {}
        for fill in late.values() if again else ():
            self._tell(self.orders[fill.exchange_order_id], (fill,))

    def _as_stated(self, fill: FillReport) -> FillReport:
        return replace(fill, **self.first_fee) if fill.trade_id in self._without_fee else fill

    def end(self, rested: Rested, status: OrderStatus) -> None:
        """Cancel or expire the rest of an order."""
        if not rested.open:
            return
        self.now_ns += 1
        rested.status = status
        self._unlock(rested)
        self._tell(rested)

    def reject(self, rested: Rested, code: str, reason: str) -> None:
        """Refuse an order that was acknowledged."""
        rested.refusal = (code, reason)
        self.end(rested, S.REJECTED)

    def cancel(self, client_id: str, exchange_id: str = "") -> Rested | Rejected:
        rested = self.orders.get(exchange_id) or self.by_client(client_id)
        if rested is None or not rested.open:
            return Rejected("unknown_order", "not there")
        if self.lazy and self.acknowledges:
            self._late.append(rested)
        else:
            self.end(rested, S.CANCELED)
        return rested

    def catch_up(self) -> None:
        """Execute the cancels that were only acknowledged."""
        while self._late:
            self.end(self._late.pop(), S.CANCELED)

    def _is_findable(self, rested: Rested) -> bool:
        """Whether a query finds the order: not before it appears, and not beyond the memory, by either id."""
        age_ns = self.now_ns - self.since[rested.exchange_id]
        if self.lookup_ns is not None and age_ns > self.lookup_ns and not rested.open:
            return False
        return age_ns >= self.appears_ns

    def _is_listed(self, rested: Rested, since_ns: int) -> bool:
        """Whether the list of a pair's orders has it: also ended ones, except forgotten ones without a fill."""
        if self.forgets_unfilled and not rested.filled and not self._is_findable(rested):
            return False
        return self.since[rested.exchange_id] >= since_ns

    def amend(self, client_id: str, amount: Decimal | None, price: Decimal | None = None) -> Rested | Rejected:
        rested = self.by_client(client_id)
        if rested is None or not rested.open:
            return Rejected("unknown_order", "not there")
        amount = rested.amount if amount is None else amount
        if amount is None or amount <= rested.filled:
            return Rejected("amount", "not above the filled amount")
        price = rested.price if price is None else price
        left = (amount - rested.filled) * ((price or ZERO) if rested.side is Side.BUY else 1)
        base, quote = rested.pair.split("-")
        if left - rested.locked > self.free[quote if rested.side is Side.BUY else base]:
            return Rejected("balance", "too little")
        self.now_ns += 1
        rested.amount, rested.price = amount, price
        self._move(quote if rested.side is Side.BUY else base, left - rested.locked)
        rested.locked = left
        self._tell(rested)
        return rested

    # What it says

    def by_client(self, client_id: str) -> Rested | None:
        found = [one for one in self.orders.values() if one.client_id == client_id]
        return found[-1] if found else None

    def balances(self) -> BalanceReport:
        return BalanceReport({one: (self.free[one], self.locked[one]) for one in self.free}, True, self.now_ns)

    def report(self, rested: Rested, fills: tuple[FillReport, ...] = ()) -> OrderReport:
        return OrderReport(
            rested.pair.replace("-", ""),
            rested.client_id,
            rested.exchange_id,
            rested.status,
            self.now_ns if fills else rested.ts_ns,
            rested.side,
            rested.order_type,
            None,
            rested.amount,
            rested.price,
            None,
            rested.quote_amount,
            rested.filled,
            rested.quote_filled,
            rested.list_id,
            fills,
            *rested.refusal,
        )

    def _one(self, result: Rested | Rejected, names: bool = True) -> Reply | MeshError:
        if isinstance(result, Rejected):
            return result
        if self.acknowledges:
            symbol, taken = result.pair.replace("-", ""), (result.client_id,)
            report = OrderReport(symbol, result.client_id, result.exchange_id, None, self.now_ns)
            return Reply(orders=(report,) if names else (), taken=taken)
        taker = result.order_type is OrderType.MARKET
        return Reply(orders=(self.report(result, tuple(result.fills) if taker else ()),))

    def _replace(self, words: dict[str, str]) -> Reply | MeshError:
        old, new = words.pop("old"), NewOrder.from_dict(_new(words))
        gone = self.cancel(old)
        if isinstance(gone, Rejected):
            return Reply(refused=((old, gone.code, gone.reason), (new.client_order_id, "not_attempted", "no cancel")))
        placed = self.place(new)
        if isinstance(placed, Rejected):
            reports = (self.report(gone),)
            return Reply(orders=reports, refused=((new.client_order_id, placed.code, placed.reason),))
        return Reply(orders=(self.report(gone), self.report(placed, tuple(placed.fills))))

    def _place_list(self, words: dict[str, str]) -> Reply | MeshError:
        count = int(words["count"])
        orders = [
            NewOrder.from_dict(_new({k[: -len(f".{n}")]: v for k, v in words.items() if k.endswith(f".{n}")}))
            for n in range(count)
        ]
        placed: list[Rested] = []
        for order in orders:
            one = self.place(order)
            if isinstance(one, Rejected):
                for other in placed:
                    self.end(other, S.CANCELED)
                    del self.orders[other.exchange_id]
                return one
            one.list_id = words["list"]
            placed.append(one)
        return Reply(orders=tuple(self.report(one) for one in placed))

    def _take(self, rested: Rested, order: NewOrder, price: Decimal) -> None:
        there = self.liquidity[rested.pair]
        if order.time_in_force is TimeInForce.FOK and there < rested.amount:
            there = ZERO
        half = min(there, rested.amount) / 2
        half = half.quantize(Decimal("0.1"), rounding="ROUND_DOWN")
        self.fill(rested, half)
        self.fill(rested, min(there, rested.amount) - half)
        self.end(rested, S.EXPIRED)

    def _move(self, asset: str, amount: Decimal) -> None:
        self.free[asset] -= amount
        self.locked[asset] += amount

    def _unlock(self, rested: Rested) -> None:
        base, quote = rested.pair.split("-")
        self._move(quote if rested.side is Side.BUY else base, -rested.locked)
        rested.locked = ZERO

    def _tell(self, rested: Rested, fills: tuple[FillReport, ...] = ()) -> None:
        rested.ts_ns = self.now_ns
        self.stream.append(self.report(rested, fills))
        changed = {one: (self.free[one], self.locked[one]) for one in rested.pair.split("-")}
        self.stream.append(BalanceReport(changed, False, self.now_ns))


def _new(words: dict[str, str]) -> dict[str, Any]:
    names = ("client_order_id", "pair", "side", "order_type", "amount", "price", "time_in_force", "quote_amount")
    found: dict[str, Any] = {name: words.get(name) for name in names}
    found["owner"] = words.get("owner", "")
    return found


__all__ = ["FakeCodec", "OrderExchange", "Rested", "pair", "replace", "sign"]

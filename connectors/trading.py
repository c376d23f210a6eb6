"""The shared part of order codecs: drafts, common answers, and refusals.

A connector's order codec derives from `Trading`. It sets its `failures` and the paths of its interface, and fills
`_readers`: per kind of request, a method that reads the answer. Requests that it does not define raise NotOffered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from ..model.errors import MeshError, NotOffered, Rejected
from ..model.events import Side
from ..model.http import HttpResponse
from ..model.instrument import Instrument
from ..model.order import NewOrder, Order, OrderType, TimeInForce
from ..model.time import MILLISECOND_NS
from . import drafts
from .drafts import plain
from .failures import Failures
from .order_codec import Auth, CallAnswer, Draft, Kind, Refusal, Reply, Signed
from .reading import each_row, reading
from .reports import BalanceReport, FillReport, Missed, OrderReport, StreamOpened, StreamReport, StreamSay
from .spec import Endpoint, ExchangeSpec, Offer

Params = list[tuple[str, str]]
Reader = Callable[[Draft, Any, int], Reply]
TIMED = frozenset({OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})  # have a time in force
STOP_LOSSES = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})


class Trading:
    """The part of `TradingCodec` that does not depend on the exchange.

    `raw_paths` are the prefixes of the interface's paths; `raw_cost` is the assumed cost of a request that the spec
    does not list. With `exact` numbers in answers keep their text (see `reading`).
    """

    failures: Failures
    raw_paths: ClassVar[tuple[str, ...]]
    raw_cost: ClassVar[tuple[tuple[str, int], ...]]
    exact: ClassVar[bool] = False

    def __init__(self, spec: ExchangeSpec, rest: str | None, offer: Offer) -> None:
        self.spec = spec
        self.offer = offer
        self._rest = (rest or spec.rest).rstrip("/")
        self._headers: tuple[tuple[str, str], ...] = ()  # of every request over REST
        self._readers: dict[Kind, Reader] = {Kind.RAW: lambda draft, read, at_ns: Reply()}

    # Intents to drafts

    def place_cost(self, order: NewOrder) -> tuple[tuple[tuple[str, int], ...], int]:
        endpoint = self.spec.endpoints["place"]
        return endpoint.cost, endpoint.order_count

    def cancel_all(self, instrument: Instrument) -> Draft:
        raise self._refuse("cancelling all orders of one pair")

    def amend(
        self, order: Order, instrument: Instrument, amount: Decimal | None, price: Decimal | None = None
    ) -> Draft:
        raise self._refuse("amending an order")

    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft:
        raise self._refuse("replacing an order in one request")

    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft:
        raise self._refuse(f"a list {kind!r} of {len(orders)} orders")

    def order_counts(self) -> Draft | None:
        """Return None: the exchange does not state its counts for limits on orders."""
        return None

    def raw(self, method: str, path: str, params: Sequence[tuple[str, str]], signed: bool) -> Draft:
        request, known = (method, path), (self.raw_paths, self.raw_cost)
        return drafts.raw(self.spec, self._rest, request, params, signed, *known, self._headers)

    def _draft(
        self, kind: Kind, endpoint: str, params: Params, ids: tuple[str, ...] = (), instrument: Instrument | None = None
    ) -> Draft:
        return drafts.draft(kind, self.spec.endpoints[endpoint], self._rest, params, ids, instrument, self._headers)

    def _refuse(self, what: str) -> NotOffered:
        return NotOffered(self.spec.exchange, what)

    def _shaped(self, order: NewOrder) -> Decimal:
        """Return the amount of an order, or its quote amount.

        Raises:
            NotOffered: this exchange does not offer the combination of type, prices, amounts and time in force.
        """
        kind = order.order_type
        if kind not in self.offer.order_types:
            raise self._refuse(f"a {kind.value} order")
        if kind.has_price != (order.price is not None) or kind.has_stop != (order.stop_price is not None):
            raise self._refuse(f"a {kind.value} order with these prices")
        force = order.time_in_force or TimeInForce.GTC
        if force not in self.offer.times_in_force or (force is not TimeInForce.GTC and kind not in TIMED):
            raise self._refuse(f"a {kind.value} order with this time in force")
        is_by_quote = order.quote_amount is not None
        if kind is OrderType.MARKET and self.offer.by_spent_asset and is_by_quote != (order.side is Side.BUY):
            raise self._refuse(f"a MARKET order to {order.side.value} by the amount of the asset that it receives")
        if order.quote_amount is not None:
            if kind is not OrderType.MARKET or order.amount is not None or not self.offer.quote_amount:
                raise self._refuse(f"a {kind.value} order by quote amount")
            return order.quote_amount
        if order.amount is None:
            raise self._refuse(f"a {kind.value} order without an amount")
        return order.amount

    # Answers to reports

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        draft = signed.draft
        if (error := self.failures.failure(response, draft.changes, " ".join(draft.rest))) is not None:
            return self._failed(draft, error, response)
        return self._read(draft, response, self._readers[draft.kind])

    def _failed(self, draft: Draft, error: MeshError, response: HttpResponse) -> Reply:
        """Return the answer of a refused query: the order is absent. Raises `error` for any other refusal."""
        if draft.kind is Kind.ORDER and isinstance(error, Rejected) and self._is_absence(error):
            return Reply(absent=True)
        raise error

    def _is_absence(self, error: Rejected) -> bool:
        return self.refusal(error.code, error.reason) is Refusal.NOT_THERE

    def _read(self, draft: Draft, response: HttpResponse, reader: Reader) -> Reply:
        with reading(f"an answer to {draft.kind.value}", response.body, exact=self.exact) as answer:
            return reader(draft, *self._content(answer, response))

    def _content(self, answer: Any, response: HttpResponse) -> tuple[Any, int]:
        """Return the content of an answer without its envelope, and its time. Raises if the structure is different."""
        return answer, response.sent_ns

    def refusal(self, code: str, reason: str = "") -> Refusal:
        return self.failures.refusal(code, reason)

    def bind(self, instruments: Sequence[Instrument]) -> None:
        """Ignore the instruments: reports name the exchange's symbols."""

    # The user stream, and requests over a websocket

    def stream_url(self) -> str:
        raise self._refuse("a stream of reports")

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        return []

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | Missed | StreamSay]:
        return ()

    def call_url(self) -> str:
        raise self._refuse("orders over a websocket")

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        return None


def changed(names: tuple[str, str], amount: Decimal | None, price: Decimal | None) -> Params:
    """Return the parameters of an amendment: the amount and the price, those that change, under these names."""
    return [(name, plain(value)) for name, value in zip(names, (amount, price), strict=True) if value is not None]


def since(name: str, since_ns: int | None, unit_ns: int = MILLISECOND_NS) -> Params:
    """Return the parameter for a time, in whole units rounded down; no parameter without a time."""
    return [] if since_ns is None else [(name, str(max(0, since_ns) // unit_ns))]


def paged(draft: Draft, **changed: str | None) -> Draft:
    """Return the request for the next page, with these parameters in place of the same ones; None leaves one out."""
    kept = [(name, value) for name, value in draft.params if name not in changed]
    return replace(draft, params=(*kept, *((name, value) for name, value in changed.items() if value is not None)))


def redirected(draft: Draft, endpoint: Endpoint, params: Iterable[tuple[str, str]]) -> Draft:
    """Return the same request to another endpoint."""
    return replace(draft, rest=(endpoint.method, endpoint.path), params=tuple(params), cost=endpoint.cost)


def accepted(draft: Draft, symbol: str, exchange_order_id: str, at_ns: int, is_dated: bool) -> Reply:
    """Return an answer that only acknowledges an order: its id without a status. `is_dated`: see `OrderReport`."""
    made = OrderReport(symbol, draft.orders[0], exchange_order_id, None, at_ns, is_dated=is_dated)
    return Reply(orders=(made,), taken=draft.orders)


class Outcome(NamedTuple):
    """What an answer states of one order of a request: a refusal with its code, or the ids of an accepted order."""

    code: str | None = None  # None: accepted
    reason: str = ""
    symbol: str = ""
    client_order_id: str = ""
    exchange_order_id: str = ""


def acknowledged(draft: Draft, outcomes: Iterable[Outcome], at_ns: int, is_dated: bool) -> Reply:
    """Return an answer that acknowledges or refuses each order of a request, in their order, without a status.
    `is_dated`: see `OrderReport`.

    Raises:
        ValueError: an outcome is missing or belongs to another new order, or the only order is refused: a refusal of a
            whole request is an error of the answer.
    """
    placed, taken, refused = [], [], []
    for name, one in zip(draft.orders, outcomes, strict=True):
        if one.code is not None:
            refused.append((name, one.code, one.reason))
            continue
        taken.append(name)
        if draft.kind in (Kind.PLACE, Kind.BATCH_PLACE):
            if not one.exchange_order_id or one.client_order_id != name:
                raise ValueError("not the ids of the order that was placed")
            placed.append(OrderReport(one.symbol, name, one.exchange_order_id, None, at_ns, is_dated=is_dated))
    if refused and len(draft.orders) == 1:
        raise ValueError("a refusal in a successful answer")
    return Reply(orders=tuple(placed), taken=tuple(taken), refused=tuple(refused))


def asked_for(draft: Draft, report: OrderReport) -> Reply:
    """Return a found order under the client id of the query, because the exchange may have renamed the order."""
    return Reply(orders=(under(draft.orders[0], report),))


def under(client_order_id: str, report: OrderReport) -> OrderReport:
    """Return a report under this client id; `stated_id` keeps the exchange's, if that is another one."""
    stated = report.client_order_id
    return report if stated == client_order_id else replace(report, client_order_id=client_order_id, stated_id=stated)


def listed_orders(
    rows: Iterable[Any],
    read: Callable[[Any], OrderReport],
    id_key: str | int,
    client_of: Callable[[Any], Any],
    then: Draft | None = None,
) -> Reply:
    """Read a list of orders; an unreadable row is left out, named by the exchange's id under `id_key`. `client_of`
    finds the client id in a row."""
    found, left_out = each_row(rows, read, lambda row: row[id_key], client_of)
    return Reply(orders=tuple(found), left_out=left_out, then=then)


def listed_fills(
    rows: Iterable[Any], read: Callable[[Any], FillReport], id_of: Callable[[Any], Any], then: Draft | None = None
) -> Reply:
    """Read a list of fills, oldest first; an unreadable row is left out, named by its order's id at the exchange."""
    found, left_out = each_row(rows, read, id_of)
    return Reply(fills=tuple(found), left_out=left_out, then=then)


def each_report(
    rows: Iterable[Any], read: Callable[[Any], StreamReport], what: str, name_of: Callable[[Any], Any]
) -> list[StreamReport | Missed]:
    """Read the rows of a message of the user stream; in place of an unreadable row comes `Missed`, which names it."""
    found, left_out = each_row(rows, read, name_of)
    return [*found, *(Missed(f"a row of {what} on {one.name} {one.reason}") for one in left_out)]


def held(
    rows: Iterable[Any],
    read: Callable[[Any], tuple[str, tuple[Decimal, Decimal]]],
    key: str | int,
    ts_ns: int,
    whole: bool,
) -> BalanceReport:
    """Read a list of balances, as (asset, (free, locked)); an unreadable row is left out, and its asset stays
    unchanged.

    `whole`: an asset that is not listed is zero, unless a row without a name was left out.
    """
    found, left_out = each_row(rows, read, lambda row: row[key])
    unread = tuple(row.name for row in left_out if row.name is not None)
    return BalanceReport(dict(found), whole and len(unread) == len(left_out), ts_ns, unread)


def list_roles(kind: str, orders: Sequence[NewOrder]) -> list[tuple[str, NewOrder]]:
    """Return the orders of a list by their roles, in the order in which they are sent.

    OCO: two orders of one side and amount, in any order: "above" and "below" the market, where the stop loss of a buy
    is above. OTO: the "working" order, then the "pending" one. OTOCO: the "working" order, then a pending OCO in any
    order: "pendingAbove" and "pendingBelow".

    Raises:
        ValueError: the orders do not make such a list.
    """
    if any(order.amount is None for order in orders):
        raise ValueError(f"an order without an amount in a list {kind!r}")
    if kind == "OCO" and len(orders) == 2:
        return _two_sides(orders, "above", "below")
    if len(orders) != {"OTO": 2, "OTOCO": 3}.get(kind):
        raise ValueError(f"a list {kind!r} of {len(orders)} orders")
    if orders[0].order_type not in (OrderType.LIMIT, OrderType.LIMIT_MAKER):
        raise ValueError(f"a {orders[0].order_type.value} order as the working order of a list")
    pending = [("pending", orders[1])] if kind == "OTO" else _two_sides(orders[1:], "pendingAbove", "pendingBelow")
    return [("working", orders[0]), *pending]


def _two_sides(orders: Sequence[NewOrder], above: str, below: str) -> list[tuple[str, NewOrder]]:
    first, second = orders
    stop, other = (first, second) if first.order_type in STOP_LOSSES else (second, first)
    odd = other.order_type in (OrderType.LIMIT, OrderType.MARKET, *STOP_LOSSES)
    if stop.order_type not in STOP_LOSSES or odd:
        raise ValueError("an OCO other than one stop loss with one LIMIT_MAKER or take profit")
    if first.side is not second.side or first.amount != second.amount:
        raise ValueError("an OCO with two different sides or amounts")
    upper, lower = (stop, other) if first.side is Side.BUY else (other, stop)
    return [(above, upper), (below, lower)]

"""Bybit spot trading: intents to drafts, answers to reports. Orders go over REST; `stream` reads the user stream.

An answer to a change of an order only acknowledges; the stream or a query says what came of it. An order is looked up
among the open and latest closed ones, then in the history. Lists come newest first, in pages by cursor, of at most
seven days.

Source: order/{create-order, amend-order, cancel-order, cancel-all, open-order, order-list, execution}.mdx,
account/{wallet-balance, fee-rate}.mdx, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ...model.errors import NotOffered
from ...model.events import Side
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ...model.time import DAY_NS, MILLISECOND_NS
from .. import drafts
from ..drafts import plain
from ..order_codec import Auth, CallAnswer, Draft, Kind, Refusal, Reply, Signed
from ..reading import each_row, milliseconds, reading, rows, text
from ..reports import Missed, OrderReport, StreamOpened, StreamReport, StreamSay
from ..spec import ExchangeSpec
from . import reports
from .auth import BybitAuth
from .refusals import FAILURES
from .spec import CATEGORY, COST, FILLS_PAGE, OFFER, ORDERS_PAGE, PRIVATE, TRADING
from .stream import PrivateReader

Params = list[tuple[str, str]]
SPOT = ("category", CATEGORY)
WEEK_MS = 7 * DAY_NS // MILLISECOND_NS  # order-list.mdx, execution.mdx: startTime and endTime
REALTIME, HISTORY = TRADING["realtime"].path, TRADING["history"].path


class BybitTrading:
    """The trading side of one exchange that speaks Bybit's protocol."""

    offer = OFFER

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None) -> None:
        self.spec = spec
        self._rest = (rest or spec.rest).rstrip("/")
        self._ws = (ws or spec.ws).rstrip("/")
        self._reader = PrivateReader()
        self._readers: dict[Kind, Callable[[Draft, Any, int], Reply]] = {
            Kind.PLACE: self._placed,
            Kind.CANCEL: self._acknowledged,
            Kind.AMEND: self._acknowledged,
            Kind.CANCEL_ALL: self._all_cancelled,
            Kind.ORDER: self._found,
            Kind.OPEN_ORDERS: self._orders,
            Kind.ORDERS: self._orders,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: lambda draft, result, now_ns: Reply(account=reports.account(result, now_ns)),
            Kind.FEES: lambda draft, result, now_ns: Reply(fees=reports.fees(draft.pair or "", result)),
            Kind.RAW: lambda draft, result, now_ns: Reply(),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        head = [SPOT, ("symbol", instrument.symbol), ("side", "Buy" if order.side is Side.BUY else "Sell")]
        params = [*head, *self._shape(order), ("orderLinkId", order.client_order_id)]
        if order.self_trade is not None:
            params.append(("smpType", order.self_trade))
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def _shape(self, order: NewOrder) -> Params:
        """What an order is beside its pair, side and id. A market order says what it counts in: a buy is in quote
        otherwise."""
        kind, in_quote = order.order_type, order.quote_amount is not None
        size = order.quote_amount if in_quote else order.amount
        odd = size is None or order.stop_price is not None or (in_quote and order.amount is not None)
        if kind not in self.offer.order_types or odd:
            raise self._refuse(f"a {kind.value} order of this shape")
        qty = ("qty", plain(size or Decimal(0)))
        if kind is OrderType.MARKET:
            if order.price is not None or order.time_in_force not in (None, TimeInForce.GTC):
                raise self._refuse("a market order with a price or a time in force")
            return [("orderType", "Market"), qty, ("marketUnit", "quoteCoin" if in_quote else "baseCoin")]
        force = order.time_in_force or TimeInForce.GTC
        if in_quote or order.price is None or force not in self.offer.times_in_force:
            raise self._refuse(f"a {kind.value} order of this shape")
        if kind is OrderType.LIMIT_MAKER and force is not TimeInForce.GTC:
            raise self._refuse("a post-only order with a time in force")
        word = "PostOnly" if kind is OrderType.LIMIT_MAKER else force.value
        return [("orderType", "Limit"), qty, ("price", plain(order.price)), ("timeInForce", word)]

    def place_cost(self, order: NewOrder) -> tuple[tuple[tuple[str, int], ...], int]:
        return TRADING["place"].cost, TRADING["place"].order_count

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        params = [SPOT, ("symbol", instrument.symbol), _which(order.client_order_id, order.exchange_order_id)]
        return self._draft(Kind.CANCEL, "cancel", params, (order.client_order_id,), instrument)

    def cancel_all(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.CANCEL_ALL, "cancel_all", [SPOT, ("symbol", instrument.symbol)], (), instrument)

    def amend(self, order: Order, instrument: Instrument, amount: Decimal) -> Draft:
        """The new amount is the whole one, with what has filled."""
        which = _which(order.client_order_id, order.exchange_order_id)
        params = [SPOT, ("symbol", instrument.symbol), which, ("qty", plain(amount))]
        return self._draft(Kind.AMEND, "amend", params, (order.client_order_id,), instrument)

    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft:
        raise self._refuse("replacing an order in one request")

    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft:
        raise self._refuse(f"a list {kind!r} of orders through this connector")

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        params = [SPOT, ("symbol", instrument.symbol), _which(client_order_id, exchange_order_id)]
        return self._draft(Kind.ORDER, "realtime", params, (client_order_id,), instrument)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "realtime", [SPOT, ("limit", str(ORDERS_PAGE))], (), None)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """Those that have ended come first, page after page; then those that are open, whenever they were placed."""
        params = [SPOT, ("symbol", instrument.symbol), ("limit", str(ORDERS_PAGE)), *_since(since_ns)]
        return self._draft(Kind.ORDERS, "history", params, (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        params = [SPOT, ("symbol", instrument.symbol), ("limit", str(FILLS_PAGE))]
        of = [("orderId", exchange_order_id)] if exchange_order_id else _since(since_ns)
        return self._draft(Kind.FILLS, "fills", [*params, *of], (), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """All of the last week: ids are in no order, and the mesh walks by time (`Offer.fills_by_time`)."""
        return self.fills(instrument, None)

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "balance", [("accountType", "UNIFIED")], (), None)

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "fees", [SPOT, ("symbol", instrument.symbol)], (), instrument)

    def order_counts(self) -> Draft | None:
        """None: the exchange keeps no count of orders that can be asked for."""
        return None

    def raw(self, method: str, path: str, params: Sequence[tuple[str, str]], signed: bool) -> Draft:
        return drafts.raw(self.spec, self._rest, (method, path), params, signed, ("/v5/",), COST)

    def _draft(
        self, kind: Kind, endpoint: str, params: Params, ids: tuple[str, ...], instrument: Instrument | None
    ) -> Draft:
        return drafts.draft(kind, TRADING[endpoint], self._rest, params, ids, instrument)

    def _refuse(self, what: str) -> NotOffered:
        return NotOffered(self.spec.exchange, what)

    # Answers to reports

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        draft = signed.draft
        if (error := FAILURES.failure(response, draft.changes, " ".join(draft.rest))) is not None:
            raise error
        with reading(f"an answer to {draft.kind.value}", response.body) as answer:
            if type(answer["retCode"]) is not int or answer["retCode"]:
                raise ValueError("not the answer's code")
            return self._readers[draft.kind](draft, answer["result"], milliseconds(answer["time"]))

    def _placed(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        """Read the order's id; the answer has no state."""
        number = text(result["orderId"])
        if not number or result["orderLinkId"] != draft.orders[0]:
            raise ValueError("not the ids of the order that was placed")
        made = OrderReport(dict(draft.params)["symbol"], draft.orders[0], number, None, now_ns)
        return Reply(orders=(made,), taken=draft.orders)

    def _acknowledged(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        """Read the order's id; the answer to a cancel or an amendment has no state."""
        if not text(result["orderId"]):
            raise ValueError("not the id of an order")
        return Reply(taken=draft.orders)

    def _all_cancelled(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        """Read the client ids of the orders that are being cancelled; orders of other programs may have none."""
        if result["success"] != "1":
            raise ValueError("not a success")
        return Reply(taken=tuple(text(row["orderLinkId"]) for row in rows(result["list"]) if row["orderLinkId"]))

    def _found(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        """The order that was asked for, under the id it was asked for; the history is asked where it is not found."""
        found = rows(result["list"])
        if found:
            (row,) = found
            return Reply(orders=(replace(reports.order(row), client_order_id=draft.orders[0]),))
        if draft.rest[1] == REALTIME:
            return Reply(then=_to(draft, "history", draft.params))
        return Reply(absent=True)

    def _orders(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        found, left_out = each_row(rows(result["list"]), reports.order, lambda row: text(row["orderId"]))
        then = _more(draft, result, now_ns)
        if then is None and draft.rest[1] == HISTORY:
            kept = [one for one in draft.params if one[0] in ("category", "symbol", "limit")]
            then = _to(draft, "realtime", kept)
        return Reply(orders=tuple(found), left_out=left_out, then=then)

    def _fills(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        listed = [row for row in rows(result["list"]) if row["execType"] == "Trade"]
        found, left_out = each_row(listed, reports.fill, lambda row: text(row["orderId"]))
        return Reply(fills=tuple(reversed(found)), left_out=left_out, then=_more(draft, result, now_ns))

    def refusal(self, code: str, reason: str = "") -> Refusal:
        return FAILURES.refusal(code, reason)

    def bind(self, instruments: Sequence[Instrument]) -> None:
        """Keep nothing: reports name instruments as the exchange does."""

    # The user stream

    def stream_url(self) -> str:
        return f"{self._ws}{PRIVATE}"

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Authenticate; the topics are subscribed to once that is confirmed."""
        assert isinstance(auth, BybitAuth)
        self._reader = PrivateReader(request_id)
        return [auth.auth(now_ns, validity_ms)]

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | StreamSay | Missed]:
        return self._reader.read(frame)

    def call_url(self) -> str:
        raise self._refuse("orders over a websocket through this connector")

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        raise self._refuse("orders over a websocket through this connector")


def _which(client_order_id: str, exchange_order_id: str | None) -> tuple[str, str]:
    return ("orderId", exchange_order_id) if exchange_order_id else ("orderLinkId", client_order_id)


def _since(since_ns: int | None) -> Params:
    return [] if since_ns is None else [("startTime", str(max(0, since_ns) // MILLISECOND_NS))]


def _to(draft: Draft, endpoint: str, params: Sequence[tuple[str, str]]) -> Draft:
    asked = TRADING[endpoint]
    return replace(draft, rest=(asked.method, asked.path), params=tuple(params), cost=asked.cost)


def _more(draft: Draft, result: Any, now_ns: int) -> Draft | None:
    """Ask for the next page; after the last page of a week for the week that follows, up to the present."""
    cursor, asked = text(result["nextPageCursor"]), dict(draft.params)
    kept = [one for one in draft.params if one[0] != "cursor"]
    if cursor:
        return replace(draft, params=(*kept, ("cursor", cursor))) if rows(result["list"]) else None
    start = int(asked["startTime"]) + WEEK_MS if "startTime" in asked else now_ns // MILLISECOND_NS
    if start >= now_ns // MILLISECOND_NS:
        return None
    return replace(draft, params=tuple(("startTime", str(start)) if one[0] == "startTime" else one for one in kept))

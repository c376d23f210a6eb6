"""Binance spot trading: intents to drafts, answers and frames to reports.

Client order ids. A cancel gives the cancelled order a new client id: the one in the cancel's request, or a random one.
A query by the order's old id would then find nothing, which would look like proof that the order never existed. So our
cancels and replacements repeat the order's own id, and an amendment keeps it. Where the exchange chose another id (a
cancel of all, a cancel from elsewhere) reports still carry the original id, and `query` can use the exchange's id.

Source: web-socket-api.md, Cancel order (notes); rest-api.md, Trading endpoints, Order Amend Keep Priority and Account
endpoints; user-data-stream.md; all read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from ...model.errors import MeshError, NotOffered, OutcomeUnknown, Rejected
from ...model.events import Side
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce
from ...model.time import MILLISECOND_NS
from .. import drafts
from ..drafts import plain
from ..order_codec import Auth, CallAnswer, Draft, Kind, Refusal, Reply, Signed
from ..reading import each_row, reading, rows
from ..reports import OrderReport, StreamEnded, StreamOpened, StreamReport
from ..spec import Endpoint, ExchangeSpec, Offer
from . import reports
from .refusals import FAILURES, error_body
from .spec import OFFER, TRADING, WEIGHT

RAW_PATHS = ("/api/", "/sapi/")
RAW_WEIGHT = 20  # assumed for a request that the spec does not list
ARCHIVED = "-2026"  # errors.md: canceled or expired without a fill over 90 days ago
UNKNOWN_TO_IT = "Unknown order sent."
GTC_DEFAULT = frozenset({OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
MANY = frozenset({Kind.OPEN_ORDERS, Kind.ORDERS, Kind.CANCEL_ALL})  # answered by an array
STOP_LOSSES = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})
SUBSCRIBE = Endpoint("", "", ((WEIGHT, 2),), call="userDataStream.subscribe.signature")
IGNORED = frozenset({"externalLockUpdate"})  # user-data-stream.md: locks by another system; the next balances show them

Params = list[tuple[str, str]]


class BinanceTrading:
    """The trading side of an exchange with Binance's protocol.

    With `rest` and without `ws_api` every request goes over REST, so that signed requests reach that server only.
    """

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws_api: str | None, offer: Offer = OFFER) -> None:
        self.spec = spec
        self.offer = offer
        self._rest = (rest or spec.rest).rstrip("/")
        self._ws_api = (ws_api if ws_api is not None or rest is not None else spec.ws_api or "") or ""
        self._readers: dict[Kind, Callable[[Draft, Any], Reply]] = {
            Kind.PLACE: self._orders,
            Kind.CANCEL: self._orders,
            Kind.CANCEL_ALL: self._orders,
            Kind.PLACE_LIST: self._orders,
            Kind.OPEN_ORDERS: self._orders,
            Kind.ORDERS: self._orders,
            Kind.ORDER: self._one,
            Kind.AMEND: self._amended,
            Kind.REPLACE: self._replaced,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: lambda draft, read: Reply(account=reports.account(read)),
            Kind.FEES: lambda draft, read: Reply(fees=reports.fees(draft.pair or "", read)),
            Kind.ORDER_COUNTS: lambda draft, read: Reply(counts=self._counts(read)),
            Kind.RAW: lambda draft, read: Reply(),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        head = [("symbol", instrument.symbol), ("side", order.side.name), ("newClientOrderId", order.client_order_id)]
        params = [*head, ("newOrderRespType", "FULL"), *self._shape(order)]
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def place_cost(self, order: NewOrder) -> tuple[tuple[tuple[str, int], ...], int]:
        return TRADING["place"].cost, TRADING["place"].order_count

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        params = [
            ("symbol", instrument.symbol),
            self._which(order, "orderId", "origClientOrderId"),
            ("newClientOrderId", order.client_order_id),
        ]
        return self._draft(Kind.CANCEL, "cancel", params, (order.client_order_id,), instrument)

    def cancel_all(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.CANCEL_ALL, "cancel_all", [("symbol", instrument.symbol)], (), instrument)

    def amend(self, order: Order, instrument: Instrument, amount: Decimal) -> Draft:
        params = [
            ("symbol", instrument.symbol),
            self._which(order, "orderId", "origClientOrderId"),
            ("newClientOrderId", order.client_order_id),
            ("newQty", plain(amount)),
        ]
        return self._draft(Kind.AMEND, "amend", params, (order.client_order_id,), instrument)

    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft:
        """If the cancel fails the new order is not attempted. Both ids are in `orders`, the old one first."""
        params = [
            ("symbol", instrument.symbol),
            ("side", new.side.name),
            ("cancelReplaceMode", "STOP_ON_FAILURE"),
            self._which(order, "cancelOrderId", "cancelOrigClientOrderId"),
            ("cancelNewClientOrderId", order.client_order_id),
            ("newClientOrderId", new.client_order_id),
            ("newOrderRespType", "FULL"),
            *self._shape(new),
        ]
        return self._draft(Kind.REPLACE, "replace", params, (order.client_order_id, new.client_order_id), instrument)

    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft:
        """OCO: two orders of one side and amount, in any order. OTO: the working order, then the pending one. OTOCO:
        the working order, then the two of the pending OCO in any order.

        Raises:
            NotOffered: another kind, another number of orders, or orders that do not make such a list.
        """
        params = [("symbol", instrument.symbol), ("listClientOrderId", list_id), ("newOrderRespType", "FULL")]
        if kind == "OCO" and len(orders) == 2:
            params += [("side", orders[0].side.name), ("quantity", self._amount(orders[0]))]
            params += self._pair(orders, "above", "below")
        elif kind == "OTO" and len(orders) == 2:
            params += self._leg("working", orders[0], alone=True) + self._leg("pending", orders[1], alone=True)
        elif kind == "OTOCO" and len(orders) == 3:
            params += self._leg("working", orders[0], alone=True)
            params += [("pendingSide", orders[1].side.name), ("pendingQuantity", self._amount(orders[1]))]
            params += self._pair(orders[1:], "pendingAbove", "pendingBelow")
        else:
            raise self._refuse(f"a list {kind!r} of {len(orders)} orders")
        modes = {order.self_trade for order in orders}
        if len(modes) > 1:
            raise self._refuse("different self-trade prevention within one list")
        if (mode := modes.pop()) is not None:
            params.append(("selfTradePreventionMode", mode))
        ids = tuple(order.client_order_id for order in orders)
        return self._draft(Kind.PLACE_LIST, kind.lower(), params, ids, instrument)

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        """Query by the exchange's id where it is known, because the client id may change."""
        which = ("origClientOrderId", client_order_id) if not exchange_order_id else ("orderId", exchange_order_id)
        params = [("symbol", instrument.symbol), which]
        return self._draft(Kind.ORDER, "order", params, (client_order_id,), instrument)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "open_orders", [], (), None)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        params = [("symbol", instrument.symbol)]
        if since_ns is not None:
            params.append(("startTime", str(max(0, since_ns) // MILLISECOND_NS)))
        return self._draft(Kind.ORDERS, "orders", [*params, ("limit", "1000")], (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        """Fills of one order, or since a time, or from the account's first fill; oldest first.

        With a time the manual allows windows of at most 24 hours, so an empty page does not prove that there are no
        later fills. `fills_after` proves it.
        """
        page = ("limit", str(self.offer.fills_page))
        if exchange_order_id:
            params = [("symbol", instrument.symbol), ("orderId", exchange_order_id), ("fromId", "0"), page]
            return self._draft(Kind.FILLS, "fills_of_order", params, (), instrument)
        since = ("fromId", "0") if since_ns is None else ("startTime", str(max(0, since_ns) // MILLISECOND_NS))
        return self._draft(Kind.FILLS, "fills", [("symbol", instrument.symbol), since, page], (), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        page = ("limit", str(self.offer.fills_page))
        params = [("symbol", instrument.symbol), ("fromId", str(int(trade_id) + 1)), page]
        return self._draft(Kind.FILLS, "fills", params, (), instrument)

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "account", [("omitZeroBalances", "true")], (), None)

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "fees", [("symbol", instrument.symbol)], (), instrument)

    def order_counts(self) -> Draft | None:
        return self._draft(Kind.ORDER_COUNTS, "order_count", [], (), None)

    def _counts(self, read: Any) -> dict[str, int]:
        """Source: rest-api.md, Query Unfilled Order Count, read 2026-11-22."""
        names, used = self.spec.account_headers, _used(rows(read))
        return {names[header]: int(count) for header, count in used.items() if header in names}

    def raw(self, method: str, path: str, params: Sequence[tuple[str, str]], signed: bool) -> Draft:
        assumed = ((WEIGHT, RAW_WEIGHT),)
        return drafts.raw(self.spec, self._rest, (method, path), params, signed, RAW_PATHS, assumed)

    def _draft(
        self, kind: Kind, endpoint: str, params: Params, ids: tuple[str, ...], instrument: Instrument | None
    ) -> Draft:
        return drafts.draft(kind, TRADING[endpoint], self._rest, params, ids, instrument)

    def _which(self, order: Order, by_exchange: str, by_client: str) -> tuple[str, str]:
        """Name the order by one id: the exchange's if known, which is unique and faster (rest-api.md, Cancel order)."""
        if order.exchange_order_id:
            return by_exchange, order.exchange_order_id
        return by_client, order.client_order_id

    def _shape(self, order: NewOrder) -> Params:
        """Parameters other than symbol, side and id. Source: rest-api.md, New order, table by type."""
        params = [("type", order.order_type.value)]
        if order.quote_amount is None:
            params.append(("quantity", self._amount(order)))
        elif order.order_type is OrderType.MARKET and order.amount is None:
            params.append(("quoteOrderQty", plain(order.quote_amount)))
        else:
            raise self._refuse(f"a {order.order_type.value} order by quote amount")
        params += self._prices("", order)
        if order.self_trade is not None:
            params.append(("selfTradePreventionMode", order.self_trade))
        return params

    def _amount(self, order: NewOrder) -> str:
        if order.amount is None:
            raise self._refuse(f"a {order.order_type.value} order without an amount")
        return plain(order.amount)

    def _prices(self, prefix: str, order: NewOrder) -> Params:
        def name(plain: str) -> str:
            return prefix + plain[0].upper() + plain[1:] if prefix else plain

        kind, params = order.order_type, []
        if kind.has_price != (order.price is not None) or kind.has_stop != (order.stop_price is not None):
            raise self._refuse(f"a {kind.value} order with these prices")
        if order.price is not None:
            params.append((name("price"), plain(order.price)))
        if kind in GTC_DEFAULT:
            params.append((name("timeInForce"), (order.time_in_force or TimeInForce.GTC).value))
        elif order.time_in_force not in (None, TimeInForce.GTC):
            raise self._refuse(f"a {kind.value} order with a time in force")
        if order.stop_price is not None:
            params.append((name("stopPrice"), plain(order.stop_price)))
        return params

    def _leg(self, prefix: str, order: NewOrder, alone: bool = False) -> Params:
        """Parameters of one order of a list; `alone`: with its own side and amount."""
        params = [(f"{prefix}Type", order.order_type.value), (f"{prefix}ClientOrderId", order.client_order_id)]
        if prefix == "working" and order.order_type not in (OrderType.LIMIT, OrderType.LIMIT_MAKER):
            raise self._refuse(f"a {order.order_type.value} order as the working order of a list")
        if alone:
            params += [(f"{prefix}Side", order.side.name), (f"{prefix}Quantity", self._amount(order))]
        return params + self._prices(prefix, order)

    def _pair(self, orders: Sequence[NewOrder], above: str, below: str) -> Params:
        """Parameters of an OCO's orders above and below the market. A buy's stop loss is above, a sell's below."""
        first, second = orders
        stops = [order for order in orders if order.order_type in STOP_LOSSES]
        others = [order for order in orders if order.order_type not in STOP_LOSSES]
        if len(stops) != 1 or others[0].order_type in (OrderType.LIMIT, OrderType.MARKET):
            raise self._refuse("an OCO other than one stop loss with one LIMIT_MAKER or take profit")
        if first.side is not second.side or first.amount != second.amount:
            raise self._refuse("an OCO with two different sides or amounts")
        upper, lower = (stops[0], others[0]) if first.side is Side.BUY else (others[0], stops[0])
        return self._leg(above, upper) + self._leg(below, lower)

    def _refuse(self, what: str) -> NotOffered:
        return NotOffered(self.spec.exchange, what)

    # Answers

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        draft = signed.draft
        what = " ".join(draft.rest)
        if draft.kind is Kind.REPLACE and response.status < 500 and (halves := self._halves(response.body)):
            return self._read(draft, response.body, lambda draft, read: self._parted(draft, halves))
        if (error := FAILURES.failure(response, draft.changes, what)) is not None:
            return self._refused(draft, error, response)
        return self._read(draft, response.body, self._readers[draft.kind])

    def _refused(self, draft: Draft, error: MeshError, response: HttpResponse) -> Reply:
        """Read refusals that are answers: the order does not exist, or no order was open."""
        if isinstance(error, Rejected):
            sort = FAILURES.refusal(error.code, error.reason)
            if draft.kind is Kind.ORDER and error.code == ARCHIVED:
                return Reply(orders=(_archived(draft, error, response.recv_ns),))
            if draft.kind is Kind.ORDER and sort is Refusal.NOT_THERE:
                return Reply(absent=True)
            if draft.kind is Kind.CANCEL_ALL and error.reason == UNKNOWN_TO_IT:
                return Reply(absent=True)
        raise error

    def _read(self, draft: Draft, body: bytes, reader: Callable[[Draft, Any], Reply]) -> Reply:
        with reading(f"an answer to {draft.kind.value}", body) as read:
            return reader(draft, read)

    def _orders(self, draft: Draft, read: Any) -> Reply:
        if isinstance(read, list) is not (draft.kind in MANY):
            raise TypeError("one order or one list of orders" if draft.kind not in MANY else "no array")
        if draft.kind in (Kind.OPEN_ORDERS, Kind.ORDERS):
            found, left_out = each_row(read, reports.order, lambda row: row["orderId"])
            return Reply(orders=tuple(found), left_out=left_out)
        orders, lists = reports.orders(read)
        return Reply(orders=orders, lists=lists)

    def _fills(self, draft: Draft, read: Any) -> Reply:
        found, left_out = each_row(rows(read), reports.trade, lambda row: row["id"])
        return Reply(fills=tuple(found), left_out=left_out)

    def _one(self, draft: Draft, read: Any) -> Reply:
        """The requested order, under the client id of the request."""
        return Reply(orders=(replace(reports.order(read), client_order_id=draft.orders[0]),))

    def _amended(self, draft: Draft, read: Any) -> Reply:
        orders, lists = reports.amended(read)
        return Reply(orders=orders, lists=lists)

    def _replaced(self, draft: Draft, read: Any) -> Reply:
        return self._parted(draft, read if "cancelResult" in read else read["data"])

    def _halves(self, body: bytes) -> dict[str, Any] | None:
        """The two results inside a refusal of a cancel-replace (-2021, -2022); None for any other answer."""
        error = error_body(body)
        data = None if error is None else error.data
        return data if isinstance(data, dict) and "cancelResult" in data else None

    def _parted(self, draft: Draft, halves: dict[str, Any]) -> Reply:
        """Read both halves, each done, refused or not attempted. Source: rest-api.md, Cancel an Existing Order and
        Send a New Order."""
        orders: tuple[OrderReport, ...] = ()
        refused: list[tuple[str, str, str]] = []
        lists: tuple[Any, ...] = ()
        parts = zip(draft.orders, ("cancel", "newOrder"), strict=True)
        for client_order_id, half in parts:
            result, answer = halves[f"{half}Result"], halves.get(f"{half}Response") or {}
            if result == "SUCCESS":
                found, of_list = reports.orders(answer)
                orders, lists = orders + found, lists + of_list
            elif result == "FAILURE":
                code, reason = str(int(answer["code"])), str(answer["msg"])
                if FAILURES.refusal(code, reason) is Refusal.UNKNOWN:
                    raise OutcomeUnknown(" ".join(draft.rest), f"{code}: {reason}")
                refused.append((client_order_id, code, reason))
            elif result == "NOT_ATTEMPTED":
                refused.append((client_order_id, "-2022", "not attempted: the cancel was refused"))
            else:
                raise ValueError(f"{half}Result {result!r} is not known")
        return Reply(orders=orders, lists=lists, refused=tuple(refused))

    def refusal(self, code: str, reason: str = "") -> Refusal:
        return FAILURES.refusal(code, reason)

    def bind(self, instruments: Sequence[Instrument]) -> None:
        """Does nothing: reports carry the exchange's symbols, also of pairs that are not tracked."""

    # The user stream and the websocket API

    def stream_url(self) -> str:
        return self.call_url()

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Subscribe by signature, which works with all three kinds of key; a session needs Ed25519."""
        draft = Draft(Kind.RAW, ("GET", SUBSCRIBE.path), SUBSCRIBE.call, (), cost=SUBSCRIBE.cost)
        frame = auth.sign_call(draft, request_id, now_ns, validity_ms).call
        return [] if frame is None else [frame]

    def stream_decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[StreamReport | StreamOpened]:
        with reading("a frame of the user stream", frame) as message:
            if "event" in message:
                return self._event(message["event"])
            if "status" in message and "id" in message:
                return (_opened(message),)
            raise TypeError("neither an event nor an answer")

    def _event(self, event: dict[str, Any]) -> Sequence[StreamReport]:
        kind = event["e"]
        if kind in IGNORED:
            return ()
        reader = STREAM.get(kind)
        if reader is None:
            if not isinstance(kind, str):
                raise TypeError("an event without a type")
            return ()  # a kind added later; queries give the same facts about orders and balances
        return (reader(event),)

    def call_url(self) -> str:
        if not self._ws_api:
            raise self._refuse("requests over a websocket")
        return self._ws_api

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        try:
            message = orjson.loads(frame)
            if not isinstance(message, dict) or "status" not in message or not isinstance(message.get("id"), str):
                return None
            status = message["status"]
            body = message["result"] if status == 200 else message["error"]
            if type(status) is not int:
                return None
        except (orjson.JSONDecodeError, KeyError):
            return None
        return CallAnswer(message["id"], status, orjson.dumps(body), _used(message.get("rateLimits")))


STREAM: dict[str, Callable[[dict[str, Any]], StreamReport]] = {
    "executionReport": reports.execution,
    "outboundAccountPosition": reports.position,
    "balanceUpdate": reports.balance_change,
    "listStatus": reports.list_event,
    "eventStreamTerminated": lambda event: StreamEnded("the exchange terminated the subscription"),
    "serverShutdown": lambda event: StreamEnded("the exchange announced that this server shuts down"),
}


USED = {"REQUEST_WEIGHT": "x-mbx-used-weight", "ORDERS": "x-mbx-order-count"}


def _used(limits: Any) -> dict[str, str]:
    """Return the use of limits in an answer in the form of REST's headers: x-mbx-used-weight-1m.

    Source: web-socket-api.md, How to interpret rate limits; rest-api.md, General Info on Limits, read 2026-11-22.
    """
    found = {}
    for row in limits if isinstance(limits, list) else ():
        kind = USED.get(str(row.get("rateLimitType"))) if isinstance(row, dict) else None
        if kind is not None and type(row.get("count")) is int:
            found[f"{kind}-{row.get('intervalNum')}{str(row.get('interval'))[:1].lower()}"] = str(row["count"])
    return found


def _opened(message: dict[str, Any]) -> StreamOpened:
    if message["status"] == 200:
        return StreamOpened(str(message["id"]))
    error = message["error"]
    return StreamOpened(str(message["id"]), str(int(error["code"])), str(error["msg"]))


def _archived(draft: Draft, error: Rejected, recv_ns: int) -> OrderReport:
    """Report an order that ended without a fill: the exchange states neither its id nor whether it expired."""
    symbol = dict(draft.params)["symbol"]
    ended = OrderStatus.CANCELED
    return OrderReport(
        symbol, draft.orders[0], "", ended, recv_ns, filled=Decimal(0), code=error.code, reason=error.reason
    )

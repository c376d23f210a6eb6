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

from ...model.errors import MeshError, OutcomeUnknown, Rejected
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderStatus, TimeInForce
from ..drafts import plain
from ..order_codec import Auth, CallAnswer, Draft, Kind, Refusal, Reply, Signed
from ..reading import integer, reading, request_key, rows, text
from ..reports import ListReport, OrderReport, StreamEnded, StreamOpened, StreamReport
from ..spec import Endpoint, ExchangeSpec, Offer
from ..trading import TIMED, Params, Trading, asked_for, list_roles, listed_fills, listed_orders, since
from . import reports
from .refusals import FAILURES, error_body
from .spec import OFFER, WEIGHT

ARCHIVED = "-2026"  # errors.md: canceled or expired without a fill over 90 days ago
UNKNOWN_TO_IT = "Unknown order sent."
SUBSCRIBE = Endpoint("", "", ((WEIGHT, 2),), call="userDataStream.subscribe.signature")
FULL = ("newOrderRespType", "FULL")
STREAM: dict[str, Callable[[dict[str, Any]], StreamReport]] = {
    "executionReport": reports.execution,
    "outboundAccountPosition": reports.position,
    "balanceUpdate": reports.balance_change,
    "listStatus": reports.list_event,
    "eventStreamTerminated": lambda event: StreamEnded("the exchange terminated the subscription"),
    "serverShutdown": lambda event: StreamEnded("the exchange announced that this server shuts down"),
}
# The parts of a list that have a side and an amount, and the orders that state them: both of an OCO have the same
PARTS = {"above": "", "pendingAbove": "pending", "working": "working", "pending": "pending"}
USED = {"REQUEST_WEIGHT": "x-mbx-used-weight", "ORDERS": "x-mbx-order-count"}


class BinanceTrading(Trading):
    """The trading side of an exchange with Binance's protocol.

    With `rest` and without `ws_api` every request goes over REST, so that signed requests reach that server only.
    """

    failures = FAILURES
    raw_paths, raw_cost = ("/api/", "/sapi/"), ((WEIGHT, 20),)

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws_api: str | None, offer: Offer = OFFER) -> None:
        super().__init__(spec, rest, offer)
        self._ws_api = (ws_api if ws_api is not None or rest is not None else spec.ws_api or "") or ""
        self._readers |= dict.fromkeys((Kind.PLACE, Kind.CANCEL, Kind.CANCEL_ALL, Kind.PLACE_LIST), self._changed)
        self._readers |= {
            Kind.OPEN_ORDERS: _listed,
            Kind.ORDERS: _listed,
            Kind.ORDER: lambda draft, read, at_ns: asked_for(draft, reports.order(read)),
            Kind.AMEND: lambda draft, read, at_ns: _reply(*reports.amended(read)),
            Kind.REPLACE: lambda draft, read, at_ns: _parted(draft, read if "cancelResult" in read else read["data"]),
            Kind.FILLS: lambda draft, read, at_ns: _fills(rows(read)),
            Kind.ACCOUNT: lambda draft, read, at_ns: Reply(account=reports.account(read)),
            Kind.FEES: lambda draft, read, at_ns: Reply(fees=reports.fees(draft.pair or "", read)),
            Kind.ORDER_COUNTS: lambda draft, read, at_ns: Reply(counts=self._counts(read)),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        head = [("symbol", instrument.symbol), ("side", order.side.name), ("newClientOrderId", order.client_order_id)]
        params = [*head, FULL, *self._shape(order)]
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        return self._draft(Kind.CANCEL, "cancel", _named(order, instrument), (order.client_order_id,), instrument)

    def cancel_all(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.CANCEL_ALL, "cancel_all", [("symbol", instrument.symbol)], (), instrument)

    def amend(
        self, order: Order, instrument: Instrument, amount: Decimal | None, price: Decimal | None = None
    ) -> Draft:
        if not self.offer.amend:
            return super().amend(order, instrument, amount, price)
        if amount is None or price is not None:
            raise self._refuse("amending a price")
        params = [*_named(order, instrument), ("newQty", plain(amount))]
        return self._draft(Kind.AMEND, "amend", params, (order.client_order_id,), instrument)

    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft:
        """If the cancel fails the new order is not attempted. Both ids are in `orders`, the old one first."""
        params = [
            ("symbol", instrument.symbol),
            ("side", new.side.name),
            ("cancelReplaceMode", "STOP_ON_FAILURE"),
            _which(order.exchange_order_id, order.client_order_id, "cancelOrderId", "cancelOrigClientOrderId"),
            ("cancelNewClientOrderId", order.client_order_id),
            ("newClientOrderId", new.client_order_id),
            FULL,
            *self._shape(new),
        ]
        return self._draft(Kind.REPLACE, "replace", params, (order.client_order_id, new.client_order_id), instrument)

    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft:
        """Place the kinds of lists that `list_roles` describes. Raises NotOffered: the orders do not make such a list.

        Orders of a pair share a side and an amount: an OCO as the list, a pending OCO as its pending part.
        """
        params = [("symbol", instrument.symbol), ("listClientOrderId", list_id), FULL]
        if kind not in self.offer.order_lists:
            raise self._refuse(f"a list {kind!r}")
        try:
            roles = list_roles(kind, orders)
        except ValueError as error:
            raise self._refuse(str(error)) from None
        if len({order.self_trade for order in orders}) > 1:
            raise self._refuse("different self-trade prevention within one list")
        ids = tuple(order.client_order_id for order in orders)
        params += [*self._members(roles), *_self_trade(orders[0])]
        return self._draft(Kind.PLACE_LIST, kind.lower(), params, ids, instrument)

    def _members(self, roles: list[tuple[str, NewOrder]]) -> Params:
        """Return the parameters of the orders of a list."""
        params: Params = []
        for role, order in roles:
            amount, part = plain(self._shaped(order)), PARTS.get(role)
            if part is not None:
                params += [(_name(part, "side"), order.side.name), (_name(part, "quantity"), amount)]
            params += [(f"{role}Type", order.order_type.value), (f"{role}ClientOrderId", order.client_order_id)]
            params += _prices(role, order)
        return params

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        """Query by the exchange's id where it is known, because the client id may change."""
        params = [("symbol", instrument.symbol), _which(exchange_order_id, client_order_id)]
        return self._draft(Kind.ORDER, "order", params, (client_order_id,), instrument)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "open_orders", [])

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        params = [("symbol", instrument.symbol), *since("startTime", since_ns), ("limit", "1000")]
        return self._draft(Kind.ORDERS, "orders", params, (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        """Fills of one order, or since a time, or from the account's first fill; oldest first.

        With a time the manual allows windows of at most 24 hours, so an empty page does not prove that there are no
        later fills. `fills_after` proves it.
        """
        if exchange_order_id:
            return self._fills("fills_of_order", instrument, [("orderId", exchange_order_id), ("fromId", "0")])
        return self._fills("fills", instrument, since("startTime", since_ns) or [("fromId", "0")])

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        return self._fills("fills", instrument, [("fromId", str(int(trade_id) + 1))])

    def _fills(self, endpoint: str, instrument: Instrument, which: Params) -> Draft:
        params = [("symbol", instrument.symbol), *which, ("limit", str(self.offer.fills_page))]
        return self._draft(Kind.FILLS, endpoint, params, (), instrument)

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "account", [("omitZeroBalances", "true")])

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "fees", [("symbol", instrument.symbol)], (), instrument)

    def order_counts(self) -> Draft | None:
        return self._draft(Kind.ORDER_COUNTS, "order_count", [])

    def _counts(self, read: Any) -> dict[str, int]:
        """Source: rest-api.md, Query Unfilled Order Count, read 2026-11-22."""
        names, used = self.spec.account_headers, _used(rows(read))
        return {names[header]: integer(int(count)) for header, count in used.items() if header in names}

    def _shape(self, order: NewOrder) -> Params:
        """Parameters other than symbol, side and id. Source: rest-api.md, New order, table by type."""
        amount = "quantity" if order.quote_amount is None else "quoteOrderQty"
        params = [("type", order.order_type.value), (amount, plain(self._shaped(order)))]
        return [*params, *_prices("", order), *_self_trade(order)]

    # Answers

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        """Read the two results inside a refusal of a cancel-replace (-2021, -2022); the rest is as usual."""
        error = error_body(response.body) if signed.draft.kind is Kind.REPLACE and response.status < 500 else None
        if error is not None and isinstance(error.data, dict) and "cancelResult" in error.data:
            halves = error.data
            return self._read(signed.draft, response, lambda draft, read, at_ns: _parted(draft, halves))
        return super().reply(signed, response)

    def _failed(self, draft: Draft, error: MeshError, response: HttpResponse) -> Reply:
        """Read refusals that are answers: the order does not exist, or no order was open."""
        if draft.kind is Kind.ORDER and isinstance(error, Rejected) and error.code == ARCHIVED:
            return Reply(orders=(_archived(draft, error, response.recv_ns),))
        if draft.kind is Kind.CANCEL_ALL and isinstance(error, Rejected) and error.reason == UNKNOWN_TO_IT:
            return Reply(absent=True)
        return super()._failed(draft, error, response)

    def _changed(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        if isinstance(read, list) is not (draft.kind is Kind.CANCEL_ALL):
            raise TypeError("one order for many, or many for one")
        return _reply(*reports.orders(read))

    # The user stream and the websocket API

    def stream_url(self) -> str:
        return self.call_url()

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Subscribe by signature, which works with all three kinds of key; a session needs Ed25519."""
        draft = Draft(Kind.RAW, ("GET", SUBSCRIBE.path), SUBSCRIBE.call, (), cost=SUBSCRIBE.cost)
        frame = auth.sign_call(draft, request_id, now_ns, validity_ms).call
        return [] if frame is None else [frame]

    def stream_decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[StreamReport | StreamOpened]:
        """Read an event or the answer to the subscription. Other kinds of events are skipped: queries give the same
        facts about orders and balances (externalLockUpdate: locks by another system; the next balances show them)."""
        with reading("a frame of the user stream", frame) as message:
            if "event" in message:
                return event(message["event"])
            request_id = "" if message["id"] is None else str(request_key(message["id"]))
            if message["status"] == 200:
                return (StreamOpened(request_id),)
            error = message["error"]
            return (StreamOpened(request_id, str(int(error["code"])), text(error["msg"])),)

    def call_url(self) -> str:
        if not self._ws_api:
            raise self._refuse("requests over a websocket")
        return self._ws_api

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        try:
            message = orjson.loads(frame)
            status, request_id = message["status"], message["id"]
            body = message["result"] if status == 200 else message["error"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return None
        if type(status) is not int or not 100 <= status <= 999 or not isinstance(request_id, str):
            return None
        return CallAnswer(request_id, status, orjson.dumps(body), _used(message.get("rateLimits")))


def _listed(draft: Draft, read: Any, at_ns: int) -> Reply:
    return listed_orders(rows(read), reports.order, "orderId", lambda row: row["clientOrderId"])


def _fills(listed: list[Any]) -> Reply:
    return listed_fills(listed, reports.trade, lambda row: row["orderId"])


def event(message: dict[str, Any]) -> Sequence[StreamReport]:
    """Read an event of the user stream; none for a kind that the mesh does not use."""
    kind = message["e"]
    if not isinstance(kind, str):
        raise TypeError("an event without a type")
    return (STREAM[kind](message),) if kind in STREAM else ()


def _which(
    exchange_order_id: str | None,
    client_order_id: str,
    by_exchange: str = "orderId",
    by_client: str = "origClientOrderId",
) -> tuple[str, str]:
    """Name the order by one id: the exchange's if known, which is unique and faster (rest-api.md, Cancel order)."""
    return (by_exchange, exchange_order_id) if exchange_order_id else (by_client, client_order_id)


def _named(order: Order, instrument: Instrument) -> Params:
    """Name the order that is changed, and give it its own client id again."""
    which = _which(order.exchange_order_id, order.client_order_id)
    return [("symbol", instrument.symbol), which, ("newClientOrderId", order.client_order_id)]


def _name(role: str, plain: str) -> str:
    """Return the name of a parameter of one order of a list: "abovePrice"; the plain one without a role."""
    return role + plain[0].upper() + plain[1:] if role else plain


def _prices(role: str, order: NewOrder) -> Params:
    force = order.time_in_force or TimeInForce.GTC
    named = {
        "price": None if order.price is None else plain(order.price),
        "timeInForce": force.value if order.order_type in TIMED else None,
        "stopPrice": None if order.stop_price is None else plain(order.stop_price),
    }
    return [(_name(role, name), value) for name, value in named.items() if value is not None]


def _self_trade(order: NewOrder) -> Params:
    return [] if order.self_trade is None else [("selfTradePreventionMode", order.self_trade)]


def _reply(orders: tuple[OrderReport, ...], lists: tuple[ListReport, ...]) -> Reply:
    return Reply(orders=orders, lists=lists)


def _parted(draft: Draft, halves: dict[str, Any]) -> Reply:
    """Read both halves, each done, refused or not attempted. Source: rest-api.md, Cancel an Existing Order and
    Send a New Order."""
    reply, refused = Reply(), []
    for client_order_id, half in zip(draft.orders, ("cancel", "newOrder"), strict=True):
        result, answer = halves[f"{half}Result"], halves.get(f"{half}Response") or {}
        if result == "SUCCESS":
            found, lists = reports.orders(answer)
            reply = _reply(reply.orders + found, reply.lists + lists)
        elif result == "FAILURE":
            code, reason = str(int(answer["code"])), str(answer["msg"])
            if FAILURES.refusal(code, reason) is Refusal.UNKNOWN:
                raise OutcomeUnknown(" ".join(draft.rest), f"{code}: {reason}")
            refused.append((client_order_id, code, reason))
        elif result == "NOT_ATTEMPTED":
            refused.append((client_order_id, "-2022", "not attempted: the cancel was refused"))
        else:
            raise ValueError(f"{half}Result {result!r} is not known")
    return Reply(orders=reply.orders, lists=reply.lists, refused=tuple(refused))


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


def _archived(draft: Draft, error: Rejected, recv_ns: int) -> OrderReport:
    """Report an order that ended without a fill: the exchange states neither its id nor whether it expired."""
    symbol, ended = dict(draft.params)["symbol"], OrderStatus.CANCELED
    report = OrderReport(symbol, draft.orders[0], "", ended, recv_ns, filled=Decimal(0), is_dated=False)
    return replace(report, code=error.code, reason=error.reason)

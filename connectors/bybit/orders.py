"""Bybit spot trading: intents to drafts, answers to reports, over REST or a websocket; `stream` reads the user stream.

The answer to a change of an order only acknowledges it; the stream or a query states the result. An order is looked up
among the open and latest closed ones, then in the history. Lists come newest first, in pages by cursor, of at most
seven days.

Source: order/{create-order, amend-order, cancel-order, cancel-all, batch-place, batch-cancel, open-order, order-list,
execution}.mdx, account/{wallet-balance, fee-rate}.mdx, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from ...model.errors import MeshError
from ...model.events import Side
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ...model.time import DAY_NS, MILLISECOND_NS
from ..drafts import plain
from ..order_codec import Auth, CallAnswer, Draft, Kind, Reply
from ..reading import integer, milliseconds, plain_count, rows, text
from ..reports import Missed, StreamOpened, StreamReport, StreamSay
from ..spec import ExchangeSpec, Offer
from ..trading import (
    Outcome,
    Params,
    Trading,
    accepted,
    acknowledged,
    asked_for,
    changed,
    listed_fills,
    listed_orders,
    paged,
    redirected,
    since,
)
from . import reports
from .auth import BybitAuth
from .refusals import FAILURES
from .spec import BATCHED, CALLS, CATEGORY, COST, DEAD_MAN_S, FILLS_PAGE, OFFER, ORDERS_PAGE, PRIVATE, TRADING
from .stream import PrivateReader

SPOT = ("category", CATEGORY)
WEEK_MS = 7 * DAY_NS // MILLISECOND_NS  # order-list.mdx, execution.mdx: startTime and endTime
BATCHES = {Kind.PLACE: (Kind.BATCH_PLACE, "place_batch"), Kind.CANCEL: (Kind.BATCH_CANCEL, "cancel_batch")}
REALTIME, HISTORY = TRADING["realtime"].path, TRADING["history"].path


class BybitTrading(Trading):
    """The trading side of an exchange with Bybit's protocol."""

    failures = FAILURES
    raw_paths, raw_cost = ("/v5/",), COST

    def __init__(self, spec: ExchangeSpec, rest: str, ws: str, offer: Offer = OFFER, dcp: bool = False) -> None:
        """With `dcp` the user stream subscribes to the exchange's dead-man switch."""
        offer = replace(offer, dead_man_s=DEAD_MAN_S) if dcp else offer
        super().__init__(spec, rest, offer)
        self._ws = ws.rstrip("/")
        self._dcp = dcp
        self._reader = PrivateReader()
        self._readers |= {
            Kind.PLACE: self._placed,
            Kind.CANCEL: self._acknowledged,
            Kind.AMEND: self._acknowledged,
            Kind.CANCEL_ALL: self._all_cancelled,
            Kind.BATCH_PLACE: self._each,
            Kind.BATCH_CANCEL: self._each,
            Kind.ORDER: self._found,
            Kind.OPEN_ORDERS: self._orders,
            Kind.ORDERS: self._orders,
            Kind.FILLS: self._fills,
            Kind.DEAD_MAN: lambda draft, result, now_ns: Reply(),
            Kind.ACCOUNT: lambda draft, result, now_ns: Reply(account=reports.account(result)),
            Kind.FEES: lambda draft, result, now_ns: Reply(fees=reports.fees(draft.pair or "", result)),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        head = [SPOT, ("symbol", instrument.symbol), ("side", "Buy" if order.side is Side.BUY else "Sell")]
        params = [*head, *self._shape(order), ("orderLinkId", order.client_order_id)]
        if order.self_trade is not None:
            params.append(("smpType", order.self_trade))
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def _shape(self, order: NewOrder) -> Params:
        """Return the parameters of an order other than pair, side and id. A market order names the asset of its amount:
        by default the amount of a buy is in quote."""
        size = ("qty", plain(self._shaped(order)))
        if order.price is None:
            unit = "baseCoin" if order.quote_amount is None else "quoteCoin"
            return [("orderType", "Market"), size, ("marketUnit", unit)]
        force = (order.time_in_force or TimeInForce.GTC).value
        word = "PostOnly" if order.order_type is OrderType.LIMIT_MAKER else force
        return [("orderType", "Limit"), size, ("price", plain(order.price)), ("timeInForce", word)]

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        params = [SPOT, ("symbol", instrument.symbol), _which(order.client_order_id, order.exchange_order_id)]
        return self._draft(Kind.CANCEL, "cancel", params, (order.client_order_id,), instrument)

    def cancel_all(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.CANCEL_ALL, "cancel_all", [SPOT, ("symbol", instrument.symbol)], (), instrument)

    def batch(self, drafts: Sequence[Draft]) -> Draft:
        """Join orders or cancels: each row has the fields of a single request, without the category."""
        kind, endpoint = BATCHES[drafts[0].kind]
        each = [{name: value for name, value in one.params if name != "category"} for one in drafts]
        names = tuple(name for one in drafts for name in one.orders)
        made = self._draft(kind, endpoint, [SPOT, (BATCHED, orjson.dumps(each).decode())], names)
        cost = tuple((limit, 1 if (limit, 1) in COST else len(each)) for limit, _ in made.cost)
        return replace(made, cost=cost)

    def amend(
        self, order: Order, instrument: Instrument, amount: Decimal | None, price: Decimal | None = None
    ) -> Draft:
        """The new amount is the total amount, including the filled part."""
        which = _which(order.client_order_id, order.exchange_order_id)
        params = [SPOT, ("symbol", instrument.symbol), which, *changed(("qty", "price"), amount, price)]
        return self._draft(Kind.AMEND, "amend", params, (order.client_order_id,), instrument)

    def dead_man(self, after_s: int) -> Draft:
        """Set how long the connection may be lost (order/dcp.mdx). A request cannot switch it off."""
        if not after_s:
            raise self._refuse("switching the dead-man switch off")
        return self._draft(Kind.DEAD_MAN, "dead_man", [("product", "SPOT"), ("timeWindow", str(after_s))])

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        params = [SPOT, ("symbol", instrument.symbol), _which(client_order_id, exchange_order_id)]
        return self._draft(Kind.ORDER, "realtime", params, (client_order_id,), instrument)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "realtime", [SPOT, ("limit", str(ORDERS_PAGE))], (), None)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """First all pages of ended orders, then the open orders of any age."""
        params = [SPOT, ("symbol", instrument.symbol), ("limit", str(ORDERS_PAGE)), *since("startTime", since_ns)]
        return self._draft(Kind.ORDERS, "history", params, (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        params = [SPOT, ("symbol", instrument.symbol), ("limit", str(FILLS_PAGE))]
        of = [("orderId", exchange_order_id)] if exchange_order_id else since("startTime", since_ns)
        return self._draft(Kind.FILLS, "fills", [*params, *of], (), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """All fills of the last week: ids have no order, so the mesh pages by time (`Offer.fills_by_time`)."""
        return self.fills(instrument, None)

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "balance", [("accountType", "UNIFIED")], (), None)

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "fees", [SPOT, ("symbol", instrument.symbol)], (), instrument)

    # Answers to reports

    def _failed(self, draft: Draft, error: MeshError, response: HttpResponse) -> Reply:
        """Raise the error: a query for a missing order succeeds with an empty list, so no refusal means a missing
        order."""
        raise error

    def _content(self, answer: Any, response: HttpResponse) -> tuple[Any, int]:
        if type(answer["retCode"]) is not int or answer["retCode"]:
            raise ValueError("not the answer's code")
        if answer.keys() == {"retCode", "retMsg"}:  # order/dcp.mdx
            return {}, response.sent_ns
        result, outcomes = answer["result"], answer["retExtInfo"].get("list")
        if outcomes is not None:  # in answers to a batch: the outcome of each order
            result = list(zip(rows(result["list"]), rows(outcomes), strict=True))
        return result, milliseconds(answer["time"])

    def _placed(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        """Read the order's id; the answer has no state.

        It is undated: its `time` is when "the request is successfully accepted", and the order may reach the book, and
        the balances, later (order/create-order.mdx, read 2026-11-29).
        """
        number = text(result["orderId"])
        if not number or result["orderLinkId"] != draft.orders[0]:
            raise ValueError("not the ids of the order that was placed")
        return accepted(draft, dict(draft.params)["symbol"], number, now_ns, is_dated=False)

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

    def _each(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        """Read the outcome of each order of a batch: its code, and the ids of an accepted order."""
        outcomes = [
            Outcome(None, "", text(row["symbol"]), text(row["orderLinkId"]), text(row["orderId"]))
            if not integer(outcome["code"])
            else Outcome(str(outcome["code"]), text(outcome["msg"]))
            for row, outcome in result
        ]
        return acknowledged(draft, outcomes, now_ns, is_dated=False)

    def _found(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        """Read the requested order, under the id in the request; if it is not found, request the history."""
        found = rows(result["list"])
        if found:
            (row,) = found
            return asked_for(draft, reports.order(row))
        if draft.rest[1] == REALTIME:
            return Reply(then=redirected(draft, TRADING["history"], draft.params))
        return Reply(absent=True)

    def _orders(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        then = _more(draft, result, now_ns)
        if then is None and draft.rest[1] == HISTORY:
            kept = [one for one in draft.params if one[0] in ("category", "symbol", "limit")]
            then = redirected(draft, TRADING["realtime"], kept)
        return listed_orders(rows(result["list"]), reports.order, "orderId", lambda row: row["orderLinkId"], then)

    def _fills(self, draft: Draft, result: Any, now_ns: int) -> Reply:
        listed = [row for row in reversed(rows(result["list"])) if reports.is_trade(row)]
        return listed_fills(listed, reports.fill, lambda row: row["orderId"], _more(draft, result, now_ns))

    # The user stream

    def stream_url(self) -> str:
        return f"{self._ws}{PRIVATE}"

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Authenticate; the codec subscribes to the topics after the confirmation."""
        assert isinstance(auth, BybitAuth)
        self._reader = PrivateReader(request_id, self._dcp)
        return [auth.auth(now_ns, validity_ms)]

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | StreamSay | Missed]:
        return self._reader.read(frame)

    # Orders over a websocket

    def call_url(self) -> str:
        if not self.offer.ws_orders:
            raise self._refuse("orders over a websocket in demo trading")
        return f"{self._ws}{CALLS}"

    def call_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> bytes:
        assert isinstance(auth, BybitAuth)
        return auth.auth(now_ns, validity_ms)

    def call_opened(self, frame: bytes | memoryview) -> StreamOpened | None:
        try:
            message = orjson.loads(frame)
            op, code, reason = message["op"], message["retCode"], message["retMsg"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return None
        if op != "auth":
            return None
        return StreamOpened("") if code == 0 else StreamOpened("", str(code), str(reason))

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        """Return the answer in the form of a REST answer, which has the codes and the time in other fields.

        Source: websocket/trade/guideline.mdx, read 2026-11-27.
        """
        try:
            message = orjson.loads(frame)
            number, header = message["reqId"], message.get("header") or {}
            now = plain_count(str(header.get("Timenow", "")))
            body = {name: message[name] for name in ("retCode", "retMsg")}
            body |= {"result": message.get("data"), "retExtInfo": message.get("retExtInfo") or {}}
            body["time"] = now
        except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
            return None
        headers = {str(name).lower(): str(value) for name, value in header.items()}
        return CallAnswer(number, 200, orjson.dumps(body), headers) if isinstance(number, str) else None


def _which(client_order_id: str, exchange_order_id: str | None) -> tuple[str, str]:
    return ("orderId", exchange_order_id) if exchange_order_id else ("orderLinkId", client_order_id)


def _more(draft: Draft, result: Any, now_ns: int) -> Draft | None:
    """Request the next page; after the last page of a week, request the following week, up to the present."""
    cursor, asked = text(result["nextPageCursor"]), dict(draft.params)
    if cursor:
        return paged(draft, cursor=cursor) if rows(result["list"]) else None
    start = int(asked["startTime"]) + WEEK_MS if "startTime" in asked else now_ns // MILLISECOND_NS
    if start >= now_ns // MILLISECOND_NS:
        return None
    return paged(draft, cursor=None, startTime=str(start))

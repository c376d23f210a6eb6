"""OKX spot trading: intents to drafts, answers to reports. Changes of orders go over REST or the private websocket.

An answer to an order, a cancel or an amendment only acknowledges, with a code for each order inside HTTP 200; the
stream or a query states the result. Several orders or cancels go as one list. The answer has a row for each in the
same order, as in the manual's examples; the ids of new orders are compared. Lists come in pages, newest first, of at
most 100 rows.

Market orders send `tgtCcy`, because by default the amount of a buy is in quote, and `banAmend`, because by default the
exchange reduces an order that the account cannot pay for. A market buy by amount sends `slippagePct`, because by
default it fills at the best price only.

Source: order/book/trading-trade-{post-place-order, post-cancel-order, post-amend-order, post-place-multiple-orders,
post-cancel-all-after, post-cancel-multiple-orders, get-order-details, get-order-list, get-order-history-last-7-days,
get-transaction-details-last-3-days, get-transaction-details-last-3-months, ws-order-channel}.md,
trading/account/{rest-api-get-balance, rest-api-get-fee-rates, websocket-account-channel}.md, overview/websocket/{login,
subscribe, connection-count-limit, notification}.md, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from ...model.events import Side
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ..drafts import plain
from ..order_codec import Auth, CallAnswer, Draft, Kind, Reply
from ..reading import UNREADABLE, digits, each_row, milliseconds_text, reading, rows, text
from ..reports import Missed, StreamEnded, StreamOpened, StreamReport, StreamSay
from ..spec import ExchangeSpec
from ..trading import (
    Outcome,
    Params,
    Trading,
    acknowledged,
    asked_for,
    changed,
    each_report,
    listed_fills,
    listed_orders,
    paged,
    since,
)
from . import reports
from .auth import CODE, SYMBOL, OkxAuth, row_of, rows_of
from .refusals import FAILURES, SOME_FAILED
from .spec import DEMO_HEADER, OFFER, OTHER, PAGE, SLIPPAGE, TRADING

CHANNELS = ("orders", "account")
GOING_AWAY = "64008"  # overview/websocket/notification.md
SPOT = ("instType", "SPOT")
LIMIT_KINDS = {TimeInForce.GTC: "limit", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
KEY_OF_PAGE = {Kind.OPEN_ORDERS: "ordId", Kind.ORDERS: "ordId", Kind.FILLS: "billId"}
HISTORY = TRADING["history"].path


class OkxTrading(Trading):
    """The trading side of an exchange with OKX's protocol."""

    failures = FAILURES
    raw_paths, raw_cost = ("/api/v5/",), ((OTHER, 1),)

    def __init__(self, spec: ExchangeSpec, rest: str, ws: str, demo: bool = False) -> None:
        super().__init__(spec, rest, OFFER)
        self._ws = ws.rstrip("/")
        self._opening = ""
        self._awaited: set[str] = set()  # channels of the stream that are not confirmed yet
        self._headers = (DEMO_HEADER,) if demo else ()
        self._readers |= {
            Kind.PLACE: self._acknowledged,
            Kind.CANCEL: self._acknowledged,
            Kind.AMEND: self._acknowledged,
            Kind.BATCH_PLACE: self._acknowledged,
            Kind.BATCH_CANCEL: self._acknowledged,
            Kind.DEAD_MAN: self._armed,
            Kind.ORDER: self._one,
            Kind.OPEN_ORDERS: self._orders,
            Kind.ORDERS: self._orders,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: lambda draft, data, at_ns: Reply(account=reports.account(data[0])),
            Kind.FEES: lambda draft, data, at_ns: Reply(fees=reports.fees(draft.pair or "", data[0])),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        side = "buy" if order.side is Side.BUY else "sell"
        head = [*_pair(instrument), ("tdMode", "cash"), ("clOrdId", order.client_order_id), ("side", side)]
        params = [*head, *self._shape(order)]
        if order.self_trade is not None:
            params.append(("stpMode", order.self_trade))
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def _shape(self, order: NewOrder) -> Params:
        """Return the parameters of an order other than pair, side and id."""
        size = ("sz", plain(self._shaped(order)))
        if order.price is None:
            target = ("tgtCcy", "base_ccy" if order.quote_amount is None else "quote_ccy")
            params = [("ordType", "market"), size, target, ("banAmend", "true")]
            is_buy_by_amount = order.side is Side.BUY and order.quote_amount is None
            return [*params, ("slippagePct", SLIPPAGE)] if is_buy_by_amount else params
        force = order.time_in_force or TimeInForce.GTC
        word = "post_only" if order.order_type is OrderType.LIMIT_MAKER else LIMIT_KINDS[force]
        return [("ordType", word), ("px", plain(order.price)), size]

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        params = [*_pair(instrument), _which(order.client_order_id, order.exchange_order_id)]
        return self._draft(Kind.CANCEL, "cancel", params, (order.client_order_id,), instrument)

    def batch(self, drafts: Sequence[Draft]) -> Draft:
        """Send the parameters of each request as one text, which is JSON already. The orders are of one pair."""
        is_new = drafts[0].kind is Kind.PLACE
        kind, endpoint = (Kind.BATCH_PLACE, "batch_place") if is_new else (Kind.BATCH_CANCEL, "batch_cancel")
        names = tuple(name for draft in drafts for name in draft.orders)
        params = [
            (name, orjson.dumps(row_of(draft.params)).decode()) for name, draft in zip(names, drafts, strict=True)
        ]
        joined = self._draft(kind, endpoint, params, names)
        # these limits count orders, not requests
        cost = tuple((limit, each * len(drafts)) for limit, each in joined.cost)
        count = joined.order_count * len(drafts)
        call = joined.call if all(draft.call for draft in drafts) else None
        return replace(joined, pair=drafts[0].pair, cost=cost, order_count=count, call=call)

    def dead_man(self, after_s: int) -> Draft:
        return self._draft(Kind.DEAD_MAN, "dead_man", [("timeOut", str(after_s))])

    def amend(
        self, order: Order, instrument: Instrument, amount: Decimal | None, price: Decimal | None = None
    ) -> Draft:
        """The new amount is the total amount, including the filled part."""
        which = _which(order.client_order_id, order.exchange_order_id)
        params = [*_pair(instrument), which, *changed(("newSz", "newPx"), amount, price)]
        return self._draft(Kind.AMEND, "amend", params, (order.client_order_id,), instrument)

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        params = [("instId", instrument.symbol), _which(client_order_id, exchange_order_id)]
        return self._draft(Kind.ORDER, "order", params, (client_order_id,), instrument)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "pending", [SPOT], (), None)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """First all pages of ended orders, then the open orders of any age."""
        return self._draft(
            Kind.ORDERS, "history", [SPOT, ("instId", instrument.symbol), *since("begin", since_ns)], (), instrument
        )

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        params = [SPOT, ("instId", instrument.symbol)]
        if exchange_order_id:
            return self._draft(Kind.FILLS, "fills", [*params, ("ordId", exchange_order_id)], (), instrument)
        return self._draft(Kind.FILLS, "fills_history", [*params, *since("begin", since_ns)], (), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        params = [SPOT, ("instId", instrument.symbol), ("before", trade_id)]
        return self._draft(Kind.FILLS, "fills_history", params, (), instrument)

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "balance", [], (), None)

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "trade_fee", [SPOT, ("instId", instrument.symbol)], (), instrument)

    def _draft(
        self, kind: Kind, endpoint: str, params: Params, ids: tuple[str, ...] = (), instrument: Instrument | None = None
    ) -> Draft:
        made = super()._draft(kind, endpoint, params, ids, instrument)
        return made if instrument is None or instrument.aliases else replace(made, call=None)

    # Answers to reports

    def _content(self, answer: Any, response: HttpResponse) -> tuple[Any, int]:
        data = rows(answer["data"])
        if answer["code"] != "0" and not (answer["code"] in SOME_FAILED and len(data) > 1):
            raise ValueError("not the answer's code")
        return data, response.sent_ns

    def _acknowledged(self, draft: Draft, data: list[Any], at_ns: int) -> Reply:
        """Read a row for each order, accepted or refused. Rows of accepted orders have an id and no state.

        `ts` of a row is when the processing of that order was "finished by our system"
        (trading-trade-post-place-order.md, read 2026-11-29): by the latest of them the exchange had every order.
        """
        outcomes = [
            Outcome(None, "", sent[SYMBOL], text(row["clOrdId"]), str(digits(row["ordId"])))
            if row["sCode"] == "0"
            else Outcome(text(row["sCode"]), text(row["sMsg"]))
            for sent, row in zip(rows_of(draft), data, strict=True)
        ]
        times = [milliseconds_text(row["ts"]) for row in data if row["sCode"] == "0"]
        return acknowledged(draft, outcomes, max(times, default=0), is_dated=True)

    def _armed(self, draft: Draft, data: list[Any], at_ns: int) -> Reply:
        """Check that the exchange states when the switch fires, or 0 where it was disarmed."""
        (row,) = data
        if (digits(row["triggerTime"]) == 0) != (dict(draft.params)["timeOut"] == "0"):
            raise ValueError("not the requested time")
        return Reply()

    def _one(self, draft: Draft, data: list[Any], at_ns: int) -> Reply:
        """Read the requested order, under the id in the request."""
        (row,) = data
        return asked_for(draft, reports.order(row))

    def _orders(self, draft: Draft, data: list[Any], at_ns: int) -> Reply:
        then = self._next(draft, data)
        if then is None and draft.kind is Kind.ORDERS and draft.rest[1] == HISTORY:
            params = [SPOT, ("instId", dict(draft.params)["instId"])]
            then = replace(self._draft(Kind.ORDERS, "pending", params, (), None), pair=draft.pair)
        return listed_orders(data, reports.order, "ordId", lambda row: row["clOrdId"], then)

    def _fills(self, draft: Draft, data: list[Any], at_ns: int) -> Reply:
        return listed_fills(data, reports.fill, lambda row: row["ordId"], self._next(draft, data))

    def _next(self, draft: Draft, data: list[Any]) -> Draft | None:
        """Request the rows before the oldest row of a full page."""
        if len(data) < PAGE:
            return None
        keys, _ = each_row(data, lambda row: digits(row[KEY_OF_PAGE[draft.kind]]), lambda row: None)
        if not keys:
            raise ValueError(f"none of {len(data)} rows has a {KEY_OF_PAGE[draft.kind]}")
        return paged(draft, after=str(min(keys)))

    # The user stream

    def stream_url(self) -> str:
        return f"{self._ws}/ws/v5/private"

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Log in; the codec subscribes to the channels after the confirmation."""
        assert isinstance(auth, OkxAuth)
        self._opening, self._awaited = request_id, set(CHANNELS)
        return [auth.login(now_ns)]

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | StreamSay | Missed]:
        if bytes(frame[:5]) == b"pong":
            return ()
        with reading("a frame of the user stream", frame) as message:
            if "event" in message:
                return self._event(text(message["event"]), message)
            channel, data = text(message["arg"]["channel"]), rows(message["data"])
            if channel == "orders":
                return each_report(data, reports.order, channel, lambda row: row["ordId"])
            if channel == "account":
                return each_report(data, reports.changed_balances, channel, lambda row: None)
            return ()

    def _event(self, event: str, message: dict[str, Any]) -> Sequence[StreamReport | StreamOpened | StreamSay]:
        if event == "login":
            args = [{"channel": "orders", "instType": "SPOT"}, {"channel": "account"}]
            return (StreamSay(orjson.dumps({"op": "subscribe", "args": args})),)
        if event == "subscribe":
            self._awaited.discard(text(message["arg"]["channel"]))
            return (StreamOpened(self._opening),) if not self._awaited else ()
        if event == "error":
            return (StreamOpened(self._opening, text(message["code"]), text(message["msg"])),)
        if event == "channel-conn-count-error" or (event == "notice" and message["code"] == GOING_AWAY):
            return (StreamEnded(f"{event}: {message.get('msg') or message.get('channel')}"),)
        return ()

    # Orders over a websocket

    def call_url(self) -> str:
        return self.stream_url()

    def call_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> bytes:
        assert isinstance(auth, OkxAuth)
        return auth.login(now_ns)

    def call_opened(self, frame: bytes | memoryview) -> StreamOpened | None:
        with suppress(*UNREADABLE):
            message = orjson.loads(frame)
            if message["event"] == "login":
                return StreamOpened("")
            if message["event"] == "error":
                return StreamOpened("", text(message["code"]), text(message["msg"]))
        return None

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        """Read an answer, which has the content of REST's; an error without an operation has no orders."""
        with suppress(*UNREADABLE):
            message = orjson.loads(frame)
            body = {"code": message["code"], "msg": message["msg"], "data": message.get("data") or []}
            return CallAnswer(text(message["id"]), 200, orjson.dumps(body), {})
        return None


def _pair(instrument: Instrument) -> Params:
    """Name the pair for both transports; calls need the number that the exchange lists."""
    return [(SYMBOL, instrument.symbol), *((CODE, number) for number in instrument.aliases)]


def _which(client_order_id: str, exchange_order_id: str | None) -> tuple[str, str]:
    """Name the order by one id, the exchange's if known: the exchange accepts a client id again later."""
    return ("ordId", exchange_order_id) if exchange_order_id else ("clOrdId", client_order_id)

"""OKX spot trading: intents to drafts, answers to reports.

An answer to an order, a cancel or an amendment only acknowledges, with a code for each order inside HTTP 200; the
stream or a query says what came of it. Lists come in pages, newest first, of at most 100 rows.

Market orders bring `tgtCcy`, since a buy is in quote otherwise, `banAmend`, since the exchange shrinks an order that
the account cannot pay for otherwise, and a buy by amount `slippagePct`, since it stays at the best price otherwise.

Source: order/book/trading-trade-{post-place-order, post-cancel-order, post-amend-order, get-order-details,
get-order-list, get-order-history-last-7-days, get-transaction-details-last-3-days, ws-order-channel,
get-transaction-details-last-3-months}.md, trading/account/{rest-api-get-balance, rest-api-get-fee-rates,
websocket-account-channel}.md, overview/websocket/{login, subscribe, connection-count-limit, notification}.md, read
2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from ...model.errors import MeshError, Misconfigured, NotOffered, Rejected
from ...model.events import Side
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ...model.time import MILLISECOND_NS
from .. import drafts
from ..drafts import plain
from ..order_codec import Auth, CallAnswer, Draft, Kind, Refusal, Reply, Signed
from ..reading import digits, each_row, reading, rows, text
from ..reports import OrderReport, StreamEnded, StreamOpened, StreamReport, StreamSay
from ..spec import ExchangeSpec
from . import reports
from .auth import OkxAuth
from .refusals import FAILURES
from .spec import DEMO_HEADER, IS_DEMO, OFFER, OTHER, PAGE, REGION, REGIONS, SLIPPAGE, TRADING

CHANNELS = ("orders", "account")
GOING_AWAY = "64008"  # overview/websocket/notification.md
Params = list[tuple[str, str]]
SPOT = ("instType", "SPOT")
LIMIT_KINDS = {TimeInForce.GTC: "limit", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
KEY_OF_PAGE = {Kind.OPEN_ORDERS: "ordId", Kind.ORDERS: "ordId", Kind.FILLS: "billId"}
HISTORY = TRADING["history"].path


class OkxTrading:
    """The trading side of one exchange that speaks OKX's protocol. Raises Misconfigured: an option is wrong."""

    offer = OFFER

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None, region: str, demo: bool) -> None:
        for option, value in ((REGION, region), (IS_DEMO, demo)):
            if (problem := option.problem(value)) is not None:
                raise Misconfigured(option.name, problem)
        self.spec = spec
        self._rest = (rest or REGIONS[region][demo].rest).rstrip("/")
        self._ws = (ws or REGIONS[region][demo].ws).rstrip("/")
        self._opening = ""
        self._awaited: set[str] = set()  # channels of the stream that are not confirmed yet
        self._demo = [DEMO_HEADER] if demo else []
        self._readers: dict[Kind, Callable[[Draft, list[Any]], Reply]] = {
            Kind.PLACE: self._acknowledged,
            Kind.CANCEL: self._acknowledged,
            Kind.AMEND: self._acknowledged,
            Kind.ORDER: self._one,
            Kind.OPEN_ORDERS: self._orders,
            Kind.ORDERS: self._orders,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: lambda draft, data: Reply(account=reports.account(data[0])),
            Kind.FEES: lambda draft, data: Reply(fees=reports.fees(draft.pair or "", data[0])),
            Kind.RAW: lambda draft, data: Reply(),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        side = "buy" if order.side is Side.BUY else "sell"
        head = [("instId", instrument.symbol), ("tdMode", "cash"), ("clOrdId", order.client_order_id), ("side", side)]
        params = [*head, *self._shape(order)]
        if order.self_trade is not None:
            params.append(("stpMode", order.self_trade))
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def _shape(self, order: NewOrder) -> Params:
        """What an order is beside its pair, side and id."""
        kind, in_quote = order.order_type, order.quote_amount is not None
        size = order.quote_amount if in_quote else order.amount
        if kind not in self.offer.order_types or size is None or (in_quote and order.amount is not None):
            raise self._refuse(f"a {kind.value} order of this shape")
        if kind is OrderType.MARKET:
            if order.price is not None or order.time_in_force not in (None, TimeInForce.GTC):
                raise self._refuse("a market order with a price or a time in force")
            target = ("tgtCcy", "quote_ccy" if in_quote else "base_ccy")
            params = [("ordType", "market"), ("sz", plain(size)), target, ("banAmend", "true")]
            return [*params, ("slippagePct", SLIPPAGE)] if order.side is Side.BUY and not in_quote else params
        force = order.time_in_force or TimeInForce.GTC
        if in_quote or order.price is None or order.stop_price is not None or force not in LIMIT_KINDS:
            raise self._refuse(f"a {kind.value} order of this shape")
        if kind is OrderType.LIMIT_MAKER and force is not TimeInForce.GTC:
            raise self._refuse("a post-only order with a time in force")
        word = "post_only" if kind is OrderType.LIMIT_MAKER else LIMIT_KINDS[force]
        return [("ordType", word), ("px", plain(order.price)), ("sz", plain(size))]

    def place_cost(self, order: NewOrder) -> tuple[tuple[tuple[str, int], ...], int]:
        return TRADING["place"].cost, TRADING["place"].order_count

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        params = [("instId", instrument.symbol), _which(order.client_order_id, order.exchange_order_id)]
        return self._draft(Kind.CANCEL, "cancel", params, (order.client_order_id,), instrument)

    def cancel_all(self, instrument: Instrument) -> Draft:
        raise self._refuse("cancelling all spot orders in one request")

    def amend(self, order: Order, instrument: Instrument, amount: Decimal) -> Draft:
        """The new amount is the whole one, with what has filled."""
        which = _which(order.client_order_id, order.exchange_order_id)
        params = [("instId", instrument.symbol), which, ("newSz", plain(amount))]
        return self._draft(Kind.AMEND, "amend", params, (order.client_order_id,), instrument)

    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft:
        raise self._refuse("replacing an order in one request")

    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft:
        raise self._refuse(f"a list {kind!r} of orders through this connector")

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        params = [("instId", instrument.symbol), _which(client_order_id, exchange_order_id)]
        return self._draft(Kind.ORDER, "order", params, (client_order_id,), instrument)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "pending", [SPOT], (), None)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """Those that have ended come first, page after page; then those that are open, whenever they were placed."""
        since = [] if since_ns is None else [("begin", str(max(0, since_ns) // MILLISECOND_NS))]
        return self._draft(Kind.ORDERS, "history", [SPOT, ("instId", instrument.symbol), *since], (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        params = [SPOT, ("instId", instrument.symbol)]
        if exchange_order_id:
            return self._draft(Kind.FILLS, "fills", [*params, ("ordId", exchange_order_id)], (), instrument)
        since = [] if since_ns is None else [("begin", str(max(0, since_ns) // MILLISECOND_NS))]
        return self._draft(Kind.FILLS, "fills_history", [*params, *since], (), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        params = [SPOT, ("instId", instrument.symbol), ("before", trade_id)]
        return self._draft(Kind.FILLS, "fills_history", params, (), instrument)

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "balance", [], (), None)

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "trade_fee", [SPOT, ("instId", instrument.symbol)], (), instrument)

    def order_counts(self) -> Draft | None:
        """None: the exchange states its limit on orders, and not what counts against the limit."""
        return None

    def raw(self, method: str, path: str, params: Sequence[tuple[str, str]], signed: bool) -> Draft:
        made = drafts.raw(self.spec, self._rest, (method, path), params, signed, ("/api/v5/",), ((OTHER, 1),))
        return replace(made, params=(*made.params, *self._demo))

    def _draft(
        self, kind: Kind, endpoint: str, params: Params, ids: tuple[str, ...], instrument: Instrument | None
    ) -> Draft:
        return drafts.draft(kind, TRADING[endpoint], self._rest, [*params, *self._demo], ids, instrument)

    def _refuse(self, what: str) -> NotOffered:
        return NotOffered(self.spec.exchange, what)

    # Answers to reports

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        draft = signed.draft
        error: MeshError | None = FAILURES.failure(response, draft.changes, " ".join(draft.rest))
        rejected = error if isinstance(error, Rejected) and draft.kind is Kind.ORDER else None
        if rejected is not None and self.refusal(rejected.code, rejected.reason) is Refusal.NOT_THERE:
            return Reply(absent=True)
        if error is not None:
            raise error
        with reading(f"an answer to {draft.kind.value}", response.body) as answer:
            if answer["code"] != "0":
                raise ValueError("not the answer's code")
            return self._readers[draft.kind](draft, rows(answer["data"]))

    def _acknowledged(self, draft: Draft, data: list[Any]) -> Reply:
        """Read one row: the order's id, and no state. The id of the client is the one that was sent."""
        (row,) = data
        if row["sCode"] != "0":
            raise ValueError("not the code of an order that was accepted")
        taken, number = draft.orders, str(digits(row["ordId"]))
        if draft.kind is not Kind.PLACE:
            return Reply(taken=taken)
        symbol = dict(draft.params)["instId"]
        return Reply(orders=(OrderReport(symbol, taken[0], number, None, reports.time(row["ts"])),), taken=taken)

    def _one(self, draft: Draft, data: list[Any]) -> Reply:
        """The order that was asked for, under the id it was asked for."""
        (row,) = data
        return Reply(orders=(replace(reports.order(row), client_order_id=draft.orders[0]),))

    def _orders(self, draft: Draft, data: list[Any]) -> Reply:
        found, left_out = each_row(data, reports.order, lambda row: row["ordId"])
        then = self._next(draft, data)
        if then is None and draft.kind is Kind.ORDERS and draft.rest[1] == HISTORY:
            params = [SPOT, ("instId", dict(draft.params)["instId"])]
            then = replace(self._draft(Kind.ORDERS, "pending", params, (), None), pair=draft.pair)
        return Reply(orders=tuple(found), left_out=left_out, then=then)

    def _fills(self, draft: Draft, data: list[Any]) -> Reply:
        found, left_out = each_row(data, reports.fill, lambda row: row["ordId"])
        return Reply(fills=tuple(found), left_out=left_out, then=self._next(draft, data))

    def _next(self, draft: Draft, data: list[Any]) -> Draft | None:
        """Ask for the rows before the oldest of a full page."""
        if len(data) < PAGE:
            return None
        oldest = min((text(row[KEY_OF_PAGE[draft.kind]]) for row in data), key=digits)
        kept = [(name, value) for name, value in draft.params if name != "after"]
        return replace(draft, params=(*kept, ("after", oldest)))

    def refusal(self, code: str, reason: str = "") -> Refusal:
        return FAILURES.refusal(code, reason)

    def bind(self, instruments: Sequence[Instrument]) -> None:
        """Keep nothing: reports name instruments as the exchange does."""

    # The user stream

    def stream_url(self) -> str:
        return f"{self._ws}/ws/v5/private"

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Log in; the channels are subscribed to once that is confirmed."""
        assert isinstance(auth, OkxAuth)
        self._opening, self._awaited = request_id, set(CHANNELS)
        return [auth.login(now_ns)]

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | StreamSay]:
        if bytes(frame[:5]) == b"pong":
            return ()
        with reading("a frame of the user stream", frame) as message:
            if "event" in message:
                return self._event(text(message["event"]), message)
            channel, data = text(message["arg"]["channel"]), rows(message["data"])
            if channel == "orders":
                return tuple(reports.order(row) for row in data)
            if channel == "account":
                return tuple(reports.balances(row, whole=False) for row in data)
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

    def call_url(self) -> str:
        raise self._refuse("orders over a websocket through this connector")

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        raise self._refuse("orders over a websocket through this connector")


def _which(client_order_id: str, exchange_order_id: str | None) -> tuple[str, str]:
    """One id alone, the exchange's where it is known: a client id may be used again."""
    return ("ordId", exchange_order_id) if exchange_order_id else ("clOrdId", client_order_id)

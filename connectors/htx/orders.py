"""HTX spot trading: intents to drafts, answers to reports, over REST; `stream` reads the user stream.

Requests name the account by an id, which the exchange lists: the codec reads the id from that list, before the balances
(`account`) and before each private connection (`token`). The answer to a change only acknowledges it. A client order id
may be used again, and a query by it finds the newest order; it finds ended orders for two hours. Lists come newest
first, in pages, of at most 48 hours. A market buy states its value in quote.

Source: private_rest_api.md of rosssaunders/coincise, docs/htx/spot (2025-11), read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from ...model.events import Side
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ...model.time import DAY_NS, MILLISECOND_NS
from ..drafts import plain
from ..order_codec import Auth, Draft, Kind, Reply
from ..reading import mapping, rows, text
from ..reports import Missed, StreamOpened, StreamReport, StreamSay
from ..spec import ExchangeSpec
from ..trading import (
    Outcome,
    Params,
    Trading,
    accepted,
    acknowledged,
    asked_for,
    listed_fills,
    listed_orders,
    paged,
    redirected,
    since,
)
from . import reports
from .auth import ORDERS, STREAM, HtxAuth
from .refusals import FAILURES, OK
from .spec import FILLS_PAGE, OFFER, OPEN_PAGE, ORDERS_PAGE, TRADING
from .stream import PrivateReader

WINDOW_MS = 2 * DAY_NS // MILLISECOND_NS  # /v1/order/orders and /v1/order/matchresults
ENDED = "filled,partial-canceled,canceled"
BY_ID, BY_CLIENT = "order-id", "client-order-id"
WORDS = {  # Trading, order type
    (OrderType.LIMIT, TimeInForce.GTC): "limit",
    (OrderType.LIMIT, TimeInForce.IOC): "ioc",
    (OrderType.LIMIT, TimeInForce.FOK): "limit-fok",
    (OrderType.LIMIT_MAKER, TimeInForce.GTC): "limit-maker",
    (OrderType.MARKET, TimeInForce.GTC): "market",
}


class HtxTrading(Trading):
    """The trading side of an exchange with HTX's protocol."""

    failures = FAILURES
    raw_paths, raw_cost = ("/v1/", "/v2/", "/market/"), (("reference", 1),)

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None) -> None:
        super().__init__(spec, rest, OFFER)
        self._ws = (ws or spec.ws).rstrip("/")
        self._account = ""  # the id of the spot account, once it was read
        self._reader = PrivateReader()
        self._readers |= {
            Kind.PLACE: self._placed,
            Kind.CANCEL: lambda draft, data, now_ns: Reply(taken=draft.orders),
            Kind.BATCH_PLACE: self._each_placed,
            Kind.BATCH_CANCEL: self._each_cancelled,
            Kind.ORDER: lambda draft, data, now_ns: asked_for(draft, reports.order(mapping(data))),
            Kind.OPEN_ORDERS: self._orders,
            Kind.ORDERS: self._orders,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: self._balances,
            Kind.TOKEN: self._named,
            Kind.FEES: lambda draft, data, now_ns: Reply(fees=reports.fees(draft.pair or "", data)),
            Kind.DEAD_MAN: lambda draft, data, now_ns: Reply(),
        }

    # Intents to drafts

    def _at(self, kind: Kind, endpoint: str, number: str, params: Params, ids: tuple[str, ...] = ()) -> Draft:
        """Return a draft for an endpoint with an id in its path."""
        made = self._draft(kind, endpoint, params, ids)
        return replace(made, rest=(made.rest[0], made.rest[1].format(id=number)))

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        size, side = self._shaped(order), "buy" if order.side is Side.BUY else "sell"
        word = WORDS[order.order_type, order.time_in_force or TimeInForce.GTC]
        params = [("account-id", self._account), ("symbol", instrument.symbol), ("type", f"{side}-{word}")]
        params += [(BY_CLIENT, order.client_order_id), ("amount", plain(size))]
        if order.price is not None:
            params.append(("price", plain(order.price)))
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        name, number = order.client_order_id, order.exchange_order_id
        if number is None:
            return self._draft(Kind.CANCEL, "cancel_client", [(BY_CLIENT, name)], (name,), instrument)
        params = [(BY_ID, number), ("symbol", instrument.symbol)]
        return replace(self._at(Kind.CANCEL, "cancel", number, params, (name,)), pair=instrument.name)

    def batch(self, drafts: Sequence[Draft]) -> Draft:
        """Join orders or cancels. Cancels name all orders by the exchange's ids, or all by client ids."""
        names, each = tuple(name for one in drafts for name in one.orders), [dict(one.params) for one in drafts]
        if drafts[0].kind is Kind.PLACE:
            return self._draft(Kind.BATCH_PLACE, "place_batch", [(ORDERS, orjson.dumps(each).decode())], names)
        if all(BY_ID in one for one in each):
            params = [(f"{BY_ID}s", orjson.dumps([one[BY_ID] for one in each]).decode())]
        else:
            params = [(f"{BY_CLIENT}s", orjson.dumps(names).decode())]
        return self._draft(Kind.BATCH_CANCEL, "cancel_batch", params, names)

    def dead_man(self, after_s: int) -> Draft:
        return self._draft(Kind.DEAD_MAN, "dead_man", [("timeout", str(after_s))])

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        if exchange_order_id is not None:
            made = self._at(Kind.ORDER, "order", exchange_order_id, [], (client_order_id,))
            return replace(made, pair=instrument.name)
        params = [("clientOrderId", client_order_id)]
        return self._draft(Kind.ORDER, "client_order", params, (client_order_id,), instrument)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "open_orders", [("size", str(OPEN_PAGE))])

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """First all pages of ended orders, then the open orders of any age."""
        params = [("symbol", instrument.symbol), ("states", ENDED), ("size", str(ORDERS_PAGE))]
        return self._draft(Kind.ORDERS, "orders", [*params, *since("start-time", since_ns)], (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        if exchange_order_id is not None:
            return replace(self._at(Kind.FILLS, "order_fills", exchange_order_id, []), pair=instrument.name)
        params = [("symbol", instrument.symbol), ("size", str(FILLS_PAGE)), *since("start-time", since_ns)]
        return self._draft(Kind.FILLS, "fills", params, (), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """All fills of the last 48 hours: record ids have no order, so the mesh pages by time."""
        return self.fills(instrument, None)

    def account(self) -> Draft:
        if not self._account:
            return self._draft(Kind.ACCOUNT, "accounts", [])
        return self._at(Kind.ACCOUNT, "balance", self._account, [])

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "fees", [("symbols", instrument.symbol)], (), instrument)

    # Answers to reports

    def _content(self, answer: Any, response: HttpResponse) -> tuple[Any, int]:
        """Return the data of a success of either interface (Response Format; v2: `code`)."""
        is_success = answer["code"] == OK if "code" in answer else answer["status"] == "ok"
        if not is_success:
            raise ValueError("not a success")
        return answer.get("data"), response.sent_ns

    def _placed(self, draft: Draft, data: Any, now_ns: int) -> Reply:
        return accepted(draft, dict(draft.params)["symbol"], reports.number_of(data), now_ns, is_dated=False)

    def _each_placed(self, draft: Draft, data: Any, now_ns: int) -> Reply:
        sent = [one["symbol"] for one in orjson.loads(dict(draft.params)[ORDERS])]
        outcomes = [
            Outcome(text(row["err-code"]), text(row.get("err-msg") or ""))
            if row.get("err-code")
            else Outcome(None, "", symbol, text(row[BY_CLIENT]), reports.number_of(row[BY_ID]))
            for symbol, row in zip(sent, rows(data), strict=True)
        ]
        return acknowledged(draft, outcomes, now_ns, is_dated=False)

    def _each_cancelled(self, draft: Draft, data: Any, now_ns: int) -> Reply:
        """Read the ids of cancels that were taken, and the refused ones (/v1/order/orders/batchcancel)."""
        ((kind, sent),) = draft.params
        taken = {str(one) for one in rows(data["success"])}
        refused = {str(row.get(kind.removesuffix("s"))): row for row in rows(data["failed"])}
        outcomes = []
        for number in orjson.loads(sent):
            if number in taken:
                outcomes.append(Outcome())
            else:
                row = refused[number]
                outcomes.append(Outcome(text(row["err-code"]), text(row.get("err-msg") or "")))
        return acknowledged(draft, outcomes, now_ns, is_dated=False)

    def _orders(self, draft: Draft, data: Any, now_ns: int) -> Reply:
        listed = rows(data)
        then = _next_page(draft, listed)
        if then is None and draft.rest[1] == TRADING["orders"].path:
            then = _next_window(draft, now_ns)
            if then is None:
                then = redirected(draft, TRADING["open_orders"], [("size", str(OPEN_PAGE))])
        return listed_orders(listed, reports.order, "id", lambda row: row.get(BY_CLIENT), then)

    def _fills(self, draft: Draft, data: Any, now_ns: int) -> Reply:
        listed = rows(data)
        then = None
        if draft.rest[1] == TRADING["fills"].path:
            then = _next_page(draft, listed) or _next_window(draft, now_ns)
        return listed_fills(reversed(listed), reports.fill, lambda row: row["order-id"], then)

    def _named(self, draft: Draft, data: Any, now_ns: int) -> Reply:
        self._account, _ = reports.account_of(data)
        return Reply(token=self._account)

    def _balances(self, draft: Draft, data: Any, now_ns: int) -> Reply:
        """Read balances; the first request of a codec requests the id of the account."""
        if draft.rest[1] == TRADING["accounts"].path:
            self._named(draft, data, now_ns)
            return Reply(then=self.account())
        return Reply(account=reports.account(mapping(data), self._account or _id_in(draft)))

    # The user stream

    def token(self) -> Draft:
        """Request the list of accounts: the stream has events of all accounts, and the codec reads those of spot."""
        return self._draft(Kind.TOKEN, "accounts", [])

    def use_token(self, token: str) -> None:
        self._account = token

    def stream_url(self) -> str:
        return f"{self._ws}{STREAM}"

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Authenticate; the codec subscribes to the topics after the confirmation."""
        assert isinstance(auth, HtxAuth)
        self._reader = PrivateReader(request_id, self._account)
        return [auth.authenticate(self.stream_url(), now_ns, validity_ms)]

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | StreamSay | Missed]:
        return self._reader.read(frame, recv_ns)


def _id_in(draft: Draft) -> str:
    """Return the account's id in the path of a request for balances."""
    return draft.rest[1].split("/")[-2]


def _next_page(draft: Draft, listed: list[Any]) -> Draft | None:
    """Request the rows after the last one of a full page. The manual does not state whether `from` is included: then a
    page with that row alone is the end."""
    asked = dict(draft.params)
    if len(listed) < int(asked["size"]):
        return None
    last = reports.number_of(listed[-1]["id"])
    return None if last == asked.get("from") else paged(draft, **{"from": last, "direct": "next"})


def _next_window(draft: Draft, now_ns: int) -> Draft | None:
    """Request the 48 hours after those of a request with a start, up to the present."""
    asked = dict(draft.params)
    if "start-time" not in asked or (start := int(asked["start-time"]) + WINDOW_MS) >= now_ns // MILLISECOND_NS:
        return None
    return paged(draft, **{"from": None, "direct": None, "start-time": str(start)})

"""Coinbase Exchange trading: intents to drafts, answers to reports. Orders go over REST alone.

The answer to an order states the order as it was received, often before it was matched; the stream or a query states
the rest. An order is named in the path, by the exchange's id or by "client:" and ours. A query that finds nothing
proves nothing: the exchange purges the record of an order that was cancelled without a match, and lists have no such
order either. Lists come newest first, in pages of at most 1000; the header CB-AFTER has the cursor of the older ones.

Source: "rest" as in `spec.py`: the sections are named where they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...model.errors import MeshError, Rejected
from ...model.events import Side
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ..drafts import plain
from ..order_codec import Auth, Draft, Kind, Refusal, Reply
from ..reading import digits, rfc3339, rows, text
from ..reports import FillReport, Missed, OrderReport, StreamOpened, StreamReport
from ..signing import rfc3339_text
from ..spec import ExchangeSpec
from ..trading import Params, Trading, accepted, asked_for, listed_fills, listed_orders, paged, under
from ..uuid_ids import packed
from . import reports
from .auth import CoinbaseAuth
from .refusals import FAILURES, NOT_FOUND
from .spec import CLIENT, OFFER, PAGE, PRIVATE
from .stream import PrivateReader, subscription

OPEN_STATES = [("status", state) for state in ("open", "pending", "received", "active")]
GONE = frozenset({"offline", "delisted", "internal"})  # states in which the feed has no such product


class CoinbaseTrading(Trading):
    """The trading side of an exchange with Coinbase Exchange's protocol."""

    failures = FAILURES
    raw_paths, raw_cost = ("/",), ((PRIVATE, 1),)
    streams_pairs = True

    def market_access(self, auth: Auth, now_ns: int) -> dict[str, str]:
        assert isinstance(auth, CoinbaseAuth)
        return auth.proof(now_ns)

    def __init__(self, spec: ExchangeSpec, rest: str, ws: str) -> None:
        super().__init__(spec, rest, OFFER)
        self._ws = ws.rstrip("/")
        self._products: tuple[str, ...] = ()
        self._unknown: set[str] = set()  # products that the exchange refused in a subscription
        self._reader = PrivateReader("", self._unknown)
        self._readers |= {
            Kind.PLACE: self._placed,
            Kind.CANCEL: lambda draft, read, at_ns: Reply(taken=draft.orders if text(read[0]) else ()),
            Kind.CANCEL_ALL: self._all_cancelled,
            Kind.ORDER: lambda draft, read, at_ns: asked_for(draft, reports.order(read[0])),
            Kind.OPEN_ORDERS: self._orders,
            Kind.ORDERS: self._orders,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: lambda draft, read, at_ns: Reply(account=reports.account(rows(read[0]))),
            Kind.FEES: lambda draft, read, at_ns: Reply(fees=reports.fees(draft.pair or "", read[0])),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        """Source: rest, Create a new order. Without `time_in_force` an order is good till cancelled."""
        amount = plain(self._shaped(order))
        kind, side = "market" if order.price is None else "limit", "buy" if order.side is Side.BUY else "sell"
        params = [("type", kind), ("side", side), ("product_id", instrument.symbol)]
        params.append(("client_oid", packed(order.client_order_id)))
        if order.price is not None:
            params.append(("price", plain(order.price)))
        params.append(("size" if order.quote_amount is None else "funds", amount))
        if order.order_type is OrderType.LIMIT_MAKER:
            params.append(("post_only", "true"))
        elif order.price is not None:
            params.append(("time_in_force", (order.time_in_force or TimeInForce.GTC).value))
        if order.self_trade is not None:
            params.append(("stp", order.self_trade))
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        """Source: rest, Cancel an order: the product, "to prevent a race condition"."""
        draft = self._of_order(Kind.CANCEL, "cancel", order.client_order_id, order.exchange_order_id, instrument)
        return replace(draft, params=(("product_id", instrument.symbol),))

    def cancel_all(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.CANCEL_ALL, "cancel_all", [("product_id", instrument.symbol)], (), instrument)

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        return self._of_order(Kind.ORDER, "order", client_order_id, exchange_order_id, instrument)

    def _of_order(
        self, kind: Kind, endpoint: str, client_order_id: str, exchange_order_id: str | None, instrument: Instrument
    ) -> Draft:
        """Name one order in the path, by the exchange's id if it is known."""
        draft = self._draft(kind, endpoint, [], (client_order_id,), instrument)
        name = exchange_order_id or f"{CLIENT}{packed(client_order_id)}"
        return replace(draft, rest=(draft.rest[0], draft.rest[1].format(order_id=name)))

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "orders", [*OPEN_STATES, ("limit", str(PAGE))], (), None)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """Request orders of every state, page after page. Orders that were purged are in no list."""
        params = [("product_id", instrument.symbol), ("status", "all"), ("limit", str(PAGE)), *_since(since_ns)]
        return self._draft(Kind.ORDERS, "orders", params, (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        if exchange_order_id:
            params = [("order_id", exchange_order_id), ("limit", str(PAGE))]
        else:
            params = [("product_id", instrument.symbol), ("limit", str(PAGE)), *_since(since_ns)]
        return self._draft(Kind.FILLS, "fills", params, (), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """Request the fills that are newer than a trade: `before` it, in the words of the manual."""
        params = [("product_id", instrument.symbol), ("limit", str(PAGE)), ("before", trade_id)]
        return self._draft(Kind.FILLS, "fills", params, (), instrument)

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "accounts", [], (), None)

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "fees", [], (), instrument)

    # Answers to reports

    def _failed(self, draft: Draft, error: MeshError, response: HttpResponse) -> Reply:
        """Read a 404 of any text as "no such order", unless the text names the product."""
        if isinstance(error, Rejected) and response.status == 404 and not self._is_of_pair(error):
            error = Rejected(NOT_FOUND, error.reason)
        return super()._failed(draft, error, response)

    def _is_of_pair(self, error: Rejected) -> bool:
        return self.refusal(str(error.code), str(error.reason)) is Refusal.NO_PAIR

    def _content(self, answer: Any, response: HttpResponse) -> tuple[Any, int]:
        """Return the answer with the cursor of the next page."""
        return (answer, response.headers.get("cb-after")), response.sent_ns

    def _placed(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        row, _ = read
        report = reports.order(row)
        if report.client_order_id not in ("", draft.orders[0]):
            raise ValueError(f"the order {report.client_order_id!r}, not the one that was placed")
        if row["status"] in reports.PENDING:
            return accepted(draft, report.symbol, report.exchange_order_id, report.ts_event_ns, report.is_dated)
        return Reply(orders=(under(draft.orders[0], report),))

    @staticmethod
    def _all_cancelled(draft: Draft, read: Any, at_ns: int) -> Reply:
        """Check the ids of the cancelled orders. The stream or queries state each order's end."""
        for order_id in rows(read[0]):
            text(order_id)
        return Reply()

    def _orders(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        listed, _ = read
        then = self._next(draft, read, lambda row: rfc3339(row["created_at"]))
        found = listed_orders(rows(listed), reports.order, "id", reports.client_id, then)
        return replace(found, orders=tuple(one for one in found.orders if _is_wanted(draft, one)))

    def _fills(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        listed, _ = read
        then = self._next(draft, read, lambda row: rfc3339(row["created_at"]))
        found = listed_fills(rows(listed)[::-1], reports.fill, lambda row: row["order_id"], then)
        return replace(found, fills=tuple(one for one in found.fills if _is_wanted(draft, one)))

    @staticmethod
    def _next(draft: Draft, read: Any, time_ns_of: Any) -> Draft | None:
        """Request the rows before the oldest row of a full page, unless that row is too old already."""
        listed, cursor = read
        if len(rows(listed)) < PAGE:
            return None
        if cursor is None:
            raise ValueError("a full page without a cursor")
        sent = dict(draft.params)
        if "start_date" in sent and time_ns_of(listed[-1]) < rfc3339(sent["start_date"]):
            return None
        if "before" in sent and listed[-1]["trade_id"] <= digits(sent["before"]):
            return None
        return paged(draft, after=cursor)

    # The user stream

    def bind(self, instruments: Sequence[Instrument]) -> None:
        self._products = tuple(one.symbol for one in instruments if one.status not in GONE)

    def stream_url(self) -> str:
        return self._ws

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Begin a new reader, and subscribe to all products that the exchange has not refused before."""
        assert isinstance(auth, CoinbaseAuth)
        self._reader = PrivateReader(request_id, self._unknown)
        products = [product for product in self._products if product not in self._unknown]
        return [subscription(auth.proof(now_ns), products)]

    def stream_decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[StreamReport | StreamOpened | Missed]:
        return self._reader.read(frame, recv_ns)


def _since(since_ns: int | None) -> Params:
    return [] if since_ns is None else [("start_date", rfc3339_text(max(0, since_ns)))]


def _is_wanted(draft: Draft, one: OrderReport | FillReport) -> bool:
    """Return whether a row of a list is new enough, if the request asked for new rows only.

    The time of an order that has ended is that of its end.
    """
    sent = dict(draft.params)
    if "start_date" in sent and one.ts_event_ns < rfc3339(sent["start_date"]):
        return False
    return "before" not in sent or not isinstance(one, FillReport) or int(one.trade_id) > digits(sent["before"])

"""Kraken spot trading: intents to drafts, answers and frames to reports. Orders go over REST or a websocket (`calls`).

An acknowledgement has only the order's id: queries and the stream state the order's outcome. The exchange's id finds an
order directly; our id is looked up first among the open orders, then among the closed orders. A page of fills has fifty
fills of all pairs, newest first.

Source: rest-api/add-order, cancel-order, amend-order and the pages of `reports`, of docs.kraken.com, read 2026-11-27.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from ...model.http import HttpResponse
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ...model.time import SECOND_NS
from ..drafts import plain
from ..order_codec import Aging, Auth, CallAnswer, Draft, Kind, Reply
from ..reading import integer, left_out_text, rfc3339, rows, text
from ..reports import Missed, OrderReport, StreamOpened, StreamReport
from ..spec import ExchangeSpec, Offer
from ..trading import (
    TIMED,
    Params,
    Trading,
    accepted,
    asked_for,
    changed,
    listed_fills,
    listed_orders,
    paged,
    redirected,
    under,
)
from ..uuid_ids import packed
from . import reports
from .auth import KrakenAuth
from .calls import answer_of
from .market import NEW_NAMES
from .refusals import FAILURES, TRANSACTIONS, code_of
from .spec import AMEND_STEPS, CANCEL_STEPS, KEY_CALLS, OFFER, TRADING
from .stream import PrivateReader, opened, subscription, subscriptions

KEPT = 20_000  # orders whose times are remembered
PAGE = 50  # get-closed-orders, get-trade-history
# rest-api/cancel-order-batch: the parameter by which a cancel names its order, and the list for such names in a batch.
# In the manual's example the first is a list of texts; a guess: the second is one, too.
CANCELLED_BY = {"txid": "orders", "cl_ord_id": "cl_ord_ids"}
ORDER_TYPES = {kind: name for name, kind in reports.TYPES.items()} | {OrderType.LIMIT_MAKER: "limit"}


class KrakenTrading(Trading):
    """The trading side of an exchange with Kraken's protocol."""

    failures = FAILURES
    raw_paths, raw_cost = ("/0/",), ((KEY_CALLS, 1),)
    exact = True
    query_batch = 50  # rest-api/get-orders-info

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None, offer: Offer = OFFER) -> None:
        """`ws` is the private websocket. With `rest` but without `ws` there is no stream, because a token may go only
        to the server that issued it."""
        self._ws = (ws if ws is not None or rest is not None else spec.ws_api or "") or ""
        self._token = ""
        self._reader = PrivateReader()
        super().__init__(spec, rest, offer)
        self._by_name: dict[str, Instrument] = {}  # by symbol, altname and key
        self._assets: frozenset[str] = frozenset()
        self._amended_ns: dict[str, int] = {}  # the last amendment of each order, from which the order's age counts
        self._opened_ns: dict[str, int] = {}  # by the exchange's id
        self._readers |= {
            Kind.PLACE: self._placed,
            Kind.CANCEL: self._cancelled,
            Kind.AMEND: self._amended,
            Kind.BATCH_PLACE: self._all_placed,
            Kind.BATCH_CANCEL: self._all_cancelled,
            Kind.DEAD_MAN: self._armed,
            Kind.ORDER: self._found,
            Kind.OPEN_ORDERS: lambda draft, read, sent_ns: self._orders(read["open"]),
            Kind.ORDERS: self._history,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: lambda draft, read, sent_ns: Reply(account=reports.account(read, self._asset)),
            Kind.FEES: lambda draft, read, sent_ns: Reply(fees=reports.fees(draft.pair or "", read)),
            Kind.TOKEN: lambda draft, read, sent_ns: Reply(token=text(read["token"])),
        }

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        kind, volume = order.order_type, self._shaped(order)
        flags = ["fciq"]  # fees in quote: one asset for both sides
        if order.quote_amount is not None:
            flags.append("viqc")
        if kind is OrderType.LIMIT_MAKER:
            flags.append("post")
        params = [
            ("pair", _rest_name(instrument)),
            ("type", order.side.value),
            ("ordertype", ORDER_TYPES[kind]),
            ("volume", plain(volume)),
            ("oflags", ",".join(flags)),
            ("cl_ord_id", packed(order.client_order_id)),
        ]
        prices = [plain(price) for price in (order.stop_price, order.price) if price is not None]
        params += zip(("price", "price2"), prices, strict=False)
        if kind in TIMED:
            params.append(("timeinforce", (order.time_in_force or TimeInForce.GTC).value))
        if order.self_trade is not None:
            params.append(("stptype", order.self_trade))
        return self._draft(Kind.PLACE, "place", params, (order.client_order_id,), instrument)

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        draft = self._draft(Kind.CANCEL, "cancel", [_which(order)], (order.client_order_id,), instrument)
        return self._aged(draft, order, CANCEL_STEPS)

    def was_amended(self, client_order_id: str, at_ns: int) -> None:
        _remember(self._amended_ns, client_order_id, at_ns)

    def _aged(self, draft: Draft, order: Order, steps: tuple[tuple[float, int], ...]) -> Draft:
        since_ns = max(order.created_ns, self._amended_ns.get(order.client_order_id, 0))
        return replace(draft, aging=(Aging(TRANSACTIONS, since_ns, steps),))

    def batch(self, drafts: Sequence[Draft]) -> Draft:
        """Join orders of one pair, or cancels. An order in a batch costs half of a single order."""
        names = tuple(name for one in drafts for name in one.orders)
        cost = sum(amount for one in drafts for _, amount in one.cost)
        if drafts[0].kind is Kind.PLACE:
            each = [{name: value for name, value in one.params if name != "pair"} for one in drafts]
            params = [("pair", dict(drafts[0].params)["pair"]), ("orders", orjson.dumps(each).decode())]
            made, cost = self._draft(Kind.BATCH_PLACE, "place_batch", params, names), (cost + 1) // 2
        else:
            which: dict[str, list[str]] = {}
            for one in drafts:
                ((name, value),) = one.params
                which.setdefault(CANCELLED_BY[name], []).append(value)
            params = [(name, orjson.dumps(values).decode()) for name, values in which.items()]
            made = self._draft(Kind.BATCH_CANCEL, "cancel_batch", params, names)
        aging = tuple(aging for one in drafts for aging in one.aging)
        return replace(made, pair=drafts[0].pair, cost=((TRANSACTIONS, cost),), aging=aging)

    def dead_man(self, after_s: int) -> Draft:
        return self._draft(Kind.DEAD_MAN, "dead_man", [("timeout", str(after_s))])

    def amend(
        self, order: Order, instrument: Instrument, amount: Decimal | None, price: Decimal | None = None
    ) -> Draft:
        params = [_which(order), *changed(("order_qty", "limit_price"), amount, price)]
        draft = self._draft(Kind.AMEND, "amend", params, (order.client_order_id,), instrument)
        return self._aged(draft, order, AMEND_STEPS)

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        """Request the order by the exchange's id; by our id, request the open orders first, then perhaps the closed
        orders."""
        if exchange_order_id:
            params = [("txid", exchange_order_id)]
            return self._draft(Kind.ORDER, "orders_info", params, (client_order_id,), instrument)
        params = [("cl_ord_id", packed(client_order_id))]
        return self._draft(Kind.ORDER, "open_orders", params, (client_order_id,), instrument)

    def can_join(self, draft: Draft) -> bool:
        return draft.rest[1] == TRADING["orders_info"].path

    def join_queries(self, drafts: Sequence[Draft]) -> Draft:
        txids = ",".join(dict(one.params)["txid"] for one in drafts)
        names = tuple(name for one in drafts for name in one.orders)
        return self._draft(Kind.ORDER, "orders_info", [("txid", txids)], names)

    def open_orders(self) -> Draft:
        return self._draft(Kind.OPEN_ORDERS, "open_orders", [], (), None)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """Request the closed orders that were placed since a time, page after page, then the open orders."""
        params = [("closetime", "open"), ("without_count", "true"), ("ofs", "0"), *_start(since_ns)]
        return self._draft(Kind.ORDERS, "closed_orders", params, (), instrument)

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        """Request the fills of one order since it was opened, a time that a first request asks unless an answer had it;
        or all fills since a time, page after page."""
        opened_ns = self._opened_ns.get(exchange_order_id or "")
        if exchange_order_id and opened_ns is None:
            return self._draft(Kind.FILLS, "orders_info", [("txid", exchange_order_id)], (), instrument)
        start_ns = since_ns if opened_ns is None else opened_ns - SECOND_NS
        return self._draft(Kind.FILLS, "fills", _since(start_ns), _named(exchange_order_id), instrument)

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """Request the fills after a trade; the manual calls `start` exclusive. The mesh pages by time
        (`Offer.fills_by_time`)."""
        draft = self.fills(instrument, None)
        return replace(draft, params=(*draft.params, ("start", trade_id)))

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "account", [], (), None)

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "fees", [("pair", _rest_name(instrument))], (), instrument)

    # Answers

    def _content(self, answer: Any, response: HttpResponse) -> tuple[Any, int]:
        return answer["result"], response.sent_ns

    def _placed(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        (txid,) = read["txid"]
        return accepted(draft, self._symbol_of(draft), text(txid), sent_ns, is_dated=False)

    def _cancelled(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        if not integer(read["count"]):
            return Reply(absent=True)
        return Reply(taken=draft.orders)

    def _all_placed(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        """Read the outcome of each order, in the order of the request: an id or an error."""
        symbol, made, refused = self._symbol_of(draft), [], []
        for own, row in zip(draft.orders, rows(read["orders"]), strict=True):
            if "error" in row:
                refused.append((own, code_of(text(row["error"])), text(row["error"])))
            else:
                made.append(OrderReport(symbol, own, text(row["txid"]), None, sent_ns, is_dated=False))
        return Reply(orders=tuple(made), taken=tuple(one.client_order_id for one in made), refused=tuple(refused))

    def _all_cancelled(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        """Read the count of cancelled orders; only queries find which orders were missing."""
        count = integer(read["count"])
        return Reply(absent=not count, taken=draft.orders if count == len(draft.orders) else ())

    def _armed(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        """Check that the exchange states when the switch fires: not before now, or "0" where it was disarmed.

        The manual does not state the answer to disarming: "0" is a guess, which the local exchange shares.
        """
        fires, is_armed = text(read["triggerTime"]), dict(draft.params)["timeout"] != "0"
        if is_armed != (fires != "0") or (is_armed and rfc3339(fires) < rfc3339(read["currentTime"])):
            raise ValueError("not the requested time")
        return Reply()

    def _amended(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        text(read["amend_id"])
        self.was_amended(draft.orders[0], sent_ns)
        asked = dict(draft.params)
        amount, price = (Decimal(asked[name]) if name in asked else None for name in ("order_qty", "limit_price"))
        txid, own = asked.get("txid", ""), draft.orders[0]
        symbol = self._symbol_of(draft)
        report = OrderReport(symbol, own, txid, None, sent_ns, amount=amount, price=price, is_dated=False)
        return Reply(orders=(report,))

    def _found(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        """Read the requested order, under the id in the request."""
        if self.can_join(draft):
            txids = dict(draft.params)["txid"].split(",")
            listed, names = self._orders(read), dict(zip(txids, draft.orders, strict=True))
            if listed.left_out and len(txids) == 1:
                raise ValueError(left_out_text(listed.left_out))
            found = {one.exchange_order_id: one for one in listed.orders}
            orders = tuple(under(names[txid], found[txid]) for txid in txids if txid in found)
            return replace(listed, orders=orders, absent=not orders and not listed.left_out)
        is_open = draft.rest[1] == TRADING["open_orders"].path
        listed = self._orders(read["open" if is_open else "closed"])
        own = [one for one in listed.orders if one.client_order_id in draft.orders]
        if own:
            # `cl_ord_id` is unique only among open orders; our ids are never reused
            return asked_for(draft, own[0])
        if listed.left_out:
            raise ValueError(left_out_text(listed.left_out))
        if is_open:
            params = (*draft.params, ("without_count", "true"))
            return Reply(then=redirected(draft, TRADING["closed_orders"], params))
        return Reply(absent=True)

    def _history(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        if "open" in read:
            return self._of_pair(draft, self._orders(read["open"]))
        is_last = len(read["closed"]) < PAGE
        then = redirected(draft, TRADING["open_orders"], ()) if is_last else _next_page(draft)
        return replace(self._of_pair(draft, self._orders(read["closed"])), then=then)

    def _fills(self, draft: Draft, read: Any, sent_ns: int) -> Reply:
        if draft.rest[1] == TRADING["orders_info"].path:
            ((txid, row),) = read.items()
            _remember(self._opened_ns, text(txid), reports.time_ns(row["opentm"]))
            then = self._draft(Kind.FILLS, "fills", _since(self._opened_ns[txid] - SECOND_NS), (txid,))
            return Reply(then=replace(then, pair=draft.pair))
        trades = read["trades"]
        listed = listed_fills(
            trades.items(),
            lambda item: reports.fill(item[0], item[1], self._symbol, self._quote),
            lambda item: text(item[1]["ordertxid"]),
        )
        own = [one for one in listed.fills if one.symbol == self._symbol_of(draft)]
        odd = listed.left_out
        if draft.orders:
            own = [one for one in own if one.exchange_order_id in draft.orders]
            odd = tuple(one for one in odd if one.name is None or one.name in draft.orders)
        own.sort(key=lambda one: one.ts_event_ns)
        return Reply(fills=tuple(own), left_out=odd, then=_next_page(draft) if len(trades) >= PAGE else None)

    def _orders(self, listed: dict[str, Any]) -> Reply:
        """Read orders by their ids, one by one."""

        def order(item: tuple[str, Any]) -> OrderReport:
            _remember(self._opened_ns, item[0], reports.time_ns(item[1]["opentm"]))
            return reports.order(*item, self._symbol)

        return listed_orders(listed.items(), order, 0, lambda item: reports.client_id(item[1]))

    def _of_pair(self, draft: Draft, listed: Reply) -> Reply:
        own = tuple(one for one in listed.orders if one.symbol == self._symbol_of(draft))
        return replace(listed, orders=own)

    # Names

    def bind(self, instruments: Sequence[Instrument]) -> None:
        self._by_name = {name: one for one in instruments for name in (one.name, one.symbol, *one.aliases)}
        self._assets = frozenset(asset for one in instruments for asset in (one.base, one.quote))

    def _symbol(self, name: str) -> str:
        """Return the symbol of a pair by REST's name; a pair that is not listed keeps that name."""
        found = self._by_name.get(name)
        return name if found is None else found.symbol

    def _symbol_of(self, draft: Draft) -> str:
        return self._symbol(draft.pair or "")

    def _quote(self, symbol: str) -> str:
        found = self._by_name.get(symbol)
        return "" if found is None else found.quote

    def _asset(self, name: str) -> str:
        """Return our name of an asset. REST puts X or Z before old assets: XXBT is XBT, which the lists call BTC."""
        if name in self._assets:
            return name
        for known in (name, name[1:] if name[:1] in ("X", "Z") else name):
            if NEW_NAMES.get(known, known) in self._assets:
                return NEW_NAMES.get(known, known)
        return name

    # The user stream

    def token(self) -> Draft:
        return self._draft(Kind.TOKEN, "token", [], (), None)

    def use_token(self, token: str) -> None:
        self._token = token

    def stream_url(self) -> str:
        if not self._ws:
            raise self._refuse("a user stream at this address")
        return self._ws

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Begin a new reader: the order states of one connection are not valid for the next."""
        self._reader = PrivateReader(request_id)
        return subscriptions(self._token)

    def stream_decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[StreamReport | StreamOpened | Missed]:
        return self._reader.read(frame, recv_ns)

    # Orders over a websocket

    def call_url(self) -> str:
        return self.stream_url()

    def call_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> bytes:
        """Subscribe to a quiet channel: the token lasts as long (rest-api/get-websockets-token)."""
        assert isinstance(auth, KrakenAuth)
        auth.token = self._token
        return subscription(1, "balances", self._token, snapshot=False)

    def call_opened(self, frame: bytes | memoryview) -> StreamOpened | None:
        with contextlib.suppress(orjson.JSONDecodeError, LookupError, TypeError, ValueError):
            message = orjson.loads(frame)
            return opened(message, "") if message["method"] == "subscribe" else None
        return None

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        return answer_of(frame)


def _which(order: Order) -> tuple[str, str]:
    if order.exchange_order_id:
        return "txid", order.exchange_order_id
    return "cl_ord_id", packed(order.client_order_id)


def _remember(times: dict[str, int], name: str, at_ns: int) -> None:
    times[name] = at_ns
    if len(times) > KEPT:
        del times[next(iter(times))]


def _rest_name(instrument: Instrument) -> str:
    return instrument.aliases[0] if instrument.aliases else instrument.symbol


def _named(exchange_order_id: str | None) -> tuple[str, ...]:
    return (exchange_order_id,) if exchange_order_id else ()


def _since(since_ns: int | None) -> Params:
    return [("consolidate_taker", "false"), ("without_count", "true"), ("ofs", "0"), *_start(since_ns)]


def _start(since_ns: int | None) -> Params:
    """`start` is in whole seconds and exclusive."""
    return [] if since_ns is None else [("start", str(max(0, since_ns // SECOND_NS - 1)))]


def _next_page(draft: Draft) -> Draft:
    return paged(draft, ofs=str(int(dict(draft.params)["ofs"]) + PAGE))

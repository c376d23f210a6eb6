"""Orders and accounts of any exchange of ccxt: intents to calls of its unified interface, and structures to reports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from ...model.errors import Misconfigured
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderType, TimeInForce
from ...model.time import MILLISECOND_NS
from ..drafts import plain
from ..order_codec import Auth, Draft, Kind, Reply
from ..reading import mapping, reading, rows, text
from ..reports import Missed, OrderReport, StreamOpened, StreamReport, StreamSay
from ..spec import ExchangeSpec, Offer
from ..trading import Trading, accepted, each_report, listed_fills, listed_orders, under
from . import reports
from .auth import WHERE, CcxtAuth
from .failures import FAILURES, WITH_NONCES
from .spec import CALL, COST

FETCHES = re.compile("/fetch_[a-z_]+", re.ASCII)
NAMES_MAX = 10_000  # orders of the stream whose ids are kept


class CcxtTrading(Trading):
    """The trading codec of one exchange of ccxt."""

    failures = FAILURES  # of exchanges without nonces
    raw_paths = ()
    raw_cost = COST

    def __init__(self, spec: ExchangeSpec, offer: Offer, where: Mapping[str, str]) -> None:
        super().__init__(spec, where.get("rest"), offer)
        self._where = dict(where)
        self._headers = ((WHERE, orjson.dumps(self._where).decode()),)
        if offer.nonces:
            self.failures = WITH_NONCES
        self._symbols: tuple[str, ...] = ()
        self._names: dict[str, str] = {}  # by the exchange's id: our id, of orders that the stream reported
        self._readers |= {
            Kind.PLACE: self._placed,
            Kind.CANCEL: self._cancelled,
            Kind.ORDER: self._found,
            Kind.OPEN_ORDERS: self._listed,
            Kind.ORDERS: self._listed,
            Kind.FILLS: self._fills,
            Kind.ACCOUNT: lambda draft, read, at_ns: Reply(account=reports.account(mapping(read))),
            Kind.FEES: lambda draft, read, at_ns: Reply(fees=reports.fees(draft.pair or "", mapping(read))),
        }

    def bind(self, instruments: Sequence[Instrument]) -> None:
        self._symbols = tuple(one.symbol for one in instruments)

    def _ask(
        self, kind: Kind, endpoint: str, ids: tuple[str, ...] = (), pair: Instrument | None = None, **given: Any
    ) -> Draft:
        """Return the draft of a procedure; `given` are its arguments. Text stays as it is, other values become JSON."""
        params = [
            (name, value if isinstance(value, str) else orjson.dumps(value).decode())
            for name, value in given.items()
            if value is not None
        ]
        return self._draft(kind, endpoint, params, ids, pair)

    # Intents to drafts

    def place(self, order: NewOrder, instrument: Instrument) -> Draft:
        amount, kind = self._shaped(order), order.order_type
        terms: dict[str, Any] = {"symbol": instrument.symbol, "side": order.side.value}
        if order.quote_amount is not None:
            terms["cost"] = plain(amount)
        else:
            terms |= {"type": "market" if kind is OrderType.MARKET else "limit", "amount": plain(amount)}
        if order.price is not None:
            terms["price"] = plain(order.price)
        if kind is OrderType.LIMIT_MAKER:
            terms["post_only"] = True
        elif order.time_in_force is not None and order.time_in_force is not TimeInForce.GTC:
            terms["time_in_force"] = order.time_in_force.value
        name = order.client_order_id
        return self._ask(Kind.PLACE, "place", (name,), instrument, **terms, client_id=self.offer.sent_id(name))

    def cancel(self, order: Order, instrument: Instrument) -> Draft:
        return self._about(Kind.CANCEL, "cancel", order.client_order_id, instrument, order.exchange_order_id)

    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        return self._about(Kind.ORDER, "order", client_order_id, instrument, exchange_order_id)

    def _about(self, kind: Kind, endpoint: str, name: str, instrument: Instrument, number: str | None) -> Draft:
        which = {"symbol": instrument.symbol, "client_id": self.offer.sent_id(name), "order_id": number or None}
        return self._ask(kind, endpoint, (name,), instrument, **which)

    def open_orders(self) -> Draft:
        return self._ask(Kind.OPEN_ORDERS, "open_orders", symbols=self._symbols)

    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        return self._ask(Kind.ORDERS, "orders", pair=instrument, symbol=instrument.symbol, since_ms=_ms(since_ns))

    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        number = exchange_order_id or None
        return self._ask(
            Kind.FILLS, "fills", pair=instrument, symbol=instrument.symbol, since_ms=_ms(since_ns), order_id=number
        )

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """Request every fill: ids have no order, so the mesh pages by time (`Offer.fills_by_time`)."""
        return self.fills(instrument, None)

    def account(self) -> Draft:
        return self._ask(Kind.ACCOUNT, "account")

    def fees(self, instrument: Instrument) -> Draft:
        return self._ask(Kind.FEES, "fees", pair=instrument, symbol=instrument.symbol)

    def raw(self, method: str, path: str, params: Sequence[tuple[str, str]], signed: bool) -> Draft:
        """Make a request of ccxt's method `path`, such as /fetch_balance, with `params` as its arguments by name.

        Raises:
            Misconfigured: not GET, or not a method that only fetches.
        """
        if method not in ("GET", CALL) or not FETCHES.fullmatch(path):
            raise Misconfigured("path", f"{method} {path}: {self.spec.exchange} takes only GET /fetch_... of ccxt")
        return Draft(
            Kind.RAW, (CALL, path), None, tuple(params), cost=self.raw_cost, host=self._rest, headers=self._headers
        )

    # Answers to reports

    def _placed(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        row = mapping(read)
        number = text(row["id"])
        if row.get("status") is None or row.get("symbol") is None:
            symbol = dict(draft.params)["symbol"]
            return accepted(draft, symbol, number, at_ns, is_dated=False)
        return Reply(orders=(reports.order(row, at_ns, draft.orders[0]),))

    def _cancelled(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        text(mapping(read)["id"])
        return Reply(taken=draft.orders)

    def _found(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        found = reports.order(mapping(read), at_ns)
        return Reply(orders=(under(draft.orders[0], found),))

    def _listed(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        return listed_orders(
            rows(read), lambda row: reports.order(row, at_ns), "id", lambda row: row.get("clientOrderId")
        )

    def _fills(self, draft: Draft, read: Any, at_ns: int) -> Reply:
        return listed_fills(rows(read), reports.fill, lambda row: row["order"])

    # The user stream

    def stream_url(self) -> str:
        return f"{self.spec.ws}/account?{urlencode(self._where)}"

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        assert isinstance(auth, CcxtAuth)
        return [auth.login(), orjson.dumps({"op": "account", "id": request_id})]

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | Missed | StreamSay]:
        with reading("a frame of the user stream", frame) as message:
            kind = text(message["kind"])
            if kind == "opened":
                return (StreamOpened(text(message["id"])),)
            if kind == "orders":
                return each_report(
                    rows(message["content"]), lambda row: self._reported(row, recv_ns), kind, lambda row: row["id"]
                )
            if kind == "fills":
                return each_report(rows(message["content"]), self._traded, kind, lambda row: row["order"])
            if kind == "balance":
                return (reports.balances(mapping(message["content"]), False),)
            return ()

    def _reported(self, row: Mapping[str, Any], recv_ns: int) -> OrderReport:
        """Raises ValueError: the row has no client id, which a list of orders may have."""
        found = reports.order(row, recv_ns)
        if not found.client_order_id:
            raise ValueError("has no client order id in ccxt's stream")
        self._names[found.exchange_order_id] = found.client_order_id
        if len(self._names) > NAMES_MAX:
            del self._names[next(iter(self._names))]
        return found

    def _traded(self, row: Mapping[str, Any]) -> OrderReport:
        """Return a fill as a report of its order, without a status. Only orders name our ids in ccxt.

        Raises ValueError: the stream has not reported the order; a question about missed reports finds the fill.
        """
        fill = reports.fill(row)
        if (name := self._names.get(fill.exchange_order_id)) is None:
            raise ValueError("is a fill of an order that the stream has not reported")
        number, at_ns = fill.exchange_order_id, fill.ts_event_ns
        return OrderReport(fill.symbol, name, number, None, at_ns, side=fill.side, fills=(fill,), is_dated=False)


def _ms(since_ns: int | None) -> int | None:
    return None if since_ns is None else max(0, since_ns) // MILLISECOND_NS

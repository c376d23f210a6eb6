"""Places, cancels and amends orders, one at a time or up to 20, for REST and the websocket.

Each order of a request has its own row in the answer, with its own code: `code` is "0" if all were accepted, "1" if
none was, "2" if some were.

Source: order/book/trading-trade-post-{place-order, place-multiple-orders, cancel-order, cancel-multiple-orders,
amend-order, amend-multiple-orders, cancel-all-after}.md, overview/transaction/timeouts.md, read 2026-11-27. The manual
does not state which of 50036 and 50037 refuses an order after its `expTime`: here 50036 if it arrives too late, 50037
if it is executed too late.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...model.events import Side
from ...model.time import MILLISECOND_NS, SECOND_NS
from ..engine.accounts import Account
from ..engine.market import Market
from ..engine.rules import ONE
from ..wire.numbers import BadNumber, Flaw, read_decimal, read_whole
from . import ids, payloads
from .desk import Desk
from .errors import ApiError, invalid, missing
from .orders import SELF_TRADE, Details, NewOrder, client_id_of

BATCH = 20
KINDS = ("limit", "market", "post_only", "fok", "ioc")
_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9]{0,16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated request. `sent` are its parameters, or the list of a batch."""

    desk: Desk
    account: Account
    sent: Any
    exp_time: object
    arrived_ns: int
    now_ns: int
    by_call: bool = False  # over the websocket, where pairs have numbers


@dataclass(slots=True)
class Rows:
    """An answer with a row for each order."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def code(self) -> str:
        good = sum(row["sCode"] == "0" for row in self.rows)
        return "0" if good == len(self.rows) else "2" if good else "1"

    @property
    def text(self) -> str:
        return {"1": "Operation failed.", "2": "Bulk operation partially succeeded."}.get(self.code, "")


def text_of(sent: Mapping[str, Any], name: str) -> str:
    """Return a parameter that is text, "" without it."""
    value = sent.get(name)
    if value in (None, ""):
        return ""
    if not isinstance(value, str):
        raise invalid(name)
    return value


def amount(sent: Mapping[str, Any], name: str) -> int:
    """Read an amount above zero."""
    if not sent.get(name):
        raise missing(name)
    try:
        value = read_decimal(sent[name])
    except BadNumber as bad:
        if bad.flaw is Flaw.TOO_PRECISE:
            raise ApiError("51150", "The precision of the number of trades or the price exceeds the limit.") from None
        raise invalid(name) from None
    if not value:
        raise invalid(name)
    return value


def flag(sent: Mapping[str, Any], name: str) -> bool:
    value = sent.get(name, False)
    value = {"true": True, "false": False, "": False}.get(value, value) if isinstance(value, str) else value
    if not isinstance(value, bool):
        raise invalid(name)
    return value


def is_in_time(asked: Asked) -> None:
    """Refuse a request after its `expTime`."""
    if asked.exp_time in (None, ""):
        return
    try:
        end_ns = read_whole(asked.exp_time) * MILLISECOND_NS
    except BadNumber:
        raise invalid("expTime") from None
    if asked.arrived_ns > end_ns:
        raise ApiError("50036", "The expTime can't be earlier than the current system time. Please adjust the expTime")
    if asked.now_ns > end_ns:
        raise ApiError("50037", "Order expired.")


def market_of(asked: Asked, sent: Mapping[str, Any]) -> Market:
    """Return the market by `instId`, or by the websocket's `instIdCode`."""
    desk = asked.desk
    return desk.market_by_code(sent.get("instIdCode")) if asked.by_call else desk.market(sent.get("instId"))


def new_order(asked: Asked, sent: Mapping[str, Any]) -> NewOrder:
    """Read the parameters of an order.

    Raises:
        ApiError: one is missing, malformed, or not implemented (margin, take-profit, other types).
    """
    market = market_of(asked, sent)
    if not sent.get("tdMode"):
        raise missing("tdMode")
    if sent["tdMode"] != "cash":
        raise ApiError("51010", "Request unsupported under current account mode")
    kind, side, client_id = text_of(sent, "ordType"), text_of(sent, "side"), text_of(sent, "clOrdId")
    if side not in ("buy", "sell"):
        raise invalid("side")
    if kind not in KINDS:
        raise invalid("ordType")
    if client_id and _ID.fullmatch(client_id) is None:
        raise invalid("clOrdId")
    tag, stp = text_of(sent, "tag"), text_of(sent, "stpMode") or "cancel_maker"
    if _TAG.fullmatch(tag) is None:
        raise invalid("tag")
    if stp not in SELF_TRADE:
        raise invalid("stpMode")
    if stp == "cancel_both" and kind == "fok":
        raise ApiError("50016", "Parameter stpMode does not match parameter ordType", 400)
    if sent.get("attachAlgoOrds") or flag(sent, "reduceOnly"):
        raise ApiError("51139", "Reduce-only feature is unavailable for the spot transactions by spot mode.")
    size, target, price, slippage = amount(sent, "sz"), "", None, 0
    if kind == "market":
        target = text_of(sent, "tgtCcy") or ("quote_ccy" if side == "buy" else "base_ccy")
        if target not in ("quote_ccy", "base_ccy"):
            raise invalid("tgtCcy")
        if sent.get("slippagePct") not in (None, ""):
            slippage = slippage_of(sent)
    else:
        price = amount(sent, "px")
    details = Details(kind, target, stp, tag)
    return NewOrder(market, Side[side.upper()], size, price, client_id, details, slippage, not flag(sent, "banAmend"))


def slippage_of(sent: Mapping[str, Any]) -> int:
    try:
        slippage = read_decimal(sent["slippagePct"])
    except BadNumber:
        raise invalid("slippagePct") from None
    if slippage > ONE // 20 or slippage % (ONE // 10_000):
        raise invalid("slippagePct")
    return slippage


def place(asked: Asked, sent: Mapping[str, Any], batch: bool) -> dict[str, Any]:
    new = new_order(asked, sent)
    meter, user, symbol = asked.desk.meter, asked.account.name, new.market.symbol
    if not batch:
        meter.spend(user, "place", 1, asked.now_ns, symbol)
    meter.spend(user, "orders", 1, asked.now_ns)
    order = asked.desk.orders.place(asked.account, new, asked.now_ns)
    return {"ordId": ids.order_id(order.id), "ts": payloads.ms(order.created_ns), "tag": new.details.tag}


def cancel(asked: Asked, sent: Mapping[str, Any], batch: bool) -> dict[str, Any]:
    market = market_of(asked, sent)
    if not batch:
        asked.desk.meter.spend(asked.account.name, "cancel", 1, asked.now_ns, market.symbol)
    gone = ApiError("51400", "Order cancellation failed as the order has been filled, canceled or does not exist.")
    orders = asked.desk.orders
    order = orders.find_open(asked.account, sent.get("ordId"), sent.get("clOrdId"), market.symbol, gone)
    orders.cancel(asked.account, order, asked.now_ns)
    return {"ordId": ids.order_id(order.id), "clOrdId": client_id_of(order), "ts": payloads.ms(asked.now_ns)}


def amend(asked: Asked, sent: Mapping[str, Any], batch: bool) -> dict[str, Any]:
    """Change an order; with `cxlOnFail` an order that cannot be changed is cancelled."""
    market = market_of(asked, sent)
    meter, user, orders = asked.desk.meter, asked.account.name, asked.desk.orders
    if not batch:
        meter.spend(user, "amend", 1, asked.now_ns, market.symbol)
    meter.spend(user, "orders", 1, asked.now_ns)
    request = text_of(sent, "reqId")
    if request and _ID.fullmatch(request) is None:
        raise invalid("reqId")
    size, price = (amount(sent, name) if sent.get(name) else None for name in ("newSz", "newPx"))
    if size is None and price is None:
        raise ApiError("51500", "You must enter a price, quantity, or TP/SL")
    gone = ApiError("51503", "Your order has already been filled or canceled.")
    order = orders.find_open(asked.account, sent.get("ordId"), sent.get("clOrdId"), market.symbol, gone)
    try:
        orders.amend(order, size, price, asked.now_ns)
    except ApiError:
        if flag(sent, "cxlOnFail"):
            orders.cancel(asked.account, order, asked.now_ns)
        raise
    return {
        "ordId": ids.order_id(order.id),
        "clOrdId": client_id_of(order),
        "reqId": request,
        "ts": payloads.ms(asked.now_ns),
    }


Handler = Callable[[Asked, Mapping[str, Any], bool], dict[str, Any]]


def one(handler: Handler, what: str) -> Callable[[Asked], Rows]:
    """Return the endpoint of one order."""

    def answer(asked: Asked) -> Rows:
        if not isinstance(asked.sent, dict):
            raise ApiError("50002", "JSON syntax error", 400)
        if what != "cancel":
            is_in_time(asked)
        return Rows([_row(asked, handler, asked.sent, False)])

    return answer


def many(handler: Handler, what: str) -> Callable[[Asked], Rows]:
    """Return the endpoint of up to 20 orders, which are processed in turn."""

    def answer(asked: Asked) -> Rows:
        listed = asked.sent
        if not isinstance(listed, list) or not listed or not all(isinstance(sent, dict) for sent in listed):
            raise ApiError("50002", "JSON syntax error", 400)
        if len(listed) > BATCH:
            code, text = {"cancel": ("51406", "Canceled - order count exceeds the limit 20.")}.get(
                what, ("51111", "Maximum 20 orders can be placed in bulk.")
            )
            raise ApiError(code, text, 400 if what == "cancel" else 200)
        if what != "cancel":
            is_in_time(asked)
        if len(listed) > 1:
            asked.desk.meter.spend(asked.account.name, "batch", len(listed), asked.now_ns, what)
        return Rows([_row(asked, handler, sent, len(listed) > 1) for sent in listed])

    return answer


def _row(asked: Asked, handler: Handler, sent: Mapping[str, Any], batch: bool) -> dict[str, Any]:
    row = {"clOrdId": str(sent.get("clOrdId") or ""), "ordId": "", "tag": "", "ts": payloads.ms(asked.now_ns)}
    try:
        row |= handler(asked, sent, batch)
        return row | {"sCode": "0", "sMsg": "", "subCode": ""}
    except ApiError as error:
        if not batch and error.status != 200:
            raise
        return row | {"sCode": error.code, "sMsg": error.text, "subCode": error.sub}


def cancel_all_after(asked: Asked) -> Any:
    sent = asked.sent if isinstance(asked.sent, dict) else {}
    if sent.get("timeOut") in (None, ""):
        raise missing("timeOut")
    tag = text_of(sent, "tag")
    asked.desk.meter.spend(asked.account.name, "cancel_all_after", 1, asked.now_ns, tag)
    try:
        timeout_s = read_whole(sent["timeOut"])
    except BadNumber:
        raise invalid("timeOut") from None
    if (timeout_s and not 10 <= timeout_s <= 120) or _TAG.fullmatch(tag) is None:
        raise invalid("timeOut" if _TAG.fullmatch(tag) else "tag")
    due_ns = asked.desk.orders.cancel_all_after(asked.account, tag, timeout_s, asked.now_ns)
    times = (str(at_ns // SECOND_NS) for at_ns in (due_ns, asked.now_ns))  # in seconds, as in the example
    return [dict(zip(("triggerTime", "ts"), times, strict=True)) | {"tag": tag}]

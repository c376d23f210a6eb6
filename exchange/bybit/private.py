"""Private REST endpoints of spot: an account's balances, orders, fills and trading.

Source: order/{create-order, amend-order, cancel-order, cancel-all, batch-place, batch-amend, batch-cancel, open-order,
order-list, execution, dcp}.mdx, account/{wallet-balance, fee-rate, account-info, dcp-info}.mdx, user/apikey-info.mdx,
rate-limit/rate-limit.mdx, read 2026-11-27. Where the manual is silent: times bound the creation of orders, and a cursor
is valid as long as its rows exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from ...model.events import Side
from ...model.time import DAY_NS, MILLISECOND_NS
from ..engine.accounts import Account, Fill, Order
from ..engine.keys import ApiKey
from ..wire.numbers import BadNumber, Flaw, read_decimal, short
from . import order_bodies
from .client import NAME
from .desk import Desk
from .errors import NOT_PERMITTED, ApiError
from .orders import SELF_TRADE, NewOrder, client_id_of, order_id, order_number, read_client_id, status
from .pairs import CATEGORIES, SPOT
from .public import whole

BATCH = 10  # rows of a batch of spot
RECENT = 500  # closed orders that /v5/order/realtime has
WEEK_NS = 7 * DAY_NS
FORGOTTEN_NS = DAY_NS  # after this time the history no longer has orders that closed unfilled
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated request."""

    desk: Desk
    account: Account
    key: ApiKey
    sent: Mapping[str, Any]
    now_ns: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: its handler, and an account's limit of requests a second.

    `batch`: the handler gets the rows of its `request` one by one, and each row counts as a request.
    """

    answer: Callable[[Asked], Any]
    per_s: int
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcomes of the rows of a batch: rows of the result, and a code and text for each."""

    rows: list[dict[str, Any]]
    outcomes: list[tuple[int, str]]


def _bad(name: str) -> ApiError:
    return ApiError(f"Request parameter error: {name}")


def _is_spot(asked: Asked) -> bool:
    if asked.sent.get("category") not in CATEGORIES:
        raise ApiError("Illegal category")
    return bool(asked.sent["category"] == SPOT)


def _spot(asked: Asked) -> None:
    if not _is_spot(asked):
        raise ApiError("Illegal category")


def _amount(asked: Asked, name: str, flaw: ApiError | None = None) -> int | None:
    """Read an amount above zero; None if absent. `flaw` is the error for too many decimals."""
    if asked.sent.get(name) in (None, ""):
        return None
    try:
        value = read_decimal(asked.sent[name])
    except BadNumber as bad:
        raise (flaw if flaw is not None and bad.flaw is Flaw.TOO_PRECISE else _bad(name)) from None
    if not value:
        raise _bad(name)
    return value


# ------------------------------------------------------------------------------------------------------------- trading


def _price(asked: Asked) -> int | None:
    return _amount(asked, "price", ApiError("Order price decimal too long.", 170134))


def _size(asked: Asked) -> int | None:
    return _amount(asked, "qty", ApiError("Order volume decimal too long", 170137))


def _acknowledged(order: Order) -> dict[str, str]:
    return {"orderId": order_id(order.id), "orderLinkId": client_id_of(order)}


def create(asked: Asked) -> Any:
    _spot(asked)
    sent, pair = asked.sent, asked.desk.pairs.find(asked.sent.get("symbol"))
    side, kind = sent.get("side"), sent.get("orderType")
    if side not in ("Buy", "Sell"):
        raise ApiError("Invalid side.", 170117)
    if kind not in ("Limit", "Market"):
        raise ApiError("Invalid orderType.", 170116)
    if sent.get("orderFilter", "Order") != "Order" or sent.get("isLeverage", 0) not in (0, "0"):
        raise ApiError("This feature is not supported.", 170227)
    force = sent.get("timeInForce", "GTC")
    if force not in ("GTC", "IOC", "FOK", "PostOnly"):
        raise ApiError("Invalid timeInForce.", 170115)
    unit = sent.get("marketUnit") or ("quoteCoin" if side == "Buy" else "baseCoin")
    if unit not in ("baseCoin", "quoteCoin"):
        raise _bad("marketUnit")
    match = sent.get("smpType", "None")
    if match not in ("None", *SELF_TRADE):
        raise _bad("smpType")
    size, price = _size(asked), _price(asked) if kind == "Limit" else None
    if size is None or (kind == "Limit" and price is None):
        raise _bad("qty" if size is None else "price")
    in_quote = kind == "Market" and unit == "quoteCoin"
    new = NewOrder(
        pair,
        Side[str(side).upper()],
        0 if in_quote else size,
        price,
        force if kind == "Limit" else "IOC",
        read_client_id(sent.get("orderLinkId")),
        size if in_quote else None,
        match,
    )
    return _acknowledged(asked.desk.orders.place(asked.account, new, asked.now_ns))


def _named(asked: Asked) -> Order:
    _spot(asked)
    pair, sent = asked.desk.pairs.find(asked.sent.get("symbol")), asked.sent
    return asked.desk.orders.find_open(asked.account, sent.get("orderId"), sent.get("orderLinkId"), pair.symbol)


def cancel(asked: Asked) -> Any:
    order = _named(asked)
    asked.desk.orders.cancel(asked.account, order, asked.now_ns)
    return _acknowledged(order)


def cancel_all(asked: Asked) -> Any:
    _spot(asked)
    symbol = asked.desk.pairs.find(asked.sent["symbol"]).symbol if asked.sent.get("symbol") else None
    found = asked.desk.orders.cancel_all(asked.account, symbol, asked.now_ns)
    return {"list": [_acknowledged(order) for order in found], "success": "1"}


def amend(asked: Asked) -> Any:
    order = _named(asked)
    size, price = _size(asked), _price(asked)
    if size is None and price is None:
        raise _bad("qty")
    asked.desk.orders.amend(order, size, price, asked.now_ns)
    return _acknowledged(order)


def set_dead_man(asked: Asked) -> Any:
    if asked.sent.get("product", "OPTIONS") not in ("SPOT", "DERIVATIVES", "OPTIONS"):
        raise _bad("product")
    seconds = whole(asked.sent, "timeWindow", 0, 3, 300)
    if not seconds:
        raise _bad("timeWindow")
    if asked.sent.get("product") == "SPOT":
        asked.desk.dead_man.set_window(asked.account, seconds)
    return {}


# --------------------------------------------------------------------------------------------------------------- reads


def realtime(asked: Asked) -> Any:
    """Open orders, newest first; by an id or with `openOnly` 1 also the latest closed ones."""
    if not _is_spot(asked):
        return {"category": asked.sent["category"], "list": [], "nextPageCursor": ""}
    account, by_id = asked.account, bool(asked.sent.get("orderId") or asked.sent.get("orderLinkId"))
    wanted = whole(asked.sent, "openOnly", 0, 0, 1)
    closed = [order for order in account.orders if order.id not in account.open][-RECENT:]
    found = list(account.open.values()) if by_id or not wanted else []
    found += closed if by_id or wanted else []
    return _orders(asked, sorted(found, key=lambda order: order.id))


def history(asked: Asked) -> Any:
    """Closed orders, newest first: orders with a fill are kept for long, other orders for a day."""
    if not _is_spot(asked):
        return {"category": asked.sent["category"], "list": [], "nextPageCursor": ""}
    begin, end = _times(asked)
    found = [
        order
        for order in asked.account.orders
        if order.id not in asked.account.open
        and (order.filled or asked.now_ns - order.updated_ns < FORGOTTEN_NS)
        and begin <= order.created_ns <= end
        and asked.sent.get("orderStatus", status(order)) == status(order)
    ]
    return _orders(asked, found)


def _orders(asked: Asked, orders: Iterable[Order]) -> Any:
    """Answer with the requested orders; a new order may be missing (the fault `unseen`)."""
    memory = asked.desk.floor.memory(NAME, asked.account)
    pairs, account = asked.desk.pairs.by_symbol, asked.account
    rows = [
        (order.id, order)
        for order in orders
        if _is_named(asked, order.symbol, order.id, client_id_of(order))
        and order.symbol in pairs
        and memory.holds(order, order.id in account.open, asked.now_ns)
    ]
    page, cursor = _page(asked, rows, 20, 50)
    bodies = [order_bodies.order(pairs[each.symbol], each, asked.desk.orders.details(each)) for each in page]
    return {"list": bodies, "nextPageCursor": cursor, "category": SPOT}


def _is_named(asked: Asked, symbol: str, number: int, client_id: str) -> bool:
    """Return whether a row matches: by orderId, or else by orderLinkId, or else by symbol."""
    sent = asked.sent
    if sent.get("orderId"):
        return order_number(sent["orderId"]) == number
    if sent.get("orderLinkId"):
        return bool(sent["orderLinkId"] == client_id)
    return not sent.get("symbol") or asked.desk.pairs.find(sent["symbol"]).symbol == symbol


def executions(asked: Asked) -> Any:
    """Fills, newest first."""
    if not _is_spot(asked):
        return {"category": asked.sent["category"], "list": [], "nextPageCursor": ""}
    begin, end = _times(asked)
    account, pairs = asked.account, asked.desk.pairs.by_symbol
    rows: list[tuple[int, Fill]] = []
    for fill in account.fills:
        order = account.by_id.get(fill.order_id)
        client_id = "" if order is None else client_id_of(order)
        is_meant = fill.symbol in pairs and _is_named(asked, fill.symbol, fill.order_id, client_id)
        if is_meant and begin <= fill.time_ns <= end:
            rows.append((len(rows), fill))
    page, cursor = _page(asked, rows, 50, 100)
    page = [asked.desk.floor.late_fees.shown(NAME, fill) for fill in page]
    bodies = [order_bodies.fill(pairs[each.symbol], each, account.by_id.get(each.order_id)) for each in page]
    return {"list": bodies, "nextPageCursor": cursor, "category": SPOT}


def _times(asked: Asked) -> tuple[int, int]:
    """Return `startTime` and `endTime` in ns, both inclusive, at most a week apart."""
    sent, week_ms = asked.sent, WEEK_NS // MILLISECOND_NS
    now_ms = asked.now_ns // MILLISECOND_NS
    given = [whole(sent, name, 0) if sent.get(name) else None for name in ("startTime", "endTime")]
    start = given[0] if given[0] is not None else (now_ms if given[1] is None else given[1]) - week_ms
    end = given[1] if given[1] is not None else now_ms if given[0] is None else start + week_ms
    if not start <= end <= start + week_ms:
        raise ApiError("The time range between startTime and endTime cannot exceed 7 days.")
    return start * MILLISECOND_NS, (end + 1) * MILLISECOND_NS - 1


def _page(asked: Asked, rows: Sequence[tuple[int, T]], usual: int, most: int) -> tuple[list[T], str]:
    """Return a page, newest first, and the cursor of the rows that follow; `rows` are numbered and oldest first.

    Like the exchange's cursor, it has characters that must be percent-encoded.
    """
    limit, cursor = whole(asked.sent, "limit", usual, 1, most), unquote(str(asked.sent.get("cursor") or ""))
    if cursor:
        number, _, ends = cursor.partition(":")
        if ends != "0" or not number.isdigit():
            raise _bad("cursor")
        rows = [row for row in rows if row[0] < int(number)]
    page = list(rows[-limit:][::-1])
    more = quote(f"{page[-1][0]}:0", safe="") if len(rows) > len(page) else ""
    return [row for _, row in page], more


# ------------------------------------------------------------------------------------------------------------- account


def wallet_balance(asked: Asked) -> Any:
    if asked.sent.get("accountType") != "UNIFIED":
        raise ApiError("accountType only support UNIFIED.")
    wanted = str(asked.sent["coin"]).split(",") if asked.sent.get("coin") else list(asked.account.balances)
    coins = [order_bodies.coin(asked.account, asset) for asset in wanted if asset in asked.account.balances]
    return {"list": [order_bodies.wallet(coins)]}


def fee_rate(asked: Asked) -> Any:
    if not _is_spot(asked):
        return {"category": asked.sent["category"], "list": []}
    pairs = asked.desk.pairs
    found = [pairs.find(asked.sent["symbol"])] if asked.sent.get("symbol") else list(pairs.by_symbol.values())
    rows = [
        {
            "symbol": pair.symbol,
            "takerFeeRate": short(pair.market.rules.taker_fee),
            "makerFeeRate": short(pair.market.rules.maker_fee),
        }
        for pair in found
    ]
    return {"category": SPOT, "list": rows}


def dead_man_info(asked: Asked) -> Any:
    seconds = asked.desk.dead_man.window(asked.account)
    rows = [{"product": "SPOT", "dcpStatus": "ON", "timeWindow": str(seconds)}]
    return {"dcpInfos": [] if seconds is None else rows}


def account_info(asked: Asked) -> Any:
    """A unified account without margin."""
    switches = {"dcpStatus": "OFF", "timeWindow": 0, "smpGroup": 0, "isMasterTrader": False, "spotHedgingStatus": "OFF"}
    updated = str(asked.account.updated_ns // MILLISECOND_NS)
    return {"marginMode": "REGULAR_MARGIN", "updatedTime": updated, "unifiedMarginStatus": 6, **switches}


def key_info(asked: Asked) -> Any:
    """The permissions of a key; the fields about its owner are left out."""
    key = asked.key
    none = ("ContractTrade", "Wallet", "Options", "Derivatives", "CopyTrading", "BlockTrade", "Exchange", "NFT", "Earn")
    return {
        "id": "1",
        "note": "",
        "apiKey": key.name,
        "readOnly": 0 if key.can_trade else 1,
        "secret": "",
        "permissions": {"Spot": ["SpotTrade"] if key.can_trade else [], **{name: [] for name in none}},
        "ips": ["*"],
        "type": 1,
        "deadlineDay": -2,
        "expiredAt": "1970-01-01T00:00:00Z",
        "createdAt": "1970-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "vipLevel": "No VIP",
        "isMaster": True,
        "parentUid": "0",
    }


# rate-limit.mdx, API Rate Limit Table: spot
READS = {
    "/v5/order/realtime": Endpoint(realtime, 50),
    "/v5/order/history": Endpoint(history, 50),
    "/v5/execution/list": Endpoint(executions, 50),
    "/v5/account/wallet-balance": Endpoint(wallet_balance, 50),
    "/v5/account/fee-rate": Endpoint(fee_rate, 5),
    "/v5/account/info": Endpoint(account_info, 50),
    "/v5/account/query-dcp-info": Endpoint(dead_man_info, 5),
    "/v5/user/query-api": Endpoint(key_info, 10),
}
WRITES = {
    "/v5/order/create": Endpoint(create, 20),
    "/v5/order/amend": Endpoint(amend, 10),
    "/v5/order/cancel": Endpoint(cancel, 20),
    "/v5/order/cancel-all": Endpoint(cancel_all, 20),
    "/v5/order/disconnected-cancel-all": Endpoint(set_dead_man, 5),
    "/v5/order/create-batch": Endpoint(create, 20, batch=True),
    "/v5/order/amend-batch": Endpoint(amend, 20, batch=True),
    "/v5/order/cancel-batch": Endpoint(cancel, 20, batch=True),
}


def perform(endpoint: Endpoint, asked: Asked, changes: bool, spend: Callable[[], None]) -> Any:
    """Execute an authenticated private request; `spend` counts it, or a row of a batch.

    Raises:
        ApiError: why it is refused.
    """
    if not (asked.key.can_trade if changes else asked.key.can_read):
        raise ApiError("Permission denied, please check your API key permissions.", NOT_PERMITTED)
    if endpoint.batch:
        return _each(endpoint, asked, spend)
    spend()
    return endpoint.answer(asked)


def _each(endpoint: Endpoint, asked: Asked, spend: Callable[[], None]) -> Batch:
    """Execute the rows of a batch one by one; rows above the limit are refused."""
    _spot(asked)
    listed = asked.sent.get("request")
    if (
        not isinstance(listed, list)
        or not 1 <= len(listed) <= BATCH
        or not all(isinstance(row, dict) for row in listed)
    ):
        raise _bad("request")
    done = Batch([], [])
    for row in listed:
        found = {"category": SPOT, **{name: str(row.get(name) or "") for name in ("symbol", "orderId", "orderLinkId")}}
        try:
            spend()
            found |= endpoint.answer(replace(asked, sent={**row, "category": SPOT}))
            done.outcomes.append((0, "OK"))
        except ApiError as error:
            done.outcomes.append((error.code, error.text))
        if endpoint.answer is create:
            found["createAt"] = "" if done.outcomes[-1][0] else str(asked.now_ns // MILLISECOND_NS)
        done.rows.append(found)
    return done

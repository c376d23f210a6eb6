"""Private REST endpoints of spot: accounts, balances, orders, fills and trading. An answer is the whole body.

Source: private_rest_api.md, the sections of the endpoints, read 2026-11-28. Guesses, because the manual is silent:
`from` is not included in a page, windows bound the creation of orders and the time of fills, and the number in the
answer to a cancel by client id has no meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...model.events import Side
from ...model.time import DAY_NS, MILLISECOND_NS, SECOND_NS
from ..engine.accounts import Account, Order
from ..engine.keys import ApiKey
from ..wire.numbers import BadNumber, Flaw, read_decimal, short
from . import order_bodies
from .client import NAME, milliseconds
from .dead_man import LEAST_S
from .desk import Desk
from .errors import FORBIDDEN, NOT_FOUND, ApiError, bad
from .orders import TYPES, NewOrder, account_id, order_id, order_number, read_client_id, state
from .public import whole

BATCH, CANCELS = 10, 50
WINDOW_NS, FILLS_NS, ORDERS_NS = 2 * DAY_NS, 120 * DAY_NS, 180 * DAY_NS
FORGOTTEN_NS = (
    2 * 3600 * SECOND_NS
)  # since its end, an order that was cancelled unfilled; since its creation, a client id
OPEN_ID_NS = 8 * 3600 * SECOND_NS  # a client id of an open order, since its creation
# A guess: the manual lists the last three; ccxt requests all of these. No order here is ever "pre-submitted"
STATES = ("pre-submitted", "submitted", "partial-filled", "filled", "partial-canceled", "canceled")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated request. `number`: the id in its path."""

    desk: Desk
    account: Account
    key: ApiKey
    sent: Mapping[str, Any]
    now_ns: int
    number: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: its handler, and an account's limit of requests in two seconds."""

    answer: Callable[[Asked], Any]
    most: int


def ok(data: Any) -> dict[str, Any]:
    return {"status": "ok", "data": data}


# ------------------------------------------------------------------------------------------------------------ accounts


def accounts(asked: Asked) -> Any:
    number = account_id(asked.account)
    kinds = (("spot", number), ("otc", number + 1), ("point", number + 2))
    return ok([{"id": one, "type": kind, "subtype": "", "state": "working"} for kind, one in kinds])


def balance(asked: Asked) -> Any:
    number = account_id(asked.account)
    if asked.number != str(number):
        raise ApiError("account-get-accounts-inexistent-error", "The account doesn't exist in current user")
    rows = order_bodies.balance_rows(asked.account)
    return ok({"id": number, "type": "spot", "state": "working", "list": rows})


def fee_rate(asked: Asked) -> Any:
    names = str(asked.sent.get("symbols") or "").split(",")
    if len(names) > 10:
        raise bad("symbols")
    rows = []
    for pair in map(asked.desk.pairs.find, names):
        maker, taker = short(pair.market.rules.maker_fee), short(pair.market.rules.taker_fee)
        rates = {"makerFeeRate": maker, "takerFeeRate": taker, "actualMakerRate": maker, "actualTakerRate": taker}
        rows.append({"symbol": pair.symbol, **rates})
    return {"code": 200, "data": rows, "success": True}


# ------------------------------------------------------------------------------------------------------------- trading


def _number(sent: Mapping[str, Any], name: str, flaw: str) -> int:
    """Read an amount above zero; `flaw` is the code for too many decimals."""
    value = sent.get(name)
    if not isinstance(value, str):
        raise bad(name)
    try:
        found = read_decimal(value)
    except BadNumber as wrong:
        raise (ApiError(flaw, "precision error") if wrong.flaw is Flaw.TOO_PRECISE else bad(name)) from None
    if not found:
        raise bad(name)
    return found


def _new(asked: Asked, sent: Mapping[str, Any]) -> NewOrder:
    if str(sent.get("account-id") or "") != str(account_id(asked.account)):
        raise ApiError("account-account-id-inexistent", "The account id doesn't exist")
    pair = asked.desk.pairs.find(sent.get("symbol"))
    side, _, word = str(sent.get("type")).partition("-")
    if side not in ("buy", "sell") or word not in TYPES:
        raise ApiError("order-type-invalid", "Order type is invalid")
    if sent.get("source", "spot-api") != "spot-api":
        raise ApiError("order-source-invalid", "Order source is invalid")
    prevents = sent.get("self-match-prevent", 0)
    if prevents not in (0, 1, "0", "1"):
        raise bad("self-match-prevent")
    kind, force = TYPES[word]
    size = _number(sent, "amount", "order-orderamount-precision-error")
    price = None if kind == "MARKET" else _number(sent, "price", "order-orderprice-precision-error")
    in_quote = kind == "MARKET" and side == "buy"
    return NewOrder(
        pair,
        Side[side.upper()],
        kind,
        force,
        0 if in_quote else size,
        price,
        size if in_quote else None,
        read_client_id(sent.get("client-order-id")),
        "EXPIRE_TAKER" if prevents in (1, "1") else "NONE",
    )


def place(asked: Asked) -> Any:
    order = asked.desk.orders.place(asked.account, _new(asked, asked.sent), asked.now_ns)
    return ok(str(order_id(order.id)))


def place_batch(asked: Asked) -> Any:
    """Place up to ten orders one by one; each has its own outcome."""
    listed = asked.sent.get("orders")
    if (
        not isinstance(listed, list)
        or not 1 <= len(listed) <= BATCH
        or not all(isinstance(one, dict) for one in listed)
    ):
        raise bad("orders")
    rows: list[dict[str, Any]] = []
    for one in listed:
        named = {"client-order-id": one["client-order-id"]} if one.get("client-order-id") else {}
        try:
            order = asked.desk.orders.place(asked.account, _new(asked, one), asked.now_ns)
            rows.append({"order-id": order_id(order.id), **named})
        except ApiError as error:
            rows.append({**named, "err-code": error.code, "err-msg": error.text})
    return ok(rows)


def _by_id(asked: Asked, number: object) -> Order | None:
    engine_number = order_number(number)
    return None if engine_number is None else asked.account.by_id.get(engine_number)


def cancel(asked: Asked) -> Any:
    order = asked.desk.orders.cancel(asked.account, _by_id(asked, asked.number), asked.now_ns)
    return ok(str(order_id(order.id)))


def cancel_by_client(asked: Asked) -> Any:
    name = read_client_id(asked.sent.get("client-order-id"))
    asked.desk.orders.cancel(asked.account, _by_client(asked, name), asked.now_ns)
    return ok(10)


def cancel_batch(asked: Asked) -> Any:
    """Cancel up to 50 orders one by one, by ids of the exchange or of the client."""
    by_id, by_client = asked.sent.get("order-ids"), asked.sent.get("client-order-ids")
    listed = by_id if by_id is not None else by_client
    if (by_id is None) == (by_client is None) or not isinstance(listed, list) or not 1 <= len(listed) <= CANCELS:
        raise bad("order-ids")
    done: dict[str, list[Any]] = {"success": [], "failed": []}
    for name in map(str, listed):
        order = _by_id(asked, name) if by_id is not None else _by_client(asked, name)
        try:
            asked.desk.orders.cancel(asked.account, order, asked.now_ns)
            done["success"].append(name)
        except ApiError as error:
            number = "" if order is None else str(order_id(order.id))
            client_id = "" if order is None else asked.desk.orders.details(order).client_id
            ids = {"order-id": number, "client-order-id": client_id}
            ids["order-id" if by_id is not None else "client-order-id"] = name
            done["failed"].append({"err-msg": error.text, "order-state": "7", **ids, "err-code": error.code})
    return ok(done)


def dead_man(asked: Asked) -> Any:
    seconds = whole(asked.sent, "timeout", -1, 0, 86_400)
    if seconds < 0 or 0 < seconds < LEAST_S:
        raise bad("timeout")
    due_ns = asked.desk.dead_man.set(asked.account, seconds, asked.now_ns)
    times = {"currentTime": milliseconds(asked.now_ns), "triggerTime": milliseconds(due_ns)}
    return {"code": 200, "message": "success", "data": times}


# --------------------------------------------------------------------------------------------------------------- reads


def _holds(asked: Asked, order: Order) -> bool:
    """Return whether the exchange still finds an order, and already (the faults `unseen` and `forget`)."""
    is_open = order.id in asked.account.open
    if not asked.desk.floor.memory(NAME, asked.account).holds(order, is_open, asked.now_ns):
        return False
    return is_open or bool(order.filled) or asked.now_ns - order.updated_ns < FORGOTTEN_NS


def _by_client(asked: Asked, name: str) -> Order | None:
    """Return the newest order with a client id, while the id is valid."""
    order = asked.desk.orders.newest(asked.account, name)
    if order is None:
        return None
    valid_ns = OPEN_ID_NS if order.id in asked.account.open else FORGOTTEN_NS
    return order if asked.now_ns - order.created_ns < valid_ns else None


def _found(asked: Asked, order: Order | None) -> Any:
    pair = None if order is None else asked.desk.pairs.of(order.symbol)
    if order is None or pair is None or not _holds(asked, order):
        raise ApiError(NOT_FOUND, "record invalid")
    return ok(order_bodies.order(pair, order, asked.desk.orders.details(order)))


def one_order(asked: Asked) -> Any:
    return _found(asked, _by_id(asked, asked.number))


def client_order(asked: Asked) -> Any:
    return _found(asked, _by_client(asked, str(asked.sent.get("clientOrderId") or "")))


def open_orders(asked: Asked) -> Any:
    """Open orders, newest first."""
    sent = asked.sent
    if (sent.get("account-id") or account_id(asked.account)) not in (account_id(asked.account), _own(asked)):
        raise ApiError("account-account-id-inexistent", "The account id doesn't exist")
    symbol = asked.desk.pairs.find(sent["symbol"]).symbol if sent.get("symbol") else None
    found = [
        order
        for order in asked.account.open.values()
        if symbol in (None, order.symbol.lower()) and _holds(asked, order)
    ]
    return ok(_orders(asked, found, whole(sent, "size", 100, 1, 500), True))


def _own(asked: Asked) -> str:
    return str(account_id(asked.account))


def past_orders(asked: Asked) -> Any:
    """Orders in some states, newest first."""
    sent, pair = asked.sent, asked.desk.pairs.find(asked.sent.get("symbol"))
    states = str(sent.get("states") or "").split(",")
    if not set(states) <= set(STATES):
        raise bad("states")
    begin, end = _window(asked, ORDERS_NS)
    found = [
        order
        for order in asked.account.orders
        if order.symbol == pair.market.symbol
        and state(order) in states
        and begin <= order.created_ns <= end
        and _holds(asked, order)
    ]
    return ok(_orders(asked, found, whole(sent, "size", 100, 1, 100), False))


def _orders(asked: Asked, orders: Iterable[Order], size: int, is_open: bool) -> list[dict[str, Any]]:
    known = [(order_id(order.id), order) for order in sorted(orders, key=lambda order: -order.id)]
    bodies = []
    for order in _page(asked, known, size):
        pair = asked.desk.pairs.of(order.symbol)
        if pair is not None:
            bodies.append(order_bodies.order(pair, order, asked.desk.orders.details(order), is_open))
    return bodies


def fills(asked: Asked) -> Any:
    """Fills of a pair, newest first."""
    pair, (begin, end) = asked.desk.pairs.find(asked.sent.get("symbol")), _window(asked, FILLS_NS)
    rows = [row for row in _records(asked) if row[1].symbol == pair.market.symbol and begin <= row[1].time_ns <= end]
    known = [(order_bodies.record_id(number), (number, made)) for number, made in reversed(rows)]
    return ok(_fills(asked, _page(asked, known, whole(asked.sent, "size", 100, 1, 500))))


def order_fills(asked: Asked) -> Any:
    number = order_number(asked.number)
    return ok(_fills(asked, [row for row in reversed(_records(asked)) if row[1].order_id == number]))


def _records(asked: Asked) -> list[tuple[int, Any]]:
    account = asked.account
    return list(enumerate(account.fills, account.fill_count - len(account.fills)))


def _fills(asked: Asked, rows: Iterable[tuple[int, Any]]) -> list[dict[str, Any]]:
    bodies = []
    for number, made in rows:
        pair, shown = asked.desk.pairs.of(made.symbol), asked.desk.floor.late_fees.shown(NAME, made)
        if pair is not None:
            bodies.append(order_bodies.fill(pair, number, shown, asked.account.by_id.get(made.order_id)))
    return bodies


def _window(asked: Asked, reach_ns: int) -> tuple[int, int]:
    """Return `start-time` and `end-time` in ns, at most 48 hours apart and within the reach of the list."""
    sent, now_ms, width_ms = asked.sent, milliseconds(asked.now_ns), milliseconds(WINDOW_NS)
    given = [whole(sent, name, 0, 0, 2**43) if sent.get(name) else None for name in ("start-time", "end-time")]
    end = given[1] if given[1] is not None else now_ms if given[0] is None else min(now_ms, given[0] + width_ms)
    start = given[0] if given[0] is not None else end - width_ms
    if start > end and given[1] is None:
        end = start
    if not start <= end <= start + width_ms:
        raise ApiError("invalid-interval", "Query window is zero, negative or greater than limitation")
    if start * MILLISECOND_NS < asked.now_ns - reach_ns - MILLISECOND_NS * 60_000:
        raise ApiError("invalid-start-time", "The start time is invalid")
    return start * MILLISECOND_NS, (end + 1) * MILLISECOND_NS - 1


def _page(asked: Asked, rows: Sequence[tuple[int, T]], size: int) -> list[T]:
    """Return a page of rows in their order, after the row with the id `from`, or before it with `direct` "prev"."""
    found, start = list(rows), str(asked.sent.get("from") or "")
    if start:
        at = next((place for place, (number, _) in enumerate(found) if str(number) == start), None)
        if at is None:
            raise bad("from")
        found = found[at + 1 :] if asked.sent.get("direct", "next") == "next" else found[:at][-size:]
    return [row for _, row in found[:size]]


# The limits: private_rest_api.md, Rate Limit of each endpoint
READS = {
    "/v1/account/accounts": Endpoint(accounts, 100),
    "/v1/account/accounts/{}/balance": Endpoint(balance, 100),
    "/v1/order/openOrders": Endpoint(open_orders, 50),
    "/v1/order/orders": Endpoint(past_orders, 50),
    "/v1/order/orders/getClientOrder": Endpoint(client_order, 50),
    "/v1/order/orders/{}": Endpoint(one_order, 50),
    "/v1/order/orders/{}/matchresults": Endpoint(order_fills, 50),
    "/v1/order/matchresults": Endpoint(fills, 20),
    "/v2/reference/transact-fee-rate": Endpoint(fee_rate, 50),
}
PLACE, PLACE_BATCH = "/v1/order/orders/place", "/v1/order/batch-orders"
WRITES = {
    PLACE: Endpoint(place, 100),
    PLACE_BATCH: Endpoint(place_batch, 50),
    "/v1/order/orders/{}/submitcancel": Endpoint(cancel, 100),
    "/v1/order/orders/submitCancelClientOrder": Endpoint(cancel_by_client, 100),
    "/v1/order/orders/batchcancel": Endpoint(cancel_batch, 50),
    "/v2/algo-orders/cancel-all-after": Endpoint(dead_man, 100),
}


def find(method: str, path: str) -> tuple[str, str] | None:
    """Return the name of the endpoint with this path, and the id in the path; None: there is none."""
    table = READS if method == "GET" else WRITES if method == "POST" else {}
    if path in table:
        return path, ""
    parts = path.split("/")
    for at, number in enumerate(parts):
        name = "/".join((*parts[:at], "{}", *parts[at + 1 :]))
        if number.isdigit() and name in table:
            return name, number
    return None


def perform(name: str, asked: Asked, changes: bool) -> Any:
    """Execute an authenticated private request.

    Raises:
        ApiError: why it is refused.
    """
    if not (asked.key.can_trade if changes else asked.key.can_read):
        raise ApiError(FORBIDDEN, "The operation is forbidden for current user")
    return (WRITES if changes else READS)[name].answer(asked)

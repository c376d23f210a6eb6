"""Orders, fills and balances as REST and the private topics write them. Numbers are text.

Source: private_rest_api.md (/v1/order/orders/{order-id}, /v1/order/openOrders, /v1/order/matchresults,
/v1/account/accounts/{account-id}/balance), private_websocket_api.md (orders#, trade.clearing#, accounts.update#), read
2026-11-28. The manual writes fees of buys in base and of sells in quote, as the engine charges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.fixed import to_raw
from ..engine.accounts import Account, Fill, Order
from ..engine.rules import SCALE
from ..wire.numbers import short, text
from .client import milliseconds
from .orders import Details, account_id, order_id, state, type_of
from .pairs import Pair

ENDED = ("filled", "partial-canceled", "canceled")
FIRST_RECORD = 313_288_000_000_000
MIXED = 679_544_165_361  # odd, so every record has another id


def record_id(number: int) -> int:
    """Return the id of an account's fill by its place: ids do not rise."""
    return FIRST_RECORD + number * MIXED % 2**40


def amount(order: Order) -> str:
    """The amount of an order: of a market buy its value."""
    return text(order.size if order.quote_size is None else order.quote_size)


def order(pair: Pair, placed: Order, details: Details, is_listed_open: bool = False) -> dict[str, Any]:
    """One order; `is_listed_open`: as the list of open orders writes it."""
    found, filled = state(placed), "filled" if is_listed_open else "field"
    fees = sum(fill.fee for fill in details.fills)
    body = {
        "id": order_id(placed.id),
        "symbol": pair.symbol,
        "account-id": account_id(placed.account),
        "client-order-id": details.client_id,
        "amount": amount(placed),
        "price": "0.0" if placed.price is None else text(placed.price),
        "created-at": milliseconds(placed.created_ns),
        "type": type_of(placed),
        f"{filled}-amount": text(placed.filled),
        f"{filled}-cash-amount": text(placed.quote_filled),
        f"{filled}-fees": text(fees),
        "source": "spot-api",
        "state": found,
    }
    if is_listed_open:
        return body
    ended = milliseconds(placed.updated_ns) if found in ENDED else 0
    cancelled = ended if found != "filled" else 0
    return {**body, "finished-at": ended, "updated-at": milliseconds(placed.updated_ns), "canceled-at": cancelled}


def fill(pair: Pair, number: int, made: Fill, placed: Order | None) -> dict[str, Any]:
    """One match result. A fee that is withheld is in deduction; the manual does not show such a row."""
    return {
        "symbol": pair.symbol,
        "fee-currency": (made.fee_asset or _fee_asset(pair, made)).lower(),
        "source": "spot-api",
        "price": text(made.price),
        "created-at": milliseconds(made.time_ns),
        "role": "maker" if made.maker else "taker",
        "order-id": order_id(made.order_id),
        "match-id": made.trade_id,
        "trade-id": made.trade_id,
        "filled-amount": text(made.size),
        "filled-fees": text(made.fee),
        "filled-points": "0.0",
        "fee-deduct-currency": "",
        "fee-deduct-state": "done" if made.fee_asset else "ongoing",
        "id": record_id(number),
        "type": f"{made.side.lower()}-limit" if placed is None else type_of(placed),
    }


def _fee_asset(pair: Pair, made: Fill) -> str:
    rules = pair.market.rules
    return rules.base if made.side == "BUY" else rules.quote


def balance_rows(account: Account) -> list[dict[str, Any]]:
    """The rows of every asset: what is free, and what open orders lock."""
    rest = {"debt": "invalid", "available": "invalid", "seq-num": str(account.fill_count)}
    return [
        {"currency": asset.lower(), "type": kind, "balance": text(value), **rest}
        for asset, held in account.balances.items()
        for kind, value in (("trade", held.free), ("frozen", held.locked))
    ]


def misstated(rows: list[dict[str, Any]], wrong: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    """Return balances with amounts added to the free ones."""
    return [
        row | {"balance": text(to_raw(row["balance"], SCALE) + to_raw(wrong[row["currency"].upper()], SCALE))}
        if row["type"] == "trade" and row["currency"].upper() in wrong
        else row
        for row in rows
    ]


# The private websocket


def _event(pair: Pair, placed: Order, details: Details, kind: str) -> dict[str, Any]:
    """The common part of the events of an order."""
    sized = {"orderSize": text(placed.size)} if placed.quote_size is None else {"orderValue": text(placed.quote_size)}
    priced = {} if placed.price is None else {"orderPrice": text(placed.price)}
    return {
        "eventType": kind,
        "symbol": pair.symbol,
        "accountId": account_id(placed.account),
        "orderId": order_id(placed.id),
        "clientOrderId": details.client_id,
        "orderSource": "spot-api",
        "type": type_of(placed),
        **priced,
        **sized,
    }


def _progress(placed: Order) -> dict[str, Any]:
    if placed.quote_size is not None:
        left, done = placed.quote_size - placed.quote_filled, placed.quote_filled
    else:
        left, done = placed.size - placed.filled, placed.filled
    return {"remainAmt": text(left), "execAmt": text(done), "orderStatus": state(placed)}


def created(pair: Pair, placed: Order, details: Details) -> dict[str, Any]:
    at = milliseconds(placed.created_ns)
    return {**_event(pair, placed, details, "creation"), "orderStatus": "submitted", "orderCreateTime": at}


def traded(pair: Pair, placed: Order, details: Details, made: Fill) -> dict[str, Any]:
    """A trade; the event has no fee."""
    return {
        **_event(pair, placed, details, "trade"),
        "tradePrice": text(made.price),
        "tradeVolume": text(made.size),
        "tradeId": made.trade_id,
        "tradeTime": milliseconds(made.time_ns),
        "aggressor": not made.maker,
        **_progress(placed),
    }


def cancelled(pair: Pair, placed: Order, details: Details, now_ns: int) -> dict[str, Any]:
    return {
        **_event(pair, placed, details, "cancellation"),
        **_progress(placed),
        "lastActTime": milliseconds(now_ns),
    }


def cleared(pair: Pair, placed: Order, details: Details, made: Fill) -> dict[str, Any]:
    """A fill with its fee."""
    sized = {"orderSize": text(placed.size)} if placed.quote_size is None else {"orderValue": text(placed.quote_size)}
    return {
        "eventType": "trade",
        "symbol": pair.symbol,
        "orderId": order_id(placed.id),
        "tradePrice": text(made.price),
        "tradeVolume": text(made.size),
        "orderSide": "buy" if placed.side is Side.BUY else "sell",
        "orderType": type_of(placed),
        "aggressor": not made.maker,
        "tradeId": made.trade_id,
        "tradeTime": milliseconds(made.time_ns),
        "transactFee": short(made.fee),
        "feeCurrency": made.fee_asset.lower(),
        "feeDeduct": "0",
        "feeDeductType": "",
        "accountId": account_id(placed.account),
        "source": "spot-api",
        "orderPrice": "" if placed.price is None else text(placed.price),
        **sized,
        "clientOrderId": details.client_id,
        "orderCreateTime": milliseconds(placed.created_ns),
        "orderStatus": state(placed),
    }


def balance(
    account: Account, asset: str, kind: str | None, number: int, now_ns: int, wrong: Mapping[str, Decimal]
) -> dict[str, Any]:
    """One balance of `accounts.update#2`: as a whole, and its available part. `kind` None: the first message."""
    held, more = account.balance(asset), to_raw(wrong.get(asset, 0), SCALE)
    return {
        "currency": asset.lower(),
        "accountId": account_id(account),
        "balance": text(held.free + held.locked + more),
        "available": text(held.free + more),
        "changeType": kind,
        "accountType": "trade",
        "seqNum": str(number),
        "changeTime": None if kind is None else milliseconds(now_ns),
    }

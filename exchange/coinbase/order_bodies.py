"""Orders, fills and balances as REST writes them. Decimals are text.

Source: rest, Create a new order, Get single order, Get all fills; Get all accounts for a profile, Get fees
(docs.cdp.coinbase.com/api-reference/exchange-api/rest-api).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from ...model.fixed import to_raw
from ..engine.accounts import Account, Fill, Order
from ..engine.rules import SCALE, Rules
from ..wire.numbers import short, text
from .client import stamp
from .orders import Details, client_id_of, done_reason, state
from .payloads import order_id, price, product_id


def profile_id(account: Account) -> str:
    return str(uuid5(NAMESPACE_OID, f"profile {account.name}"))


def user_id(account: Account) -> str:
    return uuid5(NAMESPACE_OID, f"user {account.name}").hex[:24]


def order(rules: Rules, account: Account, placed: Order, details: Details, received: bool = False) -> dict[str, Any]:
    """One order; `received`: as it was before it was matched, in the answer to its request."""
    is_market = placed.price is None
    body: dict[str, Any] = {"id": order_id(placed.id)}
    if placed.price is not None:
        body["price"] = price(rules, placed.price)
    if not details.funds:
        body["size"] = text(placed.size)
    body |= {
        "product_id": product_id(rules),
        "profile_id": profile_id(account),
        "side": placed.side.value,
        "stp": details.self_trade,
        "type": "market" if is_market else "limit",
        "post_only": placed.kind == "LIMIT_MAKER",
        "created_at": stamp(placed.created_ns),
    }
    if details.funds:
        body |= {"funds": text(placed.quote_size or 0), "specified_funds": text(details.funds)}
    if not is_market:
        body["time_in_force"] = placed.time_in_force
    filled, quote = (0, 0) if received else (placed.filled, placed.quote_filled)
    fees = 0 if received else sum(fill.fee for fill in details.fills)
    body |= {"fill_fees": text(fees), "filled_size": text(filled), "executed_value": text(quote)}
    found = "pending" if received else state(placed)
    if found == "done":
        body |= {"done_at": stamp(placed.updated_ns), "done_reason": done_reason(placed)}
    if found == "rejected":
        body |= {"done_at": stamp(placed.updated_ns), "reject_reason": placed.expiry_reason or "rejected"}
    body |= {"status": found, "settled": found == "done", "market_type": "spot"}
    client_id = client_id_of(placed)
    return {**body, "client_oid": client_id} if client_id else body


def fill(rules: Rules, account: Account, made: Fill) -> dict[str, Any]:
    """One fill. Its fee, in the quote currency, is known when it is settled."""
    rate = rules.maker_fee if made.maker else rules.taker_fee
    return {
        "created_at": stamp(made.time_ns),
        "trade_id": made.trade_id,
        "product_id": product_id(rules),
        "order_id": order_id(made.order_id),
        "user_id": user_id(account),
        "profile_id": profile_id(account),
        "liquidity": "M" if made.maker else "T",
        "price": price(rules, made.price),
        "size": text(made.size),
        "fee": text(made.fee),
        "side": made.side,
        "settled": bool(made.fee_asset and (made.fee or not rate)),
        "usd_volume": text(made.quote),
        "market_type": "spot",
        "funding_currency": rules.quote,
    }


def balance(account: Account, asset: str) -> dict[str, Any]:
    held = account.balance(asset)
    return {
        "id": str(uuid5(NAMESPACE_OID, f"account {account.name} {asset}")),
        "currency": asset,
        "balance": text(held.free + held.locked),
        "hold": text(held.locked),
        "available": text(held.free),
        "profile_id": profile_id(account),
        "trading_enabled": True,
        "pending_deposit": "0",
        "display_name": asset,
    }


def fees(rules: Rules) -> dict[str, str]:
    rates = {"taker_fee_rate": short(rules.taker_fee), "maker_fee_rate": short(rules.maker_fee)}
    return {**rates, "usd_volume": "0.00"}


def misstated(rows: list[dict[str, Any]], wrong: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    """Return balances with amounts added to what is available."""
    return [
        row
        | {
            name: text(to_raw(row[name], SCALE) + to_raw(wrong.get(row["currency"], 0), SCALE))
            for name in ("balance", "available")
        }
        for row in rows
    ]

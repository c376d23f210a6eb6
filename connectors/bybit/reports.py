"""Read orders, fills and balances from Bybit's answers and private topics. Pure.

The codec reads inside `reading`, which turns every error here into DecodeError, also for a state, side or type that is
not in the tables.

Source: order/{open-order, order-list, execution}.mdx, account/{wallet-balance, fee-rate}.mdx, websocket/private/{order,
execution, wallet}.mdx, enum.mdx, read 2026-11-27.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from ...model.events import Side
from ...model.order import Fee, OrderStatus, OrderType, TimeInForce
from ..reading import decimal, flag, milliseconds_text, plain_decimal, rows, text, text_or_none
from ..reports import AccountReport, BalanceReport, Fees, FillReport, OrderReport
from ..trading import held

STATUS = {  # enum.mdx, orderStatus, of orders without a trigger
    "New": OrderStatus.OPEN,
    "PartiallyFilled": OrderStatus.PARTIALLY_FILLED,
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELED,
    "PartiallyFilledCanceled": OrderStatus.CANCELED,
    "Rejected": OrderStatus.REJECTED,
}
SIDE = {"Buy": Side.BUY, "Sell": Side.SELL}
FORCE = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK, "PostOnly": TimeInForce.GTC}
# enum.mdx, rejectReason: the exchange ended the order because of its terms
EXPIRED = {
    "EC_NoImmediateQtyToFill": "the rest was not filled at once",
    "EC_NoEnoughQtyToFill": "not all of it could be filled at once",
    "EC_CancelForNoFullFill": "FOK: not all of it could be filled at once",
    "EC_PostOnlyWillTakeLiquidity": "a post-only order would have taken liquidity",
    "EC_BySelfMatch": "self-trade prevention",
    "EC_ReachMaxTradeNum": "the order would have matched too many orders",
    "EC_ReachRiskPriceLimit": "the price is beyond the limit",
    "EC_ReachMarketPriceLimit": "the price is beyond the limit",
    "EC_CancelByOrderValueZero": "the rest was worth nothing",
    "EC_CancelByMatchValueZero": "the rest was worth nothing",
}


def order(row: dict[str, Any]) -> OrderReport:
    """Read one order."""
    force = text(row["timeInForce"])
    kind = {"Limit": OrderType.LIMIT, "Market": OrderType.MARKET}[row["orderType"]]
    is_market = kind is OrderType.MARKET
    in_quote = is_market and row["marketUnit"] == "quoteCoin"
    status, reason = STATUS[row["orderStatus"]], text(row["rejectReason"])
    if status is OrderStatus.CANCELED and reason in EXPIRED:
        status = OrderStatus.EXPIRED
    ended = status in (OrderStatus.EXPIRED, OrderStatus.REJECTED)
    size = plain_decimal(row["qty"])
    return OrderReport(
        symbol=text(row["symbol"]),
        client_order_id=text(row["orderLinkId"]),
        exchange_order_id=_id(row["orderId"]),
        status=status,
        ts_event_ns=milliseconds_text(row["updatedTime"]),
        side=SIDE[row["side"]],
        order_type=OrderType.LIMIT_MAKER if force == "PostOnly" and not is_market else kind,
        time_in_force=None if is_market else FORCE[force],
        amount=None if in_quote else size,
        price=None if is_market else plain_decimal(row["price"]),
        quote_amount=size if in_quote else None,
        filled=plain_decimal(row["cumExecQty"]),
        quote_filled=plain_decimal(row["cumExecValue"]),
        code=reason if ended else None,
        reason=EXPIRED.get(reason, reason) if ended else None,
    )


def _id(value: Any) -> str:
    if not text(value):
        raise ValueError("not an order's id")
    return text(value)


def is_trade(row: Any) -> bool:
    """Return whether a row of executions is a trade; a row without a readable type may be one."""
    kind = row.get("execType") if isinstance(row, dict) else None
    return kind == "Trade" or not isinstance(kind, str)


def fill(row: dict[str, Any]) -> FillReport:
    """Read one fill. A fee that is paid is positive; a rebate is negative."""
    price, amount = plain_decimal(row["execPrice"]), plain_decimal(row["execQty"])
    if not price or not amount:
        raise ValueError("not a fill")
    return FillReport(
        trade_id=_id(row["execId"]),
        price=price,
        amount=amount,
        quote_amount=plain_decimal(row["execValue"]),
        fee=None if row["execFee"] in ("", None) else decimal(row["execFee"]),
        fee_asset=text_or_none(row["feeCurrency"]),
        is_maker=flag(row["isMaker"]),
        ts_event_ns=milliseconds_text(row["execTime"]),
        exchange_order_id=_id(row["orderId"]),
        side=SIDE[row["side"]],
        symbol=text(row["symbol"]),
        more_fees=tuple(Fee(text(one["feeCoin"]), decimal(one["fee"])) for one in _taxes(row)),
    )


def _taxes(row: dict[str, Any]) -> list[Any]:
    """Return the fees besides `execFee`: a list in the topic, and text in REST, whose form the manual does not show."""
    extra = row.get("extraFees") or []
    return rows(orjson.loads(extra) if isinstance(extra, str) else extra)


def execution(row: dict[str, Any]) -> OrderReport:
    """Read one fill of the topic `execution`, as a report on its order without a state."""
    made = fill(row)
    client_id, side = text(row["orderLinkId"]), made.side
    return OrderReport(made.symbol, client_id, made.exchange_order_id, None, made.ts_event_ns, side=side, fills=(made,))


def balances(row: dict[str, Any], at_ns: int, whole: bool) -> BalanceReport:
    """Read the coins of an account; `whole`: the answer names every coin of the account."""
    return held(rows(row["coin"]), _balance, "coin", at_ns, whole)


def account(result: dict[str, Any]) -> AccountReport:
    """Read the balances. The answer does not state the key's permissions; orders of a read-only key are refused.

    The balances are undated: `time` of an answer is the "current timestamp", which may be later than the balances
    (guide.mdx, Common response parameters, read 2026-11-29).
    """
    (one,) = rows(result["list"])
    return AccountReport(balances(one, 0, whole=True), True, ("SPOT",), None, None)


def _balance(row: dict[str, Any]) -> tuple[str, tuple[Decimal, Decimal]]:
    """Read one coin: `walletBalance` includes the amounts that open orders lock, and borrowed coins, which can be sold.

    `spotBorrow`, the debt, is not deducted (account/wallet-balance.mdx: old `walletBalance` = new - `spotBorrow`).
    """
    total, locked = plain_decimal(row["walletBalance"]), plain_decimal(row["locked"])
    if locked > total:
        raise ValueError("the locked amount is above the balance")
    return text(row["coin"]), (total - locked, locked)


def fees(pair: str, result: dict[str, Any]) -> Fees:
    """Read the fee rates of one pair; a negative rate is a rebate."""
    (row,) = rows(result["list"])
    return Fees(pair, decimal(row["makerFeeRate"]), decimal(row["takerFeeRate"]), "exchange")

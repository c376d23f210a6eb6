"""Read orders, fills and balances from OKX's answers and channels. Pure.

The codec reads inside `reading`, which turns every error here into DecodeError, also for a state, side or type that is
not in the tables. A fee that is paid is negative at OKX, and positive here.

Source: order/book/trading-trade-get-{order-details, transaction-details-last-3-days}.md, trading-trade-ws-order-channel
.md, trading/account/rest-api-get-{balance, fee-rates}.md, read 2026-11-27.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.order import OrderStatus, OrderType, TimeInForce
from ..reading import decimal, digits, milliseconds_text, plain_decimal, product, rows, text, text_or_none
from ..reports import AccountReport, BalanceReport, Fees, FillReport, OrderReport
from ..trading import held

STATUS = {
    "live": OrderStatus.OPEN,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "mmp_canceled": OrderStatus.CANCELED,
}
KINDS = {  # ordType
    "limit": (OrderType.LIMIT, TimeInForce.GTC),
    "post_only": (OrderType.LIMIT_MAKER, TimeInForce.GTC),
    "ioc": (OrderType.LIMIT, TimeInForce.IOC),
    "fok": (OrderType.LIMIT, TimeInForce.FOK),
    "market": (OrderType.MARKET, None),
}
SIDE = {"buy": Side.BUY, "sell": Side.SELL}
MAKER = {"M": True, "T": False}  # execType
# ws-order-channel.md, cancelSource: the exchange ended the order because of its terms
EXPIRED = {
    "13": "FOK: not all of it could be filled at once",
    "14": "IOC: the rest was not filled at once",
    "15": "the price is beyond the limit",
    "27": "the prices of both sides differ too much",
    "31": "a post-only order would have taken liquidity",
    "32": "self-trade prevention",
    "33": "the order would have matched too many orders",
    "43": "the price is too far from the index",
}


def _amount(row: dict[str, Any], name: str) -> Decimal | None:
    """Read a number above zero; None if the field is empty or zero."""
    return (plain_decimal(row[name]) if row[name] != "" else None) or None


def order(row: dict[str, Any]) -> OrderReport:
    """Read one order of REST or the channel; only the channel has the fills of a message."""
    kind, time_in_force = KINDS[row["ordType"]]
    status, source = STATUS[row["state"]], text(row.get("cancelSource") or "")
    in_quote = kind is OrderType.MARKET and row["tgtCcy"] == "quote_ccy"
    size = _amount(row, "sz")
    ended = status is OrderStatus.CANCELED and source in EXPIRED
    return OrderReport(
        symbol=text(row["instId"]),
        client_order_id=text(row["clOrdId"]),
        exchange_order_id=str(digits(row["ordId"])),
        status=OrderStatus.EXPIRED if ended else status,
        ts_event_ns=milliseconds_text(row["uTime"]),
        side=SIDE[row["side"]],
        order_type=kind,
        time_in_force=time_in_force,
        amount=None if in_quote else size,
        price=None if kind is OrderType.MARKET else _amount(row, "px"),
        quote_amount=size if in_quote else None,
        filled=plain_decimal(row["accFillSz"]),
        fills=(_last_fill(row),) if row.get("tradeId") and "fillFee" in row else (),
        code=source if ended else None,
        reason=EXPIRED[source] if ended else None,
    )


def _last_fill(row: dict[str, Any]) -> FillReport:
    """Read the fill of one message of the channel."""
    return _fill(row, row["fillFee"], row["fillFeeCcy"])


def fill(row: dict[str, Any]) -> FillReport:
    """Read one row of the account's fills. `billId` is the cursor of pages."""
    return _fill(row, row["fee"], row["feeCcy"], str(digits(row["billId"])))


def _fill(row: dict[str, Any], fee: Any, asset: Any, page: str = "") -> FillReport:
    price, amount = plain_decimal(row["fillPx"]), plain_decimal(row["fillSz"])
    return FillReport(
        trade_id=text(row["tradeId"]),
        price=price,
        amount=amount,
        quote_amount=product(price, amount),
        fee=None if fee in ("", None) else -decimal(fee) or Decimal(0),
        fee_asset=text_or_none(asset),
        is_maker=MAKER[row["execType"]],
        ts_event_ns=milliseconds_text(row["fillTime"]),
        exchange_order_id=str(digits(row["ordId"])),
        side=SIDE[row["side"]],
        symbol=text(row["instId"]),
        page=page,
    )


def balances(row: dict[str, Any], at_ns: int, whole: bool) -> BalanceReport:
    """Read the balances of an account; `whole`: the answer names every currency of the account."""
    return held(rows(row["details"]), _balance, "ccy", at_ns, whole)


def changed_balances(row: dict[str, Any]) -> BalanceReport:
    """Read balances of the channel `account`, where `uTime` is the time "to get account information"
    (websocket-account-channel.md, read 2026-11-29)."""
    return balances(row, milliseconds_text(row["uTime"]), whole=False)


def _balance(row: dict[str, Any]) -> tuple[str, tuple[Decimal, Decimal]]:
    return text(row["ccy"]), (plain_decimal(row["availBal"]), plain_decimal(row["frozenBal"]))


def account(row: dict[str, Any]) -> AccountReport:
    """Read the balances. The answer does not state the key's permissions; orders of a read-only key are refused.

    The balances are undated: `uTime` of an answer is hours later than that of each currency in the manual's example
    (rest-api-get-balance.md, read 2026-11-29), so it may be the time of the answer.
    """
    return AccountReport(balances(row, 0, whole=True), True, ("SPOT",), None, None)


def fees(pair: str, row: dict[str, Any]) -> Fees:
    """Read the rates of one pair; a negative rate is paid. By the manual this answer does not mark pairs without a
    fee."""
    group = rows(row["feeGroup"])[0]
    maker, taker = (-decimal(group[name]) or Decimal(0) for name in ("maker", "taker"))
    return Fees(pair, maker, taker, "exchange")

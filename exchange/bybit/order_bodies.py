"""Orders, fills and balances as REST and the private topics write them. Numbers are text.

Source: order/{open-order, order-list, execution}.mdx, account/wallet-balance.mdx, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ...model.fixed import to_raw
from ..engine.accounts import Account, Fill, Order
from ..engine.rules import ONE, SCALE
from ..wire.numbers import short, text
from .client import milliseconds
from .orders import Details, client_id_of, order_id, reject_reason, status
from .pairs import Pair

EMPTY = dict.fromkeys(
    (
        *("blockTradeId", "isLeverage", "stopOrderType", "orderIv", "triggerPrice", "takeProfit", "stopLoss"),
        *("tpTriggerBy", "slTriggerBy", "triggerBy", "lastPriceOnCreated", "smpOrderId", "placeType", "ocoTriggerBy"),
        *("tpLimitPrice", "slLimitPrice"),
    ),
    "",
)


def order(pair: Pair, placed: Order, details: Details) -> dict[str, Any]:
    """One order."""
    found, in_quote = status(placed), placed.quote_size is not None
    is_open = found in ("New", "PartiallyFilled")
    fees: dict[str, int] = {}
    for fill in details.fills:
        fees[fill.fee_asset] = fees.get(fill.fee_asset, 0) + fill.fee
    left = placed.remaining if is_open else 0
    force = "PostOnly" if placed.kind == "LIMIT_MAKER" else "IOC" if placed.price is None else placed.time_in_force
    return EMPTY | {
        "orderId": order_id(placed.id),
        "orderLinkId": client_id_of(placed),
        "symbol": placed.symbol,
        "price": "0" if placed.price is None else pair.price(placed.price),
        "qty": text(placed.quote_size or 0) if in_quote else pair.size(placed.size),
        "side": placed.side.name.capitalize(),
        "positionIdx": 0,
        "orderStatus": found,
        "cancelType": _cancel_type(placed),
        "rejectReason": reject_reason(placed),
        "avgPrice": short(placed.quote_filled * ONE // placed.filled) if placed.filled else "",
        "leavesQty": pair.size(left),
        "leavesValue": short(left * placed.price // ONE) if placed.price is not None else "0",
        "cumExecQty": pair.size(placed.filled),
        "cumExecValue": short(placed.quote_filled),
        "cumExecFee": short(sum(fees.values())),
        "timeInForce": force,
        "orderType": "Market" if placed.price is None else "Limit",
        "marketUnit": "" if placed.price is not None else "quoteCoin" if in_quote else "baseCoin",
        "triggerDirection": 0,
        "basePrice": pair.price(details.base_price),
        "reduceOnly": False,
        "closeOnTrigger": False,
        "smpType": details.self_trade,
        "smpGroup": 0,
        "createdTime": str(milliseconds(placed.created_ns)),
        "updatedTime": str(milliseconds(placed.updated_ns)),
        "cumFeeDetail": {asset: short(fee) for asset, fee in fees.items()},
    }


def _cancel_type(placed: Order) -> str:
    if status(placed) not in ("Cancelled", "PartiallyFilledCanceled"):
        return "UNKNOWN"
    return "CancelBySmp" if placed.status == "EXPIRED_IN_MATCH" else "CancelByUser"


def fill(pair: Pair, made: Fill, placed: Order | None) -> dict[str, Any]:
    """One fill. `execId` is the trade's id, so two orders of one account that trade with each other share it."""
    rules = pair.market.rules
    is_market = placed is not None and placed.price is None
    return {
        **dict.fromkeys(("underlyingPrice", "indexPrice", "tradeIv", "markIv", "markPrice", "blockTradeId"), ""),
        **dict.fromkeys(("stopOrderType", "closedSize", "extraFees"), ""),
        "symbol": made.symbol,
        "orderType": "Market" if is_market else "Limit",
        "orderLinkId": "" if placed is None else client_id_of(placed),
        "orderId": order_id(made.order_id),
        "side": made.side.capitalize(),
        "leavesQty": "" if placed is None else pair.size(placed.remaining if placed.id in placed.account.open else 0),
        "execTime": str(milliseconds(made.time_ns)),
        "feeCurrency": made.fee_asset,
        "isMaker": made.maker,
        "execFee": short(made.fee) if made.fee_asset else "",
        "feeRate": short(rules.maker_fee if made.maker else rules.taker_fee),
        "execId": pair.trade_id(made.trade_id),
        "execPrice": pair.price(made.price),
        "orderQty": "" if placed is None else pair.size(placed.size),
        "orderPrice": "0" if placed is None or placed.price is None else pair.price(placed.price),
        "execValue": short(made.quote),
        "execType": "Trade",
        "execQty": pair.size(made.size),
        "seq": made.trade_id,
    }


def coin(account: Account, asset: str) -> dict[str, Any]:
    """The balance of one coin: `walletBalance` is the total, including the amount locked by open orders."""
    held = account.balance(asset)
    zeros = ("bonus", "accruedInterest", "totalOrderIM", "totalPositionMM", "usdValue")
    more = ("spotHedgingQty", "unrealisedPnl", "borrowAmount", "totalPositionIM", "cumRealisedPnl", "spotBorrow")
    total = text(held.free + held.locked)
    return dict.fromkeys((*zeros, *more), "0") | {
        "availableToBorrow": "",
        "availableToWithdraw": "",  # deprecated; a guess: it is empty
        "coin": asset,
        "collateralSwitch": True,
        "equity": total,
        "locked": text(held.locked),
        "marginCollateral": True,
        "walletBalance": total,
    }


def wallet(coins: list[dict[str, Any]]) -> dict[str, Any]:
    """One account. The sums over all coins, in USD, are not computed here."""
    sums = ("totalEquity", "totalMarginBalance", "totalAvailableBalance", "totalWalletBalance", "totalPerpUPL")
    rates = ("accountIMRate", "accountIMRateByMp", "accountMMRate", "accountMMRateByMp", "accountLTV")
    margins = ("totalInitialMargin", "totalInitialMarginByMp", "totalMaintenanceMargin", "totalMaintenanceMarginByMp")
    return dict.fromkeys((*sums, *rates, *margins), "0") | {"accountType": "UNIFIED", "coin": coins}


def misstate(row: dict[str, Any], wrong: Mapping[str, Decimal]) -> dict[str, Any]:
    """Return an account with amounts added to the free balances."""
    coins = [
        each | {"walletBalance": text(to_raw(each["walletBalance"], SCALE) + to_raw(wrong.get(each["coin"], 0), SCALE))}
        for each in row["coin"]
    ]
    return row | {"coin": coins}

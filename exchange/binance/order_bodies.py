"""Writes orders, order lists and fills of an account for REST and the WebSocket API.

Source: rest-api.md (Trading endpoints, Account Endpoints; Conditional fields in Order Responses), read 2026-11-22.
By the manual's samples, queries show `stopPrice` and `icebergQty` for every order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..engine.accounts import Amendment, Fill, Order, OrderList, PreventedMatch
from ..wire.numbers import text

Body = dict[str, Any]


def shown_time_in_force(order: Order) -> str:
    """Return the time in force. The engine ends the rest of a market order at once; the exchange still writes GTC."""
    return "GTC" if order.price is None else order.time_in_force


def _quantities(order: Order) -> Body:
    return {
        "price": text(order.price or 0),
        "origQty": text(order.size),
        "executedQty": text(order.filled),
        "origQuoteOrderQty": text(order.quote_size or 0),
        "cummulativeQuoteQty": text(order.quote_filled),
        "status": order.status,
        "timeInForce": shown_time_in_force(order),
        "type": order.kind,
        "side": order.side.name,
    }


def _conditional(order: Order) -> Body:
    """The fields of some orders only."""
    body: Body = {}
    if order.prevented_match is not None:
        body["preventedMatchId"] = order.prevented_match
        body["preventedQuantity"] = text(order.prevented)
    if order.strategy_id is not None:
        body["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        body["strategyType"] = order.strategy_type
    if order.expiry_reason:
        body["expiryReason"] = order.expiry_reason
    return body


def _stop(order: Order) -> Body:
    return {} if order.stop_price is None else {"stopPrice": text(order.stop_price)}


def _working(order: Order, unit: int) -> int:
    return order.working_ns // unit if order.working_ns >= 0 else -1


def placed(order: Order, response: str, fills: Iterable[Fill], now_ns: int, unit: int) -> Body:
    """The answer to a new order: ACK, RESULT or FULL."""
    body: Body = {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "transactTime": now_ns // unit,
    }
    if response == "ACK":
        return body
    body |= _quantities(order) | _stop(order)
    body["workingTime"] = _working(order, unit)
    body["selfTradePreventionMode"] = order.self_trade
    body |= _conditional(order)
    if response == "FULL":
        body["fills"] = [
            {
                "price": text(fill.price),
                "qty": text(fill.size),
                "commission": text(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in fills
        ]
    return body


def cancelled(order: Order, cancel_id: str, unit: int) -> Body:
    """The answer to a cancel."""
    return (
        {
            "symbol": order.symbol,
            "origClientOrderId": order.client_id,
            "orderId": order.id,
            "orderListId": order.list_id,
            "clientOrderId": cancel_id,
            "transactTime": order.updated_ns // unit,
        }
        | _quantities(order)
        | _stop(order)
        | {"selfTradePreventionMode": order.self_trade}
        | _conditional(order)
    )


def queried(order: Order, unit: int) -> Body:
    """An order in the answer to a query."""
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        **_quantities(order),
        "stopPrice": text(order.stop_price or 0),
        "icebergQty": text(0),
        "time": order.created_ns // unit,
        "updateTime": order.updated_ns // unit,
        "isWorking": order.working_ns >= 0,
        "workingTime": _working(order, unit),
        "selfTradePreventionMode": order.self_trade,
        **_conditional(order),
    }


def amended(order: Order, amendment: Amendment, unit: int) -> Body:
    """The answer to an amendment."""
    body: Body = {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "origClientOrderId": amendment.old_client_id,
        "clientOrderId": amendment.new_client_id,
        "price": text(order.price or 0),
        "qty": text(order.size),
        "executedQty": text(order.filled),
        "preventedQty": text(order.prevented),
        "quoteOrderQty": text(order.quote_size or 0),
        "cumulativeQuoteQty": text(order.quote_filled),
        "status": order.status,
        "timeInForce": shown_time_in_force(order),
        "type": order.kind,
        "side": order.side.name,
        **_stop(order),
    }
    if order.working_ns >= 0:
        body["workingTime"] = order.working_ns // unit
    body["selfTradePreventionMode"] = order.self_trade
    answer: Body = {
        "transactTime": amendment.time_ns // unit,
        "executionId": amendment.execution_id,
        "amendedOrder": body,
    }
    if order.group is not None:
        group = order_list(order.group, unit)
        del group["listStatusType"], group["transactionTime"]
        answer["listStatus"] = group
    return answer


def amendment(found: Amendment, unit: int) -> Body:
    return {
        "symbol": found.symbol,
        "orderId": found.order_id,
        "executionId": found.execution_id,
        "origClientOrderId": found.old_client_id,
        "newClientOrderId": found.new_client_id,
        "origQty": text(found.old_size),
        "newQty": text(found.new_size),
        "time": found.time_ns // unit,
    }


def order_list(group: OrderList, unit: int, reports: Sequence[Body] | None = None) -> Body:
    """An order list, with `orderReports` if it was just placed or cancelled."""
    body: Body = {
        "orderListId": group.id,
        "contingencyType": group.contingency,
        "listStatusType": group.status,
        "listOrderStatus": "EXECUTING" if group.status == "EXEC_STARTED" else "ALL_DONE",
        "listClientOrderId": group.client_id,
        "transactionTime": (group.updated_ns or group.time_ns) // unit,
        "symbol": group.symbol,
        "orders": [
            {"symbol": order.symbol, "orderId": order.id, "clientOrderId": order.client_id} for order in group.orders
        ],
    }
    if reports is not None:
        body["orderReports"] = list(reports)
    return body


def trade(fill: Fill, unit: int) -> Body:
    """An account's own fill."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": fill.list_id,
        "price": text(fill.price),
        "qty": text(fill.size),
        "quoteQty": text(fill.quote),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ns // unit,
        "isBuyer": fill.side == "buy",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def prevented_match(match: PreventedMatch, unit: int) -> Body:
    body: Body = {
        "symbol": match.symbol,
        "preventedMatchId": match.id,
        "takerOrderId": match.taker_order,
        "makerSymbol": match.symbol,
        "makerOrderId": match.maker_order,
        "tradeGroupId": -1,
        "selfTradePreventionMode": match.mode,
        "price": text(match.price),
    }
    if match.taker_size:
        body["takerPreventedQuantity"] = text(match.taker_size)
    if match.maker_size:
        body["makerPreventedQuantity"] = text(match.maker_size)
    body["transactTime"] = match.time_ns // unit
    return body

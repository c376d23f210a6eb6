"""What each request for an account does with ccxt's instance: one of its methods, or several if one is not enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

PAGES = 100  # of fills in one answer
# Parameters that ccxt passes on. Kraken's list of trades joins the fills of a taker otherwise, and its stream does not
OF_FILLS = {"kraken": {"consolidate_taker": False}}


async def place(
    exchange: Any,
    symbol: str,
    side: str,
    client_id: str,
    type: str = "market",
    amount: str | None = None,
    price: str | None = None,
    cost: str | None = None,
    post_only: bool = False,
    time_in_force: str | None = None,
) -> Any:
    """Return ccxt's order. `amount` and `price` are text on the exchange's grid, so ccxt changes neither."""
    params: dict[str, Any] = {"clientOrderId": client_id}
    if post_only:
        params["postOnly"] = True
    if time_in_force is not None:
        params["timeInForce"] = time_in_force
    if cost is not None:
        method = {
            "buy": exchange.create_market_buy_order_with_cost,
            "sell": exchange.create_market_sell_order_with_cost,
        }
        return await method[side](symbol, cost, params)
    return await exchange.create_order(symbol, type, side, amount, price, params)


async def cancel(exchange: Any, symbol: str, client_id: str, order_id: str | None = None) -> Any:
    """Cancel an order; without the exchange's id find the order among the open ones first."""
    if order_id is None:
        found = [one for one in await exchange.fetch_open_orders(symbol) if one.get("clientOrderId") == client_id]
        if not found:
            raise _not_found(exchange, client_id)
        order_id = found[0]["id"]
    try:
        await exchange.cancel_order(order_id, symbol)
    except _errors("InvalidOrder") as error:  # ccxt's class for Kraken's "Unknown order"
        raise _errors("OrderNotFound")[0](str(error)) from error  # so the manager queries how the order ended
    return {"id": order_id}


async def find(exchange: Any, symbol: str, client_id: str, order_id: str | None = None) -> Any:
    """Return an order by its id, else by our id from the lists that the exchange has."""
    if order_id is not None and exchange.has.get("fetchOrder") is True:
        try:
            return await exchange.fetch_order(order_id, symbol)
        except _errors("OrderNotFound", "NotSupported", "ArgumentsRequired"):
            pass  # some exchanges list an order that they do not find by its id, or take such queries only with more
    for one in await everything(exchange, symbol):
        if one["id"] == order_id or (client_id and one.get("clientOrderId") == client_id):
            return one
    raise _not_found(exchange, client_id)


def _errors(*names: str) -> tuple[type[Exception], ...]:
    found = import_module("ccxt.base.errors")
    return tuple(getattr(found, name) for name in names)


def _not_found(exchange: Any, sent_id: str) -> Exception:
    return _errors("OrderNotFound")[0](f"{exchange.id} lists no order {sent_id}")


async def open_orders(exchange: Any, symbols: Sequence[str]) -> Any:
    """Return the open orders of every pair; of `symbols` alone, where the exchange requires a pair."""
    described = ((exchange.features or {}).get("spot") or {}).get("fetchOpenOrders") or {}
    if not described.get("symbolRequired"):
        return await exchange.fetch_open_orders()
    return [one for symbol in symbols for one in await exchange.fetch_open_orders(symbol)]


async def everything(exchange: Any, symbol: str, since_ms: int | None = None) -> list[Any]:
    """Return the orders of a pair, open and ended, by as many lists as the exchange needs."""
    has = exchange.has
    if has.get("fetchOrders") is True:
        return list(await exchange.fetch_orders(symbol, since_ms))
    found = {one["id"]: one for one in await exchange.fetch_open_orders(symbol, since_ms)}
    for name in ("fetchClosedOrders", "fetchCanceledOrders"):
        if has.get(name) is True:
            method = {"fetchClosedOrders": "fetch_closed_orders", "fetchCanceledOrders": "fetch_canceled_orders"}[name]
            found.update({one["id"]: one for one in await getattr(exchange, method)(symbol, since_ms)})
    return sorted(found.values(), key=lambda one: one.get("timestamp") or 0)


async def fills(exchange: Any, symbol: str, since_ms: int | None = None, order_id: str | None = None) -> Any:
    """Return own trades of a pair, oldest first, page by page until a page has nothing new."""
    if order_id is not None and exchange.has.get("fetchOrderTrades") is True:
        return _sorted({one["id"]: one for one in await exchange.fetch_order_trades(order_id, symbol)})
    found: dict[str, Any] = {}
    for _ in range(PAGES):
        page = await exchange.fetch_my_trades(symbol, since_ms, None, dict(OF_FILLS.get(exchange.id, {})))
        new = [one for one in page if one["id"] not in found]
        found.update({one["id"]: one for one in new})
        if not new or since_ms is None:
            break
        newest = max(one["timestamp"] for one in new)
        if newest <= since_ms:
            break
        since_ms = newest
    return [one for one in _sorted(found) if order_id in (None, one.get("order"))]


def _sorted(found: Mapping[str, Any]) -> list[Any]:
    return sorted(found.values(), key=lambda one: (one["timestamp"], str(one["id"])))


async def balance(exchange: Any) -> Any:
    return await exchange.fetch_balance()


async def fees(exchange: Any, symbol: str) -> Any:
    """Return the account's fees of a pair; ccxt's schedule where the exchange states none."""
    if exchange.has.get("fetchTradingFee") is True:
        return await exchange.fetch_trading_fee(symbol)
    market = exchange.market(symbol)
    return {"maker": str(market["maker"]), "taker": str(market["taker"])}


async def raw(exchange: Any, method: str, given: Mapping[str, str]) -> Any:
    """Call a method of ccxt that only fetches."""
    return await getattr(exchange, method)(**given)

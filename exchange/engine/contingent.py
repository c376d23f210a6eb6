"""Orders that wait: for a stop price, or in a list for another order.

Theory of operation. No order of this module moves during a match. After a match, `follow` takes the touched lists and
the reached stop prices in the order of order ids, and places or ends orders until there is nothing more to do. Stop
prices are compared with the price of the last trade. The two orders of an OCO pair share one lock of funds. The order
that can trade by itself (the LIMIT_MAKER), or else the first, holds the lock, and the lock moves to the order that
starts to work. A waiting order of an OTO locks nothing until it is placed.

Source: rest-api.md (New order, Order lists), user-data-stream.md (Order Expiry Reason), read 2026-11-22. The manual
does not state what a STOP_LOSS or TAKE_PROFIT without a price locks while it waits: here its size, or size at the stop
price.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...model.errors import Rejected
from ...model.events import Side
from .accounts import Order, OrderList
from .market import Market
from .matching import Matcher

_PLACED = ("NEW", "PARTIALLY_FILLED")


def waits_above(kind: str, side: Side) -> bool:
    """Return whether such an order starts to work when the price rises to its stop price (False: when it falls)."""
    return kind.startswith("STOP_LOSS") == (side is Side.BUY)


def would_trigger(kind: str, side: Side, stop_price: int, last_price: int) -> bool:
    """Return whether the last price has reached a stop price."""
    return last_price >= stop_price if waits_above(kind, side) else last_price <= stop_price


class Contingent:
    """Continues waiting orders."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher

    def follow(self, market: Market, now_ns: int) -> None:
        """Perform all consequences of the last trades and ends of orders."""
        while True:
            if self.matcher.touched:
                self._advance(market, self.matcher.touched.pop(0), now_ns)
                continue
            if not market.waiting or market.seen_trade_id == market.next_trade_id:
                market.seen_trade_id = market.next_trade_id
                return
            last = market.bars.last_price
            reached = [
                order
                for order in market.waiting.values()
                if order.stop_price is not None and would_trigger(order.kind, order.side, order.stop_price, last)
            ]
            if not reached:
                market.seen_trade_id = market.next_trade_id
                return
            self._activate(market, min(reached, key=lambda order: order.id), now_ns)

    # ---------------------------------------------------------------------------------------------------- lists

    @staticmethod
    def check_pair(market: Market, pair: Sequence[Order]) -> None:
        """Refuse an OCO pair whose prices are not on both sides of the last price.

        Raises:
            Rejected: OCO_PRICES, WOULD_TAKE.
        """
        last = market.bars.last_price
        for order in pair:
            price = order.stop_price
            if price is None or order.kind == "TAKE_PROFIT_LIMIT":
                price = order.price
            sells = order.side is Side.SELL
            above = sells if order.kind in ("LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT") else not sells
            if price is None or (price <= last if above else price >= last):
                raise Rejected("OCO_PRICES", "The relationship of the prices for the orders is not correct.")
            if order.stop_price is not None and would_trigger(order.kind, order.side, order.stop_price, last):
                raise Rejected("OCO_PRICES", "The relationship of the prices for the orders is not correct.")
            against = market.asks if order.side is Side.BUY else market.bids
            if order.kind == "LIMIT_MAKER" and order.price is not None and against.crosses(order.price):
                raise Rejected("WOULD_TAKE", "Order would immediately match and take.")

    @staticmethod
    def _holder(pair: Sequence[Order]) -> Order:
        """The order of a pair that holds the funds of both."""
        return next((order for order in pair if order.kind == "LIMIT_MAKER"), pair[0])

    def reserve_pair(self, market: Market, pair: Sequence[Order]) -> None:
        """Lock the larger amount that one of a pair's orders needs."""
        self.matcher.reserve(market, self._holder(pair), max(self.matcher.need(order) for order in pair))

    def trim(self, market: Market, group: OrderList) -> None:
        """Free the excess lock of a list's placed orders, after one became smaller or ended."""
        standing = [order for order in group.orders if order.id in group.account.open and order.status != "PENDING_NEW"]
        paired = [order for order in standing if order in group.pair]
        for order in standing:
            sharing = paired if order in paired else [order]
            if order.locked:
                self.matcher.trim(market, order, max(self.matcher.need(member) for member in sharing))

    def _advance(self, market: Market, group: OrderList, now_ns: int) -> None:
        """Continue a list after one of its orders traded or ended."""
        if group.status == "ALL_DONE":
            return
        open_ = group.account.open
        working = group.working
        if working is not None and any(order.status == "PENDING_NEW" for order in group.pending):
            if working.status == "FILLED":
                self._place_pending(market, group, now_ns)
            elif working.id not in open_:
                for order in group.pending:
                    if order.id in open_:
                        self.matcher.end(market, order, "EXPIRED", now_ns, why="OTO_PHASE_ONE_EXPIRED")
        pair = [order for order in group.pair if order.status != "PENDING_NEW"]
        started = next((order for order in pair if order.filled or (order.conditional and order.working_ns >= 0)), None)
        if started is None:
            started = next((order for order in pair if order.id not in open_), None)
        if started is not None:
            for order in pair:
                if order is not started and order.id in open_:
                    self.matcher.end(market, order, "EXPIRED", now_ns, why="OCO_TRIGGER")
        self.trim(market, group)
        if group.status != "ALL_DONE" and not any(order.id in open_ for order in group.orders):
            group.status = "ALL_DONE"
            group.updated_ns = now_ns
            group.account.list_ids.pop(group.client_id, None)
            self.matcher.listener.order_list(group, "ALL_DONE", now_ns)

    def _place_pending(self, market: Market, group: OrderList, now_ns: int) -> None:
        """Place the orders that waited for the working order; an order that cannot be placed expires as rejected."""
        orders = group.pending
        try:
            if group.pair:
                self.check_pair(market, orders)
                self.reserve_pair(market, orders)
            else:
                self._reserve(market, orders[0])
        except Rejected:
            for order in orders:
                self.matcher.end(market, order, "EXPIRED", now_ns, why="REJECTED")
            return
        for order in orders:
            order.status = "NEW"
            order.updated_ns = now_ns
            if not order.conditional:
                order.working_ns = now_ns
            self.matcher.report(order, "NEW", now_ns)
        self.matcher.listener.order_list(group, "EXEC_STARTED", now_ns)
        for order in orders:
            if order.conditional:
                market.waiting[order.id] = order
            elif order.status in _PLACED:
                self._work(market, order, now_ns)

    def _reserve(self, market: Market, order: Order) -> None:
        against = market.asks if order.side is Side.BUY else market.bids
        if market.rules.status != "TRADING":
            raise Rejected("MARKET_CLOSED", "Market is closed.")
        if order.kind == "LIMIT_MAKER" and order.price is not None and against.crosses(order.price):
            raise Rejected("WOULD_TAKE", "Order would immediately match and take.")
        if order.stop_price is not None:
            if would_trigger(order.kind, order.side, order.stop_price, market.bars.last_price):
                raise Rejected("WOULD_TRIGGER", "Order would trigger immediately.")
            self.matcher.reserve(market, order, self.matcher.need(order))
        else:
            self.matcher.lock(market, order, against)

    # ----------------------------------------------------------------------------------------------- stop prices

    def _activate(self, market: Market, order: Order, now_ns: int) -> None:
        """Start an order whose stop price was reached."""
        del market.waiting[order.id]
        pair = order.group.pair if order.group is not None else ()
        if order in pair:
            for other in pair:
                if other is not order and other.id in order.account.open:
                    order.locked += other.locked
                    other.locked = 0
                    self.matcher.end(market, other, "EXPIRED", now_ns, why="OCO_TRIGGER")
            self.matcher.trim(market, order, self.matcher.need(order))
        against = market.asks if order.side is Side.BUY else market.bids
        if order.price is None:
            self.matcher.trim(market, order, 0)
            try:
                self.matcher.lock(market, order, against)
            except Rejected:
                self.matcher.end(market, order, "EXPIRED", now_ns, why="REJECTED")
                return
        order.working_ns = order.updated_ns = now_ns
        self.matcher.report(order, "NEW", now_ns)
        self.matcher.work(market, order, against, now_ns)

    def _work(self, market: Market, order: Order, now_ns: int) -> None:
        self.matcher.work(market, order, market.asks if order.side is Side.BUY else market.bids, now_ns)

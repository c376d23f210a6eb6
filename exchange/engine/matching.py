"""Locks funds, matches, settles and ends accepted orders.

The engine checks orders and decides when each is placed; the matcher places it. When an order of a list trades or
ends, its list goes into `touched`, and the engine continues the list after the match.
"""

from __future__ import annotations

from dataclasses import replace

from ...model.errors import Rejected
from ...model.events import Side
from .accounts import Account, Fill, Order, OrderList, PreventedMatch
from .book import BookSide
from .market import Aggregate, ExecutionReport, Listener, Market, Trade
from .rules import ONE

OPEN_ENDED = ("NEW", "PARTIALLY_FILLED")


class Matcher:
    """Matches the orders of all markets. `fees` receives the fees of trades."""

    def __init__(self, listener: Listener, fees: Account) -> None:
        self.listener = listener
        self.fees = fees
        self.next_execution = 1
        self.touched: list[OrderList] = []

    # ------------------------------------------------------------------------------------------------- placing

    def work(self, market: Market, order: Order, against: BookSide, now_ns: int) -> None:
        """Match an order whose funds are locked, and let the remaining size rest if allowed."""
        order.working_ns = now_ns
        if order.time_in_force == "FOK" and self._reachable(order, against) < order.size:
            self.end(market, order, "EXPIRED", now_ns, resting=False, why="UNFILLED_FOK_ORDER_EXPIRED")
            return
        if against.keys and (order.price is None or against.crosses(order.price)):
            self._match(market, order, against, now_ns)
        if order.status in OPEN_ENDED:
            if order.time_in_force == "GTC" and order.remaining > 0:
                market.add(order, now_ns)
            else:
                why = "INSUFFICIENT_LIQUIDITY" if order.price is None else "UNFILLED_IOC_QUANTITY_EXPIRED"
                self.end(market, order, "EXPIRED", now_ns, resting=False, why=why)

    def lock(self, market: Market, order: Order, against: BookSide) -> None:
        """Lock the largest cost of a working order: a size in base to sell, an amount of quote to buy.

        Raises:
            Rejected: INSUFFICIENT_BALANCE, or NO_LIQUIDITY for a quote amount that buys nothing.
        """
        rules = market.rules
        if order.quote_size is not None:
            if not against.keys:
                raise Rejected("NO_LIQUIDITY", "Order book liquidity is less than symbol minimum quantity.")
            size = self._size_for_quote(market, order.quote_size, against)
            if size < rules.min_size:
                raise Rejected("NO_LIQUIDITY", "Order book liquidity is less than `SIZE` filter minimum quantity.")
            order.size = size
        if order.side is Side.SELL:
            locked, asset = order.size, rules.base
        else:
            asset = rules.quote
            if order.price is not None:
                locked = -(-order.price * order.size // ONE)
            elif order.quote_size is not None:
                locked = order.quote_size
            else:
                locked = self._cost(order.size, against)
            locked += self._fee_ahead(order, locked)
        order.account.lock(asset, locked)
        order.locked = locked

    @staticmethod
    def need(order: Order) -> int:
        """Return the amount that an open order keeps locked for its remaining size."""
        if order.side is Side.SELL:
            return order.remaining
        price = order.price if order.price is not None else order.stop_price or 0
        worth: int = -(-price * order.remaining // ONE)
        return worth + Matcher._fee_ahead(order, worth)

    @staticmethod
    def _fee_ahead(order: Order, worth: int) -> int:
        """Return the fee reserve of a buy that pays its fees in quote, for an amount."""
        fee: int = -(-worth * (order.fee_reserve or 0) // ONE)
        return fee

    def reserve(self, market: Market, order: Order, amount: int) -> None:
        """Lock an amount of the asset with which the order pays.

        Raises:
            Rejected: INSUFFICIENT_BALANCE; nothing was locked.
        """
        order.account.lock(market.rules.quote if order.side is Side.BUY else market.rules.base, amount)
        order.locked += amount

    def grow(self, market: Market, order: Order, size: int, price: int | None) -> None:
        """Lock the additional need of an order at another size and price.

        Raises:
            Rejected: INSUFFICIENT_BALANCE; nothing was locked.
        """
        terms = replace(order, size=size, price=price)
        missing = self.need(terms) - order.locked
        if missing > 0:
            self.reserve(market, order, missing)

    def trim(self, market: Market, order: Order, amount: int) -> None:
        """Free the locked excess over `amount`."""
        excess = order.locked - amount
        if excess > 0:
            order.account.unlock(market.rules.quote if order.side is Side.BUY else market.rules.base, excess)
            order.locked -= excess

    def report(
        self,
        order: Order,
        kind: str,
        now_ns: int,
        fill: Fill | None = None,
        cancel_id: str = "",
        match: PreventedMatch | None = None,
        prevented: int = 0,
        original: str = "",
    ) -> int:
        """Report the event to the order's account; return the execution id."""
        number, self.next_execution = self.next_execution, self.next_execution + 1
        account = order.account
        account.updated_ns = now_ns
        client_id, original = (cancel_id, order.client_id) if cancel_id else (order.client_id, original)
        self.listener.report(
            ExecutionReport(account, order, kind, fill, now_ns, number, client_id, original, match, prevented)
        )
        return number

    @staticmethod
    def _cost(size: int, against: BookSide) -> int:
        """Return the cost of `size` at current prices, rounded up per level."""
        cost = 0
        for level in against.best_first():
            take = min(size, level.size)
            cost -= -level.price * take // ONE
            size -= take
            if not size:
                break
        return cost

    @staticmethod
    def _size_for_quote(market: Market, quote: int, against: BookSide) -> int:
        """Return the size, in whole steps, that an amount of quote buys at current prices."""
        size, step = 0, market.rules.step
        for level in against.best_first():
            affordable = quote * ONE // level.price // step * step
            take = min(level.size, affordable)
            size += take
            quote -= -(-level.price * take // ONE)
            if take < level.size:
                break
        return size

    @staticmethod
    def _reachable(order: Order, against: BookSide) -> int:
        """Return the size that could fill at once, without the part that self-trade prevention would remove."""
        found = 0
        for level in against.best_first():
            if order.price is not None and (level.price - order.price) * against.sign < 0:
                break
            for resting in level.orders.values():
                if resting.account is order.account and order.self_trade != "NONE":
                    if order.self_trade == "EXPIRE_MAKER":
                        continue
                    return found
                found += resting.remaining
            if found >= order.size:
                break
        return found

    # ------------------------------------------------------------------------------------------------ matching

    def _match(self, market: Market, taker: Order, against: BookSide, now_ns: int) -> None:
        limit = None if taker.price is None else taker.price * against.sign
        trades: list[Trade] = []
        while taker.remaining > 0 and against.keys:
            if limit is not None and against.keys[-1] < limit:
                break
            level = against.levels[against.keys[-1] * against.sign]
            maker = next(iter(level.orders.values()))
            if maker.account is taker.account and taker.self_trade != "NONE":
                if self._prevent(market, taker, maker, level.price, now_ns):
                    break
                continue
            if taker.price is None and taker.side is Side.BUY and not self._afford(market, taker, maker, level.price):
                self.end(market, taker, "EXPIRED", now_ns, resting=False, why="INSUFFICIENT_LIQUIDITY")
                break
            trades.append(self._trade(market, taker, maker, level.price, now_ns))
        if not trades:
            return
        aggregates: list[Aggregate] = []
        for trade in trades:
            if aggregates and aggregates[-1].price == trade.price:
                aggregates[-1] = replace(aggregates[-1], size=aggregates[-1].size + trade.size, last=trade.id)
            else:
                number = market.next_aggregate_id + len(aggregates)
                aggregates.append(
                    Aggregate(number, trade.price, trade.size, trade.id, trade.id, now_ns, trade.buyer_is_maker)
                )
        market.next_aggregate_id += len(aggregates)
        market.aggregates.extend(aggregates)
        self.listener.trades(market, trades, aggregates)

    @staticmethod
    def _afford(market: Market, taker: Order, maker: Order, price: int) -> bool:
        """Return whether a MARKET buy has locked enough for the next fill, because skipped own orders raise its
        cost."""
        worth = price * min(taker.remaining, maker.remaining) // ONE
        short = worth + Matcher._fee_ahead(taker, worth) - taker.locked
        if short <= 0:
            return True
        if taker.quote_size is not None or taker.account.balance(market.rules.quote).free < short:
            return False
        taker.account.lock(market.rules.quote, short)
        taker.locked += short
        return True

    def _trade(self, market: Market, taker: Order, maker: Order, price: int, now_ns: int) -> Trade:
        size = min(taker.remaining, maker.remaining)
        quote = price * size // ONE
        taker_buys = taker.side is Side.BUY
        number = market.next_trade_id
        market.next_trade_id = number + 1
        for order in (maker, taker):
            order.filled += size
            order.quote_filled += quote
            order.updated_ns = now_ns
            order.status = "PARTIALLY_FILLED" if order.remaining else "FILLED"
        market.reduce(maker, size, now_ns)
        trade = Trade(number, price, size, now_ns, not taker_buys, maker.id, taker.id, taker.price is None)
        market.trades.append(trade)
        market.bars.trade(number, price, size, taker_buys, now_ns)
        for order in (maker, taker):
            self._settle(market, order, number, price, size, quote, order is maker, now_ns)
        return trade

    def _settle(
        self, market: Market, order: Order, trade_id: int, price: int, size: int, quote: int, maker: bool, now_ns: int
    ) -> None:
        """Move the traded amounts between the order's balances, take the fee, release the lock of a filled order.

        The fee is taken from the received asset, or, of a buy with a `fee_reserve`, from the locked amount.
        """
        rules, account = market.rules, order.account
        buys = order.side is Side.BUY
        pays, spent = (rules.quote, quote) if buys else (rules.base, size)
        gets, received = (rules.base, size) if buys else (rules.quote, quote)
        rate, taken_from = rules.maker_fee if maker else rules.taker_fee, gets
        if order.fee_reserve is not None:
            rate, taken_from = min(rate, order.fee_reserve), pays
        fee = (received if taken_from == gets else spent) * rate // ONE
        if taken_from == gets:
            received -= fee
        else:
            spent += fee
        account.balance(pays).locked -= spent
        order.locked -= spent
        account.balance(gets).free += received
        self.fees.balance(taken_from).free += fee
        if order.status == "FILLED":
            self.release(market, order)
        elif buys and order.price is not None:
            self.trim(market, order, self.need(order))  # the fill may have a better price than the order
        if account.internal:
            return
        fill = Fill(
            trade_id,
            order.id,
            order.client_id,
            market.symbol,
            order.side.value,
            price,
            size,
            quote,
            fee,
            taken_from,
            maker,
            now_ns,
            order.list_id,
        )
        account.fills.append(fill)
        account.fill_count += 1
        self.report(order, "TRADE", now_ns, fill)
        if order.group is not None:
            self.touched.append(order.group)

    def _prevent(self, market: Market, taker: Order, maker: Order, price: int, now_ns: int) -> bool:
        """Prevent a trade of an account with itself; return whether the taker has ended.

        Source: faqs/stp_faq.md, read 2026-11-22.
        """
        mode = taker.self_trade
        both = min(taker.remaining, maker.remaining)
        from_maker = both if mode == "DECREMENT" else 0 if mode == "EXPIRE_TAKER" else maker.remaining
        from_taker = both if mode == "DECREMENT" else 0 if mode == "EXPIRE_MAKER" else taker.remaining
        number, market.next_prevented_id = market.next_prevented_id, market.next_prevented_id + 1
        match = PreventedMatch(number, market.symbol, mode, price, taker.id, maker.id, from_taker, from_maker, now_ns)
        taker.account.prevented.append(match)
        for order, size, resting in ((maker, from_maker, True), (taker, from_taker, False)):
            if not size:
                continue
            order.prevented_match = number
            if size == order.remaining:
                self.end(market, order, "EXPIRED_IN_MATCH", now_ns, resting=resting, match=match, prevented=size)
                continue
            order.prevented += size
            order.updated_ns = now_ns
            if resting:
                market.reduce(order, size, now_ns)
            if order.group is not None:
                self.touched.append(order.group)
            elif order.price is not None:
                self.trim(market, order, self.need(order))
            if not order.account.internal:
                self.report(order, "TRADE_PREVENTION", now_ns, match=match, prevented=size)
        return not taker.remaining

    # -------------------------------------------------------------------------------------------------- ending

    def end(
        self,
        market: Market,
        order: Order,
        status: str,
        now_ns: int,
        resting: bool = True,
        why: str = "",
        cancel_id: str = "",
        match: PreventedMatch | None = None,
        prevented: int = 0,
    ) -> None:
        """End an order that did not fill: remove it from the book, free its funds, inform its account.

        An order that waits for its stop price or for another order is not on a book, even if `resting` is true.
        """
        if resting and order.working_ns >= 0:
            market.remove(order, now_ns)
        order.status = status
        order.updated_ns = now_ns
        order.prevented += prevented
        self.release(market, order)
        if not order.account.internal:
            if status == "EXPIRED":
                order.expiry_reason = why
            kind = "TRADE_PREVENTION" if status == "EXPIRED_IN_MATCH" else status
            self.report(order, kind, now_ns, cancel_id=cancel_id, match=match, prevented=prevented)
            if order.group is not None:
                self.touched.append(order.group)

    @staticmethod
    def release(market: Market, order: Order) -> None:
        """Free the lock of an ended order, and remove it from the lists of open orders."""
        account = order.account
        if order.locked:
            rules = market.rules
            account.unlock(rules.quote if order.side is Side.BUY else rules.base, order.locked)
            order.locked = 0
        del account.open[order.id]
        if not account.internal:
            market.waiting.pop(order.id, None)
            account.client_ids.pop(order.client_id, None)
            account.open_here[order.symbol] -= 1

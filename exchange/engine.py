"""The matching engine: price-time priority over int64 fixed-point, accounts, numbered changes of levels.

Theory of operation. The engine is synchronous and single-threaded; every method takes `now_ns` and there is no clock
and no randomness inside, so the same calls give the same bytes. An order is checked against the symbol's rules, funds
are locked, then it is matched and, where it may, rests. Every change of one level's size gets the symbol's next update
id: the id goes to the bounded log (`UpdateLog`), to the pending changes that streams take at their own pace, and to
`update_id`. Trades get ids of their own. What an account must be told goes to the `Listener` as an `ExecutionReport`;
the wire protocols above decide how it looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..model.errors import Rejected
from ..model.events import Side
from .accounts import Account, Fill
from .book import BookSide, Level, Order
from .market import Aggregate, ExecutionReport, Listener, Market, Quiet, Trade
from .rules import ONE, SCALE, Rules

INT64_MAX = 2**63 - 1
OPEN_ENDED = ("NEW", "PARTIALLY_FILLED")
SELF_TRADE_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")


class Engine:
    """All markets and accounts. Raises `Rejected(code, reason)` where an order or cancel is refused; nothing changed.

    Codes: UNKNOWN_SYMBOL, MARKET_CLOSED, BAD_ORDER, PRICE_FILTER, LOT_SIZE, NOTIONAL, MAX_NUM_ORDERS,
    INSUFFICIENT_BALANCE, WOULD_TAKE, DUPLICATE_ORDER, UNKNOWN_ORDER.
    """

    def __init__(self, listener: Listener | None = None, history: int = 400_000) -> None:
        self.listener: Listener = listener or Quiet()
        self.history = history
        self.markets: dict[str, Market] = {}
        self.accounts: dict[str, Account] = {}
        self.fees = Account("fees", internal=True)
        self.add_account(self.fees)
        self._next_order = 1

    def add_account(self, account: Account) -> Account:
        if account.name in self.accounts:
            raise Rejected("DUPLICATE_ACCOUNT", account.name)
        self.accounts[account.name] = account
        return account

    def list(self, rules: Rules) -> Market:
        if rules.symbol in self.markets:
            raise Rejected("DUPLICATE_SYMBOL", rules.symbol)
        market = self.markets[rules.symbol] = Market(rules, self.history)
        return market

    def delist(self, symbol: str, now_ns: int) -> None:
        """Cancel every open order of `symbol` and forget the symbol."""
        market = self.market(symbol)
        for side in (market.bids, market.asks):
            for level in list(side.best_first()):
                for order in list(level.orders.values()):
                    self._end(market, order, "EXPIRED", now_ns)
        del self.markets[symbol]

    def market(self, symbol: str) -> Market:
        found = self.markets.get(symbol)
        if found is None:
            raise Rejected("UNKNOWN_SYMBOL", symbol)
        return found

    def change_rules(self, symbol: str, **fields: object) -> Rules:
        """Change trading rules (`replace` on `Rules`). Open orders stay as they are."""
        market = self.market(symbol)
        market.rules = replace(market.rules, **fields)  # type: ignore[arg-type]
        return market.rules

    def place(
        self,
        account: Account,
        symbol: str,
        side: Side,
        kind: str,
        size: int,
        price: int | None,
        now_ns: int,
        time_in_force: str = "GTC",
        client_id: str = "",
        quote_size: int | None = None,
        self_trade: str = "EXPIRE_MAKER",
    ) -> Order:
        """Take one order: check, lock funds, match, rest what may rest. The returned order says how it ended so far."""
        market = self.market(symbol)
        self._check(market, account, kind, size, price, time_in_force, client_id, quote_size, self_trade)
        against = market.asks if side is Side.BUY else market.bids
        if kind == "LIMIT_MAKER" and price is not None and against.crosses(price):
            raise Rejected("WOULD_TAKE", "Order would immediately match and take.")
        number = self._next_order
        order = Order(
            number,
            client_id or f"x-{number}",
            account,
            symbol,
            side,
            kind,
            time_in_force if kind == "LIMIT" else ("GTC" if kind == "LIMIT_MAKER" else "IOC"),
            price,
            size,
            now_ns,
            now_ns,
            self_trade,
            quote_size,
        )
        self._lock(market, order, against)
        self._next_order += 1
        account.open[number] = order
        if not account.internal:
            account.client_ids[order.client_id] = number
            account.orders.append(order)
            self.listener.report(ExecutionReport(account, order, "NEW", None, now_ns))
        before = market.tops if market.watch_top else None
        if order.time_in_force == "FOK" and self._reachable(order, against) < size:
            self._end(market, order, "EXPIRED", now_ns, resting=False)
            return order
        if against.keys and (price is None or against.crosses(price)):
            self._match(market, order, against, now_ns)
        if order.status in OPEN_ENDED:
            if order.time_in_force == "GTC" and order.remaining > 0:
                own = market.bids if side is Side.BUY else market.asks
                market.changed(own, price or 0, own.add(order), now_ns)
            else:
                self._end(market, order, "EXPIRED", now_ns, resting=False)
        if before is not None and market.tops != before:
            self.listener.top(market)
        return order

    def cancel(self, symbol: str, order_id: int, now_ns: int, account: Account | None = None) -> Order:
        """Take an open order off the book (of `account`, if given)."""
        market = self.market(symbol)
        owners: Iterable[Account] = (account,) if account is not None else self.accounts.values()
        order = next((a.open[order_id] for a in owners if order_id in a.open), None)
        if order is None or order.symbol != symbol:
            raise Rejected("UNKNOWN_ORDER", str(order_id))
        return self.cancel_order(market, order, now_ns)

    def cancel_order(self, market: Market, order: Order, now_ns: int) -> Order:
        """The same for an order at hand."""
        before = market.tops if market.watch_top else None
        self._end(market, order, "CANCELED", now_ns)
        if before is not None and market.tops != before:
            self.listener.top(market)
        return order

    def skip_ids(self, symbol: str, count: int) -> int:
        """Leave out `count` update ids, as if that many changes were lost. Return the present id."""
        market = self.market(symbol)
        market.update_id += count
        return market.update_id

    # ------------------------------------------------------------------------------------------------ inside

    def _check(
        self,
        market: Market,
        account: Account,
        kind: str,
        size: int,
        price: int | None,
        time_in_force: str,
        client_id: str,
        quote_size: int | None,
        self_trade: str,
    ) -> None:
        rules = market.rules
        if rules.status != "TRADING":
            raise Rejected("MARKET_CLOSED", "Market is closed.")
        if kind not in ("LIMIT", "MARKET", "LIMIT_MAKER") or time_in_force not in ("GTC", "IOC", "FOK"):
            raise Rejected("BAD_ORDER", f"{kind} {time_in_force}")
        if self_trade not in SELF_TRADE_MODES:
            raise Rejected("BAD_ORDER", f"self-trade prevention {self_trade}")
        if kind == "MARKET":
            if price is not None or (quote_size is None) == (size <= 0) or (quote_size or 0) < 0:
                raise Rejected("BAD_ORDER", "a MARKET order has a size or a quote amount, and no price")
        else:
            if price is None or quote_size is not None:
                raise Rejected("BAD_ORDER", f"a {kind} order has a price and a size")
            if not rules.min_price <= price <= rules.max_price or price % rules.tick:
                raise Rejected("PRICE_FILTER", "Filter failure: PRICE_FILTER")
            if not rules.min_notional * 10**SCALE <= price * size <= rules.max_notional * 10**SCALE:
                raise Rejected("NOTIONAL", "Filter failure: NOTIONAL")
        if quote_size is None and (not rules.min_size <= size <= rules.max_size or size % rules.step):
            raise Rejected("LOT_SIZE", "Filter failure: LOT_SIZE")
        if size > INT64_MAX or (price or 0) > INT64_MAX or (quote_size or 0) > INT64_MAX:
            raise Rejected("BAD_ORDER", "a number beyond int64")
        if client_id and client_id in account.client_ids:
            raise Rejected("DUPLICATE_ORDER", "Duplicate order sent.")
        if not account.internal and kind != "MARKET":
            here = sum(1 for order in account.open.values() if order.symbol == market.symbol)
            if here >= rules.max_orders:
                raise Rejected("MAX_NUM_ORDERS", "Filter failure: MAX_NUM_ORDERS")

    def _lock(self, market: Market, order: Order, against: BookSide) -> None:
        """Lock what the order can cost at most: a size in base to sell, an amount of quote to buy."""
        if order.side is Side.SELL:
            if order.quote_size is not None:
                order.size = self._size_for_quote(market, order.quote_size, against)
            order.locked = order.size
            asset = market.rules.base
        else:
            asset = market.rules.quote
            if order.price is not None:
                order.locked = -(-order.price * order.size // ONE)
            elif order.quote_size is not None:
                order.locked = order.quote_size
                order.size = self._size_for_quote(market, order.quote_size, against)
            else:
                order.locked = self._cost(order.size, against)
        order.account.lock(asset, order.locked)

    @staticmethod
    def _cost(size: int, against: BookSide) -> int:
        """What `size` costs at the prices that stand there now, rounded up per level."""
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
        """The size, in whole steps, that an amount of quote is worth at the prices that stand there now."""
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
        """The size that could fill at once, what self-trade prevention would take off not counted."""
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

    def _match(self, market: Market, taker: Order, against: BookSide, now_ns: int) -> None:
        limit = None if taker.price is None else taker.price * against.sign
        trades: list[Trade] = []
        while taker.remaining > 0 and against.keys:
            if limit is not None and against.keys[-1] < limit:
                break
            level = against.levels[against.keys[-1] * against.sign]
            maker = next(iter(level.orders.values()))
            if maker.account is taker.account and taker.self_trade != "NONE":
                if self._prevent(market, taker, maker, against, level, now_ns):
                    break
                continue
            if taker.price is None and taker.side is Side.BUY and not self._afford(market, taker, maker, level.price):
                self._end(market, taker, "EXPIRED", now_ns, resting=False)
                break
            trades.append(self._trade(market, taker, maker, against, level, now_ns))
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
        """Whether a MARKET buy has the next fill locked; what prevention skipped may make it dearer than reckoned."""
        short = price * min(taker.remaining, maker.remaining) // ONE - taker.locked
        if short <= 0:
            return True
        if taker.quote_size is not None or taker.account.balance(market.rules.quote).free < short:
            return False
        taker.account.lock(market.rules.quote, short)
        taker.locked += short
        return True

    def _trade(self, market: Market, taker: Order, maker: Order, against: BookSide, level: Level, now_ns: int) -> Trade:
        price = level.price
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
        market.changed(against, price, against.reduce(level, maker, size), now_ns)
        trade = Trade(number, price, size, now_ns, not taker_buys, maker.id, taker.id)
        market.trades.append(trade)
        market.bars.trade(number, price, size, taker_buys, now_ns)
        for order in (maker, taker):
            self._settle(market, order, number, price, size, quote, order is maker, now_ns)
        return trade

    def _settle(
        self, market: Market, order: Order, trade_id: int, price: int, size: int, quote: int, maker: bool, now_ns: int
    ) -> None:
        """Move what was traded between the order's balances, keep the fee, release what a filled order still locks."""
        rules, account = market.rules, order.account
        buys = order.side is Side.BUY
        pays, spent = (rules.quote, quote) if buys else (rules.base, size)
        gets, received = (rules.base, size) if buys else (rules.quote, quote)
        fee = received * (rules.maker_fee if maker else rules.taker_fee) // ONE
        account.balance(pays).locked -= spent
        order.locked -= spent
        account.balance(gets).free += received - fee
        self.fees.balance(gets).free += fee
        done = order.status == "FILLED"
        if done:
            self._release(market, order)
        if not account.internal:
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
                gets,
                maker,
                now_ns,
            )
            account.fills.append(fill)
            self.listener.report(ExecutionReport(account, order, "TRADE", fill, now_ns))

    def _prevent(
        self, market: Market, taker: Order, maker: Order, against: BookSide, level: Level, now_ns: int
    ) -> bool:
        """Keep an account from trading with itself; return whether the taker has ended.

        Source: faqs/stp_faq.md, read 2026-11-22.
        """
        mode = taker.self_trade
        if mode in ("EXPIRE_MAKER", "EXPIRE_BOTH"):
            self._end(market, maker, "EXPIRED_IN_MATCH", now_ns)
        if mode in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
            self._end(market, taker, "EXPIRED_IN_MATCH", now_ns, resting=False)
            return True
        if mode == "DECREMENT":
            size = min(taker.remaining, maker.remaining)
            maker_left = maker.remaining - size
            if maker_left:
                maker.prevented += size
                market.changed(against, level.price, against.reduce(level, maker, size), now_ns)
            else:
                self._end(market, maker, "EXPIRED_IN_MATCH", now_ns)
                maker.prevented += size
            taker.prevented += size
            if not taker.remaining:
                self._end(market, taker, "EXPIRED_IN_MATCH", now_ns, resting=False)
                return True
        return False

    def _end(self, market: Market, order: Order, status: str, now_ns: int, resting: bool = True) -> None:
        """End an order that did not fill: off the book if it rests, its funds free again, its account told."""
        if resting:
            side = market.bids if order.side is Side.BUY else market.asks
            market.changed(side, order.price or 0, side.remove(order), now_ns)
        order.status = status
        order.updated_ns = now_ns
        self._release(market, order)
        if not order.account.internal:
            kind = "TRADE_PREVENTION" if status == "EXPIRED_IN_MATCH" else status
            self.listener.report(ExecutionReport(order.account, order, kind, None, now_ns))

    @staticmethod
    def _release(market: Market, order: Order) -> None:
        account = order.account
        if order.locked:
            rules = market.rules
            account.unlock(rules.quote if order.side is Side.BUY else rules.base, order.locked)
            order.locked = 0
        del account.open[order.id]
        account.client_ids.pop(order.client_id, None)

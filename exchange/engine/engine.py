"""The matching engine: price-time priority over int64 fixed-point, accounts, numbered changes of levels.

Theory of operation. The engine is synchronous and single-threaded. Every method takes `now_ns`, and the engine has no
clock and no randomness, so the same calls give the same bytes. The engine checks an order against the symbol's rules,
locks funds, matches the order and lets it rest where it may. Every change of one level's size gets the symbol's next
update id: the id goes to the bounded log (`UpdateLog`), to the readers who take changes at their own pace
(`Market.level_changes`), and to `update_id`. Trades have separate ids. Each event of an order goes to the
`Listener` as an `ExecutionReport`; the protocols decide how clients see it. Orders that wait for a stop price, and
order lists, continue after the match (`contingent.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace

from ...model.errors import Rejected
from ...model.events import Side
from . import filters
from .accounts import Account, Amendment, Order, OrderList, Ticket
from .book import BookSide
from .contingent import Contingent, would_trigger
from .keys import ApiKey
from .market import Listener, Market, Quiet
from .matching import Matcher
from .rules import Rules


class Engine:
    """All markets and accounts. Raises `Rejected(code, reason)` if it refuses an order or cancel; nothing changed.

    Codes: UNKNOWN_SYMBOL, MARKET_CLOSED, BAD_ORDER, WOULD_TAKE, WOULD_TRIGGER, OCO_PRICES, DUPLICATE_ORDER,
    INSUFFICIENT_BALANCE, NO_LIQUIDITY, UNKNOWN_ORDER, AMEND_UNSUPPORTED, AMEND_NOTHING, and the codes of `filters`.
    """

    def __init__(self, listener: Listener | None = None, history: int = 400_000) -> None:
        self.listener: Listener = listener or Quiet()
        self.history = history
        self.markets: dict[str, Market] = {}
        self.accounts: dict[str, Account] = {}
        self.fees = Account("fees", internal=True)
        self.add_account(self.fees)
        self.matcher = Matcher(self.listener, self.fees)
        self.contingent = Contingent(self.matcher)
        self._next_order = 1
        self._next_list = 1

    def add_account(self, account: Account) -> Account:
        if account.name in self.accounts:
            raise Rejected("DUPLICATE_ACCOUNT", account.name)
        self.accounts[account.name] = account
        return account

    def owner(self, key: str) -> tuple[Account, ApiKey] | None:
        """Return the account and the key with this name."""
        for account in self.accounts.values():
            if key in account.keys:
                return account, account.keys[key]
        return None

    def list(self, rules: Rules) -> Market:
        if rules.symbol in self.markets:
            raise Rejected("DUPLICATE_SYMBOL", rules.symbol)
        market = self.markets[rules.symbol] = Market(rules, self.history)
        return market

    def delist(self, symbol: str, now_ns: int) -> None:
        """Expire every open order of `symbol` and forget the symbol."""
        market = self.market(symbol)
        for account in self.accounts.values():
            for order in [order for order in account.open.values() if order.symbol == symbol]:
                self.matcher.end(market, order, "EXPIRED", now_ns, why="EXCHANGE_CANCELED")
        self.contingent.follow(market, now_ns)
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

    def fresh_id(self, prefix: str) -> str:
        """Return an id for a cancel or an order list without one."""
        return f"{prefix}-{self.matcher.next_execution}-{self._next_order}"

    # ------------------------------------------------------------------------------------------------- placing

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
        """Accept one order that does not wait for a stop price; see `submit`."""
        if not account.internal:
            ticket = Ticket(side, kind, size, price, time_in_force, client_id, quote_size, self_trade)
            return self.submit(account, symbol, ticket, now_ns)
        # Most orders are the crowd's: they skip the account's rules, and always keep the symbol's.
        market = self.market(symbol)
        filters.check_form(market.rules, kind, size, price, time_in_force, quote_size, self_trade, None)
        against = market.asks if side is Side.BUY else market.bids
        if kind == "LIMIT_MAKER" and price is not None and against.crosses(price):
            raise Rejected("WOULD_TAKE", "Order would immediately match and take.")
        number = self._next_order
        if kind != "LIMIT":
            time_in_force = "GTC" if kind == "LIMIT_MAKER" else "IOC"
        order = Order(
            number,
            client_id or f"x-{number}",
            account,
            symbol,
            side,
            kind,
            time_in_force,
            price,
            size,
            now_ns,
            now_ns,
            self_trade,
            quote_size,
        )
        self.matcher.lock(market, order, against)
        self._next_order += 1
        account.open[number] = order
        self._work(market, order, against, now_ns)
        return order

    def submit(self, account: Account, symbol: str, ticket: Ticket, now_ns: int, hold: bool = False) -> Order:
        """Accept one order: check it, lock funds, match it, let it rest. The returned order has its current status.

        With `hold` the order is accepted but not on a book: `start` lets it work, `reject` ends it.
        """
        market = self.market(symbol)
        self.check_filters(account, symbol, ticket, now_ns)
        self._check_ids(account, ticket.client_id)
        against = market.asks if ticket.side is Side.BUY else market.bids
        self._check_prices(market, ticket, against)
        order = self._order(account, symbol, ticket, now_ns, self._next_order)
        if ticket.fee_in_quote and ticket.side is Side.BUY:
            order.fee_reserve = max(market.rules.maker_fee, market.rules.taker_fee)
        if order.conditional:
            self.matcher.reserve(market, order, self.matcher.need(order))
        else:
            self.matcher.lock(market, order, against)
            if not hold:
                order.working_ns = now_ns
        self._admit(order)
        self.matcher.report(order, "NEW", now_ns)
        if order.conditional:
            market.waiting[order.id] = order
        elif not hold:
            self._work(market, order, against, now_ns)
        return order

    def start(self, order: Order, now_ns: int) -> None:
        """Match a held order and let it rest; does nothing if the order has ended in the meantime."""
        if order.id in order.account.open and order.working_ns < 0:
            market = self.market(order.symbol)
            self._work(market, order, market.against(order), now_ns)

    def reject(self, order: Order, now_ns: int) -> None:
        """End an accepted order as REJECTED; does nothing if the order has ended in the meantime."""
        if order.id in order.account.open:
            market = self.market(order.symbol)
            before = market.tops if market.top_watchers else None
            self.matcher.end(market, order, "REJECTED", now_ns)
            self.contingent.follow(market, now_ns)
            if before is not None and market.tops != before:
                self.listener.top(market)

    def check_filters(self, account: Account, symbol: str, ticket: Ticket, now_ns: int, orders: int = 1) -> None:
        """Check a new order against the rules that do not depend on the book and balances.

        Raises:
            Rejected: the codes of `filters`, UNKNOWN_SYMBOL.
        """
        market = self.market(symbol)
        filters.check_form(
            market.rules,
            ticket.kind,
            ticket.size,
            ticket.price,
            ticket.time_in_force,
            ticket.quote_size,
            ticket.self_trade,
            ticket.stop_price,
        )
        filters.check_account(market, account, ticket, now_ns, orders)

    def submit_list(
        self,
        account: Account,
        symbol: str,
        contingency: str,
        tickets: Sequence[Ticket],
        client_id: str,
        now_ns: int,
    ) -> tuple[OrderList, tuple[Order, ...]]:
        """Accept an order list: OCO with two tickets, OTO with two or three (of three, the last two are an OCO pair).

        Returns:
            The list, and copies of its orders before the orders that wait for the first one were placed.
        """
        market = self.market(symbol)
        self._check_list(account, market, tickets, client_id, now_ns)
        first = self._next_order
        orders = tuple(self._order(account, symbol, t, now_ns, first + n) for n, t in enumerate(tickets))
        group = OrderList(
            self._next_list,
            client_id or self.fresh_id("l"),
            account,
            symbol,
            contingency,
            orders,
            now_ns,
            updated_ns=now_ns,
        )
        waits = group.pending
        if contingency == "OCO":
            self.contingent.check_pair(market, orders)
            self.contingent.reserve_pair(market, orders)
        else:
            against = market.asks if orders[0].side is Side.BUY else market.bids
            self._check_prices(market, tickets[0], against)
            self.matcher.lock(market, orders[0], against)
        self._next_list += 1
        account.lists[group.id] = group
        account.list_ids[group.client_id] = group.id
        self._forget_lists(account)
        for order in orders:
            order.group = group
            if order in waits:
                order.status = "PENDING_NEW"
            elif not order.conditional:
                order.working_ns = now_ns
            self._admit(order)
            self.matcher.report(order, "NEW", now_ns)
        self.listener.order_list(group, "EXEC_STARTED", now_ns)
        return group, self._start_list(market, group, now_ns)

    def _check_list(
        self, account: Account, market: Market, tickets: Sequence[Ticket], client_id: str, now_ns: int
    ) -> None:
        if client_id and client_id in account.list_ids:
            raise Rejected("DUPLICATE_ORDER", "Duplicate order sent.")
        given = [ticket.client_id for ticket in tickets if ticket.client_id]
        if len(set(given)) != len(given):
            raise Rejected("DUPLICATE_ORDER", "Duplicate order sent.")
        for ticket in tickets:
            self.check_filters(account, market.symbol, ticket, now_ns, len(tickets))
            self._check_ids(account, ticket.client_id)
        listed = sum(1 for number in account.list_ids.values() if account.lists[number].symbol == market.symbol)
        if listed >= market.rules.max_lists:
            raise Rejected("ORDER_LISTS", "There are too many open order lists.")

    def _start_list(self, market: Market, group: OrderList, now_ns: int) -> tuple[Order, ...]:
        """Place the orders of a list that do not wait. Return copies from before the waiting ones are placed."""
        before = market.tops if market.top_watchers else None
        for order in group.orders:
            if order in group.pending or order.status not in ("NEW", "PARTIALLY_FILLED"):
                continue
            if order.conditional:
                market.waiting[order.id] = order
            else:
                against = market.asks if order.side is Side.BUY else market.bids
                self.matcher.work(market, order, against, now_ns)
        seen = tuple(copy(order) for order in group.orders)
        self.contingent.follow(market, now_ns)
        if before is not None and market.tops != before:
            self.listener.top(market)
        return seen

    # ---------------------------------------------------------------------------------------- ending, changing

    def cancel(
        self, symbol: str, order_id: int, now_ns: int, account: Account | None = None, cancel_id: str = ""
    ) -> Order:
        """End an open order (of `account`, if given), and with it the list that it belongs to."""
        market = self.market(symbol)
        owners: Iterable[Account] = (account,) if account is not None else self.accounts.values()
        order = next((a.open[order_id] for a in owners if order_id in a.open), None)
        if order is None or order.symbol != symbol:
            raise Rejected("UNKNOWN_ORDER", str(order_id))
        return self.cancel_order(market, order, now_ns, cancel_id)

    def cancel_order(self, market: Market, order: Order, now_ns: int, cancel_id: str = "") -> Order:
        """End this order, and with it the list that it belongs to."""
        before = market.tops if market.top_watchers else None
        if order.group is None:
            self.matcher.end(market, order, "CANCELED", now_ns, cancel_id=cancel_id)
        else:
            for member in order.group.orders:
                if member.id in order.account.open:
                    self.matcher.end(market, member, "CANCELED", now_ns, cancel_id=cancel_id)
            self.contingent.follow(market, now_ns)
        if before is not None and market.tops != before:
            self.listener.top(market)
        return order

    def amend(self, order: Order, size: int, client_id: str, now_ns: int, price: int | None = None) -> Amendment:
        """Change an open order's size, price or both; without `price` the price stays.

        A smaller size at the same price keeps the order's place in the queue, and both orders of an OCO pair change
        together. A larger size or another price puts a resting order at the end of the queue, and lets it trade at once
        where the prices cross.

        Raises:
            Rejected: AMEND_NOTHING, AMEND_UNSUPPORTED (the order is in a list or rests on no book), WOULD_TAKE,
                INSUFFICIENT_BALANCE, AMENDS, DUPLICATE_ORDER, PRICE, SIZE, NOTIONAL.
                Nothing was changed.
        """
        market, account = self.market(order.symbol), order.account
        price = order.price if price is None else price
        moves = size > order.size or price != order.price
        if moves and (order.group is not None or order.price is None or order.working_ns < 0):
            raise Rejected("AMEND_UNSUPPORTED", "Only an order that rests by itself can grow or change its price.")
        if size == order.size and not moves:
            raise Rejected("AMEND_NOTHING", "The requested action would change no state; rejecting")
        if order.amends >= market.rules.max_amends:
            raise Rejected("AMENDS", "The order was amended too often.")
        pair = order.group.pair if order.group is not None else ()
        both = [member for member in pair if member.id in account.open] if order in pair else [order]
        for member in both:
            filters.check_amendment(market, size, price if moves else member.price, member.filled + member.prevented)
        if moves and price is not None:
            self._check_move(market, order, size, price)
        client_id = client_id or _unused(account, f"x-{order.id}-{order.amends + 1}")
        if client_id != order.client_id:
            self._check_ids(account, client_id)
        if moves:
            self.matcher.grow(market, order, size, price)
        before = market.tops if market.top_watchers else None
        old_price = order.price
        renamed = client_id != order.client_id
        old_size = {member.id: member.size for member in both}
        for member in () if moves else both:
            self._shrink(market, member, size, now_ns)
        if moves:
            market.remove(order, now_ns)
            order.size, order.price, order.updated_ns = size, price, now_ns
            order.amends += 1
            self.matcher.trim(market, order, self.matcher.need(order))
        if order.group is not None:
            order.group.updated_ns = now_ns
            self.contingent.trim(market, order.group)
        made = [
            self._amended(
                member, old_size[member.id], old_price, client_id if member is order else member.client_id, now_ns
            )
            for member in both
        ]
        if moves:
            self.matcher.work(market, order, market.against(order), now_ns)
            self.contingent.follow(market, now_ns)
        if order.group is not None and renamed:
            self.listener.order_list(order.group, "UPDATED", now_ns)
        if before is not None and market.tops != before:
            self.listener.top(market)
        return made[both.index(order)]

    def skip_ids(self, symbol: str, count: int) -> int:
        """Skip `count` update ids, as if that many changes were lost. Return the current id."""
        market = self.market(symbol)
        market.update_id += count
        return market.update_id

    # -------------------------------------------------------------------------------------------------- inside

    def _work(self, market: Market, order: Order, against: BookSide, now_ns: int) -> None:
        before = market.tops if market.top_watchers else None
        self.matcher.work(market, order, against, now_ns)
        if self.matcher.touched or market.waiting:
            self.contingent.follow(market, now_ns)
        if before is not None and market.tops != before:
            self.listener.top(market)

    @staticmethod
    def _check_ids(account: Account, client_id: str) -> None:
        if client_id and client_id in account.client_ids:
            raise Rejected("DUPLICATE_ORDER", "Duplicate order sent.")

    @staticmethod
    def _check_prices(market: Market, ticket: Ticket, against: BookSide) -> None:
        """Refuse an order that is not allowed at the current prices."""
        if ticket.kind == "LIMIT_MAKER" and ticket.price is not None and against.crosses(ticket.price):
            raise Rejected("WOULD_TAKE", "Order would immediately match and take.")
        if ticket.stop_price is not None and would_trigger(
            ticket.kind, ticket.side, ticket.stop_price, market.bars.last_price
        ):
            raise Rejected("WOULD_TRIGGER", "Order would trigger immediately.")

    @staticmethod
    def _order(account: Account, symbol: str, ticket: Ticket, now_ns: int, number: int) -> Order:
        kind = ticket.kind
        time_in_force = ticket.time_in_force
        if ticket.price is None:
            time_in_force = "IOC"
        elif kind == "LIMIT_MAKER":
            time_in_force = "GTC"
        return Order(
            number,
            ticket.client_id or _unused(account, f"x-{number}"),
            account,
            symbol,
            ticket.side,
            kind,
            time_in_force,
            ticket.price,
            ticket.size,
            now_ns,
            now_ns,
            ticket.self_trade,
            ticket.quote_size,
            stop_price=ticket.stop_price,
            strategy_id=ticket.strategy_id,
            strategy_type=ticket.strategy_type,
        )

    def _admit(self, order: Order) -> None:
        """Add an order to its account's open orders."""
        account = order.account
        self._next_order = order.id + 1
        account.open[order.id] = order
        account.client_ids[order.client_id] = order.id
        account.open_here[order.symbol] = account.open_here.get(order.symbol, 0) + 1
        account.remember(order)

    @staticmethod
    def _forget_lists(account: Account) -> None:
        if len(account.lists) > 10_000:
            oldest = next((n for n, group in account.lists.items() if group.status == "ALL_DONE"), None)
            if oldest is not None:
                del account.lists[oldest]

    def _shrink(self, market: Market, order: Order, size: int, now_ns: int) -> None:
        """Reduce the size of an open order, also on the book."""
        by, order.size = order.size - size, size
        if order.working_ns >= 0 and order.price is not None:
            market.reduce(order, by, now_ns)
        if order.locked and order.group is None:
            self.matcher.trim(market, order, self.matcher.need(order))
        order.updated_ns = now_ns
        order.amends += 1

    @staticmethod
    def _check_move(market: Market, order: Order, size: int, price: int) -> None:
        """Check a resting order's new terms, with which it would go to the end of the queue."""
        time_in_force, self_trade, stop_price = order.time_in_force, order.self_trade, order.stop_price
        filters.check_form(market.rules, order.kind, size, price, time_in_force, None, self_trade, stop_price)
        if order.kind == "LIMIT_MAKER" and market.against(order).crosses(price):
            raise Rejected("WOULD_TAKE", "Order would immediately match and take.")

    def _amended(self, order: Order, old_size: int, old_price: int | None, client_id: str, now_ns: int) -> Amendment:
        """Rename an order that was amended, report it, and keep the amendment."""
        account, old = order.account, order.client_id
        if client_id != old:
            account.client_ids.pop(old, None)
            account.client_ids[client_id] = order.id
            account.by_client.pop(old, None)
            account.by_client[client_id] = order
            order.client_id = client_id
        number = self.matcher.report(order, "REPLACED", now_ns, original=old)
        made = Amendment(
            number, order.symbol, order.id, old, client_id, old_size, order.size, now_ns, old_price, order.price
        )
        account.amendments.append(made)
        return made


def _unused(account: Account, client_id: str) -> str:
    """Return an id similar to the given one, which no open order of the account has."""
    while client_id in account.client_ids:
        client_id += "-"
    return client_id

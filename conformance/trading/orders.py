"""Checks of orders: each type is placed, changed and cancelled, and the mesh agrees with the exchange about it."""

from __future__ import annotations

import time
from decimal import Decimal

from ...connectors.spec import Amend
from ...model import rules
from ...model.errors import InsufficientBalance, MeshError, Rejected, RuleViolation, UnknownOrder
from ...model.events import Side
from ...model.order import EventType, Order, OrderStatus, OrderType, TimeInForce
from ..market.suite import expect, skip
from . import sizes
from .agreement import at_exchange, event_types, exchange_agrees, expect_same
from .bench import SOON_S, Desk, expect_status, status_text
from .sizes import DEAREST
from .suite import TradingSuite, trading


class Orders(TradingSuite):
    """Checks of orders from placement to their end."""

    @trading
    async def test_limit_buy(self, desk: Desk) -> None:
        """A limit order to buy rests at the exchange with the requested terms, locks its funds, and is cancelled."""
        await _rests_and_is_cancelled(desk, Side.BUY)

    @trading
    async def test_limit_sell(self, desk: Desk) -> None:
        """A limit order to sell rests at the exchange with the requested terms, locks its funds, and is cancelled."""
        await _rests_and_is_cancelled(desk, Side.SELL)

    @trading
    async def test_market_buy(self, desk: Desk) -> None:
        """A market order to buy is filled; its fills add up to its totals, and the balances change by these totals."""
        await _takes(desk, Side.BUY)

    @trading
    async def test_market_sell(self, desk: Desk) -> None:
        """A market order to sell is filled; its fills add up to its totals, and the balances change by these totals."""
        await _takes(desk, Side.SELL)

    @trading
    async def test_market_buy_by_quote_amount(self, desk: Desk) -> None:
        """Where offered: a market order by quote amount spends at least half and at most the whole amount."""
        if not desk.codec().offer.quote_amount:
            skip("not offered")
        _, amount = await desk.sized(Side.BUY)
        _, ask = await desk.touch()
        spend = rules.quantize_price(desk.instrument, amount * ask)
        order = await desk.place(Side.BUY, OrderType.MARKET, None, quote_amount=spend)
        done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        quote = desk.instrument.quote
        expect(done.filled > 0, f"an order for {spend:f} {quote} is {status_text(done)} and not filled")
        expect(
            spend / 2 < done.quote_filled <= spend,
            f"an order for {spend:f} {quote} spent {done.quote_filled:f}",
        )
        await exchange_agrees(desk, done)

    @trading
    async def test_ioc_and_fok_leave_nothing(self, desk: Desk) -> None:
        """Where offered: IOC and FOK orders that cannot fill end EXPIRED or CANCELED, without a fill."""
        offered = desk.codec().offer.times_in_force & {TimeInForce.IOC, TimeInForce.FOK}
        if not offered:
            skip("not offered")
        for force in sorted(offered, key=lambda force: force.value):
            price, amount = await desk.sized(Side.BUY)
            order = await desk.place(Side.BUY, OrderType.LIMIT, amount, price=price, time_in_force=force)
            done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
            ended = (OrderStatus.EXPIRED, OrderStatus.CANCELED)
            expect(
                done.status in ended and done.filled == 0,
                f"a {force.value} order far from the market is {status_text(done)} with {done.filled:f} filled, "
                "expected EXPIRED or CANCELED with nothing filled",
            )
            await exchange_agrees(desk, done)

    @trading
    async def test_a_limit_order_that_crosses_takes(self, desk: Desk) -> None:
        """A limit order beyond the best opposite price is filled at its price or better."""
        _, amount = await desk.sized(Side.SELL)
        bid, ask = await desk.touch()
        worst = rules.quantize_price(desk.instrument, ask + (ask - bid) + ask / 200, Side.BUY)
        order = await desk.place(Side.BUY, OrderType.LIMIT, amount, price=worst, time_in_force=TimeInForce.GTC)
        done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        expect_status(done, "a limit order to buy above the best ask", OrderStatus.FILLED)
        for fill in await desk.fills(done.client_order_id):
            expect(fill.price <= worst, f"a limit order to buy at {worst:f} was filled at {fill.price:f}")
        await exchange_agrees(desk, done)

    @trading
    async def test_a_post_only_order_never_takes(self, desk: Desk) -> None:
        """Where offered: LIMIT_MAKER rests far from the market; if it would take, it is refused with a reason."""
        offer = desk.codec().offer
        if OrderType.LIMIT_MAKER not in offer.order_types:
            skip("not offered")
        price, amount = await desk.sized(Side.BUY)
        resting = await desk.place(Side.BUY, OrderType.LIMIT_MAKER, amount, price=price)
        expect_status(resting, "a LIMIT_MAKER order far from the market", OrderStatus.OPEN)
        await desk.market.cancel_and_wait(resting.client_order_id)
        after = await desk.last_event()
        bid, ask = await desk.touch()
        worst = rules.quantize_price(desk.instrument, ask + (ask - bid) + ask / 200, Side.BUY)
        taker = await _refused(desk, Side.BUY, OrderType.LIMIT_MAKER, amount, price=worst)
        late_ends = (OrderStatus.EXPIRED, OrderStatus.CANCELED)
        ends = (OrderStatus.REJECTED, *late_ends) if offer.late_reject else (OrderStatus.REJECTED,)
        expect_status(taker, "a LIMIT_MAKER order that would take", *ends)
        expect(bool(taker.code) and bool(taker.reason), "a rejected LIMIT_MAKER order has no code or no reason")
        expect(taker.filled == 0, f"a rejected LIMIT_MAKER order filled {taker.filled:f}")
        events = [event for event in await desk.events(after) if event.client_order_id == taker.client_order_id]
        kinds = [event.type for event in events]
        late = taker.status in late_ends or (offer.late_reject and EventType.CREATED in kinds)
        wanted = [EventType.CREATED, EventType[taker.status.name]] if late else [EventType.REJECTED]
        expect(
            kinds == wanted,
            f"a rejected LIMIT_MAKER order has the events {[kind.value for kind in kinds]}, expected "
            f"{[kind.value for kind in wanted]}",
        )
        expect(
            events[-1].reason == taker.reason,
            f"the event's reason is {events[-1].reason!r}, the order's is {taker.reason!r}",
        )

    @trading
    async def test_quantization(self, desk: Desk) -> None:
        """Price and amount between two steps are rounded to the exchange's grid: a sell price up, all else down."""
        tick, step = rules.price_increment(desk.instrument), rules.size_increment(desk.instrument)
        for side in (Side.BUY, Side.SELL):
            price, amount = await desk.sized(side)
            asked_price, asked_amount = price + tick / 3, amount + step * Decimal("0.7")
            order = await desk.place(
                side, OrderType.LIMIT, asked_amount, price=asked_price, time_in_force=TimeInForce.GTC
            )
            exact = price if side is Side.BUY else price + tick
            reported = await at_exchange(desk, order)
            for who, found in (("the mesh", order), ("the exchange", reported)):
                expect(
                    found.amount == amount,
                    f"an amount of {asked_amount:f} became {found.amount} at {who}, expected {amount:f}",
                )
                expect(
                    found.price == exact,
                    f"a {side.value} at {asked_price:f} became {found.price} at {who}, expected {exact:f}",
                )
            await desk.market.cancel_and_wait(order.client_order_id)

    @trading
    async def test_trading_rules_are_checked_before_sending(self, desk: Desk) -> None:
        """The market and the manager refuse an order that breaks a trading rule, name the rule, and never send it."""
        instrument = desk.instrument
        price, amount = await desk.sized(Side.BUY)
        step = rules.size_increment(instrument)
        tries: list[tuple[str, Decimal, Decimal]] = [("min_size", step * Decimal("0.4"), price)]
        if instrument.min_notional is not None:
            floor = max(instrument.min_size or step, step)
            small = rules.quantize_amount(instrument, instrument.min_notional / price / 2)
            if small >= floor:
                tries.append(("min_notional", small, price))
        if instrument.max_price is not None:
            tries.append(("max_price", amount, instrument.max_price * 2))
        if instrument.max_size is not None:
            tries.append(("max_size", instrument.max_size * 2, price))
        for rule, size, at in tries:
            try:
                desk.market.buy(desk.pair, size, OrderType.LIMIT, price=at)
            except RuleViolation as error:
                expect(error.rule == rule, f"{size:f} at {at:f} breaks {rule}, but the error names {error.rule}")
            else:
                raise AssertionError(f"the market accepted {size:f} at {at:f}, which breaks {rule}")
        await _manager_keeps_rules(desk, price, step)

    @trading
    async def test_more_than_the_available_amount_is_refused(self, desk: Desk) -> None:
        """The mesh refuses an order above the available amount, states both amounts, and never sends the order."""
        price, amount = await desk.sized(Side.BUY)
        balances = await desk.settled_balances()
        held = balances[desk.instrument.quote].available if desk.instrument.quote in balances else Decimal(0)
        size = rules.quantize_amount(desk.instrument, held / price * 2 + amount)
        if desk.instrument.max_size is not None and size > desk.instrument.max_size:
            skip("the account has more than the largest order")
        if desk.instrument.max_notional is not None and size * price > desk.instrument.max_notional:
            skip("the account has more than the largest order")
        new = desk.market.new_order(Side.BUY, desk.pair, size, OrderType.LIMIT, price)
        desk.handed_out.append(new.client_order_id)
        try:
            (order,) = await desk.market.place_orders([new])
        except InsufficientBalance as error:
            expect(
                error.asset == desk.instrument.quote,
                f"the error names the asset {error.asset}, expected {desk.instrument.quote}",
            )
            expect(
                Decimal(error.needed) > Decimal(error.available),
                f"the error must state more needed than available: {error}",
            )
        else:
            raise AssertionError(
                f"an order for {size * price:f} {desk.instrument.quote} was accepted with {held:f} available: "
                f"{status_text(order)}"
            )
        await _never_sent(desk, new.client_order_id)

    @trading
    async def test_cancel(self, desk: Desk) -> None:
        """A cancel, also repeated or of a filled order, returns the order's end; of an unknown id: UnknownOrder."""
        order = await desk.rest(Side.BUY)
        first = await desk.market.cancel_and_wait(order.client_order_id)
        expect(first.done and first.status is OrderStatus.CANCELED, f"a cancel returned {first}, expected CANCELED")
        again = await desk.market.cancel_and_wait(order.client_order_id)
        expect(
            again.done and again.status is OrderStatus.CANCELED, f"a second cancel returned {again}, expected CANCELED"
        )
        await exchange_agrees(desk, await desk.market.get_order(order.client_order_id))
        filled = await desk.take(Side.SELL)
        late = await desk.market.cancel_and_wait(filled.client_order_id)
        expect(
            late.done and late.status is OrderStatus.FILLED,
            f"the cancel of a filled order returned {late}, expected FILLED",
        )
        try:
            nobody = await desk.market.cancel_and_wait("nobody-placed-this")
        except UnknownOrder:
            return
        raise AssertionError(f"the cancel of an unknown id returned {nobody}, expected UnknownOrder")

    @trading
    async def test_cancel_all(self, desk: Desk) -> None:
        """Orders of one command all rest; cancelling all returns a result for each and leaves none open."""
        new = []
        for side, rank in ((Side.BUY, 0), (Side.BUY, 1), (Side.SELL, 0)):
            price, amount = await desk.sized(side, rank)
            new.append(desk.market.new_order(side, desk.pair, amount, OrderType.LIMIT, price))
        desk.handed_out += (order.client_order_id for order in new)
        placed = {order.client_order_id: order for order in await desk.market.place_orders(new)}
        ids = {order.client_order_id for order in new}
        expect(placed.keys() == ids, f"place_orders returned {sorted(placed)}, expected {sorted(ids)}")
        other = [status_text(order) for order in placed.values() if order.status is not OrderStatus.OPEN]
        expect(not other, f"orders of one command are {other}, expected OPEN")
        results = {result.client_order_id: result for result in await desk.market.cancel_all(desk.soon_s)}
        missing = ids - results.keys()
        expect(not missing, f"cancel_all returned no result for {sorted(missing)}")
        wrong = [results[name] for name in ids if not (results[name].done and results[name].status.value == "CANCELED")]
        expect(not wrong, f"cancel_all did not cancel {wrong}")
        still_open = ids & (await desk.ask(desk.witness.open_orders())).keys()
        expect(not still_open, f"after cancel_all the exchange still has {sorted(still_open)} open")
        in_flight = await desk.market.in_flight_orders()
        expect(not in_flight, f"after cancel_all the mesh still has {sorted(in_flight)} in flight")
        for name in ids:
            await exchange_agrees(desk, await desk.market.get_order(name))

    @trading
    async def test_list_orders(self, desk: Desk) -> None:
        """The mesh lists the orders that the exchange has open, limit orders oldest first, and finds closed orders."""
        orders = [await desk.rest(Side.BUY), await desk.rest(Side.SELL), await desk.rest(Side.BUY, 1)]
        ids = [order.client_order_id for order in orders]
        reported = await desk.ask(desk.witness.open_orders())
        in_flight = await desk.market.in_flight_orders()
        expect(in_flight.keys() == set(ids), f"the mesh has {sorted(in_flight)} in flight, expected {sorted(ids)}")
        expect(set(ids) <= reported.keys(), f"the exchange has {sorted(reported)} open, expected {sorted(ids)}")
        for name in ids:
            expect_same(in_flight[name], reported[name])
        listed = [order.client_order_id for order in await desk.market.limit_orders()]
        expect(listed == ids, f"limit_orders returned {listed}, expected {ids}")
        for name in ids:
            await desk.market.cancel_and_wait(name)
        known = {order.client_order_id: order for order in await desk.all_orders()}
        expect(set(ids) <= known.keys(), f"the list of all orders lacks {sorted(set(ids) - known.keys())}")
        for name in ids:
            expect_status(known[name], "in the list, a cancelled order", OrderStatus.CANCELED)

    @trading
    async def test_amend(self, desk: Desk) -> None:
        """Where offered: amend changes an open order's amount or price, and the order stays open under its id."""
        offer = desk.codec().offer
        if not offer.amend or ("amend" not in desk.instrument.features and desk.instrument.features):
            skip("not offered")
        expect(offer.amend_keeps_place <= offer.amend, "amend_keeps_place names changes that amend lacks")
        price, amount = await desk.sized(Side.BUY)
        further, _ = await desk.sized(Side.BUY, 1)
        step = rules.size_increment(desk.instrument)
        order = await desk.place(Side.BUY, OrderType.LIMIT, amount + step * 3, price=price)
        for change, new_amount, new_price in (
            (Amend.SMALLER, amount + step, price),
            (Amend.LARGER, amount + step * 2, price),
            (Amend.PRICE, amount + step * 2, further),
        ):
            if change not in offer.amend:
                continue
            asked = (None, new_price) if change is Amend.PRICE else (new_amount, None)
            amended = await desk.market.amend(order.client_order_id, asked[0], price=asked[1])
            terms = (amended.amount, amended.price)
            expect(terms == (new_amount, new_price), f"an order amended to {asked} has amount and price {terms}")
            expect_status(amended, "an amended order", OrderStatus.OPEN)
            expect_same(amended, await at_exchange(desk, order))

    @trading
    async def test_replace(self, desk: Desk) -> None:
        """Where offered: replace cancels an order and places another with a new price; the mesh knows both."""
        if not desk.codec().offer.replace:
            skip("not offered")
        order = await desk.rest(Side.BUY)
        price, _ = await desk.sized(Side.BUY, 1)
        replaced = await desk.market.replace(order.client_order_id, price=price)
        desk.handed_out += [each.client_order_id for each in replaced]
        expect(len(replaced) == 2, f"replace returned {len(replaced)} orders, expected the old and the new order")
        old, new = replaced
        expect(
            old.client_order_id == order.client_order_id,
            f"replace returned {old.client_order_id} as the old order, expected {order.client_order_id}",
        )
        expect_status(old, "the old order", OrderStatus.CANCELED)
        expect(
            new.status is OrderStatus.OPEN and new.price == price,
            f"the new order is {status_text(new)} at {new.price}, expected OPEN at {price:f}",
        )
        for each in (old, new):
            await exchange_agrees(desk, each)

    @trading
    async def test_stop_limit(self, desk: Desk) -> None:
        """Where offered: a stop-limit order is open at the exchange with both prices, and is cancelled."""
        kind = OrderType.STOP_LOSS_LIMIT
        if kind not in desk.codec().offer.order_types or (
            desk.instrument.order_types and kind.value not in desk.instrument.order_types
        ):
            skip("not offered")
        _, amount = await desk.sized(Side.BUY)
        bid, ask = await desk.touch()
        far = sizes.far(desk.instrument, Side.BUY, bid, ask)
        order = await desk.place(Side.SELL, kind, amount, price=far, stop_price=far, time_in_force=TimeInForce.GTC)
        expect_status(order, "a stop order far below the market", OrderStatus.OPEN)
        reported = await at_exchange(desk, order)
        expect_same(order, reported)
        expect(
            reported.stop_price == far,
            f"the stop price at the exchange is {reported.stop_price}, expected {far:f}",
        )
        result = await desk.market.cancel_and_wait(order.client_order_id)
        expect(
            result.status is OrderStatus.CANCELED, f"the cancel of a stop order returned {result}, expected CANCELED"
        )

    @trading
    async def test_order_list(self, desk: Desk) -> None:
        """Where offered: two OCO orders are placed as one list, and the cancel of one order ends both."""
        if "OCO" not in desk.codec().offer.order_lists:
            skip("not offered")
        above, amount = await desk.sized(Side.SELL)
        below, _ = await desk.sized(Side.BUY)
        pair = [
            desk.market.new_order(Side.SELL, desk.pair, amount, OrderType.LIMIT_MAKER, above),
            desk.market.new_order(
                Side.SELL, desk.pair, amount, OrderType.STOP_LOSS_LIMIT, below, TimeInForce.GTC, stop_price=below
            ),
        ]
        desk.handed_out += [new.client_order_id for new in pair]
        placed = await desk.market.place_orders(pair, order_list="OCO")
        expect(
            all(order.status is OrderStatus.OPEN for order in placed),
            f"the orders of an OCO list are {[status_text(order) for order in placed]}, expected OPEN",
        )
        lists = [order.list_id for order in placed]
        expect(len(set(lists) - {None}) == 1, f"the orders of an OCO list have the list ids {lists}, expected one id")
        await desk.market.cancel_and_wait(pair[0].client_order_id)
        for new in pair:
            done = await desk.market.wait(new.client_order_id, timeout_s=desk.soon_s)
            what = f"after the cancel of one OCO order the {new.order_type.value}"
            expect_status(done, what, OrderStatus.CANCELED, OrderStatus.EXPIRED)
            await exchange_agrees(desk, done)


async def _rests_and_is_cancelled(desk: Desk, side: Side) -> None:
    after, before = await desk.last_event(), await desk.settled_balances()
    order = await desk.rest(side)
    expect(order.exchange_order_id is not None, "an open order has no exchange order id")
    expect_same(order, await at_exchange(desk, order))
    held = await desk.settled_balances()
    asset = desk.instrument.quote if side is Side.BUY else desk.instrument.base
    assert order.price is not None
    assert order.amount is not None
    needed = order.price * order.amount if side is Side.BUY else order.amount
    available = before[asset].available - held[asset].available
    dearest = needed * (1 + DEAREST) if desk.codec().offer.fee_on_top and side is Side.BUY else needed
    expect(needed <= available <= dearest, f"an order for {needed:f} {asset} reduced available by {available:f}")
    locked = held[asset].locked - before[asset].locked
    expect(needed <= locked <= dearest, f"an order for {needed:f} {asset} locked {locked:f}")
    result = await desk.market.cancel_and_wait(order.client_order_id)
    expect(result.done and result.status is OrderStatus.CANCELED, f"a cancel returned {result}, expected CANCELED")
    done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
    await exchange_agrees(desk, done)
    freed = await desk.settled_balances()
    expect(
        freed[asset].available == before[asset].available,
        f"after the cancel {freed[asset].available:f} {asset} are available, before the order "
        f"{before[asset].available:f} were",
    )
    kinds = await event_types(desk, after, order)
    expect(
        kinds == [EventType.CREATED, EventType.CANCELED],
        f"the order's events are {[kind.value for kind in kinds]}, expected CREATED and CANCELED",
    )


async def _takes(desk: Desk, side: Side) -> None:
    after, before = await desk.last_event(), await desk.settled_balances()
    done = await desk.take(side)
    fills = await desk.fills(done.client_order_id)
    filled, quote = sum(fill.amount for fill in fills), sum(fill.quote_amount for fill in fills)
    expect(done.amount in (None, done.filled), f"a FILLED order for {done.amount} is filled {done.filled:f}")
    expect(
        (filled, quote) == (done.filled, done.quote_filled),
        f"the fills add up to {filled} for {quote}, the order has {done.filled} for {done.quote_filled}",
    )
    expect(not any(fill.is_maker for fill in fills), f"a market order was filled as maker: {fills}")
    await exchange_agrees(desk, done)
    held = await desk.settled_balances()
    paid: dict[str, Decimal] = {}
    sign = 1 if side is Side.BUY else -1
    for asset, change in (
        (desk.instrument.base, sign * done.filled),
        (desk.instrument.quote, -sign * done.quote_filled),
    ):
        paid[asset] = paid.get(asset, Decimal(0)) + change
    for asset, fee in done.fees.items():
        paid[asset] = paid.get(asset, Decimal(0)) - fee
    for asset, change in paid.items():
        was = before[asset].total if asset in before else Decimal(0)
        now = held[asset].total if asset in held else Decimal(0)
        expect(
            now - was == change, f"the balance of {asset} changed by {now - was:f}, the fills and fees by {change:f}"
        )
    kinds = [kind for kind in await event_types(desk, after, done) if kind is not EventType.FEE]
    names = [kind.value for kind in kinds]
    expect(kinds[-1:] == [EventType.COMPLETED], f"the order's events are {names}, expected COMPLETED as the last")
    expect(
        kinds.count(EventType.FILLED) == len(fills),
        f"the order's events are {names}, expected {len(fills)} FILLED, one for each fill",
    )


async def _refused(desk: Desk, side: Side, kind: OrderType, amount: Decimal, price: Decimal) -> Order:
    """Place an order that the exchange refuses; return its end, whether placing raised or returned."""
    new = desk.market.new_order(side, desk.pair, amount, kind, price)
    desk.handed_out.append(new.client_order_id)
    try:
        await desk.market.place_orders([new])
    except Rejected:
        pass  # the order keeps the refusal, too
    return await desk.market.wait(new.client_order_id, timeout_s=desk.soon_s)


async def _manager_keeps_rules(desk: Desk, price: Decimal, step: Decimal) -> None:
    """Send an order below the smallest size to the manager: it must not rely on the market's check."""
    new = desk.market.new_order(Side.BUY, desk.pair, *(await _valid(desk)))
    plain = {**new.to_dict(), "amount": f"{step * Decimal('0.4'):f}", "price": f"{price:f}"}
    desk.handed_out.append(new.client_order_id)
    body = {"orders": [plain], "expires_ns": time.time_ns() + 10 * 10**9, "list": None}
    try:
        answer = await desk.mesh.ask_async(desk.orders_at, "place", body, SOON_S)
    except MeshError as error:
        expect(
            isinstance(error, RuleViolation),
            f"the manager raised {error!r} for an order below the smallest size, expected RuleViolation",
        )
    else:
        raise AssertionError(f"the manager accepted an order below the smallest size: {answer}")
    await _never_sent(desk, new.client_order_id)


async def _never_sent(desk: Desk, client_order_id: str) -> None:
    """Check that the exchange does not know an order that the mesh refused."""
    reported = await desk.ask(desk.witness.order(client_order_id))
    expect(reported is None, f"the mesh refused an order, but the exchange has it: {reported!r}")


async def _valid(desk: Desk) -> tuple[Decimal, OrderType, Decimal]:
    price, amount = await desk.sized(Side.BUY)
    return amount, OrderType.LIMIT, price

"""Orders: each type placed, followed, changed and cancelled; what the mesh says is what the exchange says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from decimal import Decimal

from ...connectors.reports import OrderReport
from ...model import rules
from ...model.errors import InsufficientBalance, MeshError, Rejected, RuleViolation, UnknownOrder
from ...model.events import Side
from ...model.order import EventType, Order, OrderStatus, OrderType, TimeInForce
from ..market.suite import expect, skip
from . import sizes
from .bench import SOON_S, Desk, told
from .suite import TradingSuite, trading


class Orders(TradingSuite):
    """What becomes of orders."""

    @trading
    async def test_limit_buy(self, desk: Desk) -> None:
        """A limit order to buy rests at the exchange as asked, locks its funds, and is cancelled."""
        await _rests_and_is_cancelled(desk, Side.BUY)

    @trading
    async def test_limit_sell(self, desk: Desk) -> None:
        """A limit order to sell rests at the exchange as asked, locks its funds, and is cancelled."""
        await _rests_and_is_cancelled(desk, Side.SELL)

    @trading
    async def test_market_buy(self, desk: Desk) -> None:
        """A market order to buy is filled; its fills make up its totals and the balances move by just that."""
        await _takes(desk, Side.BUY)

    @trading
    async def test_market_sell(self, desk: Desk) -> None:
        """A market order to sell is filled; its fills make up its totals and the balances move by just that."""
        await _takes(desk, Side.SELL)

    @trading
    async def test_market_buy_by_quote_amount(self, desk: Desk) -> None:
        """Where offered: a market order that says what to spend spends no more, and nearly all of it."""
        if not desk.codec().offer.quote_amount:
            skip("not offered")
        _, amount = await desk.sized(Side.BUY)
        _, ask = await desk.touch()
        spend = rules.quantize_price(desk.instrument, amount * ask)
        order = await desk.place(Side.BUY, OrderType.MARKET, None, quote_amount=spend)
        done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        expect(done.filled > 0, f"an order for {spend:f} {desk.instrument.quote} is {told(done)} with nothing filled")
        expect(spend / 2 < done.quote_filled <= spend, f"of {spend:f} it spent {done.quote_filled:f}")
        await _exchange_agrees(desk, done)

    @trading
    async def test_ioc_and_fok_leave_nothing(self, desk: Desk) -> None:
        """Where offered: IOC and FOK orders that nobody meets end EXPIRED or CANCELED, unfilled, and are not open."""
        offered = desk.codec().offer.times_in_force & {TimeInForce.IOC, TimeInForce.FOK}
        if not offered:
            skip("not offered")
        for force in sorted(offered, key=lambda one: one.value):
            price, amount = await desk.sized(Side.BUY)
            order = await desk.place(Side.BUY, OrderType.LIMIT, amount, price=price, time_in_force=force)
            done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
            ended = (OrderStatus.EXPIRED, OrderStatus.CANCELED)
            expect(done.status in ended and done.filled == 0, f"a {force.value} order far away is {told(done)}")
            await _exchange_agrees(desk, done)

    @trading
    async def test_a_limit_order_that_crosses_takes(self, desk: Desk) -> None:
        """A limit order beyond the touch is filled at prices no worse than its own."""
        _, amount = await desk.sized(Side.SELL)
        bid, ask = await desk.touch()
        worst = rules.quantize_price(desk.instrument, ask + (ask - bid) + ask / 200, Side.BUY)
        order = await desk.place(Side.BUY, OrderType.LIMIT, amount, price=worst, time_in_force=TimeInForce.GTC)
        done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        expect(done.status is OrderStatus.FILLED, f"a limit order above the best ask is {told(done)}, not FILLED")
        for fill in await desk.fills(done.client_order_id):
            expect(fill.price <= worst, f"it was to pay {worst:f} at most and paid {fill.price:f}")
        await _exchange_agrees(desk, done)

    @trading
    async def test_a_post_only_order_never_takes(self, desk: Desk) -> None:
        """Where offered: LIMIT_MAKER rests far away, and is refused with the exchange's reason where it would take."""
        if OrderType.LIMIT_MAKER not in desk.codec().offer.order_types:
            skip("not offered")
        price, amount = await desk.sized(Side.BUY)
        resting = await desk.place(Side.BUY, OrderType.LIMIT_MAKER, amount, price=price)
        expect(resting.status is OrderStatus.OPEN, f"far from the market it is {told(resting)}, not OPEN")
        await desk.market.cancel_and_wait(resting.client_order_id)
        after = await desk.last_event()
        bid, ask = await desk.touch()
        worst = rules.quantize_price(desk.instrument, ask + (ask - bid) + ask / 200, Side.BUY)
        taker = await _refused(desk, Side.BUY, OrderType.LIMIT_MAKER, amount, price=worst)
        expect(taker.status is OrderStatus.REJECTED, f"where it would take it is {told(taker)}, not REJECTED")
        expect(bool(taker.code) and bool(taker.reason), "it was rejected without a code and a reason")
        expect(taker.filled == 0, f"it filled {taker.filled:f}")
        news = [one for one in await desk.events(after) if one.client_order_id == taker.client_order_id]
        expect([one.type for one in news] == [EventType.REJECTED], f"its events are {[one.type.value for one in news]}")
        expect(news[0].reason == taker.reason, "its event gives another reason than the order")

    @trading
    async def test_quantization(self, desk: Desk) -> None:
        """Price and amount between the steps: the exchange gets them on its grid, never dearer, never larger."""
        tick, step = rules.price_increment(desk.instrument), rules.size_increment(desk.instrument)
        for side in (Side.BUY, Side.SELL):
            price, amount = await desk.sized(side)
            asked_price, asked_amount = price + tick / 3, amount + step * Decimal("0.7")
            order = await desk.place(
                side, OrderType.LIMIT, asked_amount, price=asked_price, time_in_force=TimeInForce.GTC
            )
            exact = price if side is Side.BUY else price + tick
            there = await desk.ask(desk.witness.order(order.client_order_id))
            expect(there is not None, f"{told(order)} here, and the exchange does not know it")
            assert there is not None
            for who, found in (("the mesh", order), ("the exchange", there)):
                expect(found.amount == amount, f"{asked_amount:f} was asked for; {who} has {found.amount}")
                expect(found.price == exact, f"{side.value} at {asked_price:f} was asked for; {who} has {found.price}")
            await desk.market.cancel_and_wait(order.client_order_id)

    @trading
    async def test_rules_are_kept_before_anything_is_sent(self, desk: Desk) -> None:
        """What breaks a trading rule is refused here with the rule's name, by facade and manager, and never sent."""
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
                expect(error.rule == rule, f"{size:f} at {at:f} breaks {rule}; the error names {error.rule}")
            else:
                raise AssertionError(f"{size:f} at {at:f} breaks {rule} and was taken")
        await _manager_keeps_rules(desk, price, step)

    @trading
    async def test_more_than_there_is_is_refused_here(self, desk: Desk) -> None:
        """An order for more than is available is refused with what is needed and there; the exchange never sees it."""
        price, amount = await desk.sized(Side.BUY)
        balances = await desk.settled_balances()
        held = balances[desk.instrument.quote].available if desk.instrument.quote in balances else Decimal(0)
        size = rules.quantize_amount(desk.instrument, held / price * 2 + amount)
        if desk.instrument.max_size is not None and size > desk.instrument.max_size:
            skip("the account holds more than one order may be worth")
        if desk.instrument.max_notional is not None and size * price > desk.instrument.max_notional:
            skip("the account holds more than one order may be worth")
        new = desk.market.new_order(Side.BUY, desk.pair, size, OrderType.LIMIT, price)
        desk.handed_out.append(new.client_order_id)
        try:
            (order,) = await desk.market.place_orders([new])
        except InsufficientBalance as error:
            expect(error.asset == desk.instrument.quote, f"the error is about {error.asset}")
            expect(Decimal(error.needed) > Decimal(error.available), f"the error does not say why: {error}")
        else:
            raise AssertionError(f"{size * price:f} of {held:f} {desk.instrument.quote} was taken: {told(order)}")
        there = await desk.ask(desk.witness.order(new.client_order_id))
        expect(there is None, f"it was refused here and the exchange has it: {there!r}")

    @trading
    async def test_cancel(self, desk: Desk) -> None:
        """Cancelling says what came of it: once, twice, of a filled order, of one that nobody placed."""
        order = await desk.rest(Side.BUY)
        first = await desk.market.cancel_and_wait(order.client_order_id)
        expect(first.done and first.status is OrderStatus.CANCELED, f"cancelled, it is {first}")
        again = await desk.market.cancel_and_wait(order.client_order_id)
        expect(again.done and again.status is OrderStatus.CANCELED, f"cancelled twice, it is {again}")
        await _exchange_agrees(desk, await desk.market.get_order(order.client_order_id))
        filled = await desk.take(Side.SELL)
        late = await desk.market.cancel_and_wait(filled.client_order_id)
        expect(late.done and late.status is OrderStatus.FILLED, f"a filled order that is cancelled is {late}")
        try:
            nobody = await desk.market.cancel_and_wait("nobody-placed-this")
        except UnknownOrder:
            return
        raise AssertionError(f"an order that nobody placed was cancelled: {nobody}")

    @trading
    async def test_cancel_all(self, desk: Desk) -> None:
        """Cancelling all gives a result per order, and the exchange has none of them open any more."""
        orders = [await desk.rest(Side.BUY), await desk.rest(Side.BUY, 1), await desk.rest(Side.SELL)]
        ids = {order.client_order_id for order in orders}
        results = {one.client_order_id: one for one in await desk.market.cancel_all(desk.soon_s)}
        missing = ids - results.keys()
        expect(not missing, f"no result for {sorted(missing)}")
        wrong = [
            one for name, one in results.items() if name in ids and not (one.done and one.status.value == "CANCELED")
        ]
        expect(not wrong, f"not cancelled: {wrong}")
        left = ids & (await desk.ask(desk.witness.open_orders())).keys()
        expect(not left, f"open at the exchange after cancelling all: {sorted(left)}")
        expect(not await desk.market.in_flight_orders(), "orders are in flight after cancelling all")
        for name in ids:
            await _exchange_agrees(desk, await desk.market.get_order(name))

    @trading
    async def test_list_orders(self, desk: Desk) -> None:
        """Open orders are listed as the exchange lists them; limit orders oldest first; done ones are found, too."""
        orders = [await desk.rest(Side.BUY), await desk.rest(Side.SELL), await desk.rest(Side.BUY, 1)]
        ids = [order.client_order_id for order in orders]
        there = await desk.ask(desk.witness.open_orders())
        here = await desk.market.in_flight_orders()
        expect(here.keys() == set(ids), f"in flight are {sorted(here)}, placed were {sorted(ids)}")
        expect(set(ids) <= there.keys(), f"the exchange has {sorted(there)} open, placed were {sorted(ids)}")
        for name in ids:
            _same(here[name], there[name])
        listed = [order.client_order_id for order in await desk.market.limit_orders()]
        expect(listed == ids, f"limit orders are {listed}, placed were {ids}")
        for name in ids:
            await desk.market.cancel_and_wait(name)
        known = {order.client_order_id: order for order in await desk.all_orders()}
        expect(set(ids) <= known.keys(), "orders that are done are not listed any more")
        expect(all(known[name].status is OrderStatus.CANCELED for name in ids), "a cancelled order is listed otherwise")

    @trading
    async def test_amend(self, desk: Desk) -> None:
        """Where offered: an open order is made smaller and stays open under its id."""
        offer = desk.codec().offer
        if not offer.amend or ("amend" not in desk.instrument.features and desk.instrument.features):
            skip("not offered")
        price, amount = await desk.sized(Side.BUY)
        step = rules.size_increment(desk.instrument)
        order = await desk.place(Side.BUY, OrderType.LIMIT, amount + step * 3, price=price)
        amended = await desk.market.amend(order.client_order_id, amount)
        expect(amended.amount == amount, f"amended to {amount:f} it is of {amended.amount}")
        expect(amended.status is OrderStatus.OPEN, f"amended it is {told(amended)}, not OPEN")
        there = await desk.ask(desk.witness.order(order.client_order_id))
        expect(there is not None, "amended, it is not at the exchange under its id")
        assert there is not None
        _same(amended, there)

    @trading
    async def test_replace(self, desk: Desk) -> None:
        """An order gives way to another with a new price: the old one cancelled, the new one open, both accounted."""
        order = await desk.rest(Side.BUY)
        price, _ = await desk.sized(Side.BUY, 1)
        replaced = await desk.market.replace(order.client_order_id, price=price)
        desk.handed_out += [one.client_order_id for one in replaced]
        expect(len(replaced) == 2, f"replacing gives {len(replaced)} orders, not the old and the new one")
        old, new = replaced
        expect(old.client_order_id == order.client_order_id, f"the first of them is {old.client_order_id}")
        expect(old.status is OrderStatus.CANCELED, f"the old one is {told(old)}, not CANCELED")
        expect(new.status is OrderStatus.OPEN and new.price == price, f"the new one is {told(new)} at {new.price}")
        for one in (old, new):
            await _exchange_agrees(desk, one)

    @trading
    async def test_stop_limit(self, desk: Desk) -> None:
        """Where offered: a stop-limit order waits at the exchange with both its prices, and is cancelled."""
        kind = OrderType.STOP_LOSS_LIMIT
        if kind not in desk.codec().offer.order_types or (
            desk.instrument.order_types and kind.value not in desk.instrument.order_types
        ):
            skip("not offered")
        _, amount = await desk.sized(Side.BUY)
        bid, ask = await desk.touch()
        far = sizes.far(desk.instrument, Side.BUY, bid, ask)
        order = await desk.place(Side.SELL, kind, amount, price=far, stop_price=far, time_in_force=TimeInForce.GTC)
        expect(order.status is OrderStatus.OPEN, f"a stop far below the market is {told(order)}, not OPEN")
        there = await desk.ask(desk.witness.order(order.client_order_id))
        expect(there is not None, f"{told(order)} here, and the exchange does not know it")
        assert there is not None
        _same(order, there)
        expect(there.stop_price == far, f"its stop price is {there.stop_price} at the exchange, not {far:f}")
        result = await desk.market.cancel_and_wait(order.client_order_id)
        expect(result.status is OrderStatus.CANCELED, f"cancelled, it is {result}")

    @trading
    async def test_order_list(self, desk: Desk) -> None:
        """Where offered: an OCO pair is placed as one list; cancelling one ends both, and each has its fate."""
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
        desk.handed_out += [one.client_order_id for one in pair]
        placed = await desk.market.place_orders(pair, order_list="OCO")
        expect(
            all(one.status is OrderStatus.OPEN for one in placed), f"placed they are {[told(one) for one in placed]}"
        )
        expect(len({one.list_id for one in placed} - {None}) == 1, f"their lists are {[one.list_id for one in placed]}")
        await desk.market.cancel_and_wait(pair[0].client_order_id)
        for one in pair:
            done = await desk.market.wait(one.client_order_id, timeout_s=desk.soon_s)
            ended = (OrderStatus.CANCELED, OrderStatus.EXPIRED)
            expect(done.status in ended, f"after the cancel {one.order_type.value} is {told(done)}")
            await _exchange_agrees(desk, done)


async def _rests_and_is_cancelled(desk: Desk, side: Side) -> None:
    after, before = await desk.last_event(), await desk.settled_balances()
    order = await desk.rest(side)
    expect(order.exchange_order_id is not None, "an open order has no id of the exchange")
    there = await desk.ask(desk.witness.order(order.client_order_id))
    expect(there is not None, f"{told(order)} here, and the exchange does not know it")
    assert there is not None
    _same(order, there)
    held = await desk.settled_balances()
    asset = desk.instrument.quote if side is Side.BUY else desk.instrument.base
    assert order.price is not None
    assert order.amount is not None
    needed = order.price * order.amount if side is Side.BUY else order.amount
    available = before[asset].available - held[asset].available
    expect(available == needed, f"{needed:f} {asset} are in the order, {available:f} less is available")
    locked = held[asset].locked - before[asset].locked
    expect(locked == needed, f"{needed:f} {asset} are in the order, {locked:f} more is locked")
    result = await desk.market.cancel_and_wait(order.client_order_id)
    expect(result.done and result.status is OrderStatus.CANCELED, f"cancelled, it is {result}")
    done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
    await _exchange_agrees(desk, done)
    freed = await desk.settled_balances()
    expect(freed[asset].available == before[asset].available, f"{asset} is not as before: {freed[asset]}")
    kinds = [one.type for one in await desk.events(after) if one.client_order_id == order.client_order_id]
    expect(kinds == [EventType.CREATED, EventType.CANCELED], f"its events are {[one.value for one in kinds]}")


async def _takes(desk: Desk, side: Side) -> None:
    after, before = await desk.last_event(), await desk.settled_balances()
    done = await desk.take(side)
    fills = await desk.fills(done.client_order_id)
    filled, quote = sum(one.amount for one in fills), sum(one.quote_amount for one in fills)
    expect(done.filled == done.amount, f"{done.amount} asked for, {done.filled:f} filled, and it is FILLED")
    expect((filled, quote) == (done.filled, done.quote_filled), f"its fills make {filled} for {quote}, not {done}")
    expect(not any(one.is_maker for one in fills), "a market order was a maker")
    await _exchange_agrees(desk, done)
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
        expect(now - was == change, f"{asset} moved by {now - was:f}; its fills and fees make {change:f}")
    kinds = [one.type for one in await desk.events(after) if one.client_order_id == done.client_order_id]
    expect(kinds[-1:] == [EventType.COMPLETED], f"its events are {[one.value for one in kinds]}")
    expect(kinds.count(EventType.FILLED) == len(fills), f"{len(fills)} fills, its events: {[k.value for k in kinds]}")


async def _refused(desk: Desk, side: Side, kind: OrderType, amount: Decimal, price: Decimal) -> Order:
    """Place what the exchange refuses; the order with its fate, whether placing raised or returned."""
    new = desk.market.new_order(side, desk.pair, amount, kind, price)
    desk.handed_out.append(new.client_order_id)
    try:
        await desk.market.place_orders([new])
    except Rejected:
        pass  # said so at once; the order keeps it
    return await desk.market.wait(new.client_order_id, timeout_s=desk.soon_s)


async def _manager_keeps_rules(desk: Desk, price: Decimal, step: Decimal) -> None:
    """Hand the manager itself an order below the least size: it must not rely on facades."""
    new = desk.market.new_order(Side.BUY, desk.pair, *(await _valid(desk)))
    plain = {**new.to_dict(), "amount": f"{step * Decimal('0.4'):f}", "price": f"{price:f}"}
    desk.handed_out.append(new.client_order_id)
    body = {"orders": [plain], "expires_ns": time.time_ns() + 10 * 10**9, "list": None}
    try:
        answer = await desk.mesh.ask_async(desk.orders_at, "place", body, SOON_S)
    except MeshError as error:
        expect(isinstance(error, RuleViolation), f"below the least size the manager says {error!r}")
    else:
        raise AssertionError(f"below the least size the manager took it: {answer}")
    there = await desk.ask(desk.witness.order(new.client_order_id))
    expect(there is None, f"it was refused and the exchange has it: {there!r}")


async def _valid(desk: Desk) -> tuple[Decimal, OrderType, Decimal]:
    price, amount = await desk.sized(Side.BUY)
    return amount, OrderType.LIMIT, price


def _same(order: Order, report: OrderReport) -> None:
    """The mesh and the exchange say the same of one order."""
    fields: Iterable[tuple[str, object, object]] = (
        ("status", order.status, report.status),
        ("exchange id", order.exchange_order_id, report.exchange_order_id),
        ("side", order.side, report.side),
        ("type", order.order_type, report.order_type),
        ("amount", order.amount, report.amount if order.amount is not None else None),
        ("price", order.price, report.price if order.price is not None else None),
        ("filled", order.filled, report.filled),
        ("quote filled", order.quote_filled, report.quote_filled),
    )
    for what, here, there in fields:
        expect(
            there is None or here == there,
            f"{order.client_order_id}: {what} is {_text(here)} here and {_text(there)} at the exchange",
        )


async def _exchange_agrees(desk: Desk, order: Order) -> None:
    """Ask the exchange itself for the order."""
    there = await desk.ask(desk.witness.order(order.client_order_id))
    expect(there is not None, f"{order.client_order_id}: {told(order)} here, and the exchange does not know it")
    assert there is not None
    _same(order, there)


def _text(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(getattr(value, "value", value))

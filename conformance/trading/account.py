"""The account: fees, fills, balances, the stream, and that nothing is lost when roles die or reports are missed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from decimal import Decimal

from ...connectors.reports import FillReport
from ...market.market import AsyncMarket
from ...model import rules
from ...model.errors import Rejected, UnknownOrder
from ...model.events import Side
from ...model.order import EventType, Fill, Order, OrderStatus, OrderType, TimeInForce
from ..market.suite import expect, skip
from .bench import LOOK_AGAIN_S, READY_S, Desk, told
from .suite import TradingSuite, trading

DEAREST = Decimal("0.02")  # a fee of more than this is a mistake in reading it


class Account(TradingSuite):
    """What an account knows, and keeps knowing."""

    @trading
    async def test_the_key_trades_and_the_clock_is_known(self, desk: Desk) -> None:
        """The account is ready, says so in words, and knows how the exchange's clock differs."""
        status = await desk.market.account_status()
        expect(status["ready"] is True, f"the account is not ready: {status}")
        report = desk.mesh.role_status(desk.orders_at)
        expect(report.get("error") is None, f"the order manager reports {report.get('error')}")
        reply = await desk.ask(desk.witness.ask(desk.witness.codec.account()))
        expect(reply.account is not None and reply.account.can_trade, "the exchange says that this key may not trade")

    @trading
    async def test_balances(self, desk: Desk) -> None:
        """Balances are the exchange's own, and consistent: total is free and locked, available is no more than free."""
        for asset, held in (await desk.settled_balances()).items():
            expect(held.total == held.free + held.locked, f"{asset}: {held}")
            expect(Decimal(0) <= held.available <= held.free, f"{asset}: {held}")
        one = await desk.market.balance("NOSUCHASSET")
        expect(one.total == one.available == 0, f"an asset that is not held is {one}")

    @trading
    async def test_fee(self, desk: Desk) -> None:
        """The fee of an order is known before it is placed: the exchange's rates for this account and pair."""
        reply = await desk.ask(desk.witness.ask(desk.witness.codec.fees(desk.instrument)))
        expect(reply.fees is not None, "the answer to a question for fees has none")
        assert reply.fees is not None
        for is_maker, rate in ((True, reply.fees.maker), (False, reply.fees.taker)):
            found = await desk.market.get_fee(desk.pair, 2, 100, is_maker=is_maker)
            who = "maker" if is_maker else "taker"
            expect(found.rate == rate, f"the {who} fee is {found.rate:f} here, {rate:f} at the exchange")
            expect(-DEAREST < found.rate < DEAREST, f"the {who} fee {found.rate:f} is no fraction")
            expect(found.amount == 2 * rate and found.asset == desk.instrument.base, f"of 2 bought it is {found}")

    @trading
    async def test_fill_record(self, desk: Desk) -> None:
        """Every fill is recorded as the exchange has it: id, price, amount, side, maker or taker, fee and its asset."""
        for side in (Side.BUY, Side.SELL):
            done = await desk.take(side)
            rates = await desk.market.get_fee(desk.pair)
            await _fills_agree(desk, done)
            for fill in await desk.fills(done.client_order_id):
                received = fill.amount if side is Side.BUY else fill.quote_amount
                asset = desk.instrument.base if side is Side.BUY else desk.instrument.quote
                expect(fill.fee is not None and fill.fee_asset is not None, f"fill {fill.trade_id} has no fee: {fill}")
                assert fill.fee is not None
                if fill.fee_asset == asset and rates.rate:
                    share = fill.fee / received
                    expect(share <= rates.rate * 2, f"a fee of {share:f} was paid, {rates.rate:f} was estimated")
            sums: dict[str, Decimal] = {}
            for fill in await desk.fills(done.client_order_id):
                sums[fill.fee_asset or ""] = sums.get(fill.fee_asset or "", Decimal(0)) + (fill.fee or 0)
            expect(done.fees == sums, f"the order's fees are {done.fees}, its fills' {sums}")

    @trading
    async def test_user_stream(self, desk: Desk) -> None:
        """What happens to the account elsewhere is heard: an order placed and cancelled outside, marked external."""
        after = await desk.last_event()
        order = await _place_outside(desk, Side.BUY)
        seen = await _external(desk, order, after, OrderStatus.OPEN)
        expect(seen.external, "an order from outside is not marked external")
        await desk.ask(desk.witness.cancel(order))
        await _external(desk, order, after, OrderStatus.CANCELED)
        report = desk.mesh.role_status(desk.stream_at)
        expect(report["state"] in ("LIVE", "POLLING"), f"the stream is {report['state']}: {report.get('error')}")
        expect(not report.get("unreadable"), f"{report.get('unreadable')} frames of the stream could not be read")

        async def acknowledged() -> bool:
            return not desk.mesh.role_status(desk.stream_at)["unacknowledged"]

        await desk.until("reports of the stream acknowledged", acknowledged)

    @trading
    async def test_a_fill_is_heard(self, desk: Desk) -> None:
        """Where somebody else can be made to trade: a resting order is filled as maker, and the stream tells it."""
        order = await _rest_inside(desk)
        done = await _traded_away(desk, order)
        fills = await desk.fills(done.client_order_id)
        expect(all(one.is_maker for one in fills), f"a resting order that was met was no maker: {fills}")
        await _fills_agree(desk, done)

    @trading
    async def test_orders_are_kept_and_restored(self, desk: Desk) -> None:
        """The order manager dies without a word: its successor knows every order, numbers go on, cancels work."""
        resting = [await desk.rest(Side.BUY), await desk.rest(Side.SELL)]
        filled = await desk.take(Side.SELL)
        before, events = await desk.market.tracking_states(), await desk.events()
        await asyncio.to_thread(desk.mesh.restart, desk.orders_at)
        await desk.market.wait_trading(READY_S)
        ids = {order.client_order_id for order in resting}
        here = await desk.market.in_flight_orders()
        expect(here.keys() == ids == before.keys(), f"in flight are {sorted(here)}, they were {sorted(before)}")
        for order in resting:
            known = here[order.client_order_id]
            expect(known.status is OrderStatus.OPEN, f"an open order is {told(known)} after the restart")
            expect(known.exchange_order_id == order.exchange_order_id, f"it has another id of the exchange: {known}")
        kept = await desk.market.get_order(filled.client_order_id)
        expect(kept.status is OrderStatus.FILLED and kept.fees == filled.fees, f"a filled order is {kept} now")
        again = await desk.events()
        expect(again[: len(events)] == events, "the events are not those of before")
        for name in ids:
            result = await desk.market.cancel_and_wait(name)
            expect(
                result.done and result.status is OrderStatus.CANCELED, f"after the restart its cancel gives {result}"
            )

    @trading
    async def test_another_mesh_takes_orders_over(self, desk: Desk) -> None:
        """Tracking states, given to a mesh with another journal, are asked for at the exchange and then managed."""
        order = await desk.rest(Side.BUY)
        states = await desk.market.tracking_states()
        expect(states.keys() == {order.client_order_id}, f"the tracking states are of {sorted(states)}")
        await asyncio.to_thread(desk.mesh.stop, desk.orders_at)
        await asyncio.to_thread(desk.mesh.stop, desk.stream_at)
        try:
            await asyncio.to_thread(_take_over, desk, order, states)
        finally:
            await asyncio.to_thread(desk.mesh.restart, desk.stream_at)
            await asyncio.to_thread(desk.mesh.restart, desk.orders_at)
            await desk.market.wait_trading(READY_S)
        known = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        expect(known.status is OrderStatus.CANCELED, f"cancelled by another mesh it is {told(known)} here")

    @trading
    async def test_missed_events_are_made_up_for(self, desk: Desk) -> None:
        """While the stream is away an order is cancelled (and one filled) elsewhere: afterwards it is known."""
        cancelled = await desk.rest(Side.BUY)
        filled = await _rest_inside(desk) if desk.venue.ledger is not None else None
        after = await desk.last_event()
        async with desk.deaf():
            await desk.ask(desk.witness.cancel(cancelled))
            if filled is not None:
                await _trade_away(desk, filled)
        known = await desk.market.wait(cancelled.client_order_id, timeout_s=desk.soon_s)
        expect(known.status is OrderStatus.CANCELED, f"an order that was cancelled meanwhile is {told(known)}")
        ended = [cancelled]
        if filled is not None:
            done = await desk.market.wait(filled.client_order_id, timeout_s=desk.soon_s)
            expect(done.status is OrderStatus.FILLED, f"an order that was filled meanwhile is {told(done)}")
            await _fills_agree(desk, done)
            ended.append(filled)
        for order in ended:
            kinds = [e.type for e in await desk.events(after) if e.client_order_id == order.client_order_id]
            ends = [kind for kind in kinds if kind in (EventType.CANCELED, EventType.COMPLETED)]
            expect(len(ends) == 1, f"{order.client_order_id} ended {len(ends)} times: {[k.value for k in kinds]}")
        await desk.settled_balances()

    @trading
    async def test_a_cancel_that_comes_too_late(self, desk: Desk) -> None:
        """An order ends unheard; its cancel is refused by the exchange, and the mesh asks and says how it ended."""
        order = await desk.rest(Side.BUY)
        async with desk.deaf():
            await desk.ask(desk.witness.cancel(order))
            result = await desk.market.cancel_and_wait(order.client_order_id)
        expect(result.done and result.status is OrderStatus.CANCELED, f"cancelled too late it is {result}")
        await desk.market.wait_trading(READY_S)

    @trading
    async def test_both_at_once_may_die(self, desk: Desk) -> None:
        """Stream and manager die together, an order ends meanwhile: the successors find out what became of it."""
        order = await desk.rest(Side.SELL)
        async with desk.deaf():
            await asyncio.to_thread(desk.mesh.kill, desk.orders_at)
            await desk.ask(desk.witness.cancel(order))
            await asyncio.to_thread(desk.mesh.restart, desk.orders_at)
        await desk.market.wait_trading(READY_S)
        known = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        expect(known.status is OrderStatus.CANCELED, f"an order that was cancelled meanwhile is {told(known)}")

    @trading
    async def test_a_raw_signed_request(self, desk: Desk) -> None:
        """Any request of the exchange can be sent through the mesh, signed and rate-limited; its status is told."""
        draft = desk.codec().account()
        method, path = draft.rest
        status, body = await desk.market.request(method, path, dict(draft.params))
        expect(status == 200 and bool(body), f"{method} {path} is answered {status}: {body!r}")

    @trading
    async def test_an_id_has_one_fate(self, desk: Desk) -> None:
        """An order is placed once however often it is handed over; an id that was asked for first is never placed."""
        price, amount = await desk.sized(Side.BUY)
        new = desk.market.new_order(Side.BUY, desk.pair, amount, OrderType.LIMIT, price)
        desk.handed_out.append(new.client_order_id)
        first, second = [(await desk.market.place_orders([new]))[0] for _ in range(2)]
        expect(
            first.exchange_order_id == second.exchange_order_id is not None,
            f"handed over twice it is {first.exchange_order_id} and {second.exchange_order_id}",
        )
        unseen = desk.market.new_order(Side.BUY, desk.pair, amount, OrderType.LIMIT, price)
        desk.handed_out.append(unseen.client_order_id)
        fate = await _fate(desk, unseen.client_order_id)
        expect(fate in (None, OrderStatus.FAILED), f"an id that was never handed over is {fate}")
        with contextlib.suppress(Rejected):
            await desk.market.place_orders([unseen])
        late = await _fate(desk, unseen.client_order_id)
        expect(late in (None, OrderStatus.FAILED), f"asked for first, and placed afterwards it is {late}")
        there = await desk.ask(desk.witness.order(unseen.client_order_id))
        expect(there is None, f"an id that was declared dead is at the exchange: {there!r}")

    @trading
    async def test_everything_is_accounted_for(self, desk: Desk) -> None:
        """All that was placed so far has one fate, events no hole, and the exchange's own record says the same."""
        order = await desk.rest(Side.BUY)
        await desk.market.cancel_and_wait(order.client_order_id)
        balances = await desk.settled_balances()
        orders, fills, events = await desk.all_orders(), await desk.fills(), await desk.events()
        numbers = [event.number for event in events]
        expect(numbers == list(range(1, len(numbers) + 1)), f"event numbers have holes: {numbers[:50]}")
        known = {one.client_order_id: one for one in orders}
        for one in orders:
            own = [fill for fill in fills if fill.client_order_id == one.client_order_id]
            expect(
                sum(fill.amount for fill in own) == one.filled, f"{one.client_order_id}: its fills are not its total"
            )
            expect(one.amount is None or one.filled <= one.amount, f"{one.client_order_id} filled more than its amount")
        lost = [name for name in desk.handed_out if name not in known]
        expect(
            len({(fill.pair, fill.trade_id, fill.exchange_order_id) for fill in fills}) == len(fills),
            "a fill was recorded twice",
        )
        dead = [name for name in lost if await _fate(desk, name) is None]
        handed_out = [name for name in desk.handed_out if name not in dead]
        if desk.venue.ledger is not None:
            wrong = await asyncio.to_thread(
                desk.venue.ledger.problems, list(known.values()), fills, events, balances, handed_out
            )
            expect(not wrong, "; ".join(wrong))


async def _fate(desk: Desk, client_order_id: str) -> OrderStatus | None:
    """How an order stands; None of an id that is known to be of no order, for good."""
    try:
        return (await desk.market.get_order(client_order_id)).status
    except UnknownOrder:
        return None


async def _place_outside(desk: Desk, side: Side) -> Order:
    """An order of somebody else on the same account."""
    price, amount = await desk.sized(side)
    made = desk.market.new_order(side, desk.pair, amount, OrderType.LIMIT, price, TimeInForce.GTC)
    new = replace(made, client_order_id=f"outside{made.client_order_id[2:]}")
    desk.placed_outside.append(new.client_order_id)
    return desk.stand_in(await desk.ask(desk.witness.place(new)))


async def _external(desk: Desk, order: Order, after: int, status: OrderStatus) -> Order:
    async def look() -> Order | None:
        for event in await desk.events(after):
            found = event.order
            if found is not None and found.exchange_order_id == order.exchange_order_id and found.status is status:
                expect(event.type is EventType.EXTERNAL, f"an order from outside is told as {event.type.value}")
                return found
        return None

    return await desk.until(f"word of an order from outside that is {status.value}", look)


async def _rest_inside(desk: Desk) -> Order:
    """A limit order to buy at the best bid or above it, below the best ask."""
    if desk.venue.ledger is None:
        skip("nobody else can be made to trade there")
    _, amount = await desk.sized(Side.BUY)
    bid, ask = await desk.touch()
    tick = rules.price_increment(desk.instrument)
    order = await desk.place(Side.BUY, OrderType.LIMIT, amount, price=bid + tick if bid + tick < ask else bid)
    expect(order.status in (OrderStatus.OPEN, OrderStatus.FILLED), f"a limit order at the bid is {told(order)}")
    return order


async def _trade_away(desk: Desk, order: Order) -> None:
    """Let somebody sell into the order until the exchange says that it is filled."""
    ledger = desk.venue.ledger
    assert ledger is not None
    assert order.price is not None
    price = order.price

    async def filled() -> bool:
        await asyncio.to_thread(ledger.trade, desk.instrument.symbol, Side.SELL, price)
        there = await desk.ask(desk.witness.order(order.client_order_id))
        return there is not None and there.status is OrderStatus.FILLED

    await desk.until("a resting order traded away", filled, look_s=LOOK_AGAIN_S)


async def _traded_away(desk: Desk, order: Order) -> Order:
    await _trade_away(desk, order)
    done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
    expect(done.status is OrderStatus.FILLED, f"a resting order that was met is {told(done)}, not FILLED")
    return done


def _take_over(desk: Desk, order: Order, states: dict[str, dict[str, object]]) -> None:
    """In a thread: another mesh on the account restores the order and cancels it."""
    with desk.another_mesh() as market:
        asyncio.run(_restored_and_cancelled(market, order, states))


async def _restored_and_cancelled(market: AsyncMarket, order: Order, states: dict[str, dict[str, object]]) -> None:
    await market.wait_trading(READY_S)
    taken = await market.restore(states)
    expect(taken == [order.client_order_id], f"restoring takes over {taken}")
    expect(await market.restore(states) == [], "restoring again takes the same over again")
    known = await market.wait(order.client_order_id, "open", READY_S)
    expect(known.status is OrderStatus.OPEN, f"taken over it is {told(known)}, not OPEN")
    expect(known.exchange_order_id == order.exchange_order_id, "taken over it has another id of the exchange")
    result = await market.cancel_and_wait(order.client_order_id)
    expect(result.done and result.status is OrderStatus.CANCELED, f"taken over and cancelled it is {result}")


async def _fills_agree(desk: Desk, order: Order) -> None:
    """The fills of one order are the exchange's own list of them."""
    assert order.exchange_order_id is not None
    there = await desk.ask(desk.witness.fills(order.exchange_order_id))
    here = {fill.trade_id: fill for fill in await desk.fills(order.client_order_id)}
    expect(bool(here), f"{order.client_order_id} is {told(order)} and has no fills")
    expect(here.keys() == there.keys(), f"its fills are {sorted(here)} here, {sorted(there)} at the exchange")
    for trade_id, fill in here.items():
        ours, theirs = _fill(fill), _fill(there[trade_id])
        expect(ours == theirs, f"fill {trade_id} is {ours} here and {theirs} at the exchange")


def _fill(fill: Fill | FillReport) -> dict[str, object]:
    names = ("price", "amount", "quote_amount", "fee", "fee_asset", "is_maker", "side")
    return {name: getattr(fill, name) for name in names}

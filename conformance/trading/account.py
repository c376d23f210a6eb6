"""Checks of the account: fees, fills, balances, the user stream, and recovery when roles die or reports are lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from decimal import Decimal

from ...connectors.order_codec import DeadManSwitch
from ...connectors.reports import FillReport
from ...market.market import AsyncMarket
from ...model import rules
from ...model.errors import Rejected, UnknownOrder
from ...model.events import Side
from ...model.order import EventType, Fill, Order, OrderStatus, OrderType, TimeInForce
from ...model.shown import few
from ..market.suite import expect, skip
from .bench import LOOK_AGAIN_S, READY_S, Desk, expect_status, status_text
from .sizes import DEAREST
from .suite import TradingSuite, trading

FEE_AFTER_S = 1.0  # how long the fee of a fill is withheld
# How a fee is stated later: in another report, after a fee of zero, and with a restart of the manager in between
LATE_FEES = ((True, False, False), (False, False, True), (True, True, False))
APART_S = 1.0  # between two requests to a dead-man switch: exchanges take one a second


class Account(TradingSuite):
    """Checks of the account's state, also after failures."""

    @trading
    async def test_the_key_trades_and_the_clock_is_known(self, desk: Desk) -> None:
        """The account is ready, its order manager has no error, and the key may trade."""
        await desk.market.wait_trading(READY_S)  # an earlier check may have lost reports of the stream
        status = await desk.market.account_status()
        expect(status["ready"] is True, f"the account is not ready: {status}")
        manager_status = desk.mesh.role_status(desk.orders_at)
        expect(
            manager_status.get("error") is None,
            f"the order manager's status has the error {manager_status.get('error')}",
        )
        reply = await desk.ask(desk.witness.ask(desk.witness.codec.account()))
        expect(reply.account is not None and reply.account.can_trade, "the exchange does not let this key trade")

    @trading
    async def test_balances(self, desk: Desk) -> None:
        """Balances equal the exchange's and are consistent: total = free + locked, 0 <= available <= free."""
        for asset, held in (await desk.settled_balances()).items():
            expect(held.total == held.free + held.locked, f"the total of {asset} is not free + locked: {held}")
            expect(Decimal(0) <= held.available <= held.free, f"available {asset} is not between 0 and free: {held}")
        absent = await desk.market.balance("NOSUCHASSET")
        expect(absent.total == absent.available == 0, f"the balance of an unknown asset is {absent}, expected zero")

    @trading
    async def test_fee(self, desk: Desk) -> None:
        """The mesh knows an order's fee before placing: the exchange's rates for this account and pair."""
        reply = await desk.ask(desk.witness.ask(desk.witness.codec.fees(desk.instrument)))
        expect(reply.fees is not None, "the reply to a request for fees has no fees")
        assert reply.fees is not None
        for is_maker, rate in ((True, reply.fees.maker), (False, reply.fees.taker)):
            found = await desk.market.get_fee(desk.pair, 2, 100, is_maker=is_maker)
            who = "maker" if is_maker else "taker"
            expect(found.rate == rate, f"the mesh has a {who} fee of {found.rate:f}, the exchange {rate:f}")
            expect(
                -DEAREST < found.rate < DEAREST,
                f"the {who} fee {found.rate:f} is larger than {DEAREST}: is it a percentage?",
            )
            expect(
                found.amount == 2 * rate and found.asset == desk.instrument.base,
                f"the {who} fee of buying 2 is {found}, expected {2 * rate:f} {desk.instrument.base}",
            )

    @trading
    async def test_fill_record(self, desk: Desk) -> None:
        """The mesh's record of every fill equals the exchange's: id, price, amount, side, maker or taker, and fee."""
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
                    expect(
                        share <= rates.rate * 2,
                        f"fill {fill.trade_id} paid a fee of {share:f}, estimate {rates.rate:f}",
                    )
            sums = _fees(await desk.fills(done.client_order_id))
            expect(done.fees == sums, f"the order's fees are {done.fees}, the sum of its fills' fees is {sums}")

    @trading
    async def test_a_fee_stated_later(self, desk: Desk) -> None:
        """Where an exchange may state a fee after its fill: the fee arrives by report or list, also after a restart."""
        if not desk.codec().offer.late_fees:
            skip("not offered")
        if desk.venue.ledger is None:
            skip("no exchange that states fees later")
        withhold, symbol = desk.venue.ledger.withhold_fees, desk.instrument.symbol
        for again, zero, restarts in LATE_FEES:
            if zero and desk.is_polling:
                continue  # without another report only a later round replaces a fee of zero
            after = await desk.last_event()
            await asyncio.to_thread(withhold, symbol, FEE_AFTER_S, again=again, zero=zero)
            done = await desk.take(Side.SELL, charged=False)
            name = done.client_order_id
            fills = await desk.fills(name)
            expect(not all(fill.fee for fill in fills), f"the fee was stated at once: {done.fees}")
            if restarts:
                await asyncio.to_thread(desk.mesh.restart, desk.orders_at)
                await desk.market.wait_trading(READY_S)

            async def stated(name: str = name) -> bool:
                return all(fill.fee for fill in await desk.fills(name))

            await desk.until("the fee of a fill", stated, LOOK_AGAIN_S)
            await _fills_agree(desk, done)
            sums = _fees(await desk.fills(name))
            known = await desk.market.get_order(name)
            expect(known.fees == sums, f"the order's fees are {known.fees}, the sum of its fills' fees is {sums}")
            kinds = [event.type for event in await desk.events(after) if event.client_order_id == name]
            reported = kinds.count(EventType.FEE)
            later = sum(not fill.fee for fill in fills)
            most = (
                later * 2 if zero else later
            )  # the first report of a fill may state no fee, the next one a fee of zero
            expect(
                later <= reported <= most,
                f"{later} fees were stated later, with {reported} events, expected {later} to {most}: {kinds}",
            )
            await desk.settled_balances()

    @trading
    async def test_user_stream(self, desk: Desk) -> None:
        """The mesh sees an order that is placed and cancelled outside it, and marks the order external."""
        after = await desk.last_event()
        order = await _place_outside(desk, Side.BUY)
        seen = await _external(desk, order, after, OrderStatus.OPEN)
        expect(seen.external, "the mesh does not mark an outside order external")
        await desk.ask(desk.witness.cancel(order))
        await _external(desk, order, after, OrderStatus.CANCELED)
        status = desk.mesh.role_status(desk.stream_at)
        expect(
            status["state"] in ("LIVE", "POLLING"),
            f"the stream is {status['state']}, expected LIVE or POLLING: {status.get('error')}",
        )
        expect(not status.get("unreadable"), f"{status.get('unreadable')} frames of the stream are unreadable")

        async def acknowledged() -> bool:
            return not desk.mesh.role_status(desk.stream_at)["unacknowledged"]

        await desk.until("the stream's reports to be acknowledged", acknowledged)

    @trading
    async def test_a_fill_is_reported(self, desk: Desk) -> None:
        """If another account can trade: a resting order is filled as maker, and the stream reports the fill."""
        order = await _rest_inside(desk)
        done = await _traded_away(desk, order)
        fills = await desk.fills(done.client_order_id)
        expect(all(fill.is_maker for fill in fills), f"a resting order was filled as taker: {fills}")
        await _fills_agree(desk, done)

    @trading
    async def test_orders_are_kept_and_restored(self, desk: Desk) -> None:
        """After the death of the order manager its successor knows every order and event, and can cancel."""
        resting = [await desk.rest(Side.BUY), await desk.rest(Side.SELL)]
        filled = await desk.take(Side.SELL)
        before, events = await desk.market.tracking_states(), await desk.events()
        await asyncio.to_thread(desk.mesh.restart, desk.orders_at)
        await desk.market.wait_trading(READY_S)
        ids = {order.client_order_id for order in resting}
        in_flight = await desk.market.in_flight_orders()
        expect(
            in_flight.keys() == ids == before.keys(),
            f"after the restart the orders in flight are {sorted(in_flight)}, expected {sorted(before)}",
        )
        for order in resting:
            known = in_flight[order.client_order_id]
            expect_status(known, "after the restart an open order", OrderStatus.OPEN)
            expect(
                known.exchange_order_id == order.exchange_order_id,
                f"after the restart an order has the exchange id {known.exchange_order_id}, expected "
                f"{order.exchange_order_id}",
            )
        kept = await desk.market.get_order(filled.client_order_id)
        expect(
            kept.status is OrderStatus.FILLED and kept.fees == filled.fees,
            f"after the restart a filled order is {kept}, expected {filled}",
        )
        again = await desk.events()
        expect(again[: len(events)] == events, "the events from before the restart changed")
        for name in ids:
            result = await desk.market.cancel_and_wait(name)
            expect(
                result.done and result.status is OrderStatus.CANCELED,
                f"after the restart a cancel returned {result}, expected CANCELED",
            )

    @trading
    async def test_another_mesh_takes_orders_over(self, desk: Desk) -> None:
        """A mesh with another journal takes over orders from tracking states, queries them, and manages them."""
        order = await desk.rest(Side.BUY)
        states = await desk.market.tracking_states()
        expect(
            states.keys() == {order.client_order_id},
            f"there are tracking states for {sorted(states)}, expected {order.client_order_id}",
        )
        await asyncio.to_thread(desk.mesh.stop, desk.orders_at)
        await asyncio.to_thread(desk.mesh.stop, desk.stream_at)
        try:
            await asyncio.to_thread(_take_over, desk, order, states)
        finally:
            await asyncio.to_thread(desk.mesh.restart, desk.stream_at)
            await asyncio.to_thread(desk.mesh.restart, desk.orders_at)
            await desk.market.wait_trading(READY_S)
        known = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        expect_status(known, "an order that another mesh cancelled", OrderStatus.CANCELED)

    @trading
    async def test_missed_events_are_recovered(self, desk: Desk) -> None:
        """The mesh learns of a cancel (and of a fill) that happened while the user stream was down."""
        cancelled = await desk.rest(Side.BUY)
        filled = await _rest_inside(desk) if desk.venue.ledger is not None else None
        after = await desk.last_event()
        async with desk.without_stream():
            await desk.ask(desk.witness.cancel(cancelled))
            if filled is not None:
                await _trade_away(desk, filled)
        known = await desk.market.wait(cancelled.client_order_id, timeout_s=desk.soon_s)
        expect_status(known, "an order cancelled meanwhile", OrderStatus.CANCELED)
        ended = [cancelled]
        if filled is not None:
            done = await desk.market.wait(filled.client_order_id, timeout_s=desk.soon_s)
            expect_status(done, "an order filled meanwhile", OrderStatus.FILLED)
            await _fills_agree(desk, done)
            ended.append(filled)
        for order in ended:
            kinds = [e.type for e in await desk.events(after) if e.client_order_id == order.client_order_id]
            ends = [kind for kind in kinds if kind in (EventType.CANCELED, EventType.COMPLETED)]
            names = [kind.value for kind in kinds]
            expect(len(ends) == 1, f"{order.client_order_id} has {len(ends)} final events, expected 1: {names}")
        await desk.settled_balances()

    @trading
    async def test_the_dead_man_switch(self, desk: Desk) -> None:
        """Where offered: the exchange arms the account's dead-man switch, and disarms it."""
        codec = desk.witness.codec
        if codec.offer.dead_man_s is None:
            skip("not offered")
        assert isinstance(codec, DeadManSwitch), "the codec has no method dead_man"
        order = await desk.rest(Side.BUY)
        await desk.ask(desk.witness.ask(codec.dead_man(codec.offer.dead_man_s[1])))
        await asyncio.sleep(APART_S)
        await desk.ask(desk.witness.ask(codec.dead_man(0)))
        still_open = await desk.ask(desk.witness.open_orders())
        expect(order.client_order_id in still_open, "an order is gone, although the switch was disarmed in time")

    @trading
    async def test_a_cancel_that_comes_too_late(self, desk: Desk) -> None:
        """When the exchange refuses the cancel of an order that ended unseen, the mesh returns the order's real end."""
        order = await desk.rest(Side.BUY)
        async with desk.without_stream():
            await desk.ask(desk.witness.cancel(order))
            result = await desk.market.cancel_and_wait(order.client_order_id)
        expect(
            result.done and result.status is OrderStatus.CANCELED,
            f"a cancel after the end of the order returned {result}, expected CANCELED",
        )
        await desk.market.wait_trading(READY_S)

    @trading
    async def test_stream_and_manager_may_die_together(self, desk: Desk) -> None:
        """After the death of both stream and manager their successors learn how an order ended in the meantime."""
        order = await desk.rest(Side.SELL)
        async with desk.without_stream():
            await asyncio.to_thread(desk.mesh.kill, desk.orders_at)
            await desk.ask(desk.witness.cancel(order))
            await asyncio.to_thread(desk.mesh.restart, desk.orders_at)
        await desk.market.wait_trading(READY_S)
        known = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
        expect_status(known, "an order cancelled meanwhile", OrderStatus.CANCELED)

    @trading
    async def test_a_raw_signed_request(self, desk: Desk) -> None:
        """The mesh sends any request signed and rate-limited, and returns status and body."""
        draft = desk.codec().account()
        method, path = draft.rest
        status, body = await desk.market.request(method, path, dict(draft.params))
        expect(status == 200 and bool(body), f"{method} {path} returned status {status}, expected 200: {body!r}")

    @trading
    async def test_an_id_has_one_outcome(self, desk: Desk) -> None:
        """An order handed over twice is placed once; an id that was declared FAILED is never placed."""
        price, amount = await desk.sized(Side.BUY)
        new = desk.market.new_order(Side.BUY, desk.pair, amount, OrderType.LIMIT, price)
        desk.handed_out.append(new.client_order_id)
        first, second = [(await desk.market.place_orders([new]))[0] for _ in range(2)]
        expect(
            first.exchange_order_id == second.exchange_order_id is not None,
            f"an order handed over twice has the exchange ids {first.exchange_order_id} and {second.exchange_order_id}",
        )
        unseen = desk.market.new_order(Side.BUY, desk.pair, amount, OrderType.LIMIT, price)
        desk.handed_out.append(unseen.client_order_id)
        fate = await _fate(desk, unseen.client_order_id)
        expect(
            fate in (None, OrderStatus.FAILED),
            f"an id that was never handed over is {fate}, expected FAILED or unknown",
        )
        with contextlib.suppress(Rejected):
            await desk.market.place_orders([unseen])
        late = await _fate(desk, unseen.client_order_id)
        expect(
            late in (None, OrderStatus.FAILED),
            f"an id queried before it was placed is {late} afterwards, expected FAILED or unknown",
        )
        reported = await desk.ask(desk.witness.order(unseen.client_order_id))
        expect(reported is None, f"the exchange knows an id that the mesh declared FAILED: {reported!r}")

    @trading
    async def test_every_order_and_fill_is_in_both_records(self, desk: Desk) -> None:
        """Every order has one outcome, event numbers have no gap, and the exchange's own record agrees."""
        order = await desk.rest(Side.BUY)
        await desk.market.cancel_and_wait(order.client_order_id)
        balances = await desk.settled_balances()
        orders, fills, events = await desk.all_orders(), await desk.fills(), await desk.events()
        numbers = [event.number for event in events]
        expect(numbers == list(range(1, len(numbers) + 1)), f"event numbers have gaps: {few(numbers, 50)}")
        known = {order.client_order_id: order for order in orders}
        for order in orders:
            name = order.client_order_id
            total = sum(fill.amount for fill in fills if fill.client_order_id == name)
            expect(
                total == order.filled, f"the fills of {name} add up to {total}, the order's filled is {order.filled}"
            )
            expect(
                order.amount is None or order.filled <= order.amount,
                f"{name} is filled {order.filled}, more than its amount {order.amount}",
            )
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
    """Return an order's status; None if no order can ever have the id."""
    try:
        return (await desk.market.get_order(client_order_id)).status
    except UnknownOrder:
        return None


async def _place_outside(desk: Desk, side: Side) -> Order:
    """Place an order on the same account outside the mesh."""
    price, amount = await desk.sized(side)
    made = desk.market.new_order(side, desk.pair, amount, OrderType.LIMIT, price, TimeInForce.GTC)
    return desk.stand_in(await desk.ask(desk.witness.place(desk.outside(made))))


async def _external(desk: Desk, order: Order, after: int, status: OrderStatus) -> Order:
    async def look() -> Order | None:
        for event in await desk.events(after):
            found = event.order
            if found is not None and found.exchange_order_id == order.exchange_order_id and found.status is status:
                expect(
                    event.type is EventType.EXTERNAL,
                    f"the event of an outside order is {event.type.value}, expected EXTERNAL",
                )
                return found
        return None

    return await desk.until(f"an event that an outside order is {status.value}", look)


async def _rest_inside(desk: Desk) -> Order:
    """Place a limit order to buy at the best bid or above, below the best ask."""
    if desk.venue.ledger is None:
        skip("no other account can trade on this exchange")
    _, amount = await desk.sized(Side.BUY)
    bid, ask = await desk.touch()
    tick = rules.price_increment(desk.instrument)
    order = await desk.place(Side.BUY, OrderType.LIMIT, amount, price=bid + tick if bid + tick < ask else bid)
    expect_status(order, "a limit order at the bid", OrderStatus.OPEN, OrderStatus.FILLED)
    return order


async def _trade_away(desk: Desk, order: Order) -> None:
    """Let another account sell into the order until the exchange reports it filled."""
    ledger = desk.venue.ledger
    assert ledger is not None
    assert order.price is not None
    price = order.price

    async def filled() -> bool:
        await asyncio.to_thread(ledger.trade, desk.instrument.symbol, Side.SELL, price)
        reported = await desk.ask(desk.witness.order(order.client_order_id))
        return reported is not None and reported.status is OrderStatus.FILLED

    await desk.until("the fill of a resting order", filled, look_s=LOOK_AGAIN_S)


async def _traded_away(desk: Desk, order: Order) -> Order:
    await _trade_away(desk, order)
    done = await desk.market.wait(order.client_order_id, timeout_s=desk.soon_s)
    expect_status(done, "a resting order that the exchange filled", OrderStatus.FILLED)
    return done


def _take_over(desk: Desk, order: Order, states: dict[str, dict[str, object]]) -> None:
    """Let another mesh on the account restore the order and cancel it. Runs in a thread."""
    with desk.another_mesh() as market:
        asyncio.run(_restored_and_cancelled(market, order, states))


async def _restored_and_cancelled(market: AsyncMarket, order: Order, states: dict[str, dict[str, object]]) -> None:
    await market.wait_trading(READY_S)
    taken = await market.restore(states)
    expect(taken == [order.client_order_id], f"restore took over {taken}, expected {order.client_order_id}")
    again = await market.restore(states)
    expect(again == [], f"a second restore took over {again}, expected nothing")
    known = await market.wait(order.client_order_id, "open", READY_S)
    expect_status(known, "after restore the order", OrderStatus.OPEN)
    expect(
        known.exchange_order_id == order.exchange_order_id,
        f"after restore the exchange id is {known.exchange_order_id}, expected {order.exchange_order_id}",
    )
    result = await market.cancel_and_wait(order.client_order_id)
    expect(
        result.done and result.status is OrderStatus.CANCELED,
        f"after restore a cancel returned {result}, expected CANCELED",
    )


async def _fills_agree(desk: Desk, order: Order) -> None:
    """Compare the mesh's fills of one order with the exchange's."""
    assert order.exchange_order_id is not None
    name = (await desk.charged(order)).client_order_id
    theirs = await desk.ask(desk.witness.fills(order.exchange_order_id))
    ours = {fill.trade_id: fill for fill in await desk.fills(name)}
    expect(bool(ours), f"{name} is {status_text(order)} and has no fills")
    expect(
        ours.keys() == theirs.keys(),
        f"the mesh has the fills {sorted(ours)} of {name}, the exchange has {sorted(theirs)}",
    )
    for trade_id, fill in ours.items():
        own, reported = _fill(fill), _fill(theirs[trade_id])
        expect(own == reported, f"fill {trade_id} is {own} in the mesh, {reported} at the exchange")


def _fees(fills: Iterable[Fill]) -> dict[str, Decimal]:
    """Return the sums of the fills' fees, by asset."""
    sums: dict[str, Decimal] = {}
    for asset, amount in (fee for fill in fills for fee in fill.fees):
        sums[asset] = sums.get(asset, Decimal(0)) + amount
    return sums


def _fill(fill: Fill | FillReport) -> dict[str, object]:
    names = ("price", "amount", "quote_amount", "fees", "is_maker", "side")
    return {name: getattr(fill, name) for name in names}

"""Sizes and prices of the orders of the trading checks, and the balances and costs of a run. Pure and exact."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from ...connectors.market_codec import Codec
from ...connectors.order_codec import Draft, Kind, TradingCodec
from ...model import rules
from ...model.events import Side
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce

ABOVE = Decimal("1.25")  # an order's value as a multiple of the exchange's minimum, because prices move during a run
AWAY = Decimal("0.10")  # distance of resting orders from the best price, if the exchange allows it
APART = Decimal("0.002")  # distance between the prices of two resting orders on one side
TAKERS = 8  # market orders of a run: half buy, half sell
RESTING = 3  # most orders that rest at the same time on one side
MARGIN = 2  # recommended balances as a multiple of the needed balances
# Requests of a run by kind of draft, counted on the local exchange; below, the other requests by endpoint
REQUESTS = {
    Kind.PLACE: 42,
    Kind.CANCEL: 30,
    Kind.ORDER: 90,
    Kind.OPEN_ORDERS: 20,
    Kind.ACCOUNT: 35,
    Kind.FILLS: 20,
    Kind.FEES: 5,
}
SNAPSHOTS, TIMES, LISTS = 50, 40, 2
LEVELS = 20  # levels a side of a snapshot
DEAREST = Decimal("0.02")  # a larger fee rate means that the codec reads it wrongly


@dataclass(frozen=True, slots=True)
class Needs:
    """Balances that a run needs, and its expected cost in quote at the given taker fee."""

    amount: Decimal  # amount of each order, in base
    base: Decimal
    quote: Decimal
    cost: Decimal

    @property
    def recommended(self) -> tuple[Decimal, Decimal]:
        return self.base * MARGIN, self.quote * MARGIN


def far(instrument: Instrument, side: Side, bid: Decimal, ask: Decimal, rank: int = 0) -> Decimal:
    """Return a price for a resting order of `side`: 10 % from the best price, or halfway to the exchange's bound."""
    low, high = Decimal(0), Decimal(2)
    if instrument.percent_price is not None:
        buy_low, _, _, sell_high = instrument.percent_price
        low, high = max(low, buy_low), min(high, sell_high)
    apart = APART * rank
    if side is Side.BUY:
        factor = 1 - min(AWAY, (1 - low) / 2) + apart
        return rules.quantize_price(instrument, bid * factor, side)
    factor = 1 + min(AWAY, (high - 1) / 2) - apart
    return rules.quantize_price(instrument, ask * factor, side)


def least(instrument: Instrument, price: Decimal) -> Decimal:
    """Return the smallest amount with a large enough value at `price`, for orders of any type."""
    step = max(rules.size_increment(instrument), rules.size_increment(instrument, market=True))
    worth = (instrument.min_notional or Decimal(0)) * ABOVE
    floor = max(instrument.min_size or step, instrument.market_min_size or step, worth / price)
    return (floor / step).to_integral_value(ROUND_CEILING) * step


def needs(instrument: Instrument, bid: Decimal, ask: Decimal, taker_fee: Decimal) -> Needs:
    """Return the balances and the cost of a run on this pair at these prices."""
    amount = least(instrument, far(instrument, Side.BUY, bid, ask))
    worth = amount * ask
    base, quote = amount * (RESTING + 2), worth * (RESTING + 3)
    return Needs(amount, base, quote, TAKERS * (worth * taker_fee + amount * (ask - bid) / 2))


def requests(trading: TradingCodec, market: Codec, instrument: Instrument) -> dict[str, int]:
    """Estimate how much of each limit a run uses."""
    spent: dict[str, int] = {}

    def add(cost: tuple[tuple[str, int], ...], times: int) -> None:
        for limit, amount in cost:
            spent[limit] = spent.get(limit, 0) + amount * times

    for draft in _drafts(trading, instrument):
        add(draft.cost, REQUESTS[draft.kind])
    add(market.snapshot_request(instrument, LEVELS).cost, SNAPSHOTS)
    add(market.instruments_request().cost, LISTS)
    clock = market.time_request()
    if clock is not None:
        add(clock.cost, TIMES)
    return spent


def _drafts(codec: TradingCodec, instrument: Instrument) -> list[Draft]:
    unit, pair = Decimal(1), instrument.name
    new = NewOrder("vm", pair, Side.BUY, OrderType.LIMIT, unit, unit, TimeInForce.GTC)
    old = Order("", "", "vm", pair, Side.BUY, OrderType.LIMIT, unit, unit, TimeInForce.GTC, OrderStatus.OPEN, 0, 0)
    return [
        codec.place(new, instrument),
        codec.cancel(old, instrument),
        codec.query("vm", instrument),
        codec.open_orders(),
        codec.account(),
        codec.fills(instrument, None),
        codec.fees(instrument),
    ]

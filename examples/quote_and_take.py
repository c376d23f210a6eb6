"""A strategy that trades: one order rests below the market, one takes, and events report the outcome of both."""

import asyncio
from decimal import Decimal

import venuemesh

PAIR = "BTC-USDT"


async def trade():
    market = venuemesh.connect().aio.market("binance", owner="quoter-1", on_death="cancel")
    await asyncio.gather(market.wait_ready(), market.wait_trading())
    seen = (await market.account_status())["last_event"]
    bid = market.order_book(PAIR).best_bid.price
    amount = market.quantize_amount(PAIR, Decimal(20) / bid)  # about 20 USDT
    quote = market.buy(PAIR, amount, price=bid * Decimal("0.95"))  # returns at once; the mesh puts it on the grid
    take = market.buy(PAIR, amount, "MARKET")
    taken = await market.wait(take)
    print(taken.status.value, taken.filled, "at", taken.average_price, "fees", taken.fees)
    print("available:", await market.available("USDT"), "USDT")
    print("cancelled:", (await market.cancel_and_wait(quote)).status.value)
    open_ids = {quote, take}
    async for event in market.events(after=seen, owner="quoter-1"):  # numbered, durable: a restart continues from here
        print(event.number, event.type.value, event.client_order_id)
        if event.order.is_done:
            open_ids.discard(event.client_order_id)
        if not open_ids:
            break


asyncio.run(trade())

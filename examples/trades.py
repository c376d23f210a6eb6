"""Print public trades of one pair as they happen; numbers show whether any were missed."""

import asyncio

import venuemesh


async def main():
    market = venuemesh.connect().market("binance")
    seen = 0
    async for trade in market.trades("BTC-USDT"):
        print(trade.number, trade.side.value, trade.size, "@", trade.price)
        seen += 1
        if seen == 5:
            return


asyncio.run(main())

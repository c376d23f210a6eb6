"""Print public trades of one pair as they happen, and how many are known to be missing before one."""

import asyncio

import venuemesh


async def main():
    market = venuemesh.connect().market("binance")
    seen = 0
    async for trade in market.trades("BTC-USDT"):
        if trade.missed != 0:
            print("missed:", "unknown, its keeper began anew" if trade.missed is None else trade.missed)
        print(trade.number, trade.side.value, trade.size, "@", trade.price)
        seen += 1
        if seen == 5:
            return


asyncio.run(main())

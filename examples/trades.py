"""Print public trades of one pair as they happen, and how many are known to be missing before one."""

from itertools import islice

import venuemesh

market = venuemesh.connect().market("binance")
for trade in islice(market.trades("BTC-USDT"), 5):
    if trade.missed != 0:
        print("missed:", "unknown, because the book's actor was restarted" if trade.missed is None else trade.missed)
    print(trade.number, trade.side.value, trade.size, "@", trade.price)

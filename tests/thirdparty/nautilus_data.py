"""Follow a pair with nautilus_trader's data client of Binance; print one JSON object of what it got.

Runs in nautilus_trader's environment: python nautilus_data.py REST_URL WS_URL < {"apiKey", "secret"}
"""

import asyncio
import contextlib
import json
import os
import sys

from nautilus_trader.adapters.binance import BINANCE, BinanceDataClientConfig, BinanceLiveDataClientFactory
from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy

REST, WS = sys.argv[1:3]
KEY = json.load(sys.stdin)
PAIR = InstrumentId.from_str("BTCUSDT.BINANCE")
ENOUGH, WAIT_S = 5, 60
seen = {"quotes": 0, "trades": 0, "deltas": 0}
enough = asyncio.Event()


class Follower(Strategy):
    def on_start(self):
        listed = self.cache.instrument(PAIR)
        seen["instrument"] = [str(listed.price_increment), str(listed.size_increment), str(listed.taker_fee)]
        self.subscribe_quote_ticks(PAIR)
        self.subscribe_trade_ticks(PAIR)
        self.subscribe_order_book_deltas(PAIR)

    def on_quote_tick(self, tick):
        self.count("quotes")

    def on_trade_tick(self, tick):
        self.count("trades")

    def on_order_book_deltas(self, deltas):
        book = self.cache.order_book(PAIR)
        seen["book"] = [float(book.best_bid_price()), float(book.best_ask_price())]
        self.count("deltas")

    def count(self, kind):
        seen[kind] += 1
        if all(seen[each] >= ENOUGH for each in ("quotes", "trades", "deltas")):
            enough.set()


async def main():
    client = BinanceDataClientConfig(
        api_key=KEY["apiKey"],
        api_secret=KEY["secret"],
        base_url_http=REST,
        base_url_ws=WS,
        instrument_provider=InstrumentProviderConfig(load_all=True),
    )
    logging = LoggingConfig(log_level="ERROR")
    node = TradingNode(TradingNodeConfig(trader_id=TraderId("T-001"), logging=logging, data_clients={BINANCE: client}))
    node.trader.add_strategy(Follower(StrategyConfig()))
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.build()
    running = asyncio.create_task(node.run_async())
    with contextlib.suppress(TimeoutError):  # what is missing shows in the counts
        await asyncio.wait_for(enough.wait(), WAIT_S)
    print(json.dumps(seen), flush=True)
    await node.stop_async()
    running.cancel()


asyncio.run(main())
os._exit(0)  # its threads would keep the process

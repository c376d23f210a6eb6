"""A strategy as a Ray actor: it follows a book at memory speed, on any node of the cluster."""

import ray

import venuemesh


@ray.remote
class Follower:
    def __init__(self, market):
        self.market = market  # pickled; connects to nothing, reads this node's shared memory

    async def widest_spread(self, pair, changes):
        widest, seen = None, 0
        async for top in self.market.order_book(pair).changes():
            spread = top.best_ask.price - top.best_bid.price
            widest = spread if widest is None else max(widest, spread)
            seen += 1
            if seen == changes:
                return widest


market = venuemesh.connect().aio.market("binance")  # an AsyncMarket, as the actor's methods are async
follower = Follower.remote(market)
print("widest of 20 spreads:", ray.get(follower.widest_spread.remote("BTC-USDT", 20)))

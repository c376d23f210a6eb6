"""Book windows against a listener by the manual alone: apply, cut, compare (spot-ws-book-v2, book)."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise

import pytest

from venuemesh.exchange.engine.accounts import Account
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.rules import KNOWN, ONE
from venuemesh.exchange.kraken.book_window import BookWindow, checksum, write
from venuemesh.exchange.kraken.names import Pair
from venuemesh.model.events import Side

# The manual's example of a checksum (spot-ws-book-v2): price and quantity of ten levels a side, best first.
ASKS = """45285.2 0.00100000 45286.4 1.54571953 45286.6 1.54571109 45289.6 1.54560911 45290.2 0.15890660
45291.8 1.54553491 45294.7 0.04454749 45296.1 0.35380000 45297.5 0.09945542 45299.5 0.18772827"""
BIDS = """45283.5 0.10000000 45283.4 1.54582015 45282.1 0.10000000 45281.0 0.10000000 45280.3 1.54592586
45279.0 0.07990000 45277.6 0.03310103 45277.5 0.30000000 45277.3 1.54602737 45276.6 0.15445238"""
NOW = 1_700_000_000_000_000_000


def cut(held: dict[int, int], depth: int, sign: int) -> dict[int, int]:
    best = sorted(held, key=lambda price: -price * sign)[:depth]
    return {price: held[price] for price in best}


def apply(held: dict[int, int], sent: list[tuple[int, int]], depth: int, sign: int, each: bool) -> dict[int, int]:
    """Return a listener's book after a message; with `each` the listener cuts after every level, else once."""
    for price, size in sent:
        if size:
            held[price] = size
        else:
            held.pop(price, None)
        if each:
            held = cut(held, depth, sign)
    return cut(held, depth, sign)


@pytest.mark.parametrize("each", [False, True], ids=["cut once", "cut after every level"])
@pytest.mark.parametrize("depth", [1, 3, 10])
def test_a_listener_who_cuts_holds_the_best_levels(depth: int, each: bool) -> None:
    engine = Engine()
    market = engine.list(KNOWN["BTCUSDT"])
    trader = engine.add_account(Account("trader", internal=True))
    trader.deposit("BTC", 10**6 * ONE)
    trader.deposit("USDT", 10**9 * ONE)
    draw = random.Random(f"{depth}{each}")
    changes = market.level_changes()
    sides = (market.bids, market.asks)
    windows = [BookWindow(side, depth) for side in sides]
    held: list[dict[int, int]] = [{}, {}]
    moved = 0
    for _ in range(600):
        for _ in range(draw.choice((1, 1, 2, 5))):
            if draw.random() < 0.45 and trader.open:
                order = trader.open[draw.choice(list(trader.open))]
                engine.cancel("BTCUSDT", order.id, NOW)
            else:
                side = draw.choice((Side.BUY, Side.SELL))
                away = draw.randint(-3, 12) * ONE // 100 * (1 if side is Side.SELL else -1)
                engine.place(
                    trader, "BTCUSDT", side, "LIMIT", draw.randint(1, 3) * ONE, 64_250 * ONE + away, NOW,
                    self_trade="NONE",
                )  # fmt: skip
        taken = changes.take()
        if taken is None:
            continue
        for at, (side, window, changed) in enumerate(zip(sides, windows, taken[2:], strict=True)):
            sent = window.advance(changed)
            moved += len(sent)
            held[at] = apply(held[at], sent, depth, side.sign, each)
            assert held[at] == dict(side.depth(depth))
    assert moved > 300


def test_the_manuals_checksum() -> None:
    """spot-ws-book-v2: 3310070434."""
    engine = Engine()
    market = engine.list(KNOWN["BTCUSDT"])
    trader = engine.add_account(Account("trader", internal=True))
    trader.deposit("BTC", 100 * ONE)
    trader.deposit("USDT", 10**7 * ONE)
    engine.change_rules("BTCUSDT", tick=ONE // 10, step=1, min_size=1, min_notional=0)
    for side, text in ((Side.SELL, ASKS), (Side.BUY, BIDS)):
        figures = text.split()
        for price, size in zip(figures[::2], figures[1::2], strict=True):
            raw_price, raw_size = (int(figure.replace(".", "")) for figure in (price + "0000000", size))
            engine.place(trader, "BTCUSDT", side, "LIMIT", raw_size, raw_price, NOW)
    pair = Pair(market)
    assert (pair.price_decimals, pair.size_decimals) == (1, 8)
    assert checksum(pair, market.asks, market.bids) == 3310070434
    assert write(pair, market.asks.depth(1)) == '[{"price":45285.2,"qty":0.00100000}]'


def test_the_checksum_is_over_ten_levels_at_most() -> None:
    engine = Engine()
    market = engine.list(KNOWN["BTCUSDT"])
    pair = Pair(market)
    assert checksum(pair, market.asks, market.bids) == zlib.crc32(b"")
    trader = engine.add_account(Account("trader", internal=True))
    trader.deposit("BTC", 100 * ONE)
    sums = []
    for level in range(12):
        engine.place(trader, "BTCUSDT", Side.SELL, "LIMIT", ONE, (65_000 + level) * ONE, NOW)
        sums.append(checksum(pair, market.asks, market.bids))
    assert all(a != b for a, b in pairwise(sums[:10]))
    assert sums[9] == sums[10] == sums[11]

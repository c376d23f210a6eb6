"""Read every tracked book of a running mesh once: best prices, depth, the cost of a trade."""

from decimal import Decimal

import venuemesh
from venuemesh import Side

mesh = venuemesh.connect()
market = mesh.market("binance")
market.wait_ready()

for pair, book in market.order_books.items():
    depth = book.depth(5)
    print(f"{pair}: {book.best_bid.price} / {book.best_ask.price}, mid {book.mid}, imbalance {book.imbalance(5):+.2f}")
    print(
        f"  the best five bids hold {depth.bids[:, 1].sum():.4f}; "
        f"0.5 bought now costs {book.vwap(Side.BUY, Decimal('0.5'))} each"
    )

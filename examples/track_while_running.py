"""Track another pair while the mesh runs, use its book, and untrack it again."""

import venuemesh

mesh = venuemesh.connect()
market = mesh.market("binance")
print("tracked:", ", ".join(market.trading_pairs))

mesh.track("binance", "BNB-USDT")
market.order_book("BNB-USDT").wait_live(timeout_s=30)
print("BNB-USDT mid:", market.order_book("BNB-USDT").mid)

mesh.untrack("binance", "BNB-USDT")
print("tracked:", ", ".join(market.trading_pairs))

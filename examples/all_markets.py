"""Print the pairs that trade on the exchange now, by dollar volume, and the mid price of an untracked pair."""

import venuemesh

market = venuemesh.connect().market("binance")
for row in market.active_markets()[:5]:
    print(f"{row.trading_pair:12} last {row.last_price}  24 h {row.usd_volume or 0:.0f} USD")
print("BNB-USDT mid:", market.mid_price("BNB-USDT"))
print("BNB-USDT best bid over REST:", market.get_snapshot("BNB-USDT", limit=100).best_bid)

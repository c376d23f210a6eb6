"""Values in dollars from the exchange's own tickers."""

from __future__ import annotations

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from venuemesh.actors.catalog.rates import Market, usd_rates, usd_volume


def market(pair: str, price: str | None, volume: str = "1", bid: str | None = None, ask: str | None = None) -> Market:
    base, quote = pair.split("-")
    number = [None if text is None else D(text) for text in (price, bid, ask)]
    return Market(base, quote, D(volume), *number)


def test_dollars_and_their_stablecoins_are_worth_one() -> None:
    rates = usd_rates([])
    assert rates["USD"] == rates["USDT"] == rates["FDUSD"] == 1
    assert usd_volume(market("BTC-USDC", "60000", "123.45"), rates) == D("123.45")


def test_a_path_over_several_pairs_in_both_directions_is_exact() -> None:
    markets = [
        market("BTC-USDT", "60000.01"),
        market("ETH-BTC", "0.05"),
        market("LINK-ETH", "0.004", "7"),
        market("USDT-TRY", "32"),
        market("AVAX-TRY", "1000", "640"),
    ]
    rates = usd_rates(markets)
    assert rates["LINK"] == D("60000.01") * D("0.05") * D("0.004")
    assert usd_volume(markets[2], rates) == 7 * D("60000.01") * D("0.05")
    assert rates["TRY"] == D(1) / 32
    assert usd_volume(markets[4], rates) == 20


def test_the_shortest_path_counts_and_then_the_livelier_market() -> None:
    rates = usd_rates(
        [
            market("BTC-USDT", "60000", "1000000"),
            market("BTC-DAI", "1", "3"),  # inactive: no trades
            market("ETH-USDT", "3000", "1"),
            market("ETH-BTC", "9", "1000000"),
        ]
    )
    assert rates["BTC"] == 60000
    assert rates["ETH"] == 3000


def test_the_mid_is_preferred_to_the_last_trade_and_zero_is_no_price() -> None:
    assert market("A-USD", "7", bid="9", ask="10").price == D("9.5")
    assert market("A-USD", "7", bid="9").price == 7
    assert market("A-USD", "0").price is None
    assert market("A-USD", None).price is None
    assert "A" not in usd_rates([market("A-USD", "0"), market("A-USD", None)])


def test_without_a_path_there_is_no_rate() -> None:
    island = market("X-Y", "2", "5")
    rates = usd_rates([island, market("BTC-USD", "1")])
    assert usd_volume(island, rates) is None


assets = st.sampled_from(["USDT", "BTC", "ETH", "TRY", "X", "Y", "Z"])
prices = st.integers(1, 10**12).map(lambda n: D(n).scaleb(-6))


@given(st.lists(st.tuples(assets, assets, prices, prices), max_size=12))
def test_every_rate_rests_on_one_pair_whose_other_side_was_known_earlier(rows: list[tuple[str, str, D, D]]) -> None:
    markets = [Market(base, quote, volume, price) for base, quote, price, volume in rows if base != quote]
    rates = usd_rates(markets)
    assert all(rate > 0 for rate in rates.values())
    reachable = set(usd_rates([]))
    while grown := {a for m in markets for a in (m.base, m.quote) if {m.base, m.quote} & reachable} - reachable:
        reachable |= grown
    assert set(rates) == reachable

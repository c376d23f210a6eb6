"""What clients of spot also request of Binance's wallet, margin and futures; this exchange has spot only.

Source: developers.binance.com, wallet/capital/all-coins-info, wallet/asset/trade-fee,
margin_trading/market-data/Get-All-Cross-Margin-Pairs and Get-All-Isolated-Margin-Symbol,
derivatives/usds-margined-futures and coin-margined-futures (Exchange-Information); read 2026-11-28. Their hosts have
separate limits, which are not counted here.
"""

from __future__ import annotations

from typing import Any

from ..engine.accounts import Account, Balance
from ..wire.numbers import text
from . import queries
from .params import Param
from .queries import Query
from .signed import Asked, Method

SYMBOL = Param("symbol", "symbol")


def coins(asked: Asked) -> Any:
    """Every asset of a listed pair or of the account. None can be deposited or withdrawn, so none has a network."""
    listed = {asset for market in asked.engine.markets.values() for asset in (market.rules.base, market.rules.quote)}
    return [_coin(asset, asked.account) for asset in sorted(listed | set(asked.account.balances))]


def _coin(asset: str, account: Account) -> dict[str, Any]:
    balance = account.balances.get(asset) or Balance()
    return {
        "coin": asset,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "name": asset,
        "free": text(balance.free),
        "locked": text(balance.locked),
        **dict.fromkeys(("freeze", "withdrawing", "ipoing", "ipoable", "storage"), "0"),
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


def fees(asked: Asked) -> Any:
    """The fees of one pair or of all pairs."""
    markets = [asked.market()] if "symbol" in asked.values else asked.engine.markets.values()
    return [
        {
            "symbol": market.symbol,
            "makerCommission": _rate(market.rules.maker_fee),
            "takerCommission": _rate(market.rules.taker_fee),
        }
        for market in markets
    ]


def _rate(raw: int) -> str:
    return text(raw).rstrip("0").rstrip(".")


def margin_pairs(asked: Asked) -> Any:
    """No pair has margin."""
    if "symbol" in asked.values:
        asked.market()
    return []


def usd_futures(asked: queries.Asked) -> Any:
    return {**coin_futures(asked), "futuresType": "U_MARGINED", "assets": []}


def coin_futures(asked: queries.Asked) -> Any:
    return {
        "timezone": "UTC",
        "serverTime": asked.now_ns // asked.unit,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [],
    }


def _no_weight(sent: Any) -> int:
    return 0


TIMESTAMP = Param("timestamp", "number", mandatory=True)
METHODS = (
    Method("GET", "/sapi/v1/capital/config/getall", "", "USER_DATA", (), _no_weight, coins),
    Method("GET", "/sapi/v1/asset/tradeFee", "", "USER_DATA", (SYMBOL,), _no_weight, fees),
    Method("GET", "/sapi/v1/margin/allPairs", "", "MARKET_DATA", (SYMBOL,), _no_weight, margin_pairs),
    Method(
        "GET", "/sapi/v1/margin/isolated/allPairs", "", "MARKET_DATA", (SYMBOL, TIMESTAMP), _no_weight, margin_pairs
    ),
)
BY_ROUTE = {(method.verb, method.path): method for method in METHODS}
BY_PATH = {
    "/fapi/v1/exchangeInfo": Query((), _no_weight, usd_futures),
    "/dapi/v1/exchangeInfo": Query((), _no_weight, coin_futures),
}

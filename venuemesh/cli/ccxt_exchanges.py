"""What `venuemesh exchanges --ccxt` shows: every exchange of the ccxt package that the mesh can load."""

from __future__ import annotations

from typing import Any

from ..connectors.ccxt import ccxt_connector
from ..connectors.ccxt.package import PREFIX, exchange_ids, has_websocket, version
from ..connectors.ccxt.spec import can_trade, offer_of
from ..connectors.spec import Limit

WAYS = {True: "websocket", False: "polling"}


def offers_of_ccxt() -> list[dict[str, Any]]:
    """Return a row for each exchange of ccxt with books. Raises Misconfigured: ccxt is not installed."""
    return [row for exchange_id in exchange_ids() if (row := _row(exchange_id)) is not None]


def _row(exchange_id: str) -> dict[str, Any] | None:
    connector = ccxt_connector(exchange_id)
    has = connector.has
    if not has.get("fetchOrderBook"):
        return None
    streams = has_websocket(exchange_id)
    trades = can_trade(exchange_id)
    limit: Limit = connector.spec.limits["requests"]
    return {
        "exchange": f"{PREFIX}{exchange_id}",
        "books": WAYS[streams and has.get("watchOrderBook") is True],
        "trades": WAYS[True] if streams and has.get("watchTrades") is True else "no",
        "orders": trades,
        "user_stream": WAYS[trades and offer_of(exchange_id).stream] if trades else "no",
        "requests": limit.amount,
        "per_s": limit.per_s,
        "key_fields": [field.name for field in connector.spec.key_fields],
    }


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    """Return a table of at most 80 columns, and what it leaves out."""
    head = f"{'exchange':28}{'books':11}{'trades':11}{'orders':8}{'user stream':13}{'limit':>9}"
    lines = [head]
    for row in rows:
        limit = f"{row['requests']}/{row['per_s']:g} s"
        trading = "yes" if row["orders"] else "no"
        lines.append(
            f"{row['exchange']:28}{row['books']:11}{row['trades']:11}{trading:8}{row['user_stream']:13}{limit:>9}"
        )
    return [
        *lines,
        "",
        f"{len(rows)} exchanges of ccxt {version()}. What ccxt declares; none was tried against its real exchange.",
        "Books are unsequenced: ccxt proves no message. limit: requests of ccxt's cost 1.",
    ]

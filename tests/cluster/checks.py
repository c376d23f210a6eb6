"""Compares the journal with the exchange, on a host of the mesh; the traders have paused.

    python -m tests.cluster.checks MESH ADDRESS ADMIN TOKEN-FILE

It cancels all open orders, then prints one JSON object: a row per account with `problems` (see
`venuemesh.cli.demo.audit`), the statuses of all orders in the journal by id, and the trade ids of the fills.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import venuemesh
from tests.cluster.reader import exchanges, joined
from venuemesh.cli.demo.audit import compare
from venuemesh.cli.demo.strategies import all_events, all_rows, settle
from venuemesh.exchange.admin.client import AdminClient

REST_S = 10.0  # the last reports may still be on their way
MANAGER_S = 60.0


async def account(market: venuemesh.AsyncMarket, admin: AdminClient) -> dict[str, Any]:
    """Compare one account, until it agrees or the last reports must have come."""
    assert market.account is not None
    await market.wait_trading(MANAGER_S)
    await settle(market)
    deadline = time.monotonic() + REST_S
    while True:
        orders = await all_rows(lambda after: market.orders(after=after))
        fills = await all_rows(lambda after: market.fills(after=after))
        events, balances = await all_events(market), await market.balances()
        ledger = admin.ledger(market.account)["accounts"][0]
        receipts = admin.receipts(market.account)["receipts"]
        own = [order for order in orders if not order.external]
        found = compare(own, fills, events, balances, (), ledger, receipts)
        if not found.problems or time.monotonic() > deadline:
            return {
                "problems": found.problems,
                "journal": {order.client_order_id: order.status.value for order in own},
                "exchange": [row["client_order_id"] for row in ledger["orders"]],
                "receipts": {row["client_order_id"]: row["received"] for row in receipts},
                "fills": [fill.trade_id for fill in fills],
                "events": found.events,
            }
        await asyncio.sleep(0.2)


def admin_client(url: str, token_file: str) -> AdminClient:
    return AdminClient(url, token=Path(token_file).read_text().strip())


async def main() -> None:
    found, admin = joined(*sys.argv[1:3]), admin_client(*sys.argv[3:])
    markets = [found.aio.market(name, owner="checks") for name in exchanges(found)]
    rows = await asyncio.gather(*(account(market, admin) for market in markets))
    named = {f"{market.exchange}/{market.account}": row for market, row in zip(markets, rows, strict=True)}
    print(json.dumps(named), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

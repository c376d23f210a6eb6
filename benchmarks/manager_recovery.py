"""Recovery of an order manager: from SIGKILL to its successor serving again, reconciled with the exchange.

Two cases alternate, with 200 open orders. In the first, no request is unanswered when the manager is killed. In the
second, the exchange does not answer new orders (the fault `hang`), so that the successor finds requests with an unknown
outcome. It must not be reconciled before these can no longer arrive: their `not_after` plus the exchange's processing
time plus a margin (and two queries per order). This bound is the row's `bound_ms`, measured from the kill;
`past_bound_ms` is the manager's additional time.

This process kills and watches: `serving` is the time when a query to the new incarnation is answered with `ready`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

from venuemesh.actors.orders.settings import OrderSettings
from venuemesh.market.market import Market
from venuemesh.model.errors import MeshError

from . import connector_without_limits
from .connector_without_limits import CONNECTOR
from .harness import EXCHANGE, Json, load, median, one_node, rows_of, wait_until
from .orders_place import AMOUNT, PAIR, TradingPlace, trading_place

ACCOUNT = "main"
OPEN = 200
IN_DOUBT = 5
SPARES = 2
WINDOW_MS = 1000  # recv_window_ms: the validity of a request
PROCESSING_S = CONNECTOR.trading().offer.processing_s
MARGIN_S, AGAIN_S = OrderSettings("", "").margin_s, OrderSettings("", "").absent_again_s
LIMIT_S = 60.0
CALM_S = 1.0


def _settled(place: TradingPlace) -> bool:
    tree = place.mesh.status()
    return bool(tree["spares"] >= SPARES and tree["creating"] == 0 and place.ask(ACCOUNT, "account")["ready"])


def _rest(market: Market, price: Any, count: int) -> None:
    for _ in range(count // 50):
        market.place_orders([market.new_order("buy", PAIR, AMOUNT, price=price) for _ in range(50)])


def _successor_status(market: Market, before: Any) -> Json:
    """Query the successor until it is ready; return its status."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(MeshError):
            status = market.account_status(1.0)
            if status["ready"] and status["incarnation"] != before:
                return status
        time.sleep(0.002)
    raise TimeoutError("the order manager's successor is not ready")


def kill(place: TradingPlace, in_doubt: int) -> Json:
    """Kill the settled manager; return ms to serving, and the bound if requests are in doubt."""
    market = place.market(ACCOUNT)
    wait_until(lambda: _settled(place), LIMIT_S, "spares and a ready account", every_s=0.1)
    time.sleep(CALM_S)
    (row,) = rows_of(place.mesh, f"orders/{EXCHANGE}/{ACCOUNT}")
    status = place.ask(ACCOUNT, "account")
    not_after_ns = 0
    if in_doubt:
        place.admin.fault(kind="hang", endpoint="POST /api/v3/order", account=ACCOUNT, count=in_doubt)
        price = place.price()
        for _ in range(in_doubt):
            market.buy(PAIR, AMOUNT, price=price)
        wait_until(lambda: _under_way(place) >= in_doubt, LIMIT_S, "requests under way")
        # the latest possible end: the requests were signed before now
        not_after_ns = time.time_ns() + WINDOW_MS * 1_000_000
    killed_ns = time.time_ns()
    os.kill(row["pid"], signal.SIGKILL)
    successor = _successor_status(market, status["incarnation"])
    found = {"serving_ms": (time.time_ns() - killed_ns) / 1e6, "open": successor["open_orders"]}
    if in_doubt:
        bound_ns = not_after_ns - killed_ns + int((PROCESSING_S + MARGIN_S + AGAIN_S) * 1e9)
        found |= {"bound_ms": bound_ns / 1e6, "past_bound_ms": found["serving_ms"] - bound_ns / 1e6}
        place.admin.clear_faults()
    return found


def _under_way(place: TradingPlace) -> int:
    return int(place.ask(ACCOUNT, "account")["unresolved_requests"])


def run(quick: bool = False) -> Json:
    """Kill and measure; see the module."""
    kills = 1 if quick else 9
    found: dict[int, list[Json]] = {0: [], IN_DOUBT: []}
    account = {"recv_window_ms": WINDOW_MS}
    with (
        connector_without_limits.installed(),
        one_node(),
        trading_place({ACCOUNT: account}, {"spares_per_node": SPARES}) as place,
    ):
        _rest(place.market(ACCOUNT), place.price(), OPEN)
        for _ in range(kills):
            for in_doubt, times in found.items():
                times.append(kill(place, in_doubt))
    rows = []
    for in_doubt, times in found.items():
        row: Json = {"unresolved_requests": in_doubt, "open_orders": times[-1]["open"], "kills": len(times)}
        for key in ("serving_ms", "bound_ms", "past_bound_ms"):
            if key in times[0]:
                row[f"{key.removesuffix('_ms')}_p50_ms"] = _rounded(median([one[key] for one in times]))
                row[f"{key.removesuffix('_ms')}_max_ms"] = _rounded(max(one[key] for one in times))
        rows.append({**row, "load_1m": load()})
    return {
        "title": f"SIGKILL of an order manager with {OPEN} open orders to serving again, reconciled",
        "rows": rows,
        "all_ms": {str(in_doubt): times for in_doubt, times in found.items()},
        "bound": f"not_after ({WINDOW_MS} ms after signing) + processing {PROCESSING_S:g} s + margin {MARGIN_S:g} s"
        f" + a second query after {AGAIN_S:g} s",
        "expected": "p50 < 1 s with no unresolved request; with some, the bound",
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")

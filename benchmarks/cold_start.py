"""Cold start: from the start of a mesh until 200 books of one exchange are LIVE, within the exchange's limits.

For each exchange, the local exchange serves 200 pairs over loopback with the published limits, and refuses what exceeds
them. Ray runs already; the time includes the processes of the mesh, the list of pairs, connections, subscriptions and
whole books. `limits_alone_s` is the time that the published limits need for the same work, if everything else took no
time: a window's amount at once, the rest in the following windows. What was within the limits is stated twice: by the
limits role (for each limit the units granted, and the most in one window of its period), and by the exchange (its
answers by status, its open connections). The run fails if a request or a connection was refused.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from venuemesh.connectors import registry
from venuemesh.connectors.market_codec import Codec, Outgoing
from venuemesh.exchange.admin.client import AdminClient
from venuemesh.exchange.launch import serving
from venuemesh.model.instrument import Instrument

from .harness import Json, load, mesh_of, one_node, rows_of

EXCHANGES = ("binance", "kraken", "okx", "bybit", "coinbase", "htx")
PAIRS, PER_ACTOR = 200, 25
CHANGES = 1  # level changes a second and pair
LIMIT_S = 400.0


def _windows_s(codec: Codec, units: dict[str, int]) -> float:
    """Return how long the limits alone need for so many units of each."""
    limits = codec.spec.limits
    return max(
        (((amount - 1) // limits[name].amount) * limits[name].per_s for name, amount in units.items() if amount),
        default=0.0,
    )


def _of_connection(codec: Codec, messages: list[Outgoing]) -> dict[str, int]:
    """Return the units of the connection's limits that these messages use."""
    units = Counter({"messages": len(messages)})
    for message in messages:
        units.update(dict(message.cost))
    return {name: amount for name, amount in units.items() if name in codec.spec.limits}


def _start(name: str, pairs: int) -> Json:
    """Measure one exchange."""
    options = ["--json", "--parent", str(os.getpid()), "--seed", "1", "--rate", str(CHANGES * pairs)]
    options += ["--protocols", name, "--symbols", f"BTCUSDT,ETHUSDT,+{pairs - 2}"]
    with serving("venuemesh.exchange", *options) as (_, urls):
        own, admin = urls[name], AdminClient(urls["admin"])
        known = {key: own[key] for key in ("rest", "ws") if key in own}
        settings = {"connector": name, "pairs": ["*"], "pairs_per_actor": PER_ACTOR, **known}
        began = time.monotonic()
        with mesh_of("bench-cold", {name: settings}, {"spares_per_node": 1}, limit_s=LIMIT_S) as mesh:
            live_s = time.monotonic() - began
            books = rows_of(mesh, f"book/{name}/")
            (limits,) = rows_of(mesh, f"limits/{name}/")
            stats: Json = admin.stats()
            sockets = [row["status"]["socket"] for row in books]
            hosted = sum(len(row["status"]["pairs"]) for row in books)
    if hosted != pairs:
        raise RuntimeError(f"{name}: {hosted} books, not {pairs}")
    refused = {status: count for status, count in stats["statuses"].items() if status not in ("101", "200")}
    errors = [one["last_error"] for one in sockets if one["last_error"] or one["connections"] != 1]
    if refused or errors or limits["status"]["hits"] or limits["status"]["cooldown_s"]:
        raise RuntimeError(f"{name} refused: {refused}, {errors}, {limits['status']}")
    return _row(name, pairs, len(books), live_s, limits["status"]["windows"], stats)


def _row(name: str, pairs: int, actors: int, live_s: float, windows: Json, stats: Json) -> Json:
    codec: Codec = registry.connector(name).codec()
    published = codec.spec.limits
    granted = {limit: window["granted"] for limit, window in windows.items() if window["granted"]}
    for limit, window in windows.items():
        if window["most"] > published[limit].amount:
            raise RuntimeError(f"{name}: {window['most']} of {limit} in one window of {published[limit]}")
    some = [Instrument(name, f"A{n}-B", f"A{n}B", f"A{n}", "B", 8, 8) for n in range(min(pairs, PER_ACTOR))]
    sent = _of_connection(codec, codec.subscribe(some, 1))
    return {
        "exchange": name,
        "pairs": pairs,
        "connections": actors,
        "live_s": round(live_s, 1),
        "limits_alone_s": _windows_s(codec, granted | sent),
        "limits_role": "; ".join(
            f"{limit}: {units} granted, most {windows[limit]['most']} of {published[limit].amount} "
            f"in {published[limit].per_s:g} s"
            for limit, units in granted.items()
        ),
        "messages_of_a_connection": ", ".join(f"{limit}: {units}" for limit, units in sent.items()) or "no limit",
        "exchange_answers": ", ".join(f"{count} x {status}" for status, count in stats["statuses"].items()),
        "exchange_connections": stats["connections"],
    }


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    pairs = 10 if quick else PAIRS
    rows: list[dict[str, Any]] = []
    with one_node():
        for name in EXCHANGES:
            rows.append(_start(name, pairs))
    rows[0]["load_1m"] = load()
    return {"title": f"start of a mesh until {pairs} books are LIVE, {PER_ACTOR} in an actor", "rows": rows}


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")

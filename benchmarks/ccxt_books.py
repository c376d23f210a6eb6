"""What a book costs by ccxt and by the native connector: processor time and memory of a process that follows books.

    python -m benchmarks.ccxt_books CONNECTOR REST WS SECONDS PAIR ...    # one process; prints one JSON object

The local exchange serves the pairs by Binance's protocol. A process runs a mesh without Ray, which follows every book
by one of the two connectors; the processes run in turn, so that both meet the same load. `frame_us` is the processor
time of the whole process, over what its book role received: websocket messages of the native connector, whole books of
ccxt's (which keeps its own book from the same messages, and passes on 100 levels a side). Both receive a change
of a book every 100 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from venuemesh.connectors.ccxt.package import package
from venuemesh.exchange.launch import serving
from venuemesh.testing import LocalMesh

from .harness import Json, load, median, memory, mib, ratio

CONNECTORS = ("binance", "ccxt:binance")
QUICK = '{"rateLimit": 20}'  # the whole books at the start, which ccxt requests one after the other
PER_ACTOR = 20  # books of one connection: ccxt has two streams a book, of at most 40
CHANGES = 10  # level changes a second and pair
READY_S = 120.0


def follow(name: str, rest: str, ws: str, seconds: float, pairs: list[str]) -> Json:
    """Follow the books in this process; return the frames, the processor time in s, and the memory in MiB."""
    options = {"settings": QUICK} if name.startswith("ccxt:") else {}
    table = {"rest": rest, "ws": ws, "pairs": pairs, "pairs_per_actor": PER_ACTOR, "options": options}
    with LocalMesh({"mesh": {"name": "books"}, "exchanges": {name: table}}) as mesh:
        mesh.wait_ready(READY_S)

        def frames() -> int:
            rows = (mesh.role_status(one) for one in mesh.addresses() if one.startswith("book/"))
            return sum(row["socket"]["frames"] for row in rows)

        began, cpu_s = frames(), time.process_time()
        time.sleep(seconds)
        cpu_s, received = time.process_time() - cpu_s, frames() - began
        if mesh.failures:
            raise RuntimeError(f"{name}: {mesh.failures}")
        return {"frames": received, "cpu_s": cpu_s, "memory_mib": mib(memory(os.getpid()).rss)}


def _measured(name: str, url: dict[str, str], seconds: float, pairs: list[str]) -> Json:
    command = [sys.executable, "-m", __name__, name, url["rest"], url["ws"], f"{seconds:g}", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READY_S * 2 + seconds, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    found: Json = json.loads(done.stdout.splitlines()[-1])
    return found


def run(quick: bool = False) -> Json:
    """Measure; see the module. Raises Misconfigured: ccxt is not installed."""
    package()
    pairs, seconds, rounds = (2, 1.0, 1) if quick else (20, 20.0, 3)
    options = ["--json", "--parent", str(os.getpid()), "--seed", "1", "--rate", str(CHANGES * pairs)]
    options += ["--protocols", "binance", "--symbols", "BTCUSDT,ETHUSDT" + (f",+{pairs - 2}" if pairs > 2 else "")]
    found: dict[str, list[Json]] = {name: [] for name in CONNECTORS}
    with serving("venuemesh.exchange", *options) as (_, urls):
        for _ in range(rounds):
            for name in CONNECTORS:
                found[name].append(_measured(name, urls["binance"], seconds, ["*"]))
    rows: list[dict[str, Any]] = []
    for name, rounds_of in found.items():
        rows.append(
            {
                "connector": name,
                "frames_per_s": median([one["frames"] / seconds for one in rounds_of]),
                "frame_us": median(
                    [one["cpu_s"] / one["frames"] * 1e6 if one["frames"] else None for one in rounds_of]
                ),
                "cores_percent": median([one["cpu_s"] / seconds * 100 for one in rounds_of]),
                "memory_mib": median([one["memory_mib"] for one in rounds_of]),
            }
        )
    for row in rows:
        row["times_native"] = ratio(rows[0]["cores_percent"], row["cores_percent"])
    rows[0]["load_1m"] = load()
    return {"title": f"{pairs} books by the native connector and by ccxt, in one process each", "rows": rows}


if __name__ == "__main__":
    name, rest, ws, seconds, *pairs = sys.argv[1:]
    print(json.dumps(follow(name, rest, ws, float(seconds), pairs)))

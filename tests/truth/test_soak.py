"""Minutes of all faults at once, with one stopped and one running reader: answers stay true, memory stays bounded.

pytest -m soak tests/truth        VENUEMESH_SOAK_S seconds (120), seeded by VENUEMESH_TRUTH_SEED
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from functools import partial
from typing import Any

import pytest

from tests.truth.child import Child, until
from tests.truth.conftest import PAIRS, SEED
from tests.truth.harness import Lab

SECONDS = float(os.environ.get("VENUEMESH_SOAK_S", "120"))
GROWTH_BYTES = 32 << 20
DEPTH = "/api/v3/depth"
KINDS = ("drop", "duplicate", "delay", "reorder", "corrupt", "cut", "skip", "silence", "status", "slow", "hang")


def fault(draw: random.Random, kind: str) -> dict[str, Any]:
    """One rule of a kind, drawn."""
    rule: dict[str, Any] = {"kind": kind, "probability": draw.uniform(0.005, 0.2), "ms": draw.uniform(10, 400)}
    if kind in ("cut", "silence"):
        rule["probability"] = 0.01
    if kind in ("status", "slow", "hang"):
        rule["endpoint"] = DEPTH
    if kind == "hang":
        rule["count"] = 1
    if kind == "corrupt":
        rule["mode"] = draw.choice(("text", "truncate", "garbage", "protocol"))
    if kind == "skip":
        rule["ids"] = draw.randint(1, 50)
    return rule


def disturb(lab: Lab, host: Child, draw: random.Random) -> None:
    """Do something to the role or the exchange that no fault rule does."""
    what = draw.randrange(8)
    if what < 2:
        stopped_ns = host.stop_it()
        pause_ns = draw.uniform(0.01, 0.6) * 1e9
        until("stopped for a while", lambda: time.monotonic_ns() > stopped_ns + pause_ns)
        host.signal(signal.SIGCONT)
    elif what == 2:
        host.ask(f"tell {json.dumps(['resync', {'pair': draw.choice(PAIRS)}])}")
    elif what == 3:
        lab.admin.pause()
        lab.admin.resume()
    elif what == 4:
        found = draw.choice(lab.instruments)
        host.ask(f"tell {json.dumps(['untrack', {'pair': found.name}])}")
        host.ask(f"tell {json.dumps(['track', {'instrument': found.to_dict()}])}")
    elif what == 5:
        lab.admin.cut()


def sent_more(lab: Lab, than: int) -> bool:
    return bool(lab.admin.stats()["frames_sent"] > than)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("limit", [50, 1000])
def test_soak(lab: Lab, limit: int) -> None:
    draw = random.Random(f"{SEED}/{limit}")
    sampler, stopped = lab.sampler(depth_every_ms=100), lab.sampler(depth_every_ms=100)
    host = lab.host(options={"snapshot_limit": limit}, silence_s=3.0)
    lab.wait_progress()
    stopped.stop_it()
    lab.samplers.remove(stopped)
    before = host.ask("stats")["rss"]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        lab.admin.clear_faults()
        rules = [fault(draw, kind) for kind in draw.sample(KINDS, 4)]
        for rule in rules:
            lab.admin.fault(**rule)
        disturb(lab, host, draw)
        enough = lab.admin.stats()["frames_sent"] + draw.randint(10, 80)
        until("traffic went on", partial(sent_more, lab, enough))
    lab.rest()
    lab.same(host, least=0)
    after = host.ask("stats")["rss"]
    stopped.signal(signal.SIGCONT)
    verdict = lab.judge(sampler, stopped)
    print(verdict)
    assert verdict.violations == {}, str(verdict)
    assert verdict.gaps > 0
    assert after < before + GROWTH_BYTES

"""Books against the local exchange's own history, without faults and with every kind of fault.

In each test a book role runs in a separate process, with its real connection and real segments, and a sampler in
another process reads them throughout. Then the exchange comes to rest and every book must equal the exchange's, level
by level; and every LIVE answer of the sampler must have been true and fresh when it was given (`checker`).
"""

from __future__ import annotations

import json
import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.exchange_process import ExchangeProcess
from tests.truth.checker import Verdict
from tests.truth.child import until
from tests.truth.harness import Lab
from venuemesh.model.errors import NotSynced
from venuemesh.model.events import BookState

DEPTH = "/api/v3/depth"
STREAMS = "/ws"
ARGUMENTS = ("--symbols", "BTCUSDT,ETHBTC", "--rate", "400")


@dataclass(frozen=True)
class Trial:
    """Faults and how often each must happen, set in traffic or before the books start."""

    rules: tuple[tuple[int, dict[str, Any]], ...]
    before: bool = False
    alone: bool = False  # one role, and so one connection, for each pair
    asked: dict[str, Any] = field(default_factory=dict)
    counted: tuple[str, ...] = ()  # counters of the role that must rise
    gaps: bool = False  # the frames show at least one
    unreadable: bool = False


def often(times: int, kind: str, probability: float, **more: Any) -> tuple[int, dict[str, Any]]:
    return times, {"kind": kind, "probability": probability, **more}


def asked(times: int, kind: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Return a fault of requests for snapshots."""
    return times, {"kind": kind, "endpoint": DEPTH, **more}


BTC = "btcusdt@depth@100ms"
LOSSY = often(1, "drop", 0.1, stream=BTC)  # so that snapshots are requested in traffic, too
GAPS = {"counted": ("gaps", "resyncs"), "gaps": True}
DOUBTS = {"counted": ("suspected", "resyncs")}
LIMITED = {"real_limits": True}

TRIALS = {
    "drop": Trial((often(4, "drop", 0.1, stream=BTC), often(4, "drop", 0.03)), **GAPS),
    "duplicate": Trial((often(20, "duplicate", 0.3),)),
    "delay": Trial((often(4, "delay", 0.05, ms=150.0),)),
    "reorder": Trial((often(8, "reorder", 0.3, ms=150.0),), alone=True, **GAPS),
    "corrupt text": Trial((often(8, "corrupt", 0.05),), **DOUBTS),
    "corrupt truncate": Trial((often(4, "corrupt", 0.05, mode="truncate"),), unreadable=True, **DOUBTS),
    "corrupt garbage": Trial((often(4, "corrupt", 0.05, mode="garbage"),), unreadable=True, **DOUBTS),
    "corrupt protocol": Trial((often(2, "corrupt", 0.02, mode="protocol"),)),
    "cut": Trial((often(3, "cut", 0.02),), counted=("resyncs",)),
    "skip": Trial((often(6, "skip", 0.1, ids=3),), **GAPS),
    "silence": Trial((often(1, "silence", 0.02, count=1),), asked={"silence_s": 1.0}, counted=("resyncs",)),
    "429": Trial((asked(1, "status", status=429, count=1), LOSSY), before=True, asked=LIMITED, **GAPS),
    "418": Trial((asked(1, "status", status=418, count=1), LOSSY), before=True, asked=LIMITED, **GAPS),
    "503": Trial((asked(4, "status", status=503, probability=0.6, count=4), LOSSY), before=True, **GAPS),
    "hang": Trial((asked(2, "hang", count=2), LOSSY), before=True, **GAPS),
    "slow": Trial((asked(5, "slow", ms=350.0), LOSSY), before=True, **GAPS),
    "handshake refused": Trial(((2, {"kind": "status", "status": 503, "endpoint": STREAMS, "count": 2}),), before=True),
    "handshake hangs": Trial(((1, {"kind": "hang", "endpoint": STREAMS, "count": 1}),), before=True),
}


def judged(lab: Lab, *samplers: Any) -> Verdict:
    """Return the verdict, after a check that it judged something."""
    verdict = lab.judge(*samplers)
    print(verdict)
    assert verdict.violations == {}, str(verdict)
    assert verdict.sequences >= 3 * len(lab.symbols), str(verdict)
    assert verdict.depths > 0, str(verdict)
    return verdict


@pytest.mark.parametrize("alone", [False, True], ids=["one role", "role a pair"])
def test_quiet_exchange(lab: Lab, alone: bool) -> None:
    """Without faults there is no gap, no book leaves LIVE, and all answers are true."""
    sampler = lab.sampler()
    host = lab.host(alone=alone)
    lab.wait_progress(8)
    lab.rest()
    lab.same(host)
    stats = host.ask("stats")
    verdict = judged(lab, sampler)
    assert verdict.gaps == verdict.unreadable == verdict.trades_missing == 0
    assert verdict.trades > 0
    for found in stats["pairs"].values():
        assert (found["gaps"], found["suspected"], found["resyncs"], found["snapshots_too_old"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("limit", [20, 5000])
def test_depth_that_is_proven(lab: Lab, limit: int) -> None:
    """Snapshots that prove a part of the book, or all of it: answers are true in both cases."""
    sampler = lab.sampler()
    host = lab.host(options={"snapshot_limit": limit}, book={"levels": 50})
    lab.wait_progress(8)
    lab.rest()
    lab.same(host, levels=50, least=0 if limit == 20 else 50)
    judged(lab, sampler)


@pytest.mark.parametrize("name", TRIALS)
def test_fault(lab: Lab, name: str) -> None:
    """Each kind of fault alone, in traffic."""
    trial = TRIALS[name]
    sampler = lab.sampler()
    host = None if trial.before else lab.host(alone=trial.alone, **trial.asked)
    if host is not None:
        lab.wait_live()
    for times, rule in trial.rules:
        lab.fault(times, **rule)
    host = host or lab.host(alone=trial.alone, **trial.asked)
    lab.wait_faults()
    lab.wait_counted(host, *trial.counted)
    lab.rest()
    lab.same(host)
    verdict = judged(lab, sampler)
    assert verdict.gaps > 0 or not trial.gaps, str(verdict)
    assert verdict.unreadable > 0 or not trial.unreadable, str(verdict)


def test_no_snapshot_is_available(lab: Lab) -> None:
    """After a gap without a snapshot the book stays in doubt and is never LIVE; all other books continue."""
    sampler = lab.sampler()
    host = lab.host()
    lab.wait_progress()
    lab.fault(4, kind="status", status=503, endpoint=DEPTH, symbol="BTCUSDT")
    lab.fault(1, kind="drop", stream=BTC, count=1)
    lab.wait_faults()
    lab.wait_counted(host, "gaps")
    doubtful, *others = lab.views
    assert doubtful.state is BookState.GAP
    with pytest.raises(NotSynced):
        doubtful.top()
    lab.wait_progress(5, others)
    assert doubtful.state is BookState.GAP
    lab.rest()
    lab.same(host)
    verdict = judged(lab, sampler)
    assert verdict.gaps == 1
    pairs = host.ask("stats")["pairs"]
    assert [pairs[view.instrument.name]["resyncs"] for view in lab.views] == [1, 0, 0, 0]


def test_pairs_come_and_go(lab: Lab) -> None:
    """One pair is untracked and tracked again: the other pairs are not affected, and all answers are true."""
    sampler = lab.sampler()
    host = lab.host()
    lab.wait_progress()
    leaving, *staying = lab.views
    host.ask(f"tell {json.dumps(['untrack', {'pair': leaving.instrument.name}])}")
    assert leaving.state is not BookState.LIVE
    lab.wait_progress(3, staying)
    assert leaving.state in (BookState.RETIRED, BookState.ABSENT)
    host.ask(f"tell {json.dumps(['track', {'instrument': leaving.instrument.to_dict()}])}")
    lab.rest()
    lab.same(host)
    judged(lab, sampler)
    pairs = host.ask("stats")["pairs"]
    assert all(pairs[view.instrument.name]["resyncs"] == 0 for view in lab.views)


def test_exchange_says_goodbye(lab: Lab) -> None:
    """The exchange announces the end of the connection: the role opens a new one, and its answers stay true."""
    sampler = lab.sampler()
    host = lab.host()
    lab.wait_progress()
    assert lab.admin.shutdown_event()["sent"] == 1
    until("a second connection", lambda: host.ask("stats")["sockets"][0]["connections"] == 2)
    lab.rest()
    lab.same(host)
    judged(lab, sampler)


def test_exchange_starts_anew(lab: Lab, tmp_path: Path) -> None:
    """Another exchange on the same port, with other numbers and prices: nothing of the first exchange's books is
    kept."""
    segments = lab.segments.with_name(lab.segments.name + "-anew")
    with ExitStack() as exchanges:
        before = exchanges.enter_context(ExchangeProcess(*ARGUMENTS, "--seed", "3", without_limits=True))
        port = before.rest.rpartition(":")[2]
        with Lab(before, tmp_path, segments, ["BTC-USDT", "ETH-BTC"]) as own:
            host = own.host()
            own.wait_progress()
            before.end()
            until("no book is LIVE", lambda: not any(view.is_live for view in own.views), also=own.states)
            again = ExchangeProcess(*ARGUMENTS, "--seed", "4", "--port", port, without_limits=True)
            own.exchange = exchanges.enter_context(again)
            own.admin = again.admin
            own.wait_live()
            own.rest()
            own.same(host)


@pytest.mark.parametrize(("alone", "seed"), [(False, 1), (True, 2)], ids=["one role, seed 1", "role a pair, seed 2"])
def test_everything_at_once(lab: Lab, alone: bool, seed: int) -> None:
    """A seeded mixture of all faults."""
    draw = random.Random(seed)
    sampler = lab.sampler()
    host = lab.host(alone=alone)
    lab.wait_live()
    rules: list[dict[str, Any]] = [
        {"kind": kind, "probability": draw.uniform(0.005, 0.04)} for kind in ("drop", "duplicate", "delay", "reorder")
    ]
    rules += [
        {"kind": "corrupt", "mode": mode, "probability": draw.uniform(0.001, 0.01)}
        for mode in ("text", "truncate", "garbage", "protocol")
    ]
    rules += [{"kind": "cut", "probability": 0.005}, {"kind": "skip", "probability": 0.03, "ids": draw.randint(1, 9)}]
    rules += [
        {"kind": "status", "status": draw.choice((429, 500, 503)), "endpoint": DEPTH, "probability": 0.1},
        {"kind": "slow", "endpoint": DEPTH, "probability": 0.2, "ms": draw.uniform(20, 300)},
        {"kind": "hang", "endpoint": DEPTH, "probability": 0.05, "count": 2},
    ]
    draw.shuffle(rules)
    for rule in rules:
        rule.setdefault("ms", draw.uniform(20, 200))
        lab.fault(3 if rule["kind"] == "drop" else 1 if rule["kind"] in ("reorder", "skip") else 0, **rule)
    print(f"seed {seed}: {rules}")
    lab.wait_faults()
    lab.wait_counted(host, "resyncs")
    lab.rest()
    lab.same(host)
    judged(lab, sampler)

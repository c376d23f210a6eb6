"""SIGKILL at every journal write and every request boundary: nothing lost, nothing doubled, nothing left unknown.

A first run under `trace` names every failpoint that the script reaches. Then, for each (name, n), a run is killed at
that failpoint, another process takes the account over, and its state at rest is compared with the exchange's own
ledger.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fakes.manager_host import Hosts

from .conftest import Bench

AT_ONCE = 6
KILLED = -9


async def trace(bench: Bench, hosts: Hosts, folder: Path) -> Counter[str]:
    """Run the script once without faults, and return how often it reached each failpoint."""
    case = bench.case()
    path = folder / "trace"
    status, result = await hosts.run(case.job("trade", f"trace:{path}"))
    assert status == 0, result
    assert case.problems(result) == []
    bench.remember_instruments(case)
    return Counter(path.read_text().split())


async def kill_at(bench: Bench, hosts: Hosts, failpoint: str) -> tuple[str, bool, list[str]]:
    """Return the failpoint, whether it was reached, and the problems after another manager took over."""
    case = bench.case()
    status, first = await hosts.run(case.job("trade", failpoint))
    if status != KILLED:
        return failpoint, False, case.problems(first) if status == 0 else [first.get("error", f"exit {status}")]
    status, result = await hosts.run(case.job("verify", incarnation=2))
    return failpoint, True, case.problems(result) if status == 0 else [result.get("error", f"exit {status}")]


async def kill_everywhere(bench: Bench, hosts: Hosts, failpoints: list[str]) -> tuple[int, dict[str, list[str]]]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(failpoint: str) -> tuple[str, bool, list[str]]:
        async with gate:
            try:
                return await kill_at(bench, hosts, failpoint)
            except TimeoutError as error:
                return failpoint, True, [f"did not come to an end: {error!r}"]

    results = await asyncio.gather(*(one(failpoint) for failpoint in failpoints))
    return sum(reached for _, reached, _ in results), {name: wrong for name, _, wrong in results if wrong}


def spread(counts: Counter[str], each: int) -> list[str]:
    """Return up to `each` occurrences of every name, spread evenly, including the first and the last."""
    chosen = []
    for name, count in sorted(counts.items()):
        picks = {round(1 + step * (count - 1) / max(1, each - 1)) for step in range(each)} if count > 1 else {1}
        chosen += [f"{name}:{number}" for number in sorted(picks)]
    return chosen


async def test_a_manager_may_be_killed_anywhere(bench: Bench, hosts: Hosts, tmp_path: Path) -> None:
    counts = await trace(bench, hosts, tmp_path)
    assert {"request.send", "request.write", "request.written", "request.answered", "commit.intent"} <= counts.keys()
    assert {"journal.begin", "journal.write", "journal.commit", "journal.committed"} <= counts.keys()
    chosen = spread(counts, int(os.environ.get("KILLS_EACH", "3")))
    began = time.monotonic()
    killed, wrong = await kill_everywhere(bench, hosts, chosen)
    print(f"{killed} of {len(chosen)} killed in {time.monotonic() - began:.1f} s; {dict(counts)}")
    assert wrong == {}
    assert killed >= len(chosen) // 2


AGAIN = (  # where the successor is killed, too, while it takes over
    "boot:1",
    "journal.begin:2",
    "journal.commit:2",
    "journal.committed:2",
    "commit.other:1",
    "committed.other:1",
    "commit.outcome:1",
    "committed.outcome:1",
)


async def test_the_successor_may_be_killed_while_it_takes_over(bench: Bench, hosts: Hosts) -> None:
    async def one(first: str, second: str) -> tuple[str, list[str]]:
        case = bench.case()
        status, result = await hosts.run(case.job("trade", first))
        assert status == KILLED, result
        status, result = await hosts.run(case.job("verify", second, incarnation=2))
        if status == KILLED:
            status, result = await hosts.run(case.job("verify", incarnation=3))
        return f"{first}, then {second}", case.problems(result) if status == 0 else [result.get("error", str(status))]

    firsts = itertools.cycle(("request.written:4", "request.send:9"))
    results = await asyncio.gather(*(one(next(firsts), second) for second in AGAIN))
    assert {name: wrong for name, wrong in results if wrong} == {}


async def test_it_may_be_killed_over_a_websocket_too(bench: Bench, hosts: Hosts) -> None:
    async def one(failpoint: str) -> tuple[str, list[str]]:
        case = bench.case(send_by="websocket")
        status, result = await hosts.run(case.job("trade", failpoint))
        assert status == KILLED, result
        status, result = await hosts.run(case.job("verify", incarnation=2))
        return failpoint, case.problems(result) if status == 0 else [result.get("error", str(status))]

    chosen = [f"request.{what}:{number}" for what in ("send", "write", "written", "answered") for number in (2, 9)]
    results = await asyncio.gather(*(one(failpoint) for failpoint in chosen))
    assert {name: wrong for name, wrong in results if wrong} == {}


@pytest.mark.soak
async def test_a_manager_may_be_killed_at_every_single_point(bench: Bench, hosts: Hosts, tmp_path: Path) -> None:
    counts = await trace(bench, hosts, tmp_path)
    chosen = [f"{name}:{number}" for name, count in sorted(counts.items()) for number in range(1, count + 1)]
    killed, wrong = await kill_everywhere(bench, hosts, chosen)
    print(f"{killed} of {len(chosen)} killed")
    assert wrong == {}

"""The writer dies, hangs, or stops and resumes; a reader stops: the readers' answers, and the cost."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.truth.checker import live_reads
from tests.truth.child import Child, until
from tests.truth.harness import Lab
from venuemesh.model.events import BookState

EXIT_LEASE = 75  # as in tests/truth/host.py and actors/cell/ray_cell.py
LIMIT_NS = 250_000_000  # heartbeat limit of the segments
LEASE_S = 3.0
GROWTH_BYTES = 24 << 20  # of a process that serves a few seconds longer: generous


def wait_served_by(lab: Lab, counter: int) -> None:
    """Wait until every view, still the same object, is LIVE with this incarnation."""
    until(
        f"LIVE with incarnation {counter}",
        lambda: all(view.state is BookState.LIVE and view.incarnation == (1, counter) for view in lab.views),
        also=lab.states,
    )


def segments_of(lab: Lab, counter: int) -> dict[Path, bytes]:
    """The bytes of every segment of an incarnation."""
    found = {path: path.read_bytes() for path in lab.segments.iterdir() if path.name.endswith(f"@1.{counter}")}
    assert len(found) == len(lab.views)
    return found


def finish(lab: Lab, host: Child, sampler: Child) -> None:
    """Check that the successor's books end equal to the exchange's, and that every answer was true."""
    lab.rest()
    lab.same(host)
    verdict = lab.judge(sampler)
    print(verdict)
    assert verdict.violations == {}, str(verdict)
    assert verdict.not_live > 0, str(verdict)


def test_killed_in_traffic(lab: Lab) -> None:
    """SIGKILL: after the heartbeat's limit no read is LIVE; then the successor's reads are, through the same views."""
    sampler = lab.sampler()
    first = lab.host(counter=1)
    lab.wait_progress()
    gone_ns = first.kill()
    until("readers see it", lambda: all(view.state is BookState.DEAD for view in lab.views))
    second = lab.host(counter=2)
    wait_served_by(lab, 2)
    lab.wait_progress()
    finish(lab, second, sampler)
    assert max(live_reads(lab.samples, 1))[0] < gone_ns + LIMIT_NS


def test_killed_inside_a_publish(lab: Lab) -> None:
    """The sequence lock stays taken for good: reads end, none is LIVE, and the views find the successor."""
    sampler = lab.sampler()
    first = lab.host(counter=1)
    lab.wait_progress()
    assert first.ask("break") == {"broken": True}
    torn = lab.views[0]
    assert torn.state is not BookState.LIVE
    gone_ns = first.kill()
    until("readers see it", lambda: all(view.state is BookState.DEAD for view in lab.views))
    second = lab.host(counter=2)
    wait_served_by(lab, 2)
    lab.wait_progress()
    finish(lab, second, sampler)
    assert max(live_reads(lab.samples, 1))[0] < gone_ns + LIMIT_NS


def test_stopped_and_resumed_after_its_lease(lab: Lab) -> None:
    """SIGSTOP: readers see DEAD. SIGCONT after the lease, with a successor: the process ends and touches nothing."""
    sampler = lab.sampler()
    first = lab.host(counter=1, lease_s=LEASE_S)
    lab.wait_progress()
    stopped_ns = first.stop_it()
    left = segments_of(lab, 1)
    until("readers see it", lambda: all(view.state is BookState.DEAD for view in lab.views))
    second = lab.host(counter=2)
    wait_served_by(lab, 2)
    until("its lease is over", lambda: time.monotonic_ns() > stopped_ns + LEASE_S * 1e9)
    first.signal(signal.SIGCONT)
    assert first.wait() == EXIT_LEASE
    assert segments_of(lab, 1) == left
    finish(lab, second, sampler)
    assert max(live_reads(lab.samples, 1))[0] < stopped_ns + LIMIT_NS


def test_stopped_for_a_moment(lab: Lab) -> None:
    """SIGSTOP shorter than the lease: not LIVE in this time, then the same process continues with true answers."""
    sampler = lab.sampler()
    host = lab.host(lease_s=3600.0)
    lab.wait_progress()
    stopped_ns = host.stop_it()
    until("readers see it", lambda: all(view.state is BookState.DEAD for view in lab.views))
    resumed_ns = time.monotonic_ns()
    host.signal(signal.SIGCONT)
    wait_served_by(lab, 1)
    finish(lab, host, sampler)
    dead = stopped_ns + LIMIT_NS, resumed_ns
    assert not [read for read in live_reads(lab.samples, 1) if dead[0] <= read[0] and read[1] <= dead[1]]


@pytest.mark.parametrize("readers", [2])
def test_stopped_readers_cost_nothing(lab: Lab, readers: int) -> None:
    """Stopped readers, even in the middle of a read, neither slow the role nor raise its memory."""
    lab.admin.rate(4000.0)
    try:
        samplers = [lab.sampler() for _ in range(readers)]
        host = lab.host()
        lab.wait_progress(10)
        for sampler in samplers:
            sampler.stop_it()
        before = host.ask("stats")
        lab.wait_progress(25)
        after = host.ask("stats")
        for name, found in after["pairs"].items():
            assert found["updates"] >= before["pairs"][name]["updates"] + 24, name
            assert (found["gaps"], found["resyncs"], found["kept"]) == (0, 0, 0), name
        assert after["rss"] < before["rss"] + GROWTH_BYTES
        for sampler in samplers:
            sampler.signal(signal.SIGCONT)
        lab.rest()
        lab.same(host)
        verdict = lab.judge(*samplers)
        print(verdict)
        assert verdict.violations == {}, str(verdict)
    finally:
        lab.admin.rate(1600.0)

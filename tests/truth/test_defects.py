"""The check can fail: the right part of the check catches each host with a defect in its rule."""

from __future__ import annotations

import pytest

from tests.truth.harness import Lab

CAUGHT_BY = {
    "apply everything": {"truth"},
    "gaps are stale": {"fresh"},
    "live too early": {"doubt", "fresh"},
    "deaf to zero": {"truth"},
    "deaf to the end": {"doubt"},
}


@pytest.mark.parametrize("defect", CAUGHT_BY)
def test_defect_is_caught(lab: Lab, defect: str) -> None:
    """A role with a deliberate defect, on an exchange that drops frames, skips numbers and cuts connections."""
    sampler = lab.sampler()
    lab.host(broken=defect)
    lab.wait_live()
    lab.fault(0, kind="slow", endpoint="/api/v3/depth", ms=300.0)  # so that no defect is over in a moment
    lab.fault(0, kind="slow", endpoint="/ws", ms=300.0)
    lab.fault(2, kind="cut", probability=0.05, count=2)
    lab.fault(20, kind="drop", probability=0.1)
    lab.fault(1, kind="skip", probability=0.02, ids=2)
    lab.wait_faults()
    verdict = lab.judge(sampler)
    print(verdict)
    assert CAUGHT_BY[defect] <= set(verdict.violations), str(verdict)

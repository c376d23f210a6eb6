"""What a rate budget promises to the supervisor, so that its successor need not start with empty buckets. Pure.

Theory of operation. A promise states the level of each bucket at a moment and a `slack`. It means: from that moment on
the level is never below the stated one plus *half* of the refill since (at most the full bucket), less the slack. The
supervisor keeps the newest promise. When the role dies at an unknown moment, the successor starts with that least
level; so both together grant what one bucket would have granted, in every window (`bucket`).

A grant that would break a promise waits: until a newer promise is acknowledged (the next poll of the supervisor names
it), or until the half of the refill that is not promised allows it. So a supervisor that is away costs at most half of
the rate once the slack is used up. All promises that the supervisor may hold are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...model.time import SECOND_NS
from .bucket import Bucket, Floor, Promise

MOST = 8  # promises that are not acknowledged


@dataclass(slots=True)
class Promises:
    """The promises of all buckets of one budget, by version."""

    buckets: Mapping[str, Bucket]
    version: int = 0
    cool_ns: int = 0  # the end of the cool-down in the newest promise

    def acknowledge(self, version: int) -> None:
        """The supervisor holds the promise of this version; it has forgotten the earlier ones."""
        for bucket in self.buckets.values():
            if any(promise.version == version for promise in bucket.promises):
                bucket.promises = [promise for promise in bucket.promises if promise.version >= version]

    def is_wanted(self, cool_ns: int) -> bool:
        """Return whether grants will soon wait for a new promise, or a cool-down has begun since the last one."""
        return cool_ns > self.cool_ns or any(bucket.wants_promise for bucket in self.buckets.values())

    def make(self, now_ns: int, cool_ns: int) -> dict[str, Any]:
        """Return a new promise as plain values. `Machine.inherit` reads it."""
        if all(len(bucket.promises) < MOST for bucket in self.buckets.values()):
            self.version += 1
            self.cool_ns = cool_ns
            for bucket in self.buckets.values():
                bucket.advance(now_ns)
                bucket.promise(self.version)
        levels, counts = {}, {}
        for name, bucket in self.buckets.items():
            if bucket.promises:
                newest = bucket.promises[-1]
                levels[name] = {"level": newest.level, "slack": newest.slack, "divisor": bucket.divisor}
            if bucket.floor is not None:
                left_ns = bucket.floor.at_ns + bucket.period_ns - now_ns
                counts[name] = [bucket.floor.count + bucket.floor.extra, left_ns / SECOND_NS]
        cool_s = max(0, cool_ns - now_ns) / SECOND_NS
        return {"version": self.version, "levels": levels, "counts": counts, "cool_s": cool_s}

    def inherit(self, promise: Mapping[str, Any], age_ns: int, now_ns: int) -> None:
        """Add what the predecessor has certainly left. `age_ns`: from its promise to the start of this role."""
        for name, bucket in self.buckets.items():
            bucket.advance(now_ns)
            if (stated := promise["levels"].get(name)) is not None and stated["divisor"] == bucket.divisor:
                left = bucket.least(Promise(0, stated["level"], stated["slack"], 0), max(0, age_ns))
                bucket.level = min(bucket.full, bucket.level + max(0, left))
            if (counted := promise["counts"].get(name)) is not None and bucket.floor is None:
                count, left_s = counted
                bucket.floor = Floor(int(count), 0, now_ns - bucket.period_ns + int(left_s * SECOND_NS) - age_ns)

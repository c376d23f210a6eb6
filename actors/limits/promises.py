"""What a rate budget promises to the supervisor, so that its successor need not start with empty buckets. Pure.

Theory of operation. A promise states the level of each bucket at a moment and a `slack`. It means: from that moment on
no more is granted than the slack and *half* of the refill. The supervisor keeps the newest promise. When the role dies
at an unknown moment, the successor starts with the level that is certainly left; so both together grant what one bucket
would have granted, in every window (`bucket`).

The successor may even start while the predecessor may still grant, on a host that does not answer: the two *share* the
bucket. A promise splits it in two, each with half of the rate: the old role grants from a bucket of the slack, the
successor from a bucket of the rest, until the supervisor says that it is alone. A limit that is counted exactly is not
promised: the successor grants none of it until it is alone, and a period more.

The supervisor acknowledges a promise when it is stored for a later supervisor, which may have to replace it and the
role at once. Such a supervisor knows the promise only. It does not know whether another successor has already begun and
had something of the rest, while the store was away. So the rest has two halves: one for a successor that a supervisor
starts which got the promise itself, and one for a successor of which the supervisor has read the promise in the store.
A supervisor that has stored that the promise is used up may give the whole rest. A successor leaves the level of the
other half free (`Bucket.withheld`) until then, or until its own promise is stored. A stored promise has no age,
because the clocks of hosts differ.

A grant that would break a promise waits: until a newer promise is acknowledged (the next poll of the supervisor names
it), or until half of the refill allows it. So a supervisor that is away costs half of the rate once the slack is used
up. All promises that the supervisor may hold are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...model.time import SECOND_NS
from .bucket import Bucket, Floor, Rest

MOST = 8  # promises that are not acknowledged


@dataclass(slots=True)
class Promises:
    """The promises of all buckets of one budget, by version."""

    buckets: Mapping[str, Bucket]
    version: int = 0
    cool_ns: int = 0  # the end of the cool-down in the newest promise
    _shared_version: int = 0  # the newest promise that was made while a predecessor might grant: it is not stored

    def acknowledge(self, version: int) -> None:
        """The promise of this version is stored; the supervisor, and a later one, have forgotten the earlier ones."""
        for bucket in self.buckets.values():
            if any(promise.version == version for promise in bucket.promises):
                bucket.promises = [promise for promise in bucket.promises if promise.version >= version]
                if version > self._shared_version:
                    bucket.lift()

    def is_wanted(self, cool_ns: int) -> bool:
        """Return whether grants will soon wait for a new promise, or a cool-down has begun since the last one."""
        return cool_ns > self.cool_ns or any(bucket.wants_promise for bucket in self.buckets.values())

    def is_current(self, now_ns: int, cool_ns: int) -> bool:
        """Return whether a new promise would say nothing new."""
        for bucket in self.buckets.values():
            bucket.advance(now_ns)
        is_own = self.version > self._shared_version and cool_ns == self.cool_ns
        return is_own and all(bucket.is_as_promised for bucket in self.buckets.values())

    def make(self, now_ns: int, cool_ns: int) -> dict[str, Any]:
        """Return a new promise as plain values. `Machine.inherit` reads it."""
        if all(len(bucket.promises) < MOST for bucket in self.buckets.values()):
            self.version += 1
            self.cool_ns = cool_ns
            if self.is_shared:
                self._shared_version = self.version
            for bucket in self.buckets.values():
                bucket.advance(now_ns)
                bucket.promise(self.version)
        return self.newest(now_ns, cool_ns)

    def newest(self, now_ns: int, cool_ns: int) -> dict[str, Any]:
        """Return the newest promise as plain values."""
        levels, counts = {}, {}
        for name, bucket in self.buckets.items():
            if bucket.promises:
                newest = bucket.promises[-1]
                levels[name] = {"level": newest.level, "slack": newest.slack, "divisor": bucket.divisor}
            if bucket.floor is not None:
                left_ns = bucket.floor.at_ns + bucket.period_ns - now_ns
                counts[name] = [bucket.floor.count + bucket.floor.extra, left_ns / SECOND_NS]
        cool_s = max(0, cool_ns - now_ns) / SECOND_NS
        values = {"version": self.version, "levels": levels, "counts": counts, "cool_s": cool_s}
        return values | {"shared": self.is_shared}

    def inherit(
        self, promise: Mapping[str, Any], age_ns: int, since_ns: int, now_ns: int, shared: bool, rest: Rest
    ) -> None:
        """Add a part of what the predecessor has certainly left.

        `since_ns`: the start of this role. `age_ns`: from the promise to `since_ns`. `shared`: the predecessor may
        still grant.
        """
        for name, bucket in self.buckets.items():
            bucket.advance(now_ns)
            stated = promise["levels"].get(name)
            is_promised = stated is not None and stated["divisor"] == bucket.divisor
            if stated is not None and is_promised:
                bucket.inherit(stated["level"], stated["slack"], age_ns, rest)
            if shared:
                bucket.share(stated["slack"] if stated is not None and is_promised else None, since_ns)
            if (counted := promise["counts"].get(name)) is not None and bucket.floor is None:
                count, left_s = counted
                at_ns = since_ns - age_ns + int(left_s * SECOND_NS) - bucket.period_ns
                bucket.floor = Floor(int(count), 0, at_ns)

    @property
    def is_shared(self) -> bool:
        """Return whether a predecessor may still grant."""
        return any(bucket.shared is not None for bucket in self.buckets.values())

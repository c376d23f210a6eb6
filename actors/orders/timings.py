"""Records when the latest orders and user-stream messages passed each stage of the manager. In memory only.

    received   the command arrived       judged   checked, funds reserved     signed     its bytes exist
    committed  its intent is durable     written  given to the socket         answered   the exchange answered
    replied    its outcome is durable, and the caller gets the reply

An order costs a few readings of a clock. Orders that were refused before sending are not kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

STAGES = ("received", "judged", "signed", "committed", "written", "answered", "replied")
JUDGED, SIGNED, COMMITTED, WRITTEN, ANSWERED = range(1, 6)
KEPT = 4096
SUMMED = 500  # number of the latest orders in `summary`


class Timings:
    """See the module. Times of orders are of the monotonic clock, which the processes of a node share; times of reports
    are of the wall clock, like the stream's receive times of frames. All in ns."""

    def __init__(self, monotonic_ns: Callable[[], int], time_ns: Callable[[], int], kept: int = KEPT) -> None:
        self._monotonic_ns, self._time_ns = monotonic_ns, time_ns
        self._under_way: dict[str, list[int]] = {}
        self._orders: deque[tuple[str, list[int]]] = deque(maxlen=kept)
        self._reports: deque[tuple[int, int, int, int]] = deque(maxlen=kept)

    def received(self, ids: Iterable[str]) -> None:
        """Record the arrival of a command with orders. Call `replied` when the command ends, in success or failure."""
        now_ns = self._monotonic_ns()
        for one in ids:
            self._under_way.setdefault(one, [now_ns])

    def reached(self, stage: int, ids: Iterable[str]) -> None:
        """Record that orders have reached a stage; ignores orders that did not reach the previous stage."""
        now_ns = self._monotonic_ns()
        for one in ids:
            row = self._under_way.get(one)
            if row is not None and len(row) == stage:
                row.append(now_ns)

    def replied(self, ids: Iterable[str]) -> None:
        """Record that the command with these orders has ended."""
        now_ns = self._monotonic_ns()
        for one in ids:
            row = self._under_way.pop(one, None)
            if row is not None and len(row) == len(STAGES) - 1:
                self._orders.append((one, [*row, now_ns]))

    def reports_received(self) -> int:
        """Return the current time when a message of the stream arrives; pass it to `durable`."""
        return self._time_ns()

    def durable(self, received_ns: int, first: int, last: int) -> None:
        """Record that the reports `first` to `last` are in the journal."""
        self._reports.append((first, last, received_ns, self._time_ns()))

    def plain(self, limit: int) -> dict[str, Any]:
        """Return the newest rows, oldest first: orders as [id, time of each stage], reports as [first, last, received,
        durable]."""
        return {
            "stages": list(STAGES),
            "orders": [[one, *row] for one, row in _newest(self._orders, limit)],
            "reports": [list(row) for row in _newest(self._reports, limit)],
        }

    def summary(self) -> dict[str, Any]:
        """Return p50 and p99 in us from each stage to the next, of the latest sent orders."""
        rows = [row for _, row in _newest(self._orders, SUMMED)]
        found: dict[str, Any] = {"orders": len(rows)}
        for at, stage in enumerate(STAGES[1:], 1):
            took = sorted(row[at] - row[at - 1] for row in rows)
            if took:
                found[stage] = [took[len(took) // 2] // 1000, took[len(took) * 99 // 100] // 1000]
        return found


def _newest(rows: deque[Any], limit: int) -> Sequence[Any]:
    return list(islice(rows, max(0, len(rows) - limit), None))

"""A reader of one book on one of the nodes of `two_nodes`."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ray

from venuemesh.model.errors import NotSynced
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment.directory import segment_directory
from venuemesh.orderbook.view import BookView

BOOK = "book/binance/BTC-USDT"
LATE_S, STALL_S = 0.05, 1.0  # a look so late shows a machine that stalls, for so long


class Reader:
    """A strategy on its node: reads one book and returns the segment files that its process has mapped.

    A thread reads the book every millisecond and keeps why it was not to be trusted, and how often: a successor serves
    sooner than a test can look. `why` leaves out heartbeats and proofs that are late while the thread itself is late.
    """

    def __init__(self, mesh: str, instrument: dict[str, Any]) -> None:
        self.node = ray.get_runtime_context().get_node_id()
        directory, read = segment_directory(mesh, self.node), Instrument.from_dict(instrument)
        self.view = BookView(directory, read, BOOK)
        self.lost: Counter[str] = Counter()
        self.why: Counter[str] = Counter()
        threading.Thread(target=self._watch, args=(BookView(directory, read, BOOK),), daemon=True).start()

    def _watch(self, view: BookView) -> None:
        looked, late = time.monotonic(), -STALL_S
        while True:
            now = time.monotonic()
            looked, late = now, now if now - looked > LATE_S else late
            if not _is_trusted(view):
                state = view.state
                why = f"{state.name} {view.reason}"
                self.lost[why] += 1
                if state not in (BookState.DEAD, BookState.SILENT) or now - late > STALL_S:
                    self.why[why] += 1
            time.sleep(0.001)

    def look(self) -> dict[str, Any]:
        top = self.view.peek()
        return {
            "state": self.view.state.name,
            "trusted": _is_trusted(self.view),
            "lost": self.lost.total(),
            "why": dict(self.why),
            "incarnation": list(self.view.incarnation or (0, 0)),
            "sequence": top.sequence,
            "pid": os.getpid(),
        }

    def maps(self) -> list[str]:
        return [line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if "@" in line]


def _is_trusted(view: BookView) -> bool:
    try:
        view.top()
    except NotSynced:
        return False
    return True

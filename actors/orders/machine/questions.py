"""Open questions to the exchange, which asks answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ....connectors.reports import FillReport
from .effects import Now, Purpose
from .pages import page_of, trade_key
from .requests import STUCK_TRIES


@dataclass(slots=True)
class Slot:
    """An open question."""

    due_mono_ns: int
    ask_id: int | None = None
    tries: int = 0  # answers that did not close it
    reason: str = ""  # why the last one did not
    in_background: bool = False  # a walk through history that the journal lacks: nothing waits for it
    again: bool = False  # raised again while an ask was under way: the answer to that ask does not close the slot

    @property
    def is_stuck(self) -> bool:
        """Whether answers in a row did not close the question: nothing else waits for it from now on."""
        return bool(self.reason) and self.tries > STUCK_TRIES

    def failed(self, reason: str) -> None:
        self.tries, self.reason = self.tries + 1, reason


@dataclass(frozen=True, slots=True)
class Asked:
    ask_id: int
    purpose: Purpose
    key: Any
    begun: Now


def in_order(fills: Iterable[FillReport], by_time: bool) -> list[FillReport]:
    """Sort fills, oldest first: by trade id, or by time if trade ids do not rise."""
    return sorted(fills, key=lambda one: (one.ts_event_ns, "") if by_time else trade_key(page_of(one)))

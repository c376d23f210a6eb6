"""The manager's inbox of the user stream: finds new and missing reports in numbered messages. Pure.

A message is {"stream": incarnation, "first": number of the first report, "reports": [...], "up": whether the stream
is open}. One arrives at least every second, with or without reports. The inbox skips repeated reports. Missing reports,
another incarnation and silence become markers, so that the machine reconciles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...model.errors import Rejected
from ...model.time import SECOND_NS
from ..account.reports import Marker, Report, from_plain

SILENT_NS = 5 * SECOND_NS  # a stream role that is silent for longer is dead or being replaced


class StreamInbox:
    """See the module."""

    def __init__(self, silent_ns: int = SILENT_NS) -> None:
        self._silent_ns = silent_ns
        self._stream: tuple[int, int] | None = None
        self._last = 0
        self._received_ns: int | None = None
        self.up = False
        self.reports = 0
        self.gaps = 0

    def take(self, body: Any, mono_ns: int) -> tuple[list[Report], int]:
        """Return the new reports, in order, and the number of the last report in the message.

        Raises:
            Rejected: the message is malformed. Nothing was taken from it.
        """
        try:
            epoch, counter = body["stream"]
            stream, first, plain = (int(epoch), int(counter)), int(body["first"]), list(body["reports"])
            up = bool(body.get("up", True))
            reports = [from_plain(one) for one in plain]
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise Rejected(
                "bad_request", f"the message of reports is malformed: {type(error).__name__} {error}"
            ) from error
        last = first + len(reports) - 1
        if self._stream is not None and stream < self._stream:
            return [], last  # from a stream that is being replaced: the machine reconciles anyway
        self._received_ns = mono_ns
        new: list[Report] = []
        opened = any(isinstance(one, Marker) and one.what == "up" for one in reports)
        if stream != self._stream:
            if self._stream is not None and self.up:
                new.append(Marker("gap", "another incarnation of the user stream serves"))
            if up and not opened:
                new.append(Marker("up", "the stream was open before this manager served"))
            self._stream, self._last = stream, first - 1
        elif first > self._last + 1:
            new.append(Marker("gap", f"reports {self._last + 1} to {first - 1} were dropped"))
        elif up and not self.up and not opened:
            new.append(Marker("up", "the stream role sends again"))
        new += reports[max(0, self._last + 1 - first) :]
        self._last = max(self._last, last)
        self._note(new)
        return new, last

    def silent(self, mono_ns: int) -> list[Report]:
        """Return a marker when the stream role has been silent for too long."""
        if not self.up or self._received_ns is None or mono_ns - self._received_ns < self._silent_ns:
            return []
        found: list[Report] = [Marker("down", f"the stream role was silent for {self._silent_ns / SECOND_NS:g} s")]
        self._note(found)
        return found

    def _note(self, new: list[Report]) -> None:
        for one in new:
            if isinstance(one, Marker):
                self.up = one.what == "up" or (one.what == "gap" and self.up)
                self.gaps += one.what != "up"
            else:
                self.reports += 1

    def status(self, mono_ns: int) -> Mapping[str, Any]:
        return {
            "stream": "up" if self.up else "down",
            "stream_received_s_ago": None if self._received_ns is None else (mono_ns - self._received_ns) / SECOND_NS,
            "stream_reports": self.reports,
            "stream_gaps": self.gaps,
        }

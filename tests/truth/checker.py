"""Compares the readers' answers with the exchange's history and with the frames that the book's writer had read.

For every LIVE answer:

    truth       the book at its sequence, by the exchange's history, is exactly what was answered (top, and levels)
    fresh       its sequence is at least that of every frame whose handling had ended before the read began: after the
    frame that reveals a gap no older book is LIVE, and no frame that was read is missing doubt       no LIVE between a
    gap, an unreadable frame, the loss of the connection or the start, and the snapshot that comes next forward
    sequences never go back trade every trade in the answers is one of the exchange's, and comes once

The frames are read here by `json`, not by the codec under test.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.truth.history import History
from tests.truth.samples import CLOSED, DEPTH, FRAME, LIVE, NOTHING_PROVEN, SNAPSHOT, STARTED, STATE, TRADE, read_rows

FEW = 5  # violations of a kind that are described in full
FOREVER = 1 << 62

Trade = tuple[int, int, str]  # price, size at scale 8, side of the taker


@dataclass(slots=True)
class Verdict:
    """The result. `violations` by kind, the first few in words."""

    reads: int = 0  # LIVE answers
    distinct: int = 0  # different LIVE answers
    sequences: int = 0  # different sequences among them
    depths: int = 0
    levels: int = 0  # levels compared
    trades: int = 0
    trades_missing: int = 0  # between the first and the last one told
    not_live: int = 0  # answers that were not LIVE
    frames: int = 0  # depth frames that the writer read
    gaps: int = 0  # of them: missing something before them
    unreadable: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)

    def violated(self, kind: str, text: str) -> None:
        count = self.violations[kind] = self.violations.get(kind, 0) + 1
        if count <= FEW:
            self.shown.append(f"{kind}: {text}")

    def __str__(self) -> str:
        facts = ", ".join(
            f"{name} {getattr(self, name)}" for name in self.__slots__ if name not in ("shown", "violations")
        )
        return "\n".join([f"{facts}; violations {self.violations}", *self.shown])


@dataclass(slots=True)
class Wire:
    """The reads of one symbol's writers: ends of handling with the highest sequence by then, and doubts."""

    done_ns: list[int] = field(default_factory=list)
    highest: list[int] = field(default_factory=list)
    doubts: list[tuple[int, int, str]] = field(default_factory=list)  # from, until (ns), why

    def had_read(self, now_ns: int) -> int:
        """Return the highest sequence handled before `now_ns`; 0 if there was none."""
        at = bisect_right(self.done_ns, now_ns)
        return self.highest[at - 1] if at else 0


def read_wire(logs: Iterable[Path], symbols: Sequence[str], verdict: Verdict) -> dict[str, Wire]:
    """Read the hosts' logs into one `Wire` a symbol."""
    wires = {symbol: Wire() for symbol in symbols}
    ends: dict[str, list[tuple[int, int]]] = {symbol: [] for symbol in symbols}
    for log in logs:
        doubted: dict[str, tuple[int, str]] = {}
        known: dict[str, int | None] = dict.fromkeys(symbols)  # the highest id of this connection's frames or snapshots
        for kind, *row in read_rows(log):
            if kind == STARTED:
                doubted = dict.fromkeys(symbols, (row[0], "nothing was loaded yet"))
            elif kind == FRAME:
                _, done, raw, carried = row
                found = _depth(raw)
                if found is None:
                    verdict.unreadable += 1
                    for symbol in [s for s in carried if s.encode() in raw.upper()] or carried:
                        doubted.setdefault(symbol, (done, "an unreadable frame"))
                elif found and found[0] in wires:
                    symbol, first, last = found
                    verdict.frames += 1
                    before = known[symbol]
                    if before is not None and first > before + 1:
                        verdict.gaps += 1
                        doubted.setdefault(symbol, (done, "a gap"))
                    known[symbol] = max(last, before or 0)
                    ends[symbol].append((done, last))
            elif kind == SNAPSHOT:
                began, _, symbol, sequence = row
                if symbol in doubted:
                    since, why = doubted.pop(symbol)
                    wires[symbol].doubts.append((since, began, why))
                known[symbol] = max(sequence or 0, known[symbol] or 0)
            elif kind == CLOSED:
                _, done, symbol = row
                known[symbol] = None
                doubted.setdefault(symbol, (done, "no connection"))
        for symbol, (since, why) in doubted.items():
            wires[symbol].doubts.append((since, FOREVER, why))
    for symbol, wire in wires.items():
        highest = 0
        for done, last in sorted(ends[symbol]):
            highest = max(highest, last)
            wire.done_ns.append(done)
            wire.highest.append(highest)
    return wires


def _depth(raw: bytes) -> tuple[str, int, int] | tuple[()] | None:
    """Symbol, first and last id of a depth frame; () for anything else that is JSON, None for what is not."""
    try:
        data = json.loads(raw)
    except ValueError:  # also what is not UTF-8
        return None
    if isinstance(data, dict):
        data = data.get("data", data)
    if not isinstance(data, dict) or data.get("e") != "depthUpdate":
        return ()
    symbol, first, last = data.get("s"), data.get("U"), data.get("u")
    if isinstance(symbol, str) and type(first) is int and type(last) is int:
        return symbol, first, last
    return ()


def check(
    samples: Iterable[Path],
    logs: Iterable[Path],
    symbols: Sequence[str],
    histories: Mapping[str, History],
    trades: Mapping[str, Mapping[int, Trade]],
) -> Verdict:
    """Judge the samples of one or several samplers. Books are numbered as in `symbols`; `trades` are by id."""
    verdict = Verdict()
    wires = read_wire(logs, symbols, verdict)
    answers: dict[str, list[list[Any]]] = {symbol: [] for symbol in symbols}
    for path in samples:
        forward: dict[int, int] = {}
        shown: dict[int, list[int]] = {}
        for row in read_rows(path):
            if row[0] == STATE:
                verdict.not_live += row[5]
            elif row[0] in (LIVE, DEPTH):
                book, sequence = row[1], row[4]
                if sequence < forward.get(book, 0):
                    verdict.violated("forward", f"{symbols[book]}: {sequence} was read after {forward[book]}")
                forward[book] = sequence
                answers[symbols[book]].append(row)
            elif row[0] == TRADE:
                book, number = row[1], row[2]
                if number < min(trades[symbols[book]], default=0):
                    continue  # the exchange has forgotten that far back
                was = trades[symbols[book]].get(number)
                if was != tuple(row[3:6]) or number in shown.get(book, ()):
                    verdict.violated("trade", f"{symbols[book]}: told {row[2:6]}, was {was}, or told before")
                shown.setdefault(book, []).append(number)
        for numbers in shown.values():
            verdict.trades += len(numbers)
            verdict.trades_missing += max(numbers) - min(numbers) + 1 - len(set(numbers))
    for symbol, rows in answers.items():
        for row in rows:
            _check_time(symbol, row, wires[symbol], verdict)
        rows.sort(key=lambda row: row[4])
        verdict.sequences += len({row[4] for row in rows})
        for row in rows:
            _check_truth(symbol, row, histories[symbol], verdict)
    return verdict


def _check_time(symbol: str, row: list[Any], wire: Wire, verdict: Verdict) -> None:
    sequence = row[4]
    first, last = (row[7], row[8]) if row[0] == LIVE else (row[5], row[5])
    had_read = wire.had_read(last[0])
    if sequence < had_read:
        verdict.violated("fresh", f"{symbol}: LIVE at {sequence} at {last[0]}, when {had_read} had been read")
    for since, until, why in wire.doubts:
        read = next((read for read in (first, last) if since <= read[0] and read[1] <= until), None)
        if read is not None:
            verdict.violated("doubt", f"{symbol}: LIVE at {sequence} at {read}, {why} from {since} to {until}")


def _check_truth(symbol: str, row: list[Any], history: History, verdict: Verdict) -> None:
    sequence = row[4]
    if sequence < history.sequence:
        verdict.violated("truth", f"{symbol}: LIVE at {sequence}, before the book began at {history.base}")
        return
    history.advance(sequence)
    if row[0] == LIVE:
        verdict.distinct += 1
        verdict.reads += row[9]
        shown = [tuple(side) if side is not None else None for side in row[5:7]]
        if any(side not in (was, NOTHING_PROVEN) for side, was in zip(shown, history.top(), strict=True)):
            verdict.violated("truth", f"{symbol} at {sequence}: told {shown}, was {history.top()}")
        return
    verdict.depths += 1
    for name, side, raw, complete in zip(("bids", "asks"), history.sides, row[6:8], row[8:10], strict=True):
        told_levels = [tuple(level) for level in np.frombuffer(raw, np.int64).reshape(-1, 2).tolist()]
        was = side.best(None if complete else len(told_levels))
        verdict.levels += len(told_levels)
        if told_levels != was:
            at = next(
                (n for n, (a, b) in enumerate(zip(told_levels, was, strict=False)) if a != b),
                min(len(told_levels), len(was)),
            )
            verdict.violated(
                "truth",
                f"{symbol} at {sequence}: {name} from level {at}: "
                f"told {told_levels[at : at + 2]} of {len(told_levels)}, was {was[at : at + 2]} of {len(was)}",
            )


def live_reads(samples: Iterable[Path], counter: int) -> list[tuple[int, int]]:
    """Times before and after reads of the incarnation (1, `counter`) that were LIVE; of equal ones, first and last."""
    found = []
    for path in samples:
        for row in read_rows(path):
            if row[0] in (LIVE, DEPTH) and row[3] == counter:
                found += [tuple(read) for read in (row[7:9] if row[0] == LIVE else row[5:6])]
    return found

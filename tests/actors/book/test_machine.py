"""The book machine alone: every state gets every event, and each answer keeps the machine's guarantees."""

from __future__ import annotations

import numpy as np
import pytest

from venuemesh.actors.book.effects import AskSnapshot, Load, Publish, SetState
from venuemesh.actors.book.events import (
    Agreed,
    Closed,
    Confirmed,
    Crossed,
    Drained,
    Missed,
    Opened,
    Quiet,
    Shallow,
    SnapshotArrived,
    SnapshotFailed,
    Stalled,
    Suspect,
    Trading,
)
from venuemesh.actors.book.machine import APPLY, GAP, KEEP, STALE, BookMachine
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.model.events import BookState, DepthDelta

RULE = CONNECTOR.codec().classify


def delta(first: int, last: int, levels: int = 0) -> DepthDelta:
    rows = np.ones((levels, 2), np.int64)
    return DepthDelta("AAABBB", first, last, rows, rows[:0], None, 1)


def machine(**options) -> BookMachine:
    return BookMachine(RULE, lambda: 0.5, **options)


def joined(made: BookMachine) -> BookMachine:
    for event in (Opened(), Confirmed()):
        made.on(event, 1)
    assert made.on(SnapshotArrived(made.attempt, 100), 2) == [Load()]
    made.take()
    made.on(Drained(), 2)
    return made


def gapped() -> BookMachine:
    made = joined(machine())
    assert made.delta(delta(200, 201)) == GAP
    made.on(Missed(), 3)
    made.keep(delta(200, 201))
    return made


def after(made: BookMachine, *events) -> BookMachine:
    for event in events:
        made.on(event, 3)
    return made


STATES = {
    BookState.CONNECTING: machine,
    BookState.SYNCING: lambda: after(machine(), Opened()),
    BookState.LIVE: lambda: joined(machine()),
    BookState.HALTED: lambda: joined(machine(is_trading=False)),
    BookState.GAP: gapped,
    BookState.SILENT: lambda: after(joined(machine()), Quiet()),
}

C, S, L, G, X, H = (
    BookState.CONNECTING,
    BookState.SYNCING,
    BookState.LIVE,
    BookState.GAP,
    BookState.SILENT,
    BookState.HALTED,
)

# What each event leads to from CONNECTING, SYNCING, LIVE, HALTED, GAP, SILENT.
TABLE = {
    "opened": (Opened(), (S, S, S, S, S, S)),
    "confirmed": (Confirmed(), (C, S, L, H, G, X)),
    "closed": (Closed("cut"), (C, C, C, C, C, X)),  # silent until there is a new connection
    "quiet": (Quiet(), (X, X, X, X, X, X)),
    "late snapshot": (SnapshotArrived(-1, 500), (C, S, L, H, G, X)),
    "late failure": (SnapshotFailed(-1, "no"), (C, S, L, H, G, X)),
    "doubt": (Suspect("x", 5), (C, G, G, G, G, X)),
    "unreadable": (Suspect("x"), (C, G, G, G, G, X)),
    "stalled": (Stalled("x"), (C, G, G, G, G, X)),
    "agreed": (Agreed(), (C, S, L, H, G, X)),  # only a book on trial needs it
    "crossed": (Crossed(5), (C, G, G, H, G, X)),  # what is not traded may cross
    "shallow": (Shallow(), (C, S, L, H, G, X)),
    "drained": (Drained(), (C, S, L, H, G, X)),
    "halted": (Trading(False), (C, S, H, H, G, X)),
    "resumed": (Trading(True), (C, S, L, L, G, X)),
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
@pytest.mark.parametrize("name", TABLE)
def test_every_state_meets_every_event(state, name):
    made = STATES[state]()
    assert made.state is state
    event, ends = TABLE[name]
    effects = made.on(event, 4)
    assert made.state is ends[list(STATES).index(state)]
    states = [effect.state for effect in effects if isinstance(effect, (SetState, Publish))]
    if made.state is not state:
        assert isinstance(effects[0], (SetState, Publish))  # readers learn it first
        assert states[-1] is made.state
    for effect in effects:
        if isinstance(effect, AskSnapshot):
            assert effect.attempt == made.attempt
            assert made.waiting
    if made.state in (C, S, G, X):
        assert made.delta(delta(101, 102)) == KEEP
    else:
        assert made.delta(delta(101, 102)) == APPLY


def test_only_one_snapshot_is_under_way():
    made = after(machine(), Opened())
    assert made.wants_snapshot(1) == [AskSnapshot(1, 0.0)]
    assert made.wants_snapshot(1) == []
    assert made.on(Confirmed(), 1) == []


def test_deltas_count_what_they_are():
    made = joined(machine())
    assert [made.delta(delta(*ids)) for ids in ((90, 100), (99, 103), (104, 104), (104, 104), (106, 107))] == [
        STALE,
        APPLY,
        APPLY,
        STALE,
        GAP,
    ]
    counters = made.counters
    assert (counters.applied, counters.dropped, counters.gaps, counters.resyncs) == (2, 2, 1, 1)
    assert made.state is BookState.GAP


def test_kept_deltas_are_bounded_in_bytes_too():
    made = after(machine(keep_bytes=1500), Opened())
    assert made.keep(delta(1, 1, levels=10))
    assert made.keep(delta(2, 2, levels=10))
    assert not made.keep(delta(3, 3, levels=10))
    assert [kept.first for kept in made.take()] == [2, 3]
    made.keep(delta(2, 2, levels=10))
    assert not made.keep(delta(3, 3, levels=600))  # one delta is always kept: the newest
    assert [kept.first for kept in made.take()] == [3]
    assert made.kept == 0

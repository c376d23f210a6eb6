"""`ReplayMarket`: recordings behind the `AsyncMarket` that strategies read through, in replay time, in one process.

    with ReplayMarket(["market.jsonl.zst"], "acme") as market:
        await market.play(strategy(market))  # reads books, follows changes and trades, waits for market.every(1.0)

Frames go through the same codec, machine, core and segments as in a mesh, so a view reads the same as in a mesh. Ray is
not needed. `now_ns` and `every` are replay time.

The replay waits for the strategy. It advances from record to record; due ticks come first, one by one, each at exactly
its time. Then each change and trade of the record goes to its readers, one by one and in order; a reader's task runs
until it waits for the market again, also if it waits for a file or a model meanwhile. So `changes` and `trades` lose
nothing, books show the moment of the change, and a recording gives the same calls in every run. `wait_change` returns
the newest top only. The changes of one frame become visible together.

A replay places and fills no orders: `buy` and `sell` raise `NotOffered`.

    turns.py     which tasks wait for the replay, and which are busy with what they got
    delivery.py  changes and trades, in order, to their readers
    clock.py     replay time
    view.py      the view of a book
    link.py      the market's way to the segments
    market.py    `ReplayMarket`
"""

from __future__ import annotations

from .clock import ReplayClock
from .market import ReplayMarket

__all__ = ["ReplayClock", "ReplayMarket"]

"""Decides how many levels a side a snapshot over REST has, and when a book needs another one.

An exchange may charge snapshots by their size. If those of all pairs of a connection would use a large part of the
limit, the first snapshot of each pair is the smallest one that proves the levels promised to readers: many pairs become
LIVE soon. A snapshot of the whole size replaces it later, with low priority and without leaving LIVE.
"""

from __future__ import annotations

from ...connectors.spec import ExchangeSpec
from .ingest import Pair

SHARE = 0.1  # of a limit: if the whole snapshots of a connection cost more, the first ones are smaller


class SnapshotSize:
    """`whole` is the wanted number of levels a side; `promised` is the number that readers are promised."""

    def __init__(self, spec: ExchangeSpec, whole: int, promised: int) -> None:
        self._spec = spec
        self._whole = whole
        self._proven = min(promised, whole // 2)
        self._small: set[str] = set()  # symbols whose book began with a smaller snapshot

    def levels(self, pair: Pair, pairs: int) -> int:
        """Return how many levels a side to request for `pair`, one of `pairs` on its connection."""
        endpoint = self._spec.endpoints["snapshot"]
        if pair.machine.is_joined or not endpoint.cost_by_size:
            return self._whole
        name, cost = endpoint.spends(self._whole)[0]
        if name not in self._spec.limits or pairs * cost <= SHARE * self._spec.limits[name].amount:
            return self._whole
        enough = (size for size, _ in endpoint.cost_by_size if 2 * self._proven <= size <= self._whole)
        return min(enough, default=self._whole)

    def joined(self, pair: Pair, levels: int) -> None:
        """Note that a snapshot with this size was joined."""
        if levels < self._whole:
            self._small.add(pair.instrument.symbol)
        else:
            self.forget(pair.instrument.symbol)

    def forget(self, symbol: str) -> None:
        self._small.discard(symbol)

    def is_shallow(self, pair: Pair) -> bool:
        """Return whether a book should get another snapshot: it began with a smaller one, or too little is proven."""
        book = pair.book
        small = pair.instrument.symbol in self._small
        return (not book.bids_complete and (small or book.proven_bids < self._proven)) or (
            not book.asks_complete and (small or book.proven_asks < self._proven)
        )

"""Decides which client order ids cannot be in the journal yet, without a lookup for each id. Pure.

An id contains its maker and the maker's running number (`model.ids`). The journal states a maker's highest id once;
after that this module records every written id (an account has one writer, all others are fenced). An id is certainly
new if it is above all these ids, or was skipped. Ids may arrive out of order, because several commands of one maker run
at once. All other ids are looked up.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from ....model.ids import maker_of

MOST = 1_000  # makers kept
PASSED = 2_000  # skipped ids kept per maker


@dataclass(slots=True)
class Maker:
    """`highest`: no id above it was written. `passed`: ids below it that were never written. Valid once `known`."""

    highest: int = -1
    known: bool = False
    passed: set[int] = field(default_factory=set)


class KnownIds:
    """See the module."""

    def __init__(self) -> None:
        self._makers: OrderedDict[str, Maker] = OrderedDict()

    def add(self, client_order_id: str) -> None:
        """Record the id of a written order or tombstone."""
        named = maker_of(client_order_id)
        if named is None:
            return
        stem, number = named
        maker = self._of(stem)
        if number <= maker.highest:
            maker.passed.discard(number)
            return
        if maker.known and number - maker.highest - 1 + len(maker.passed) <= PASSED:
            maker.passed.update(range(maker.highest + 1, number))
        maker.highest = number

    def learn(self, client_order_id: str, highest: str) -> None:
        """Record the journal's highest id of the maker of `client_order_id`; "": the journal has none."""
        named, top = maker_of(client_order_id), maker_of(highest)
        if named is None or (highest and (top is None or top[0] != named[0])):
            return
        maker = self._of(named[0])
        if not maker.known:
            maker.known = True
            maker.highest = max(maker.highest, top[1] if top is not None else -1)

    def is_new(self, client_order_id: str) -> bool:
        """Return whether the journal certainly has no order and no tombstone of this id."""
        named = maker_of(client_order_id)
        maker = None if named is None else self._makers.get(named[0])
        if named is None or maker is None or not maker.known:
            return False
        return named[1] > maker.highest or named[1] in maker.passed

    def _of(self, stem: str) -> Maker:
        maker = self._makers.get(stem)
        if maker is None:
            maker = self._makers[stem] = Maker()
            if len(self._makers) > MOST:
                self._makers.popitem(last=False)
        else:
            self._makers.move_to_end(stem)
        return maker

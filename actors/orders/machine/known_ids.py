"""Which ids cannot be in the journal, without asking it for each. Pure.

An id says who made it, and its maker counts (`model.ids`). Asked once for a maker's highest id, and told of every id
that is written from then on (an account has one writer, the others are fenced), we know of each further id whether it
is new: it is above all of them, or it is one that was passed over. Ids may come out of order: several commands of one
maker are on their way at once. What is not surely new is looked up.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from ....model.ids import maker_of

MOST = 1_000  # makers remembered
PASSED = 2_000  # ids of a maker remembered as passed over


@dataclass(slots=True)
class Maker:
    """`highest`: nothing above it was written; `passed`: below it, and never written. Both hold once `known`."""

    highest: int = -1
    known: bool = False
    passed: set[int] = field(default_factory=set)


class KnownIds:
    """See the module."""

    def __init__(self) -> None:
        self._makers: OrderedDict[str, Maker] = OrderedDict()

    def wrote(self, client_order_id: str) -> None:
        """An order or a tombstone of this id was written, or will be in the order of commits."""
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

    def told(self, client_order_id: str, highest: str) -> None:
        """The journal has said which is the highest id of this one's maker; "": it has none."""
        named, top = maker_of(client_order_id), maker_of(highest)
        if named is None or (highest and (top is None or top[0] != named[0])):
            return
        maker = self._of(named[0])
        if not maker.known:
            maker.known = True
            maker.highest = max(maker.highest, top[1] if top is not None else -1)

    def is_new(self, client_order_id: str) -> bool:
        """Whether an id is surely in no order and no tombstone of the journal."""
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

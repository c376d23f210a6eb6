"""Keeps the instruments of orders in the journal: an order stays queryable even if its pair is not listed. Pure.

The mark `instrument:<pair>` of an account has the instrument of the pair's latest order. A successor begins with these
instruments and the listed ones. A pair with open orders keeps the symbol under which they were placed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ....journal.writes import PutMark
from ....model.instrument import Instrument
from .effect_buffer import EffectBuffer
from .guards import Guards

MARK = "instrument:"


class KeptInstruments:
    """See the module."""

    def __init__(self, guards: Guards, effects: EffectBuffer) -> None:
        self._guards, self._effects = guards, effects
        self._kept: dict[str, Instrument] = {}

    def restore(self, marks: Mapping[str, str], pairs: Iterable[str]) -> None:
        """Take over the instruments of the journal. `pairs` have open orders: they keep their symbols."""
        for name, text in marks.items():
            if name.startswith(MARK):
                instrument = Instrument.from_dict(json.loads(text))
                self._kept[instrument.name] = instrument
        for pair in self._kept.keys() - self._guards.instruments.keys():
            self._guards.adopt(self._kept[pair])
        for pair in set(pairs) & self._kept.keys():
            if self._guards.instruments[pair].symbol != self._kept[pair].symbol:
                self._guards.adopt(self._kept[pair])
            self.keep(pair)
        for pair in set(pairs) - self._kept.keys():  # an order of an earlier version of the mesh
            self.keep(pair)

    def keep(self, pair: str) -> None:
        """Write the instrument of a pair, unless the journal has it."""
        instrument = self._guards.instruments.get(pair)
        held = self._kept.get(pair)
        if instrument is None or instrument is held:
            return
        self._kept[pair] = instrument
        if instrument != held:
            self._effects.write(PutMark(MARK + pair, json.dumps(instrument.to_dict())))

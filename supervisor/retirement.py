"""Judges the tracked pairs that an exchange's list lacks: a list may be wrong.

A pair is gone if the exchange refuses its name and its stream is silent. All others stay tracked: a list that lacks a
pair whose stream speaks, or whose book the exchange still sends, is in doubt. An exchange may list only pairs that
trade (`ExchangeSpec.lists_halted`): there, a pair that is still answered for and whose stream is silent is halted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..model.address import catalog_address
from ..model.errors import MeshError
from ..model.instrument import Instrument
from .tree.child import ChildSpec

QUIET_S = 5.0  # a stream that brings nothing for this long is silent
AGAIN_S = 20.0  # between two judgements, and between two lists while a tracked pair does not trade
PROBE_S = 30.0  # longest wait for the exchange's answers
BRIEF_S = 1.0

Ask = Callable[[str, str, Any, float], Awaitable[Any]]


class Verdict(NamedTuple):
    """Names of pairs: `gone` are retired, `silent` are halted; all others stay as they are."""

    gone: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


async def judge(
    exchange: str,
    missing: Iterable[Instrument],
    running: Mapping[str, ChildSpec],
    ask: Ask,
    quiet_s: float = QUIET_S,
) -> Verdict:
    """Find out which missing pairs the exchange still has. `ask(address, kind, body, timeout_s)` asks a role.

    Raises MeshError: the catalog does not answer; nothing is known.
    """
    pairs = {instrument.name: instrument for instrument in missing}
    before = await _heard(pairs, running, ask)
    plain = [instrument.to_dict() for instrument in pairs.values()]
    probed = await ask(catalog_address(exchange), "delisted", {"instruments": plain}, PROBE_S)
    await asyncio.sleep(quiet_s)
    after = await _heard(pairs, running, ask)
    silent = {name for name in pairs if after.get(name) == before.get(name)}
    halted = () if probed["lists_halted"] else tuple(name for name in probed["present"] if name in silent)
    return Verdict(tuple(name for name in probed["gone"] if name in silent), halted)


async def keep(exchange: str, instruments: Iterable[Instrument], ask: Ask) -> None:
    """Let the catalog list these pairs, too, so that orders on them are taken. Raises MeshError: it does not answer."""
    plain = [instrument.to_dict() for instrument in instruments]
    await ask(catalog_address(exchange), "keep", {"instruments": plain}, BRIEF_S)


async def _heard(pairs: Iterable[str], running: Mapping[str, ChildSpec], ask: Ask) -> dict[str, int]:
    """Return how many changes and trades each pair has had at its books, both of them if the book is redundant; a pair
    without a book that answers has no number."""
    found: dict[str, int] = {}
    wanted = set(pairs)
    for address, spec in running.items():
        if wanted.isdisjoint(instrument.name for instrument in getattr(spec.config, "instruments", ())):
            continue
        try:
            status = await ask(address, "stats", None, BRIEF_S)
        except MeshError:
            continue
        for name, pair in status["pairs"].items():
            found[name] = found.get(name, 0) + pair["updates"] + pair["trades"]
    return {name: count for name, count in found.items() if name in wanted}


class ListingClock:
    """When the list of an exchange must be fetched again, and its missing pairs judged. Pure."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """Return whether it is time; if so, the next time is later by the interval."""
        if now_s < self._next_s:
            return False
        self._next_s = now_s + AGAIN_S
        return True

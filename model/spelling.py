"""Finds the trading pairs that a mistyped name may mean. Errors suggest them; nothing is ever corrected silently."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

MOST = 3  # names that an error suggests
BASE_QUOTE = "a trading pair is written BASE-QUOTE"
ALIKE = 0.75  # least ratio of a near miss
_SEPARATED = re.compile(r"[^\W_]+[-/_:. ][^\W_]+")
_BETWEEN = re.compile(r"[\W_]+")


def letters(pair: str) -> str:
    """Return the letters and digits of a name, in capitals: those of `btc/usdt` and BTC-USDT are the same."""
    return _BETWEEN.sub("", pair).upper()


def similar_pairs(pair: str, known: Iterable[str]) -> list[str]:
    """Return the known pairs that `pair` may mean, the most similar first; empty if there are none.

    A pair of the same letters is the only answer: `BTC/USDT`, `BTCUSDT` and `btc-usdt` mean BTC-USDT. Otherwise these
    are near misses, and the pair with base and quote exchanged.
    """
    return list(_similar(pair, frozenset(known)))


@lru_cache(maxsize=256)  # a strategy may repeat its mistake with every order
def _similar(pair: str, known: frozenset[str]) -> list[str]:
    wanted = letters(pair)
    names = {name: letters(name) for name in known if name != pair}
    same = sorted(name for name, own in names.items() if own == wanted)
    if same or not wanted or len(wanted) > 80:
        return same[:MOST]
    parts = [part for part in _BETWEEN.split(pair.upper()) if part]
    turned = "-".join(reversed(parts))
    likeness: dict[str, float] = {turned: 1.0} if turned in names else {}
    match = SequenceMatcher(autojunk=False)
    match.set_seq2(wanted)
    own_letters = set(wanted)
    for name, own in names.items():
        if abs(len(own) - len(wanted)) > 2 or len(own_letters.symmetric_difference(own)) > 3:
            continue  # cheaper than to compare: an exchange lists thousands
        match.set_seq1(own)
        ratio = match.ratio()
        if ratio >= ALIKE:
            likeness.setdefault(name, ratio)
    return sorted(likeness, key=lambda name: (-likeness[name], name))[:MOST]


def is_misspelled(pair: str, similar: Iterable[str]) -> bool:
    """Return whether a text cannot be the name of a pair, or is one of these similar pairs in another spelling."""
    return pair.count("-") != 1 or any(letters(name) == letters(pair) for name in similar)


def respelled(text: str) -> str | None:
    """Return BASE-QUOTE for a name that differs from one only in its separator and capitals; None for any other."""
    if not _SEPARATED.fullmatch(text):
        return None
    return "-".join(_BETWEEN.split(text.upper()))


def suggestion(pairs: Iterable[str]) -> str:
    """Return the end of an error's text that suggests pairs; empty without pairs."""
    named = list(pairs)
    return f"; did you mean {' or '.join(named)}?" if named else ""

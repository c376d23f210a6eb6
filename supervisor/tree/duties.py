"""Compare what a role reports with what it must do, and return the messages that correct it. Pure.

A role gets a change once, when it happens. Its effect can still be undone: a message may have been lost or overtaken,
and a role may have lost what it knew. So the supervisor reads the status of every role again and again and
compares: a mirror must follow its sources, a book must serve its pairs with the status that the exchange lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...actors.book.settings import BookSettings
from ...model.address import MIRROR, has_kind
from .child import ChildSpec, Tier

Message = tuple[str, dict[str, Any]]  # kind, body
SETTLED = ("LIVE", "HALTED")  # states of a book that is followed
NO_ROLE = "SPARE"  # the state that a cell without a role reports


def has_no_role(status: Mapping[str, Any]) -> bool:
    """Return whether this is the status of a cell that runs no role."""
    return status.get("state") == NO_ROLE


def is_ready(spec: ChildSpec, status: Mapping[str, Any] | None) -> bool:
    """Return whether a role does its work: books are LIVE (or HALTED), an account trades, a stream reports."""
    if status is None or has_no_role(status):
        return False
    if isinstance(spec.config, BookSettings):
        return all(pair["state"] in SETTLED for pair in status["pairs"].values())
    if spec.tier is Tier.ORDERS:
        return bool(status.get("ready"))
    if spec.tier is Tier.STREAM:
        return status.get("state") == "LIVE"
    if spec.tier is Tier.MIRROR:
        return all(state in SETTLED for state in status["books"].values())
    return True


def settled_pairs(spec: ChildSpec, status: Mapping[str, Any] | None) -> frozenset[str] | None:
    """Return the pairs of a book that are LIVE (or HALTED); None: it does not report. Empty for other roles."""
    if not isinstance(spec.config, BookSettings):
        return frozenset()
    if status is None or has_no_role(status):
        return None
    return frozenset(name for name, pair in status["pairs"].items() if pair["state"] in SETTLED)


def corrections(spec: ChildSpec, status: Mapping[str, Any], sources: Mapping[str, Any] | None) -> list[Message]:
    """Return the messages that make a role do what it must do; none: its report agrees.

    `status` is the role's report. `sources` are those of a mirror, in the form of `MirrorLeases.sources`; None: they
    are not known.
    """
    if has_kind(spec.address, MIRROR):
        return [] if sources is None else _of_mirror(status, sources)
    if isinstance(spec.config, BookSettings):
        return _of_book(spec.config, status)
    return []


def _of_mirror(status: Mapping[str, Any], sources: Mapping[str, Any]) -> list[Message]:
    return [] if status["sources"] == sources else [("follow", {"sources": sources})]


def _of_book(settings: BookSettings, status: Mapping[str, Any]) -> list[Message]:
    serves = {name: pair["listed"] for name, pair in status["pairs"].items()}
    wanted = {instrument.name: instrument for instrument in settings.instruments}
    gone: list[Message] = [("untrack", {"pair": name}) for name in serves if name not in wanted]
    return gone + [
        ("track", {"instrument": instrument.to_dict()})
        for name, instrument in wanted.items()
        if serves.get(name) != instrument.status
    ]

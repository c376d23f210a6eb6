"""Reads the progress of a starting mesh from the supervisor's tree. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..model.address import BOOK, ORDERS, REPLICA, Address, catalog_address, has_kind
from ..model.shown import few

SETTLED = ("LIVE", "HALTED")  # states of a book that is followed; HALTED: the exchange does not trade the pair now
STALL_S = 60.0  # a start that has not advanced for so long is given up
NAMED = 3  # missing parts that a line of progress names


def refused_pairs(tree: dict[str, Any]) -> dict[str, str]:
    """Return why configured pairs are not tracked: address to reason."""
    return {row["address"]: row["why"] for row in tree["children"] if row["state"] == "REFUSED"}


def book_states(tree: dict[str, Any]) -> dict[str, str]:
    """Return the state of every tracked book by its writer's status: address to state name."""
    return _states(tree["children"], BOOK)


def _states(children: Iterable[dict[str, Any]], kind: str) -> dict[str, str]:
    states: dict[str, str] = {}
    for child in children:
        if has_kind(child["address"], kind) and child["state"] != "REFUSED":
            known = (child.get("status") or {}).get("pairs", {})
            for address in child["serves"]:
                states[address] = known.get(Address.parse(address).name, {}).get("state", child["state"])
    return states


def book_causes(tree: dict[str, Any]) -> dict[str, str]:
    """Return why tracked books are in their state, where it is known: address to cause."""
    causes: dict[str, str] = {}
    for child in tree["children"]:
        known = (child.get("status") or {}).get("pairs", {})
        for address in child["serves"]:
            if cause := known.get(Address.parse(address).name, {}).get("error") or cause_of(child):
                causes[address] = cause
    return causes


def cause_of(row: dict[str, Any]) -> str | None:
    """Return why an actor is in its state, if that is more than its place in the order of the start."""
    cause: str | None = row["last_error"] if row["state"] in ("WAITING", "STARTING") else row["why"]
    return cause


def because(cause: str | None) -> str:
    """Return a cause as the end of a phrase."""
    return f" ({cause})" if cause else ""


def account_states(tree: dict[str, Any]) -> dict[str, str]:
    """Describe every account that does not take orders yet: address of its order manager to the reason."""
    found = {}
    for child in tree["children"]:
        status = child.get("status") or {}
        if has_kind(child["address"], ORDERS) and not status.get("ready"):
            is_serving = child["state"] == "SERVING"
            state, cause = (
                (status.get("state") or "silent", child["why"]) if is_serving else (child["state"], cause_of(child))
            )
            found[child["address"]] = f"{state}{because(cause)}"
    return found


def progress_text(tree: dict[str, Any]) -> str:
    """Describe in one line how far a starting mesh is, and what it waits for."""
    rows = [row for row in tree["children"] if row["state"] != "REFUSED"]
    serving = sum(row["state"] == "SERVING" for row in rows)
    text = f"{serving} of {len(rows)} actors serve, {_counts(book_states(tree), 'books')}"
    replicas = _states(_placed(rows), REPLICA)
    text += f", {_counts(replicas, 'replicas')}" if replicas else ""
    single = sum(len(row["serves"]) for row in rows if _lacks_host(row))
    text += f", {single} redundant on one host only, because no other host fits" if single else ""
    missing = missing_parts(tree)
    text += f"; waiting: {few(missing, NAMED)}" if missing else ""
    return text + "".join(f"; {pace}" for pace in paces(tree) if missing)


def _counts(states: dict[str, str], what: str) -> str:
    live, halted = (sum(state == name for state in states.values()) for name in SETTLED)
    return f"{live} of {len(states)} {what} LIVE" + (f", {halted} HALTED" if halted else "")


def paces(tree: dict[str, Any]) -> list[str]:
    """Describe the limits of the exchanges that pace a start: their snapshots wait for units."""
    return [
        f"paced by {pace['limit']} of {Address.parse(child['address']).exchange} "
        f"({pace['units']} in {pace['period_s']:g} s): {pace['waiting']} requests wait"
        for child in tree["children"]
        if (pace := (child.get("status") or {}).get("pace")) is not None
    ]


def pace_s(tree: dict[str, Any]) -> float:
    """Return for how long the next request waits for a limit; 0: none waits."""
    waits = ((child.get("status") or {}).get("pace") for child in tree["children"])
    return max((pace["next_s"] for pace in waits if pace is not None), default=0.0)


def advance_of(tree: dict[str, Any]) -> int:
    """Return how far a start is: a number that rises with every actor that serves and every book that is settled."""
    serving = [row for row in tree["children"] if row["state"] == "SERVING"]
    return len(serving) + sum(state in SETTLED for state in _copies(tree["children"]).values())


class Patience:
    """How long a start may take. A given time is a limit for the whole start; without one, the start continues as long
    as it advances, with `STALL_S` between two steps, or the wait for a limit of an exchange where that is longer. So a
    plan of many pairs has the time that the limits of the exchanges need. Pure; times in seconds."""

    def __init__(self, timeout_s: float | None, now_s: float) -> None:
        self._timeout_s, self._furthest = timeout_s, -1
        self._deadline_s = now_s + (STALL_S if timeout_s is None else timeout_s)

    def is_over(self, tree: dict[str, Any], now_s: float) -> bool:
        if self._timeout_s is None:
            advance = advance_of(tree)
            if advance > self._furthest:
                self._furthest, self._deadline_s = advance, now_s + STALL_S
            if (wait_s := pace_s(tree)) > 0:
                self._deadline_s = max(self._deadline_s, now_s + wait_s)
        return now_s > self._deadline_s

    @property
    def reason(self) -> str:
        if self._timeout_s is None:
            return f"nothing has started for {STALL_S:g} s"
        return f"not started after {self._timeout_s:g} s"


def _lacks_host(row: dict[str, Any]) -> bool:
    """Return whether this is one copy of a redundant book, and there is no other host for it."""
    return bool(row.get("lacks_host"))


def _placed(children: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without copies of redundant books for which there is no other host."""
    return [row for row in children if not _lacks_host(row)]


def _copies(children: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the state of every book and of every replica: address to state name."""
    rows = list(children)
    return _states(rows, BOOK) | _states(rows, REPLICA)


def missing_parts(tree: dict[str, Any]) -> list[str]:
    """Describe the missing parts of a starting mesh; empty when nothing is missing.

    Both copies of a redundant book must be LIVE; a copy for which there is no other host is no missing part.
    """
    settled = ("SERVING", "REFUSED")
    missing = [
        f"{row['address']} is {row['state']}{because(cause_of(row))}"
        for row in _placed(tree["children"])
        if row["state"] not in settled
    ]
    catalogs = {row["address"]: cause_of(row) for row in tree["children"]}
    missing += [
        f"the instruments of {exchange} are not known{because(catalogs.get(catalog_address(exchange)))}"
        for exchange in tree["unread"]
    ]
    causes = book_causes(tree)
    missing += [
        f"{address} is {state}{because(causes.get(address))}"
        for address, state in _copies(_placed(tree["children"])).items()
        if state not in SETTLED
    ]
    missing += [f"{address} is {doing}" for address, doing in account_states(tree).items()]
    return list(dict.fromkeys(missing))  # an actor that does not serve and its book say the same

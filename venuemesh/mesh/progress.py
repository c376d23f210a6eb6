"""Reads the progress of a starting mesh from the supervisor's tree. Pure."""

from __future__ import annotations

from typing import Any

from ..model.address import BOOK, ORDERS, Address, catalog_address, has_kind
from ..model.shown import few

SETTLED = ("LIVE", "HALTED")  # states of a book that is followed; HALTED: the exchange does not trade the pair now
NAMED = 3  # missing parts that a line of progress names


def refused_pairs(tree: dict[str, Any]) -> dict[str, str]:
    """Return why configured pairs are not tracked: address to reason."""
    return {row["address"]: row["why"] for row in tree["children"] if row["state"] == "REFUSED"}


def book_states(tree: dict[str, Any]) -> dict[str, str]:
    """Return the state of every tracked book by its writer's status: address to state name."""
    states: dict[str, str] = {}
    for child in tree["children"]:
        if has_kind(child["address"], BOOK) and child["state"] != "REFUSED":
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
    states = book_states(tree)
    live, halted = (sum(state == name for state in states.values()) for name in SETTLED)
    text = f"{serving} of {len(rows)} actors serve, {live} of {len(states)} books LIVE"
    text += f", {halted} HALTED" if halted else ""
    missing = missing_parts(tree)
    return f"{text}; waiting: {few(missing, NAMED)}" if missing else text


def missing_parts(tree: dict[str, Any]) -> list[str]:
    """Describe the missing parts of a starting mesh; empty when nothing is missing."""
    settled = ("SERVING", "REFUSED")
    missing = [
        f"{row['address']} is {row['state']}{because(cause_of(row))}"
        for row in tree["children"]
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
        for address, state in book_states(tree).items()
        if state not in SETTLED
    ]
    missing += [f"{address} is {doing}" for address, doing in account_states(tree).items()]
    return list(dict.fromkeys(missing))  # an actor that does not serve and its book say the same

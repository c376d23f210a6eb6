"""Read off the supervisor's tree how far a mesh has come. Pure."""

from __future__ import annotations

from typing import Any


def refused_pairs(tree: dict[str, Any]) -> dict[str, str]:
    """Pairs that were named and are not tracked, and why, by address."""
    return {row["address"]: row["last_error"] for row in tree["children"] if row["state"] == "REFUSED"}


def book_states(tree: dict[str, Any]) -> dict[str, str]:
    """Every tracked book's state by its writer's status: address to state name."""
    states: dict[str, str] = {}
    for child in tree["children"]:
        if child["address"].startswith("book/") and child["state"] != "REFUSED":
            known = (child.get("status") or {}).get("pairs", {})
            for address in child["serves"]:
                pair = address.split("/", 2)[2]
                states[address] = known.get(pair, {}).get("state", child["state"])
    return states


def account_states(tree: dict[str, Any]) -> dict[str, str]:
    """Every account that does not take orders yet, by the address of its manager, and what it is doing, in words."""
    found = {}
    for child in tree["children"]:
        status = child.get("status") or {}
        if child["address"].startswith("orders/") and not status.get("ready"):
            found[child["address"]] = status.get("error") or status.get("state") or child["state"]
    return found


def missing_parts(tree: dict[str, Any]) -> list[str]:
    """What a mesh that is starting still lacks, in words; empty when it is all there."""
    settled = ("SERVING", "REFUSED")
    missing = [f"{row['address']} is {row['state']}" for row in tree["children"] if row["state"] not in settled]
    missing += [f"the instruments of {exchange} are not known" for exchange in tree["unread"]]
    missing += [f"{address} is {state}" for address, state in book_states(tree).items() if state != "LIVE"]
    missing += [f"{address} is {said}" for address, said in account_states(tree).items()]
    return missing

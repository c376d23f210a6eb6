"""The state of an account that is loaded, and the reason, from its status. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .machine.rounds import GAPS_S


def condition(
    status: Mapping[str, Any], exchange: str, account: str, no_answer: str | None, lacks: Sequence[str]
) -> tuple[str, str | None]:
    """Return the state and, as text, its reason or what the account lacks; None if it lacks nothing.

    `status` is the machine's. `no_answer` is the error of the last read, if it failed. `lacks` is what is missing in
    other parts of the account.
    """
    if status["journal"] is not None:
        sent = status["unjournaled_cancels"]
        cancels = f"cancels are sent without it ({sent} so far)" if sent else "cancels are sent without it"
        return "NO_JOURNAL", f"the journal is unavailable, so no order is accepted; {cancels}: {status['journal']}"
    refused = f"; the last request failed: {no_answer}" if no_answer else ""
    if not status["serving"]:
        return "RECONCILING", f"waiting for the exchange's open orders and balances{refused}"
    if status["waits_for_gaps"]:
        lost = "reports of the user stream are lost repeatedly (its frames cannot be read)"
        return "RECONCILING", f"{lost}; they are requested within {GAPS_S:g} s{refused}"
    if not status["reconciled"]:
        waits = status["earlier_requests"]
        doubt = f"; {waits} requests of an earlier manager may still reach the exchange" if waits else ""
        return "RECONCILING", f"asking the exchange for missed orders and fills{doubt}{refused}"
    if "account" in status["pauses"] or "mesh" in status["pauses"] or exchange in status["pauses"]:
        return "PAUSED", f"trading is paused: {next(iter(status['pauses'].values()))}"
    found = [*_unsettled(status["unsettled"]), *_unknown_orders(status, f"{exchange}/{account}"), *lacks]
    return "SERVING", "; ".join(found) or None


def _unsettled(reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    one, reason = next(iter(reasons.items()))
    more = f"; and {len(reasons) - 1} more orders" if len(reasons) > 1 else ""
    return [f"order {one} cannot be settled: {reason}{more}"]


def _unknown_orders(status: Mapping[str, Any], name: str) -> list[str]:
    """Return what the open orders that the journal did not know show."""
    found = []
    if adopted := status["adopted"]:
        found.append(
            f"the journal is older than the exchange: it did not know {_counted(adopted)}; the mesh took over what is "
            "open and manages it"
        )
    if looked_for := status["looked_for"]:
        found.append(
            f"the journal lacks a part of the account's history: {looked_for} ended orders with fills are being queried"
        )
    if others := status["of_other_meshes"]:
        found.append(
            f"another mesh trades on this account with another journal: {_counted(others)} of it, which this mesh does "
            "not manage"
        )
    if left := status["adoptable"]:
        found.append(
            f"the journal does not know {_counted(left)} of this mesh; take over what is yours: "
            f"venuemesh journal adopt {name}"
        )
    return found


def _counted(names: Sequence[str]) -> str:
    """Return how many open orders there are, and the first one."""
    return f"the open order {names[0]}" if len(names) == 1 else f"{len(names)} open orders, such as {names[0]}"

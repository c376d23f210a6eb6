"""Which mesh holds an account: it states so in the journal every few seconds, and a dead one stops.

Wall clocks differ and are set back, so what another mesh stated is not only compared with the time of now: a mesh that
does not state it again while this process waits for `HELD_NS` is dead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container

from ..model.errors import AccountHeld
from ..model.time import SECOND_NS
from .journal import HELD_NS, Journal

LOOK_S = 0.5


def wait_for_holders(journal: Journal, accounts: Container[str] | None, waiting: Callable[[str], None]) -> None:
    """Return when no living mesh holds any of these accounts (exchange/account; None: of all accounts).

    `waiting` is called once, with a text for the user, if that takes a while: at most `HELD_NS`.

    Raises:
        AccountHeld: a mesh lives that holds an account.
        JournalUnavailable: the journal cannot be read.
    """
    first: dict[str, int] = {}
    until_s = time.monotonic() + HELD_NS / SECOND_NS
    while holds := [one for one in journal.held(time.time_ns()) if accounts is None or one[0] in accounts]:
        if not first:
            waiting(f"account {holds[0][0]} was held by mesh {holds[0][1]} a moment ago; looking whether it lives")
        elif time.monotonic() >= until_s:
            return
        for account, mesh, seen_ns in holds:
            if first.setdefault(account, seen_ns) != seen_ns:
                reason = f"it trades on it now, by the journal {journal.name}; stop it first: venuemesh down"
                raise AccountHeld(f"account {account}", mesh, seen_ns, reason)
        time.sleep(LOOK_S)

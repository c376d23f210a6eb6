# Generated from venuemesh/mesh/aio.py by scripts/generate-sync: change that file, not this one.
"""The methods of `Mesh`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ..market.market import Market
from ..model.errors import MeshNotRunning
from ..orderbook.view.waits import Waits
from . import commands
from .link import MeshLink
from .progress import SETTLED, book_states
from .session import forget


class Commands:
    """A running mesh by name. Base of `Mesh`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def market(self, exchange: str, account: str | None = None, *, owner: str = "", on_death: str = "keep") -> Market:
        """Return the facade of one exchange and, if it has accounts, of one account.

        Args:
            account: None takes the only account; if there are several, trading requires one.
            owner: recorded on every order placed through this facade; events and cancels can be filtered by owner.
            on_death: "keep" or "cancel" the owner's open orders when the last process of this owner has died.

        Raises:
            UnknownExchange: the mesh has no such exchange; the error names its exchanges.
            Misconfigured: the exchange has no such account, or "cancel" without an owner.
        """
        return Market(MeshLink(self.name), exchange, account, owner, on_death)

    @property
    def exchanges(self) -> list[str]:
        """The exchanges of this mesh. Reads local memory."""
        return MeshLink(self.name).exchanges()

    # ------------------------------------------------------------------ trading

    def pause(
        self,
        exchange: str | None = None,
        account: str | None = None,
        pair: str | None = None,
        *,
        reason: str = "asked",
        timeout_s: float = 10.0,
    ) -> list[str]:
        """Refuse new orders of the whole mesh, an exchange, an account or a pair. Durable; cancels work. Idempotent.

        Returns the accounts that are paused, as `orders/EXCHANGE/ACCOUNT`.

        An exchange that does not list the pair is left out, if another one lists it.

        Raises:
            UnknownInstrument: no exchange of these accounts lists the pair.
            Misconfigured: no account matches.
            RetryLater: some accounts did not answer, and the reason names them; all other accounts are paused.
        """
        body = {"scope": pair or "account", "reason": reason}
        return Waits.answer(commands.ask_accounts, self.name, "pause", body, exchange, account, timeout_s)

    def resume(
        self,
        exchange: str | None = None,
        account: str | None = None,
        pair: str | None = None,
        *,
        timeout_s: float = 10.0,
    ) -> list[str]:
        """Accept new orders again. See `pause`."""
        body = {"scope": pair or "account"}
        return Waits.answer(commands.ask_accounts, self.name, "resume", body, exchange, account, timeout_s)

    # ------------------------------------------------------------------ tracked pairs

    def track(self, exchange: str, *pairs: str, timeout_s: float = 30.0) -> None:
        """Track more pairs; patterns such as `*-BTC` follow the listing. No other book is affected.

        Returns when this process knows the fully named pairs as tracked; pairs of patterns follow later. A pair that is
        already tracked is not an error.

        Raises:
            UnknownExchange: the mesh has no such exchange.
            UnknownInstrument: a fully named pair is not listed; nothing was changed.
            RetryLater: the supervisor is away, or the books did not start within the timeout (they start later).
        """
        Waits.answer(commands.track, self.name, exchange, pairs, timeout_s)

    def untrack(self, exchange: str, *pairs: str, timeout_s: float = 30.0) -> None:
        """Stop tracking pairs or patterns; no other book is affected.

        Returns when this process no longer knows the fully named pairs as tracked. A pair that was not tracked is not
        an error: the rule is kept, and a pattern added later overrides it.

        Raises:
            UnknownExchange: the mesh has no such exchange.
            UnknownInstrument: a pair is spelled in another way than BASE-QUOTE; nothing was changed.
            RetryLater: the supervisor is away, or the books did not end within the timeout.
        """
        Waits.answer(commands.untrack, self.name, exchange, pairs, timeout_s)

    # ------------------------------------------------------------------ actors

    def restart(self, pattern: str, timeout_s: float = 300.0) -> list[str]:
        """Restart the actors with a matching address, one after the other; return their addresses.

        A book serves until its successor is LIVE, so readers see no gap. Any other actor is stopped when a spare
        process waits on its node. The next one follows when the successor is ready: a book LIVE, an account trading.

        Raises:
            Misconfigured: no address matches.
            RetryLater: the supervisor is away; the restarts are not done within the timeout (they continue); or a
                successor was not ready within a minute (a book then stays as it was), and those after it were not
                restarted.
        """
        return Waits.answer(commands.restart, self.name, pattern, timeout_s)

    def upgrade(self, timeout_s: float = 3600.0) -> dict[str, Any]:
        """Replace every process, so that the mesh runs the code that is installed on its hosts now; trading continues.

        Install the new version on every host first. As `restart` of everything, but in processes that start now: a book
        serves until its successor is LIVE. The supervisor is last. Strategies run on with the code that they have.
        Return {"replaced": addresses, "version": the supervisor's, "others": {address: version}}: processes that run
        another version than the supervisor, because their host has it.

        Raises:
            RetryLater: as `restart`; processes that were not replaced run on with the old code.
        """
        return Waits.answer(commands.upgrade, self.name, timeout_s)

    def move(self, address: str, where: str, timeout_s: float = 300.0) -> dict[str, Any]:
        """Move an actor to a host (its name) or a node (at least 8 characters of its id); return {"address", "from",
        "to", "moved"} when it is ready there. Idempotent.

        A book serves until its successor is LIVE there, so readers see no gap. Any other actor is stopped first.

        Raises:
            Misconfigured: no such actor or host, several nodes on the host, or the actor may not run there: labels, the
                host of an SQLite journal, a drained host.
            RetryLater: the supervisor is away, or the actor was not moved for the reason named.
        """
        return Waits.answer(commands.move, self.name, address, where, timeout_s)

    def drain(self, where: str, undo: bool = False, timeout_s: float = 600.0) -> dict[str, Any]:
        """Move every actor away from a host and place none there until `undo`. Idempotent.

        The host stays drained if the supervisor dies. Return when the host runs nothing that can leave it, or at the
        timeout (the actors continue to leave): {"host", "drained", "moved": addresses, "left": {address: reason}}.

        Raises:
            Misconfigured: no such host, or no other would be left; `undo`: it is not drained.
            RetryLater: the supervisor is away, or the change could not be stored.
        """
        return Waits.answer(commands.drain, self.name, where, undo, timeout_s)

    def rebalance(self, plan: bool = False, timeout_s: float = 3600.0) -> dict[str, Any]:
        """Move books from the most loaded hosts to the least loaded ones that fit; `plan`: move nothing.

        Return {"moves": [{"address", "from", "to", "error"}], "before", "after": number of pairs by host}.

        Raises:
            RetryLater: the supervisor is away, or the moves are not done within the timeout (they continue).
        """
        return Waits.answer(commands.rebalance, self.name, plan, timeout_s)

    def status(self) -> dict[str, Any]:
        """Return the supervisor's tree: nodes, spares, and a row per child."""
        return Waits.answer(commands.status, self.name)

    def wait_started(
        self, timeout_s: float | None = None, progress: Callable[[str], None] | None = None
    ) -> dict[str, str]:
        """Wait until every configured book, and its replica where a host takes it, is LIVE, or HALTED by the exchange;
        return the refused pairs with the reasons.

        Without a timeout, wait as long as the start advances: at most 60 s between two steps, or as long as a rate
        limit of an exchange makes it wait. `progress` is called with a line for each step of the start, on another
        thread.

        Raises:
            RetryLater: not in this time; the reason names the missing parts. What runs continues.
        """
        return Waits.answer(commands.started, self.name, timeout_s, progress)

    def count_books(self) -> dict[str, int]:
        """Return how many books are tracked, and how many of them are LIVE and HALTED at their writers."""
        states = book_states(self.status())
        return {"books": len(states)} | {name.lower(): sum(s == name for s in states.values()) for name in SETTLED}

    def shutdown(self, timeout_s: float = 30.0) -> None:
        """End the mesh in an orderly way: children in reverse, spares, segments, and the supervisor last.

        Does nothing if the mesh has already ended. Raises RetryLater: it did not end within the timeout.
        """
        with contextlib.suppress(MeshNotRunning):
            Waits.answer(commands.shutdown, self.name, timeout_s)
        Waits.run(lambda: forget(self.name))

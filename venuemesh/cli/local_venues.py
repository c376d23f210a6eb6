"""The exchanges of `venuemesh up --local`: one local exchange per venue, each with a funded account and a new key.

Each venue is a separate process with separate prices and balances, as real venues are. The processes, the keys and the
journal of their orders end with the process that runs them: a later local exchange knows none of these orders.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..defaults import EXCHANGE
from ..model.errors import Misconfigured
from .output import Say

if TYPE_CHECKING:
    from ..config.mesh import MeshConfig

PAIRS = "BTC-USDT,ETH-USDT"
BASE_FUNDS, QUOTE_FUNDS = "100", "1000000"
RATE = 100.0  # level changes a second of each venue


@dataclass(frozen=True, slots=True)
class LocalVenues:
    """Which local exchanges a mesh trades on: by the protocols that they speak, with the same pairs."""

    mesh: str
    venues: tuple[str, ...] = (EXCHANGE,)
    pairs: tuple[str, ...] = tuple(PAIRS.split(","))

    @classmethod
    def read(cls, mesh: str, venues: str, pairs: str) -> LocalVenues:
        """Read the options of a command: names separated by commas.

        Raises:
            Misconfigured: the local exchange does not speak a protocol, or cannot list a pair.
        """
        return cls(mesh, _names("--venues", venues), _names("--pairs", pairs)).check()

    def check(self) -> LocalVenues:
        """Return self. Raises Misconfigured: names what cannot run."""
        from ..exchange.engine.rules import listing
        from ..exchange.face import protocol_names

        spoken = protocol_names()
        for venue in self.venues:
            if venue not in spoken:
                raise Misconfigured(f"--venues {venue}", f"the local exchange speaks {', '.join(spoken)} only")
        for pair in self.pairs:
            if pair.count("-") != 1:
                raise Misconfigured(f"--pairs {pair}", "a trading pair is written BASE-QUOTE, such as BTC-USDT")
        try:
            rules = listing(pair.replace("-", "") for pair in self.pairs)
        except Misconfigured as error:
            raise Misconfigured("--pairs", f"the local exchange cannot list them: {error.reason}") from None
        for pair, listed in zip(self.pairs, rules, strict=True):
            if pair != f"{listed.base}-{listed.quote}":
                raise Misconfigured(f"--pairs {pair}", f"the local exchange would list {listed.base}-{listed.quote}")
        return self

    @property
    def funds(self) -> dict[str, str]:
        """The balances of the account at the start."""
        split: list[list[str]] = [pair.split("-") for pair in self.pairs]
        return {quote: QUOTE_FUNDS for _, quote in split} | {base: BASE_FUNDS for base, _ in split}

    @contextlib.contextmanager
    def running(self, say: Say) -> Iterator[MeshConfig]:
        """Run the local exchanges while the block runs; yield the configuration of a mesh that trades on them.

        Raises:
            Misconfigured: a local exchange does not start.
        """
        from ..config.mesh import check_config
        from ..testing import local_exchange

        with contextlib.ExitStack() as own:
            folder = Path(own.enter_context(tempfile.TemporaryDirectory(prefix="venuemesh-")))
            exchanges: dict[str, Any] = {}
            for seed, venue in enumerate(self.venues, 1):
                say(f"starting a local exchange that speaks {venue}")
                at = own.enter_context(local_exchange(self.pairs, self.funds, protocol=venue, rate=RATE, seed=seed))
                exchanges |= at.config()["exchanges"]
            raw = {"mesh": {"name": self.mesh}, "exchanges": exchanges}
            journal = {"url": f"sqlite:///{folder}/journal.sqlite3", "remember": False}
            yield check_config(raw | {"journal": journal}, "up --local", folder)

    def use(self) -> list[str]:
        """Return lines of Python that use the mesh: they read a book and place an order."""
        venue, pair = self.venues[0], self.pairs[0]
        return [
            "import venuemesh",
            f'market = venuemesh.connect("{self.mesh}").market("{venue}")',
            f'print(market.order_book("{pair}").best_ask, market.place("sell", "{pair}", "0.01", "MARKET"))',
        ]


def _names(option: str, text: str) -> tuple[str, ...]:
    names: Sequence[str] = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise Misconfigured(option, "must name at least one")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Misconfigured(option, f"{', '.join(twice)} given twice")
    return tuple(names)

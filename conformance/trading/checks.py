"""All checks of a connector that trades, in the order of the three parts."""

from __future__ import annotations

from .account import Account
from .messages import Messages
from .orders import Orders


class TradingConformance(Account, Orders, Messages):
    """A subclass names a connector and a venue; pytest or `run_checks` runs the checks on that account:

        class TestAcme(TradingConformance):
            connector = CONNECTOR

            @classmethod
            @contextlib.contextmanager
            def venue(cls):
                yield Venue(account={"api_key_file": ..., "secret_file": ...}, rest=..., ws=..., ws_api=...)

    The checks trade the smallest amounts that the pair allows, and leave no order open.
    """

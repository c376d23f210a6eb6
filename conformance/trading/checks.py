"""The checks that every connector that trades passes, in order; see the three parts."""

from __future__ import annotations

from .account import Account
from .messages import Messages
from .orders import Orders


class TradingConformance(Account, Orders, Messages):
    """A subclass names a connector and where to trade, and pytest (or `run_checks`) runs it on that account:

        class TestAcme(TradingConformance):
            connector = CONNECTOR

            @classmethod
            @contextlib.contextmanager
            def venue(cls):
                yield Venue(account={"api_key_file": ..., "secret_file": ...}, rest=..., ws=..., ws_api=...)

    It trades the least amounts that the pair takes, and leaves nothing open.
    """

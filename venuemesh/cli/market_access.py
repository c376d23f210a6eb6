"""A recording with an account's key: what proves the account in subscriptions to market data, made in this process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..actors.recording.record import record
from ..connectors.order_codec import GrantsAccess, UsesTokens, trading_connector
from ..connectors.settings import ConnectorSettings, OptionValue
from ..connectors.transport import Rest
from ..keystore.key import Key
from ..model.errors import MeshError, Misconfigured, NotOffered, RetryLater
from .connect import OFFSET_SAMPLES, VALIDITY_MS, measure_clock
from .keys import Chosen

AGAIN_S = 5.0


class MarketAccess:
    """Call it for the proof of each connection; close it at the end."""

    def __init__(self, settings: ConnectorSettings, key: Key) -> None:
        """Raises UnknownExchange, NotOffered, Misconfigured: the connector does not trade, or cannot use the key."""
        self._trading = settings.order_codec()
        self._market = settings.market_codec()
        self._auth = trading_connector(settings.find()).auth(key.kind, key.api_key, key.secret, **key.fields)
        self._rest = Rest(timeout_s=10.0)
        self._exchange = settings.exchange

    async def close(self) -> None:
        await self._rest.close()

    async def __call__(self, renew: bool) -> Mapping[str, str]:
        """Return a new proof; `renew` is of no interest, because none is kept.

        Raises:
            RetryLater: the exchange gave none now.
            NotOffered: the exchange has no market data for accounts.
        """
        try:
            return await self._proof()
        except (RetryLater, NotOffered):
            raise
        except MeshError as error:
            raise RetryLater(AGAIN_S, f"{self._exchange} gave no access to order-level books: {error}") from error

    async def _proof(self) -> Mapping[str, str]:
        clock = await measure_clock(self._market, self._rest, OFFSET_SAMPLES)
        now_ns = time.time_ns() + (0 if clock is None else clock[0])
        if isinstance(self._trading, GrantsAccess):
            return self._trading.market_access(self._auth, now_ns)
        if not isinstance(self._trading, UsesTokens):
            raise NotOffered(self._exchange, "market data that needs an account")
        signed = self._auth.sign(self._trading.token(), "record", now_ns, VALIDITY_MS)
        if signed.request is None:
            raise Misconfigured("the token", "the connector cannot sign its request for REST")
        token = self._trading.reply(signed, await self._rest.send(signed.request)).token
        return {"token": token or ""}


async def recorded(
    chosen: Chosen,
    pairs: Sequence[str],
    out: Path,
    seconds: float | None,
    ws_l3: str | None,
    books: Literal["levels", "orders"],
    options: Mapping[str, OptionValue],
) -> dict[str, Any]:
    """Record as `record`, with the key of `chosen` where order-level books want an account. Raises as `record`."""
    settings = ConnectorSettings(
        chosen.connector,
        rest=chosen.rest,
        ws=chosen.ws,
        ws_l3=ws_l3 or chosen.ws_l3,
        environment=chosen.environment,
        options=options,
    )
    access = MarketAccess(settings, chosen.key) if books == "orders" and chosen.key is not None else None
    try:
        return await record(
            settings.exchange,
            pairs,
            out,
            seconds,
            settings.rest,
            settings.ws,
            settings.environment,
            options=settings.options,
            books=books,
            ws_l3=settings.ws_l3,
            access=access,
        )
    finally:
        if access is not None:
            await access.close()

"""Opens the gateway of an account: its key, its codecs, its budget and its connections, from its settings."""

from __future__ import annotations

import itertools

from ...connectors.order_codec import Auth, OpensCalls, TradingCodec
from ...connectors.transport import Rest
from ...connectors.transport.calls import Calls
from ...keystore.secrets import read_key_async
from ..cell.role import Context
from ..limits.budget import Budget, RestLike
from .gateway import Gateway
from .settings import GatewaySettings

CONNECTIONS = 40  # to REST


async def open_gateway(
    settings: GatewaySettings,
    context: Context,
    *,
    rest: RestLike | None = None,
    codec: TradingCodec | None = None,
    auth: Auth | None = None,
    by_websocket: bool = False,
    manager: str | None = None,
) -> Gateway:
    """Build the gateway of an account from its settings. The arguments replace parts of it.

    `by_websocket`: the gateway also sends orders, over a websocket. `manager`: see `Gateway`.

    Raises:
        NotOffered: the connector reads market data only.
        Misconfigured: no such connector, or the key cannot be read.
    """
    connector = settings.connector
    market = connector.market_codec()
    codec = codec or connector.order_codec()
    auth = auth or await open_auth(settings)
    spec = market.spec
    budget = Budget(context, spec, connector.exchange, connector.egress)
    gateway = Gateway(
        context,
        market,
        codec,
        auth,
        rest or Rest(timeout_s=settings.answer_s, connections=CONNECTIONS),
        budget,
        validity_ms=settings.recv_window_ms,
        answer_s=settings.answer_s,
        manager=manager,
    )
    if by_websocket:
        gateway.calls = _calls(gateway, context)
    return gateway


def _calls(gateway: Gateway, context: Context) -> Calls:
    """Return the connection for orders over a websocket."""
    codec, spec, ids = gateway.codec, gateway.spec, itertools.count(1)
    opens = codec if isinstance(codec, OpensCalls) else None

    def opening() -> bytes:
        assert opens is not None
        return opens.call_open(gateway.auth, f"calls-{next(ids)}", gateway.clock.now_ns(), gateway.validity_ms)

    return Calls(
        codec,
        on_failure=context.fail,
        opening=None if opens is None else opening,
        admit=gateway.budget.connection if opens is None else gateway.admit_private,
        keepalive=spec.keepalive,
        silence_s=spec.silence_s,
        max_connection_s=spec.max_connection_s,
    )


async def open_auth(settings: GatewaySettings) -> Auth:
    """Read the key of an account and return its signer. Opening a keystore takes about 0.1 s, in a thread.

    Raises:
        Misconfigured: the key cannot be read or used. Names the file and the problem, never the content.
    """
    key = await read_key_async(settings.key, settings.connector.connector)
    connector = settings.connector.find_trading()
    auth: Auth = connector.auth(key.kind, key.api_key, key.secret, **key.fields)
    return auth

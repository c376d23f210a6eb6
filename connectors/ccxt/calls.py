"""A call of ccxt's unified interface as one request of the mesh, and its answer.

    Call("fetch_order_book", {"symbol": "BTC/USDT"})  ->  200 and the result as JSON, or an error's class names and text

Statuses of errors follow ccxt's classes: 429 for a limit, 503 for an exchange that does not serve, 400 for refusals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from ...model.errors import DecodeError
from ...model.http import Conversation, HttpRequest, HttpResponse, Sender
from .session import Failed, Session, error_body

STATUS = {"RateLimitExceeded": 429, "DDoSProtection": 429, "ExchangeNotAvailable": 503, "OperationFailed": 503}
Procedure = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Call(Conversation):
    """See the module. `procedure` is called with ccxt's instance and `arguments`."""

    session: Session = field(repr=False, compare=False, kw_only=True)
    procedure: Procedure = field(repr=False, compare=False, kw_only=True)
    arguments: Mapping[str, Any] = field(repr=False, compare=False, kw_only=True)
    needs_markets: bool = field(default=True, kw_only=True)
    nonce: int | None = field(default=None, kw_only=True)

    async def converse(self, send: Sender) -> HttpResponse:
        parts: list[HttpResponse] = []

        async def noted(part: HttpRequest) -> HttpResponse:
            parts.append(await send(part))
            return parts[-1]

        def answered(status: int, body: bytes) -> HttpResponse:
            """Return the whole answer, with the times of the last part: only that states the exchange's time."""
            if not parts:
                return HttpResponse(status, {}, body, 0, 0)
            last = parts[-1]
            return HttpResponse(status, last.headers, body, last.sent_ns, last.recv_ns)

        async def work(exchange: Any) -> Any:
            return await self.procedure(exchange, **self.arguments)

        try:
            result = await self.session.call(work, noted, markets=self.needs_markets, nonce=self.nonce)
        except Failed as failed:
            status = next((STATUS[kind] for kind in failed.kinds if kind in STATUS), 400)
            if parts and parts[-1].status >= 500:
                status = 503  # never an answer, with any text
            return answered(status, error_body(failed))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as error:
            raise DecodeError(f"ccxt cannot read the answer: {type(error).__name__}: {error}"[:300]) from error
        return answered(200, dumped(result))


def call(
    session: Session,
    name: str,
    procedure: Procedure,
    arguments: Mapping[str, Any],
    cost: tuple[tuple[str, int], ...],
    shown: Mapping[str, Any],
    *,
    method: str = "GET",
    needs_markets: bool = True,
    nonce: int | None = None,
) -> Call:
    """Return a call; `shown` are its parameters for logs and recordings."""
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in shown.items())
    url = f"ccxt://{session.exchange_id}/{name}" + (f"?{query}" if query else "")
    return Call(
        method,
        url,
        cost=cost,
        session=session,
        procedure=procedure,
        arguments=arguments,
        needs_markets=needs_markets,
        nonce=nonce,
    )


def dumped(result: Any) -> bytes:
    """Return a result of ccxt as JSON; objects of other types become text."""
    return orjson.dumps(result, default=str, option=orjson.OPT_NON_STR_KEYS)

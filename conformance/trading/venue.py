"""The exchange and account of the trading checks, and an independent witness of the account's state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

from ...connectors.market_codec import Codec
from ...connectors.order_codec import Auth, Draft, Reply, Signed, TradingCodec, joined
from ...connectors.reports import FillReport, OrderReport
from ...connectors.transport import Rest
from ...model.errors import RetryLater
from ...model.events import Side
from ...model.http import HttpRequest, HttpResponse
from ...model.instrument import Instrument
from ...model.order import AccountEvent, Balance, Fill, NewOrder, Order
from ...model.time import MILLISECOND_NS

VALIDITY_MS = 5_000
FRESH_NS = 20 * 10**9  # how long a measurement of the clock is used
SAMPLES = 3
TRIES = 3  # most attempts of a read that the exchange does not serve at once
AGAIN_S = 0.5


class Ledger(Protocol):
    """The exchange's own record of the account, read outside its trading API. The local exchange has one."""

    def problems(
        self,
        orders: Iterable[Order],
        fills: Iterable[Fill],
        events: Sequence[AccountEvent],
        balances: Mapping[str, Balance],
        handed_out: Iterable[str],
    ) -> list[str]:
        """Describe every difference between the mesh and the record. Blocks."""

    def trade(self, symbol: str, side: Side, price: Decimal) -> None:
        """Let another account take all orders at `price` or better as a taker of `side`. Blocks."""

    def withhold_fees(self, symbol: str, for_s: float, *, again: bool, zero: bool) -> None:
        """Let the exchange state no fee of the account's next fill, or `zero`, and the true fee `for_s` later: in its
        lists, and with `again` in another report. Blocks."""


@dataclass(frozen=True, slots=True)
class Venue:
    """An exchange to trade on, by URLs, and a key, by the names of its files. It contains no secret.

    `account` is an account's table of the configuration: `keys` and `passphrase_file`, or `api_key_file` and
    `secret_file`; `orders` ("rest", "websocket"), `stream` ("websocket", "polling"). A URL None means the connector's
    URL; `pair` None means the first example pair that trades. `witness` is another key of the account, by the names of
    its files, for the checks' own requests; None: the same key, even if requests have rising nonces. `limits` are rate
    limits that the exchange grants: amount and seconds, by name.
    """

    account: Mapping[str, Any]
    rest: str | None = None
    ws: str | None = None
    ws_api: str | None = None
    pair: str | None = None
    ledger: Ledger | None = None
    witness: Mapping[str, Any] | None = None
    limits: Mapping[str, tuple[int, float]] = field(default_factory=dict)


class Witness:
    """Queries the exchange with its own codec, clock and connections, independent of the roles under test.

    Its orders are external to the mesh. All methods run on one event loop.
    """

    def __init__(self, codec: TradingCodec, market: Codec, auth: Auth, instrument: Instrument) -> None:
        self.codec, self.auth, self.instrument = codec, auth, instrument
        self._market = market
        self._rest = Rest(timeout_s=10.0)
        self._offset_ns = 0
        self._measured_ns: int | None = None
        self._count = 0
        self._nonce = 0

    async def close(self) -> None:
        await self._rest.close()

    async def now_ns(self) -> int:
        """Return the time of the exchange's clock."""
        if self._measured_ns is None or time.monotonic_ns() - self._measured_ns > FRESH_NS:
            await self._measure()
        return time.time_ns() + self._offset_ns

    async def _measure(self) -> None:
        request = self._market.time_request()
        if request is not None:
            answers = [await self._served(request) for _ in range(SAMPLES)]
            quickest = min(answers, key=lambda answer: answer.recv_ns - answer.sent_ns)
            midway_ns = (quickest.sent_ns + quickest.recv_ns) // 2
            self._offset_ns = self._market.server_time(quickest.body) - midway_ns
        self._measured_ns = time.monotonic_ns()

    async def _served(self, request: HttpRequest) -> HttpResponse:
        """Return an answer of the market data; ask again, a few times, if the exchange does not serve now."""
        for tries_left in reversed(range(TRIES)):
            answer = await self._rest.send(request)
            failure = self._market.failure(answer)
            if failure is None:
                return answer
            if not isinstance(failure, RetryLater) or not tries_left:
                raise failure
            await asyncio.sleep(max(AGAIN_S, failure.after_s))
        raise AssertionError("not reached")

    async def sign(self, draft: Draft, validity_ms: int = VALIDITY_MS, ago_ns: int = 0) -> Signed:
        """Sign as if now were `ago_ns` earlier."""
        self._count += 1
        now_ns = await self.now_ns() - ago_ns
        if self.codec.offer.nonces and not ago_ns:
            self._nonce = max(self._nonce + 1, now_ns // MILLISECOND_NS)
            draft = replace(draft, nonce=self._nonce)
        return self.auth.sign(draft, f"witness-{self._count}", now_ns, validity_ms)

    async def send(self, signed: Signed) -> HttpResponse:
        """Send a signed request once and return the response, of any status."""
        assert signed.request is not None
        return await self._rest.send(signed.request)

    async def answer(self, draft: Draft) -> tuple[Signed, HttpResponse]:
        """Sign and send a request; return the signed request and the raw response."""
        signed = await self.sign(draft)
        return signed, await self.send(signed)

    async def ask(self, draft: Draft) -> Reply:
        """Sign, send and decode, page after page; repeat a read after RetryLater. Raises as `TradingCodec.reply`."""
        reply = await self._page(draft)
        while reply.then is not None:
            reply = joined(reply, await self._page(reply.then))
        return reply

    async def _page(self, draft: Draft) -> Reply:
        for tries_left in reversed(range(TRIES)):
            signed, response = await self.answer(draft)
            try:
                return self.codec.reply(signed, response)
            except RetryLater as error:
                if draft.changes or not tries_left:
                    raise
                await asyncio.sleep(max(AGAIN_S, min(error.after_s or 0.0, 60.0)))
        raise AssertionError  # unreachable: the last try returned or raised

    async def order(self, client_order_id: str) -> OrderReport | None:
        """Return one order; None when the exchange does not know the id."""
        reply = await self.ask(self.codec.query(client_order_id, self.instrument))
        return None if reply.absent else reply.orders[0]

    async def open_orders(self) -> dict[str, OrderReport]:
        """Return the open orders of the pair, by client order id."""
        reply = await self.ask(self.codec.open_orders())
        return {order.client_order_id: order for order in reply.orders if order.symbol == self.instrument.symbol}

    async def fills(self, exchange_order_id: str) -> dict[str, FillReport]:
        """Return the fills of one order, by trade id."""
        reply = await self.ask(self.codec.fills(self.instrument, None, exchange_order_id))
        return {fill.trade_id: fill for fill in reply.fills}

    async def balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return asset -> (free, locked), without assets whose balance is zero."""
        reply = await self.ask(self.codec.account())
        assert reply.account is not None
        return {asset: held for asset, held in reply.account.balances.balances.items() if any(held)}

    async def place(self, order: NewOrder) -> OrderReport:
        return (await self.ask(self.codec.place(order, self.instrument))).orders[0]

    async def cancel(self, order: Order) -> Reply:
        return await self.ask(self.codec.cancel(order, self.instrument))

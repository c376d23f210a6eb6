"""The gateway of one account: sends signed requests within the rate budget, with the exchange's time.

The order manager and the user stream use the gateway. Reads are signed when they are sent and may be sent again. A
request that changes something is signed (and journaled) before it reaches the gateway. Its bytes are written at most
once:

    process alive? -> not_after not passed? -> written -> answered, or outcome unknown

The gateway checks both at the last moment, when the connection is open and nothing is written yet.

If the exchange requires rising nonces, the order manager alone signs REST requests of the account (`nonces`). The user
stream's gateway then passes its reads to the manager (`manager`), and decodes the answers.

A request with a nonce waits until its turn, and one with a token for a connection that took the token. Such requests
are signed late: the journal has an end that allows for waiting as long as the request is valid, and the bytes are made
when they are written, with the time and the token of that moment and an end that is never later than the journaled one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ...connectors.market_codec import Codec
from ...connectors.order_codec import (
    CANCELS,
    At,
    Auth,
    Draft,
    Ends,
    GrantsAccess,
    JoinsQueries,
    Kind,
    Never,
    Refusal,
    Reply,
    Signed,
    TradingCodec,
    UsesTokens,
    joined,
)
from ...connectors.spec import ExchangeSpec
from ...connectors.transport import Attempted
from ...connectors.transport.calls import Calls
from ...model.errors import DataError, MeshError, Misconfigured, NotOffered, Rejected, RetryLater
from ...model.failpoint import reach
from ...model.http import HttpRequest, HttpResponse
from ...model.time import MILLISECOND_NS, SECOND_NS
from ..cell.role import Context
from ..limits.budget import WAIT_S, Budget, RestLike
from ..limits.counters import Counters
from ..limits.machine import Priority
from .clock import ExchangeClock
from .lookups import Lookups
from .nonces import Nonces

NONCE_TRIES = 4  # of one read
MOST_PAGES = 1_000  # of one answer
WRITING_MAX = 32  # changes at once, apart from cancels, so that a cancel finds a connection
TOKEN_AGAIN_S = 5.0
SHARED_S = 300.0  # how long new connections to market data share a token


class Gateway:
    """See the module. `start` before the first request; `close` at the end."""

    def __init__(
        self,
        context: Context,
        market: Codec,
        codec: TradingCodec,
        auth: Auth,
        rest: RestLike,
        budget: Budget,
        *,
        validity_ms: int,
        answer_s: float,
        calls: Calls | None = None,
        manager: str | None = None,
    ) -> None:
        """`manager`: the address that signs reads for this gateway, if the exchange requires rising nonces."""
        self.market, self.codec, self.auth, self.budget = market, codec, auth, budget
        self.validity_ms, self.answer_s, self.calls = validity_ms, answer_s, calls
        self.token = ""  # of the latest private connection, if the exchange uses tokens
        self._context = context
        self._rest = rest
        self._manager = manager if codec.offer.nonces else None
        self.nonces = Nonces(context.time_ns) if codec.offer.nonces and manager is None else None
        # With nonces one process signs all requests of a key; otherwise the order manager and the user stream both read
        share = 1.0 if codec.offer.nonces else 0.5
        self.counters = Counters(market.spec.key_limits, context.monotonic_ns, share)
        self._ids = itertools.count(1)
        self._tokens = codec if isinstance(codec, UsesTokens) else None
        self._shared = ("", 0)  # the token of market data, and when it came
        self._sharing = asyncio.Lock()
        self._lookups = Lookups(codec, self._read_pages) if isinstance(codec, JoinsQueries) else None
        self.clock = ExchangeClock(context, market, self._time)
        self._writing = asyncio.Semaphore(WRITING_MAX)
        self.clock_refusals = 0
        self.last_recv_ns: int | None = None  # monotonic time of the exchange's last answer

    @property
    def spec(self) -> ExchangeSpec:
        return self.market.spec

    def start(self) -> None:
        self.clock.start()
        if self.calls is not None:
            self.calls.start()

    async def close(self) -> None:
        await self.clock.stop()
        if self._lookups is not None:
            await self._lookups.stop()
        if self.calls is not None:
            await self.calls.stop()
        await self._rest.close()
        await self.budget.close()

    def beat(self) -> None:
        self.clock.beat()

    def status(self) -> dict[str, Any]:
        found = {**self.clock.status(), "key": self.auth.key_hint, "clock_refusals": self.clock_refusals}
        if self.calls is not None:
            found["calls"] = self.calls.status()
        if self.nonces is not None:
            found["nonce_refusals"] = self.nonces.refusals
        if counts := self.counters.status():
            found["counters"] = counts
        return found

    async def admit_private(self) -> Attempted:
        """Spend one attempt at a connection that takes signed messages: with the exchange's clock, and a new token if
        the exchange uses tokens.

        Raises:
            RetryLater, InboxFull, OutcomeUnknown: no attempt now.
        """
        await self.clock.ready()
        attempted = await self.budget.connection()
        if self._tokens is not None:
            self.token = await self.request_token(self._tokens)
            self._tokens.use_token(self.token)
        return attempted

    async def request_token(self, codec: UsesTokens) -> str:
        """Request a token for private connections. Raises as `admit_private`."""
        try:
            return (await self.read(codec.token(), Priority.ACCOUNT)).token or ""
        except (Rejected, Misconfigured, DataError) as error:
            raise RetryLater(TOKEN_AGAIN_S, f"the exchange gave no token: {error}") from error

    async def market_access(self, renew: bool = False) -> dict[str, str]:
        """Return what proves the account in subscriptions to market data.

        Connections that open within a few minutes share a token, because each request costs the key's rate limit;
        `renew`: the exchange has refused the last one.

        Raises:
            RetryLater: there is none now.
            NotOffered: the exchange has no such market data.
        """
        await self.clock.ready()
        if self._tokens is not None:
            asked_ns = self._context.monotonic_ns()
            async with self._sharing:
                token, at_ns = self._shared
                stale_ns = asked_ns if renew else asked_ns - int(SHARED_S * SECOND_NS)
                if not token or at_ns < stale_ns:
                    self._shared = await self.request_token(self._tokens), self._context.monotonic_ns()
                return {"token": self._shared[0]}
        if isinstance(self.codec, GrantsAccess):
            return self.codec.market_access(self.auth, self.clock.now_ns())
        raise NotOffered(self.spec.exchange, "market data that needs an account")

    async def _time(self, request: HttpRequest) -> tuple[int, HttpResponse]:
        lease = await self.budget.acquire(request.cost, Priority.ACCOUNT)
        sent_ns = self._context.monotonic_ns()
        return sent_ns, await self._send(request, lease)

    # ------------------------------------------------------------------ reading

    async def read(self, draft: Draft, priority: Priority = Priority.NORMAL, wait_s: float = WAIT_S) -> Reply:
        """Send a read and return the reply, with all its pages. If the exchange refuses the timestamp, measure the
        clock and send the read again, once. If the exchange refuses the nonce, send the read again with a higher nonce,
        a few times. Queries for single orders go in one request where the exchange takes that.

        Raises:
            Rejected, RetryLater, OutcomeUnknown, Misconfigured, DecodeError, InboxFull: as `TradingCodec.reply`,
                `Rest.send` and the budget. A read changes nothing.
        """
        if self._lookups is not None and draft.kind is Kind.ORDER and self._lookups.takes(draft):
            return await self._lookups.read(draft, priority, wait_s)
        return await self._read_pages(draft, priority, wait_s)

    async def _read_pages(self, draft: Draft, priority: Priority, wait_s: float) -> Reply:
        reply = await self._page(draft, priority, wait_s)
        for _ in range(MOST_PAGES):
            if reply.then is None:
                return reply
            reply = joined(reply, await self._page(reply.then, priority, wait_s))
        raise RetryLater(1.0, f"the answer to {draft.kind.value} has more than {MOST_PAGES} pages")

    async def _page(self, draft: Draft, priority: Priority, wait_s: float) -> Reply:
        for tries_left in reversed(range(NONCE_TRIES)):
            try:
                return await self._read(draft, priority, wait_s)
            except Rejected as error:
                sort = self.codec.refusal(error.code, error.reason)
                if sort is Refusal.NONCE and tries_left:
                    continue
                if not self.refused(error):
                    raise
                break
        await self.clock.measure_again()
        return await self._read(draft, priority, wait_s)

    async def _read(self, draft: Draft, priority: Priority, wait_s: float) -> Reply:
        if self._manager is not None and draft.signed:
            return await self._relayed(draft, priority)
        signed, response = await self._exchanged(draft, priority, wait_s)
        return self.codec.reply(signed, response)

    async def _relayed(self, draft: Draft, priority: Priority) -> Reply:
        """Let the order manager sign and send a read; decode the answer here."""
        assert self._manager is not None
        method, path = draft.rest
        body = {
            "kind": draft.kind.value,
            "method": method,
            "path": path,
            "params": [list(pair) for pair in draft.params],
            "urgent": priority <= Priority.URGENT,
        }
        plain = await self._context.ask(self._manager, "signed_read", body, self.answer_s + WAIT_S)
        response = HttpResponse(
            plain["status"], plain["headers"], plain["body"], plain["sent_ns"], self._context.time_ns()
        )
        self.last_recv_ns = self._context.monotonic_ns()
        return self.codec.reply(Signed(draft, f"relayed-{next(self._ids)}", Never(), "", ""), response)

    async def relay(self, draft: Draft, urgent: bool) -> HttpResponse:
        """Sign and send a read for another role of the account and return the response, of any status.

        Raises as `read`, except for errors in the answer.
        """
        priority = Priority.ACCOUNT if urgent else Priority.NORMAL
        return (await self._exchanged(draft, priority, WAIT_S, polls=not urgent))[1]

    async def _exchanged(
        self, draft: Draft, priority: Priority, wait_s: float, polls: bool = False
    ) -> tuple[Signed, HttpResponse]:
        if draft.signed:
            await self.clock.ready()
        patience_s = self.counters.patience_s(draft.cost)
        waits_s = max(wait_s, min(patience_s, self.answer_s) if polls else patience_s)  # a poller waits for its answer
        await self.counters.take(draft.cost, draft.pair, waits_s, reads=True, polls=polls, queue=priority)
        lease = await self.budget.acquire(draft.cost, priority, wait_s)
        try:
            signed = self._numbered(self.auth.sign, draft, f"read-{next(self._ids)}", self.clock.now_ns())
        except BaseException:
            self.budget.unsent(lease)
            raise
        assert signed.request is not None
        async with self._turn(signed):
            if draft.kind is Kind.DEAD_MAN:  # one that stood still must not arm the switch that its successor disarmed
                self._context.alive()
            response = await self._send(signed.request, lease)
        self._answered(signed, response)
        return signed, response

    async def count(self, draft: Draft) -> None:
        """Count a change against the counters of the key and account. A cancel does not wait for the counters.

        Raises:
            RetryLater: the counters are too high for as long as the request would be valid.
        """
        cost = draft.cost_at(self._context.time_ns())
        if draft.kind in CANCELS:
            self.counters.add(cost, draft.pair)
        else:
            await self.counters.take(cost, draft.pair, self.validity_ms / 1000)

    # ------------------------------------------------------------------ nonces

    def _numbered(
        self, sign: Callable[[Draft, str, int, int], Signed], draft: Draft, request_id: str, exchange_ns: int
    ) -> Signed:
        """Sign with the next nonce, if the transport uses nonces.

        Raises:
            Misconfigured: the order manager alone signs for this account.
        """
        if self._manager is not None and draft.signed and sign == self.auth.sign:
            raise Misconfigured("the account", f"{self._manager} alone signs its requests")
        if self.nonces is None or not draft.signed or sign == self.auth.sign_call:
            return sign(draft, request_id, exchange_ns, self.validity_ms)
        nonce = self.nonces.take()
        try:
            return sign(replace(draft, nonce=nonce), request_id, exchange_ns, self.validity_ms)
        except BaseException:
            self.nonces.end(nonce)
            raise

    @contextlib.asynccontextmanager
    async def _turn(self, signed: Signed) -> AsyncIterator[None]:
        """Delay the request until all requests with lower nonces are answered or given up."""
        if self.nonces is None or signed.draft.nonce is None:
            yield
            return
        async with self.nonces.turn(signed.draft.nonce):
            self._context.alive()  # a fenced owner must not send after its successor
            yield

    @contextlib.asynccontextmanager
    async def _room(self, signed: Signed) -> AsyncIterator[None]:
        """Delay the request, unless it is a cancel, until few others are written to REST."""
        if signed.draft.kind in CANCELS:
            yield
            return
        async with self._writing:
            yield

    def _answered(self, signed: Signed, response: HttpResponse) -> None:
        """Apply an answer's facts about the nonces of the key and the counters of the key and account."""
        draft = signed.draft
        self.counters.stated(self.budget.read(response.status, response.headers, response.body, draft.cost), draft.pair)
        self._nonce_answered(signed, response)

    def _nonce_answered(self, signed: Signed, response: HttpResponse) -> None:
        if self.nonces is None or signed.draft.nonce is None:
            return
        self.nonces.answered(refused=self._refuses_nonce(signed, response))

    def _refuses_nonce(self, signed: Signed, response: HttpResponse) -> bool:
        try:
            self.codec.reply(signed, response)
        except Rejected as error:
            return self.codec.refusal(error.code, error.reason) is Refusal.NONCE
        except MeshError:
            return False
        return False

    def give_up(self, signed: Signed) -> None:
        """Release this request's turn: it will not be written, or was answered. Requests with higher nonces
        continue."""
        if self.nonces is not None and signed.draft.nonce is not None:
            self.nonces.end(signed.draft.nonce)

    async def _send(self, request: HttpRequest, lease: int) -> HttpResponse:
        """Send under a lease of the rate budget, and settle the lease."""
        try:
            response = await self._rest.send(request, self.answer_s)
        except RetryLater:
            self.budget.unsent(lease)
            raise
        except BaseException:
            self.budget.lost(lease, request.cost)
            raise
        self.budget.answered(lease, response, request.cost)
        self.last_recv_ns = self._context.monotonic_ns()
        return response

    def refused(self, error: Rejected) -> bool:
        """Return whether the exchange refused our timestamp; if so, measure its clock again."""
        if self.codec.refusal(error.code, error.reason) is not Refusal.CLOCK:
            return False
        self.clock_refusals += 1
        self.clock.measure_soon()
        return True

    # ------------------------------------------------------------------ changing

    def sign(self, draft: Draft, request_id: str, exchange_ns: int) -> Signed:
        """Sign for the transport of this account, REST or websocket, with this time of the exchange's clock.

        Sends nothing. A request that is signed late has the latest end that it may get when it is written.
        """
        sign = self.auth.sign_call if self.calls is not None and draft.call is not None else self.auth.sign
        return self._numbered(sign, draft, request_id, self._latest_ns(exchange_ns))

    def sign_rest(self, draft: Draft, request_id: str) -> Signed:
        """Sign for REST, as `sign`, with the current time of the exchange's clock. Sends nothing."""
        return self._numbered(self.auth.sign, draft, request_id, self._latest_ns(self.clock.now_ns()))

    @property
    def _signs_late(self) -> bool:
        return self.nonces is not None or (self.calls is not None and self._tokens is not None)

    def _latest_ns(self, exchange_ns: int) -> int:
        """Return the latest time at which a request that is signed now may be written."""
        return exchange_ns + (self.validity_ms * MILLISECOND_NS if self._signs_late else 0)

    def _fresh(self, signed: Signed) -> Signed:
        """Return a request as it is written now: signed again with the time and token of now, if it is signed late.

        Raises:
            RetryLater: it waited too long.
        """
        if not self._signs_late or not isinstance(signed.ends, At):
            return signed
        sign = self.auth.sign if signed.call is None else self.auth.sign_call
        fresh = sign(signed.draft, signed.request_id, self.clock.now_ns(), self.validity_ms)
        if fresh.not_after_ns > signed.not_after_ns:
            raise RetryLater(0.0, f"this {signed.draft.kind.value} request waited too long to be sent")
        return fresh

    def can_prepare(self, signed: Signed) -> bool:
        """Return whether `write` may be called with `release`: a call, or a REST request whose bytes are final."""
        return signed.call is not None or not self._signs_late

    async def write(
        self,
        signed: Signed,
        written: Callable[[Ends], None] | None = None,
        release: asyncio.Future[None] | None = None,
    ) -> HttpResponse:
        """Write a request once and return the response, of any status. Once it is written, call `written` with the end
        of the written bytes. With `release` the request waits, ready to be written, until that future is done.

        Raises:
            RetryLater: provably not written: no connection, or the signature's validity had ended.
            OutcomeUnknown: perhaps written; no complete answer came.
            DecodeError, Misconfigured: as `Rest.send`.
        """

        def last_look(fresh: Signed) -> bytes | None:
            self._context.alive()
            if release is not None:
                reach("request.send")
            if self.clock.now_ns() > fresh.not_after_ns:
                raise RetryLater(
                    0.0, f"the validity of this {signed.draft.kind.value} request ended before it could be sent"
                )
            reach("request.write")
            loop.call_soon(reach, "request.written")
            if written is not None:
                loop.call_soon(written, fresh.ends)
            return fresh.call

        loop = asyncio.get_running_loop()
        if release is None:
            reach("request.send")
        if signed.call is not None:
            if self.calls is None:
                raise Misconfigured(
                    "orders", "the request is a websocket call, and this account has no websocket for orders"
                )
            response = await self.calls.send(signed, self.answer_s, lambda: last_look(self._fresh(signed)), release)
        else:
            async with self._turn(signed), self._room(signed):
                fresh = self._fresh(signed)
                assert fresh.request is not None
                look = partial(last_look, fresh)
                response = await self._rest.send(fresh.request, self.answer_s, before_write=look, release=release)  # type: ignore[call-arg]
        self._answered(signed, response)
        reach("request.answered")
        self.last_recv_ns = self._context.monotonic_ns()
        return response

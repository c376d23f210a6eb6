"""Test the connection to an exchange (`venuemesh connect`) and send it one raw request (`venuemesh api`).

Both work outside any mesh: this process reads the key, signs one request, and drops the key.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..conformance.market.live import choose
from ..connectors import registry
from ..connectors.exchange_clock import ClockOffset
from ..connectors.gzip_frames import inflate
from ..connectors.market_codec import Codec, DialedByRequest, OpensConnections
from ..connectors.order_codec import Signed, trading_connector
from ..connectors.reports import AccountReport
from ..connectors.settings import ConnectorSettings, OptionValue
from ..connectors.spec import ExchangeSpec
from ..connectors.transport import Feed, Link, Rest
from ..keystore.key import Key
from ..model.errors import DecodeError, MeshError, Misconfigured, Rejected, RetryLater
from ..model.events import DepthDelta, DepthSnapshot, PublicTrade, Say, Subscribed, SubscribeRefused, Ticker
from ..model.http import HttpRequest, HttpResponse
from ..model.instrument import Instrument
from ..model.order import Balance
from ..model.time import MILLISECOND_NS, SECOND_NS

CLOCK_SAMPLES = 7
OFFSET_SAMPLES = 3  # time for measuring the clock before one signed request
VALIDITY_MS = 5000  # validity of the one signed request
LISTEN_S = 1.0  # how long frames are counted after the first frame
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
RATE_HEADER = re.compile(r"retry-after|rate-?limit|used-weight|order-count|limit-remaining")


@dataclass(frozen=True, slots=True)
class Checked:
    """One step that succeeded, how long it took, and its result in words."""

    what: str
    ms: float
    result: str


class Probe:
    """One run of `connect`. `checked` lists the steps that succeeded, also when a later step fails.

    `account` is what the exchange reported about the key's account; None until then.
    """

    def __init__(
        self,
        exchange: str,
        pair: str | None = None,
        rest: str | None = None,
        ws: str | None = None,
        timeout_s: float = 10.0,
        key: Key | None = None,
        options: Mapping[str, OptionValue] | None = None,
        environment: str | None = None,
    ) -> None:
        """Raises UnknownExchange and Misconfigured as `registry.connector`; NotOffered: a key, but no trading."""
        self.checked: list[Checked] = []
        self.account: AccountReport | None = None
        settings = ConnectorSettings(exchange, rest=rest, ws=ws, environment=environment, options=options or {})
        connector = settings.find()
        self._codec = settings.market_codec()
        self._offset_ns = 0
        self._key = None if key is None else (key.kind, key.hint)
        if key is not None:
            self._trading = settings.order_codec()
            self._auth = trading_connector(connector).auth(key.kind, key.api_key, key.secret, **key.fields)
        self._rest_base = settings.rest_base
        self._pair = pair
        self._timeout_s = timeout_s

    async def run(self) -> None:
        """Ping, compare clocks, read the list of instruments, read the key's account if a key was given, subscribe to
        one pair and receive its frames.

        Raises:
            Misconfigured: the exchange refuses the key.
            RetryLater, OutcomeUnknown: the exchange cannot be reached, or does not answer in time.
            Rejected: the exchange refused a request or the subscription.
            DecodeError: the exchange does not speak the protocol of its connector.
            UnknownInstrument: the exchange does not list the pair as trading.
        """
        rest = Rest(timeout_s=self._timeout_s)
        try:
            await self._ping(rest)
            await self._clock(rest)
            instrument = await self._instruments(rest)
            if self._key is not None:
                await self._account(rest, *self._key)
            url = await self._address(rest)
        finally:
            await rest.close()
        await self._stream(instrument, url)

    def balances(self) -> dict[str, Balance] | None:
        """The balances of the account by asset; None before they are known. Everything free counts as available."""
        if self.account is None:
            return None
        held = self.account.balances.balances
        return {asset: Balance(asset, free + locked, free, locked, free) for asset, (free, locked) in held.items()}

    async def _send(self, rest: Rest, request: HttpRequest) -> HttpResponse:
        response = await rest.send(request)
        error = self._codec.failure(response)
        if error is not None:
            raise error
        return response

    async def _ping(self, rest: Rest) -> None:
        endpoint = self._codec.spec.endpoints.get("ping")
        request = self._codec.time_request()
        if endpoint is not None:
            request = HttpRequest(endpoint.method, f"{self._rest_base}{endpoint.path}", cost=endpoint.cost)
        if request is None:
            return
        began = time.perf_counter()
        await self._send(rest, request)
        self._passed("ping", began, f"{request.method} {request.url}")

    async def _clock(self, rest: Rest) -> None:
        began = time.perf_counter()
        found = await measure_clock(self._codec, rest, CLOCK_SAMPLES)
        if found is None:
            return
        self._offset_ns, error_ns = found
        resolution_ns = self._codec.spec.time_resolution_ns
        self._passed("clock", began, clock_text(self._offset_ns, error_ns, resolution_ns, CLOCK_SAMPLES))

    async def _instruments(self, rest: Rest) -> Instrument:
        began = time.perf_counter()
        answer = await self._send(rest, self._codec.instruments_request())
        listed = self._codec.instruments(answer.body)
        chosen = choose(self._codec, listed, self._pair)
        trading = sum(instrument.is_trading for instrument in listed)
        odd = f", {len(listed.left_out)} left out" if listed.left_out else ""
        self._passed("instruments", began, f"{len(listed)} listed, {trading} trading{odd}")
        return chosen

    async def _account(self, rest: Rest, kind: str, hint: str) -> None:
        """Request the account once, signed with the exchange's time."""
        began = time.perf_counter()
        now_ns = time.time_ns() + self._offset_ns
        signed = self._auth.sign(self._trading.account(), "connect", now_ns, VALIDITY_MS)
        if signed.request is None:
            raise Misconfigured("the account", "the exchange does not offer it over REST")
        account = self._trading.reply(signed, await rest.send(signed.request)).account
        if account is None:
            raise DecodeError("the answer does not describe the account", None)
        self.account = account
        self._passed("key", began, f"{kind} key {hint} accepted")
        may = "may trade" if account.can_trade else "may NOT trade"
        permissions = f"; permissions: {', '.join(account.permissions)}" if account.permissions else ""
        fees = f"; maker {account.maker_fee:f}, taker {account.taker_fee:f}" if account.maker_fee is not None else ""
        self._passed("account", began, f"{may}{permissions}{fees}; {len(account.balances.balances)} assets")

    async def _address(self, rest: Rest) -> str:
        """Return the websocket URL; some exchanges answer over REST with a URL for one connection only."""
        if not isinstance(self._codec, DialedByRequest):
            return self._codec.ws_url()
        answer = await self._send(rest, self._codec.dial_request())
        return self._codec.dial(answer.body).url

    async def _stream(self, instrument: Instrument, url: str) -> None:
        self._codec.bind([instrument])
        listener = _Listener(self._codec, instrument)
        feed = Feed(
            lambda: url,
            listener,
            on_failure=listener.fail,
            admit=listener.once,
            silence_s=self._codec.spec.silence_s,
            connect_timeout_s=self._timeout_s,
        )
        listener.feed = feed
        began = time.perf_counter()
        feed.start()
        try:
            await listener.until(listener.opened, self._timeout_s, "no websocket connection")
            self._passed("websocket", began, self._codec.ws_url())
            began = time.perf_counter()
            await listener.until(
                listener.confirmed, self._timeout_s, f"the subscription of {instrument.name} was not answered"
            )
            self._passed("subscription", began, f"{instrument.name} ({instrument.symbol}) confirmed")
            await listener.until(listener.received, self._timeout_s, f"no frame of {instrument.name} arrived")
            first = time.perf_counter()
            await listener.until(None, LISTEN_S, "")
            counts = f"{listener.deltas} deltas, {listener.trades} trades, first after {(first - began) * 1e3:.0f} ms"
            self._passed("frames", first, counts)
        finally:
            await feed.stop()

    def _passed(self, step: str, began: float, result: str) -> None:
        self.checked.append(Checked(step, (time.perf_counter() - began) * 1e3, result))


class _Lost(Exception):
    """The one connection attempt of a probe failed."""


class _Listener:
    """Handler of the probe's one connection: subscribes, and counts what arrives."""

    def __init__(self, codec: Codec, instrument: Instrument) -> None:
        loop = asyncio.get_running_loop()
        self._codec, self._instrument = codec, instrument
        self.opened: asyncio.Future[None] = loop.create_future()
        self.confirmed: asyncio.Future[None] = loop.create_future()
        self.received: asyncio.Future[None] = loop.create_future()
        self._failed: asyncio.Future[None] = loop.create_future()
        self._waiting: set[str] = set()
        self._attempts = 0
        self.feed: Feed | None = None
        self._link: Link | None = None
        self.deltas = self.trades = 0

    async def once(self) -> None:
        """Admit one attempt: a probe reports a failure instead of trying again."""
        self._attempts += 1
        if self._attempts > 1:
            raise _Lost(self.feed.last_error if self.feed is not None else None)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, _Lost):
            error = RetryLater(1.0, f"{self._codec.ws_url()}: {error.args[0] or 'the connection ended'}")
        if not self._failed.done():
            self._failed.set_exception(error)

    async def until(self, what: asyncio.Future[None] | None, seconds: float, otherwise: str) -> None:
        """Wait for `what`, or `seconds` if it is None. Raises the listener's error; RetryLater(`otherwise`)."""
        awaited = {self._failed} if what is None else {self._failed, what}
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            self._failed.result()
        if what is not None and not what.done():
            raise RetryLater(1.0, f"{otherwise} within {seconds:g} s")

    def on_open(self, link: Link) -> None:
        self._link = link
        messages = self._codec.opening(1) if isinstance(self._codec, OpensConnections) else []
        messages = [*messages, *self._codec.subscribe([self._instrument], 1 + len(messages))]
        self._waiting = {str(expected.key) for message in messages for expected in message.expects}
        for message in messages:
            link.send(message.frame)
        _done(self.opened)

    def on_frame(self, frame: memoryview | bytes, recv_ns: int) -> None:
        if self._codec.spec.gzip:
            frame = inflate(frame)
        for event in self._codec.decode(frame, recv_ns):
            match event:
                case Subscribed(key):
                    self._waiting.discard(str(key))
                    if not self._waiting:
                        _done(self.confirmed)
                case SubscribeRefused(_, code, reason):
                    raise Rejected(code, reason)
                case Say(answer):
                    if self._link is not None:
                        self._link.send(answer)
                case DepthDelta() | DepthSnapshot() | PublicTrade() | Ticker():
                    self.deltas += isinstance(event, DepthDelta)
                    self.trades += isinstance(event, PublicTrade)
                    _done(self.received)
                case _:
                    pass

    def on_close(self, reason: str) -> None:
        """Ignore the loss: the feed calls `once` before another attempt."""


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one raw request. `error` is the connector's reading of a failure; None for a success."""

    status: int
    headers: dict[str, str]
    body: bytes
    ms: float
    error: Exception | None

    @property
    def is_json(self) -> bool:
        try:
            json.loads(self.body)
        except (ValueError, RecursionError):
            return False
        return True

    def rate_headers(self, spec: ExchangeSpec) -> dict[str, str]:
        """Return the headers that describe rate limits."""
        return {
            name: value
            for name, value in self.headers.items()
            if name in spec.used_headers or RATE_HEADER.search(name) is not None
        }


async def ask(
    exchange: str,
    method: str,
    path: str,
    params: Sequence[str],
    rest: str | None = None,
    key: Key | None = None,
    environment: str | None = None,
) -> Answer:
    """Send one request as given. `params` are key=value, in that order. With a key, sign it with the exchange's time.

    Raises:
        UnknownExchange, Misconfigured: no such exchange, method, path or parameter; nothing was sent.
        NotOffered: a key was given, but the connector does not sign.
        RetryLater, OutcomeUnknown: no answer came.
    """
    connector = registry.connector(exchange)
    settings = ConnectorSettings(exchange, rest=rest, environment=environment)
    codec = settings.market_codec()
    method = method.upper()
    if method not in METHODS:
        raise Misconfigured(f"method {method!r}", f"is not one of {', '.join(METHODS)}")
    if not path.startswith("/") or path.startswith("//"):
        raise Misconfigured(f"path {path!r}", "must begin with one / and must not name a host")
    pairs = [_pair(param) for param in params]
    signed: Signed | None = None
    client = Rest(timeout_s=10.0)
    try:
        if key is None:
            url = f"{settings.rest_base}{path}"
            if query := "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs):
                url += ("&" if "?" in path else "?") + query
            request = HttpRequest(method, url)
        else:
            trading = settings.order_codec()
            draft = trading.raw(method, path, pairs, True)
            auth = trading_connector(connector).auth(key.kind, key.api_key, key.secret, **key.fields)
            found = await measure_clock(codec, client, OFFSET_SAMPLES)
            now_ns = time.time_ns() + (0 if found is None else found[0])
            signed = auth.sign(draft, "api", now_ns, VALIDITY_MS)
            if signed.request is None:
                raise Misconfigured(f"path {path!r}", "the connector cannot sign this request for REST")
            request = signed.request
        response = await client.send(request)
    finally:
        await client.close()
    error = codec.failure(response, changes=method not in ("GET", "HEAD"))
    if error is not None and signed is not None:
        try:
            trading.reply(signed, response)  # the trading codec recognises refusals of keys
        except MeshError as better:
            error = better
    took_ms = (response.recv_ns - response.sent_ns) / 1e6
    return Answer(response.status, response.headers, response.body, took_ms, error)


async def measure_clock(codec: Codec, rest: Rest, samples: int) -> tuple[int, int] | None:
    """Return the exchange's clock minus ours and the error, in ns. None: the exchange has no clock."""
    request = codec.time_request()
    if request is None:
        return None
    offset, recv_ns = ClockOffset(codec.spec.time_resolution_ns), 0
    for _ in range(samples):
        answer = await rest.send(request)
        if (error := codec.failure(answer)) is not None:
            raise error
        recv_ns = max(answer.sent_ns, answer.recv_ns)
        offset.add(answer.sent_ns, recv_ns, codec.server_time(answer.body))
    return offset.exchange_now_ns(recv_ns) - recv_ns, offset.error_ns(recv_ns)


def clock_text(offset_ns: int, error_ns: int, resolution_ns: int, samples: int) -> str:
    """Describe the difference of two clocks, only as precisely as its error allows."""
    unit, scale = ("s", SECOND_NS) if resolution_ns >= SECOND_NS else ("ms", MILLISECOND_NS)
    basis = f"{samples} samples" + (f" of whole multiples of {resolution_ns / scale:g} s" if unit == "s" else "")
    if abs(offset_ns) <= error_ns:
        return (
            f"the exchange's clock agrees with ours within {(abs(offset_ns) + error_ns) / scale:.1f} {unit} ({basis})"
        )
    where = "ahead of" if offset_ns > 0 else "behind"
    found = f"the exchange's clock is {abs(offset_ns) / scale:.1f} {unit} {where} ours"
    return f"{found}, within {error_ns / scale:.1f} {unit} ({basis})"


def _pair(param: str) -> tuple[str, str]:
    key, separator, value = param.partition("=")
    if not key or not separator:
        raise Misconfigured(f"parameter {param!r}", "is not key=value")
    return key, value


def pretty(body: bytes, indent: int | None = 2) -> str:
    """Return JSON indented, with every number in the exchange's own form; other text unchanged."""
    try:
        data: Any = json.loads(body, parse_float=lambda text: f"\0{text}")
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return re.sub(r'"\\u0000([^"]*)"', r"\1", json.dumps(data, indent=indent, ensure_ascii=False))

"""REST over one shared session: one request, one answer, and typed errors for a missing answer.

    no connection for the request             RetryLater: provably not executed
    a connection, but no complete answer      OutcomeUnknown: bytes may have been sent, the exchange may have acted
    an answer, of any status                  HttpResponse: the codec judges it

No request is sent twice, no redirect is followed, and the URL is sent byte for byte as given (it may be signed).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ...model.errors import DecodeError, Misconfigured, OutcomeUnknown, RetryLater
from ...model.http import Conversation, HttpRequest, HttpResponse
from .clock import SYSTEM_CLOCK, Clock
from .proxy import Proxy, proxy_for
from .tunnel import connector_through, is_network_error, system_reason

KEEPALIVE_S = 30.0
RETRY_S = 1.0  # the delay of RetryLater when no connection could be opened
CHUNK = 64 * 1024
QUERY = re.compile(r"\?[^\s'\")]*")

# errors of aiohttp that add nothing to those of the system
PLAIN = (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError)


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """Whether a request got a connection, so that its bytes may have been sent."""

    what: str
    limit_s: float
    clock: Clock
    before_write: Callable[[], None] | None = None
    refusal: Exception | None = None  # what `before_write` raised
    release: asyncio.Future[None] | None = None
    limit: asyncio.Timeout | None = None
    connected: bool = False
    sent_ns: int = 0

    async def begin(self) -> None:
        """Called with an open connection: wait for the release, then look a last time."""
        if self.release is not None and self.limit is not None:
            self.limit.reschedule(None)
            await self.release
            self.limit.reschedule(asyncio.get_running_loop().time() + self.limit_s)
        if self.before_write is not None:
            try:
                self.before_write()
            except Exception as refusal:
                self.refusal = refusal
                raise
        self.sent_ns = self.clock.time_ns()
        self.connected = True


async def _on_connection(session: aiohttp.ClientSession, context: object, params: object) -> None:
    """Record the connection, and refuse a second one: aiohttp itself repeats idempotent methods (including DELETE,
    which cancels orders), and a written request must not be written again."""
    attempt = getattr(context, "trace_request_ctx", None)
    if isinstance(attempt, _Attempt):
        if attempt.connected:
            raise OutcomeUnknown(attempt.what, "the connection was lost after the request was written")
        if isinstance(params, aiohttp.TraceConnectionCreateStartParams):
            return
        await attempt.begin()


class Rest:
    """A session for all requests of one process. Connections open on first use and stay open.

    Args:
        timeout_s: for one request, from the call to the last byte of its answer.
        max_body: bytes of an answer, after decompression.
        connections: most at once; the time that a request waits for a connection counts towards its timeout.
    """

    def __init__(
        self,
        timeout_s: float = 10.0,
        max_body: int = 64 * 1024 * 1024,
        *,
        connections: int = 32,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._timeout_s = timeout_s
        self._max_body = max_body
        self._connections = connections
        self._clock = clock
        self._sessions: dict[Proxy | None, aiohttp.ClientSession] = {}  # one for each SOCKS proxy, one for the rest
        self._closed = False
        self._proxies: dict[str, Proxy | None] = {}  # by origin, of which there are few

    def _open(self, proxy: Proxy | None) -> aiohttp.ClientSession:
        """Return the session whose connections go through a SOCKS proxy; any other proxy is given with each request."""
        if self._closed:
            raise RuntimeError("this Rest is closed")
        through = proxy if proxy is not None and proxy.is_socks else None
        if through not in self._sessions:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_start.append(_on_connection)
            trace.on_connection_create_end.append(_on_connection)
            trace.on_connection_reuseconn.append(_on_connection)
            self._sessions[through] = aiohttp.ClientSession(
                connector=self._connector(through),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "venuemesh"},
                skip_auto_headers=("Content-Type",),
                trace_configs=[trace],
            )
        return self._sessions[through]

    def _connector(self, through: Proxy | None) -> aiohttp.BaseConnector:
        if through is not None:
            return connector_through(through, self._connections, KEEPALIVE_S)
        return aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_S)

    async def send(
        self,
        request: HttpRequest,
        timeout_s: float | None = None,
        before_write: Callable[[], None] | None = None,
        release: asyncio.Future[None] | None = None,
    ) -> HttpResponse:
        """Send `request` once and return the answer, of any status.

        `before_write` is called when the connection is open and nothing is written yet; its errors are raised here,
        and nothing was sent. With `release` the request is prepared and waits, with an open connection, until that
        future is done; the timeout then begins. Cancelling the future cancels this call, and nothing was sent.

        Raises:
            RetryLater: no connection could be opened; nothing was sent.
            OutcomeUnknown: bytes may have been sent, and no complete answer came in time.
            DecodeError: the answer's body is larger than `max_body`.
            Misconfigured: the URL, the proxy that the environment sets, or the server's certificate is not valid.
        """
        if isinstance(request, Conversation):
            return await self._converse(request, timeout_s, before_write, release)
        proxy = self._proxy(request.url)
        session = self._open(proxy)
        path = urlsplit(request.url).path
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        attempt = _Attempt(
            what=f"{request.method} {path}",
            limit_s=limit_s,
            clock=self._clock,
            before_write=before_write,
            release=release,
        )
        try:
            async with (
                asyncio.timeout(limit_s) as attempt.limit,
                session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=list(request.headers),
                    data=request.body or None,
                    allow_redirects=False,
                    proxy=None if proxy is None or proxy.is_socks else proxy.url,
                    trace_request_ctx=attempt,
                ) as answer,
            ):
                body = await self._read(answer)
                return HttpResponse(answer.status, _lower(answer.headers), body, attempt.sent_ns, self._clock.time_ns())
        except (
            aiohttp.ClientConnectorCertificateError,
            aiohttp.InvalidURL,
            aiohttp.NonHttpUrlClientError,
            ValueError,
        ) as error:
            if error is attempt.refusal:
                raise
            if attempt.connected:
                raise OutcomeUnknown(attempt.what, _reason(error)) from error
            raise Misconfigured(f"{request.method} {_origin(request.url)}", _reason(error)) from error
        except Exception as error:
            if error is attempt.refusal or not is_network_error(error):
                raise
            reason = f"no complete answer within {limit_s:g} s" if isinstance(error, TimeoutError) else _reason(error)
            if attempt.connected:
                raise OutcomeUnknown(attempt.what, reason) from _cause(error)
            raise RetryLater(RETRY_S, f"{_origin(request.url)} cannot be reached: {reason}") from error

    async def _converse(
        self,
        whole: Conversation,
        timeout_s: float | None,
        before_write: Callable[[], None] | None,
        release: asyncio.Future[None] | None,
    ) -> HttpResponse:
        """Send the parts of a conversation, each with its own timeout and last look; the first waits for the release.

        Raises as `send`; OutcomeUnknown also for a part that was not sent, if a part before it may have changed
        something.
        """
        waits, changed = release, False

        async def send(part: HttpRequest) -> HttpResponse:
            nonlocal waits, changed
            first, waits = waits, None
            try:
                answer = await self.send(part, timeout_s, before_write, first)
            except RetryLater as error:
                if changed:
                    raise OutcomeUnknown(urlsplit(whole.url).path, f"a part of it was sent; then {error}") from error
                raise
            changed = changed or part.method != "GET"
            return answer

        return await whole.converse(send)

    def _proxy(self, url: str) -> Proxy | None:
        """Read the environment once per origin, because reading takes most of a millisecond."""
        origin = _origin(url)
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(url)
        return self._proxies[origin]

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        """Return the whole body; stop reading above the allowed size."""
        parts: list[bytes] = []
        size = 0
        async for part in answer.content.iter_chunked(CHUNK):
            size += len(part)
            if size > self._max_body:
                answer.close()
                raise DecodeError(f"a body of more than {self._max_body} bytes (status {answer.status})")
            parts.append(part)
        return b"".join(parts)

    async def close(self) -> None:
        """Close all connections. Requests under way end with OutcomeUnknown."""
        self._closed = True
        for session in self._sessions.values():
            await session.close()


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _cause(error: BaseException) -> BaseException | None:
    """Return a cause that may be shown. The error of an answer that is not HTTP quotes the request, with its key."""
    return None if isinstance(error, aiohttp.ClientResponseError) else error


def _reason(error: BaseException) -> str:
    """Return the text of an error without the queries of URLs, which may be signed."""
    if isinstance(error, aiohttp.ClientConnectorError) and type(error) in PLAIN:
        return system_reason(error.os_error)  # without the words of aiohttp around it
    words = QUERY.sub("?...", str(error))
    return f"{type(error).__name__}: {words}" if words else type(error).__name__

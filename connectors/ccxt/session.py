"""One instance of a ccxt class: it makes and signs requests and reads answers; our transport sends them.

A method of ccxt may need several requests, such as one for the id of the account before the first order. `Session.call`
runs the method; each of its requests goes through the `Send` of the caller, so that the process's connections, proxies,
limits of size and the last look before an order is written are those of any other connector. ccxt's own retries are
off. Its own rate limiter is on, because ccxt alone knows what each request costs.

Numbers of orders stay text: ccxt reads them with `number = str`, and its JSON with fractions as text.
"""

from __future__ import annotations

import asyncio
import decimal
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ...model.errors import Misconfigured
from ...model.http import HttpRequest, HttpResponse
from ..order_codec import SignedRequest
from .package import exchange_class

Send = Callable[[HttpRequest], Awaitable[HttpResponse]]
_send: ContextVar[Send] = ContextVar("send")
_nonces: ContextVar[Iterator[int] | None] = ContextVar("nonces", default=None)

KEYED_BOOKS = frozenset({"coinbaseexchange"})  # ccxt subscribes to books with a key there, which market data has not
CREDENTIALS = ("apiKey", "secret", "password", "uid", "login", "walletAddress", "privateKey", "token", "accountId")


class Failed(Exception):
    """ccxt raised: the names of its error's classes, the most specific first, and the error's text."""

    def __init__(self, error: BaseException) -> None:
        self.kinds = tuple(kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception))
        self.reason = str(error)
        super().__init__(f"{self.kinds[0]}: {self.reason}")


def _keep_unheard(client: Any) -> None:
    """Keep a result that comes while nothing waits for its message hash: the next wait for that hash gets it at once.

    ccxt drops it. Between the end of one wait and the next there are steps of the event loop, so of two messages that
    came together the second one, such as the balances after a fill, was lost until the next change.
    """
    future, resolve = client.future, client.resolve
    known: set[str] = set()  # hashes that were waited for; others are answers to single requests
    client.unheard = {}

    def waited(message_hash: str) -> Any:
        known.add(message_hash)
        found = future(message_hash)
        if message_hash in client.unheard:
            resolve(client.unheard.pop(message_hash), message_hash)
        return found

    def resolved(result: Any, message_hash: str) -> Any:
        if message_hash in known and message_hash not in client.futures:
            client.unheard[message_hash] = result
        return resolve(result, message_hash)

    client.future, client.resolve = waited, resolved


def _text_of_json(text: str) -> Any:
    return json.loads(text, parse_float=str)


def _through_our_transport(base: type[Any]) -> type[Any]:
    """Return ccxt's class with requests by our transport, and with numbers of JSON as the exchange wrote them."""

    class Bridged(base):  # type: ignore[misc]
        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            sent = self.prepare_request_headers(headers)
            content = body.encode() if isinstance(body, str) else body or b""
            pairs = tuple((str(name), str(value)) for name, value in sent.items() if value is not None)
            answer = await _send.get()(SignedRequest(method, url, pairs, content))
            text = answer.body.decode("utf-8", "replace")
            titled = {name.title(): value for name, value in answer.headers.items()} | answer.headers
            text = self.on_rest_response(answer.status, "", url, method, titled, text, sent, body)
            read = self.parse_json(text)
            self.handle_errors(answer.status, "", url, method, titled, text, read, sent, body)
            self.handle_http_status_code(answer.status, "", url, method, text)
            return text if read is None else read

        def nonce(self) -> Any:
            given = _nonces.get()
            return super().nonce() if given is None else next(given)

        def client(self, url: str) -> Any:
            found = super().client(url)
            if not hasattr(found, "unheard"):
                _keep_unheard(found)
            if self.heard is not None and not hasattr(found, "heard"):
                read, found.heard = found.handle_message, self.heard

                def noted(message: Any) -> None:
                    try:
                        read(message)
                    except Exception as error:  # it would end the loop of ccxt silently
                        found.heard(error)
                    else:
                        found.heard(None)

                found.handle_message = noted
            return found

        def on_json_response(self, response_body: str) -> Any:
            return _text_of_json(response_body)

    Bridged.__name__ = base.__name__
    return Bridged


class Session:
    """See the module. `rest`, `ws` and `private` replace the origin of ccxt's URLs (None: ccxt's own).

    `key`: ccxt's credentials by their names (`CREDENTIALS`). `settings` pass to ccxt's constructor unchanged. Has
    secrets: its repr shows none.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        rest: str | None = None,
        ws: str | None = None,
        private: str | None = None,
        key: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        sandbox: bool = False,
        exact: bool = True,
        on_message: Callable[[Exception | None], None] | None = None,
    ) -> None:
        """`exact`: numbers stay text; streamed books of ccxt need floats. `on_message` is called after every message of
        a websocket, with what ccxt raised when it read the message."""
        self.exchange_id = exchange_id
        bases, given = (rest, ws, private), {**(settings or {}), **(key or {})}
        self._make: Callable[[], Any] = lambda: _made(exchange_id, bases, given, sandbox, exact)
        self._on_message = on_message
        self._exchange: Any = None

    def __repr__(self) -> str:
        return f"Session({self.exchange_id})"

    @property
    def exchange(self) -> Any:
        """The instance of ccxt's class. Raises as `package.exchange_class`."""
        if self._exchange is None:
            self._exchange = self._make()
            self._exchange.heard = self._on_message
        return self._exchange

    async def close(self) -> None:
        """Close the websockets of the instance."""
        if self._exchange is not None:
            await self._exchange.close()

    async def call(
        self, work: Callable[[Any], Awaitable[Any]], send: Send, *, markets: bool = True, nonce: int | None = None
    ) -> Any:
        """Run `work` on the instance, with its requests through `send`; `markets`: load ccxt's markets before.

        `nonce`: that of the first signed request, and the next ones for those after it; None: ccxt's own.

        Raises:
            Failed: ccxt raised one of its errors.
            MeshError: as `send`.
        """
        return await asyncio.get_running_loop().create_task(self._call(work, send, markets, nonce))

    async def _call(self, work: Callable[[Any], Awaitable[Any]], send: Send, markets: bool, nonce: int | None) -> Any:
        # In a separate task: ccxt changes the rounding of the decimal context, which other tasks must not see
        decimal.setcontext(decimal.Context())
        _send.set(send)
        _nonces.set(None if nonce is None else itertools.count(nonce))
        exchange = self.exchange
        try:
            if markets and not exchange.markets:
                await exchange.load_markets()
            return await work(exchange)
        except exchange.errors as error:
            raise Failed(error) from error


def _made(
    exchange_id: str,
    bases: tuple[str | None, str | None, str | None],
    given: Mapping[str, Any],
    sandbox: bool,
    exact: bool,
) -> Any:
    ours = {"number": str if exact else float, "enableRateLimit": True, "maxRetriesOnFailure": 0}
    bridged = _through_our_transport(exchange_class(exchange_id))
    exchange = bridged({**given, **ours})
    exchange.options["maxRetriesOnFailure"] = 0
    exchange.options["createMarketBuyOrderRequiresPrice"] = False
    exchange.options["defaultType"] = "spot"
    exchange.options["warnOnFetchOpenOrdersWithoutSymbol"] = False
    if isinstance(listed := exchange.options.get("fetchMarkets"), dict) and "types" in listed:
        kinds = listed["types"]  # a list of names, or a dictionary of names to true and false
        listed["types"] = {kind: kind == "spot" for kind in kinds} if isinstance(kinds, dict) else ["spot"]
    exchange.has["fetchCurrencies"] = False  # of no use here, and private at some exchanges
    if exchange_id in KEYED_BOOKS:
        exchange.has["watchOrderBook"] = False  # so books are requested over REST
    exchange.errors = _errors()
    if sandbox:
        exchange.set_sandbox_mode(True)
    point(exchange, *bases)
    return exchange


def _errors() -> type[Exception]:
    base: type[Exception] = import_module("ccxt.base.errors").BaseError
    return base


def settings_of(written: str) -> dict[str, Any]:
    """Read the option `settings`. Raises Misconfigured: it is not a JSON object, or has a credential."""
    try:
        found = json.loads(written)
    except ValueError as error:
        raise Misconfigured("settings", f"is not a JSON object: {error}") from error
    if not isinstance(found, dict):
        raise Misconfigured("settings", "is not a JSON object")
    if secret := sorted(found.keys() & {*CREDENTIALS}):
        raise Misconfigured("settings", f"has {secret[0]}: a key belongs into the account's keys")
    return found


def point(exchange: Any, rest: str | None, ws: str | None, private: str | None) -> None:
    """Replace the origins of the instance's URLs; `private` is that of websockets named private or auth."""

    def moved(value: Any, names: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {name: moved(inner, (*names, str(name).lower())) for name, inner in value.items()}
        if not isinstance(value, str):
            return value
        is_private = any("private" in name or "auth" in name for name in names)
        by_socket = private if is_private and private else ws
        origin = by_socket if value.startswith(("ws:", "wss:")) else rest
        return _with_origin(value, origin) if origin else value

    if rest or ws or private:
        exchange.urls["api"] = moved(exchange.urls["api"], ())
    if rest:
        exchange.hostname = urlsplit(rest).netloc
        if "hostnames" in exchange.urls:
            exchange.urls["hostnames"] = _all_hosts(exchange.urls["hostnames"], exchange.hostname)


def _with_origin(url: str, base: str) -> str:
    """Return ccxt's URL at another base, whose path may end with that of the URL: /ws/v2 for /v2."""
    parts, wanted = urlsplit(url), urlsplit(base)
    path = wanted.path if wanted.path.endswith(parts.path) else parts.path
    return urlunsplit((wanted.scheme, wanted.netloc, path, parts.query, ""))


def _all_hosts(value: Any, host: str) -> Any:
    return {name: _all_hosts(inner, host) for name, inner in value.items()} if isinstance(value, dict) else host


def error_body(failed: Failed) -> bytes:
    """Return ccxt's error as the body of an answer; `failures` reads it."""
    return json.dumps({"error": list(failed.kinds), "reason": failed.reason}).encode()

"""A raw client of the WebSocket API that signs by the manual without the package's code: for tests of the exchange.

Source: web-socket-api.md (SIGNED request example, for HMAC, RSA and Ed25519), read 2026-11-22.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import urllib.parse
from collections.abc import Callable
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

WAIT_S = 20.0
LIMIT = {  # the parameters of a limit order
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "60000",
}


class Key:
    """An API key with its secret half: an HMAC secret, or a new private key."""

    def __init__(self, name: str, secret: str | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
        self.name = name
        self._secret = secret

    @classmethod
    def ed25519(cls, name: str) -> Key:
        return cls(name, ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def rsa(cls, name: str) -> Key:
        return cls(name, rsa.generate_private_key(65_537, 2048))

    @property
    def public_pem(self) -> str:
        assert not isinstance(self._secret, str)
        public = self._secret.public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def private_pem(self) -> str:
        assert not isinstance(self._secret, str)
        return self._secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def sign(self, payload: str) -> str:
        raw = payload.encode()
        if isinstance(self._secret, str):
            return hmac.new(self._secret.encode(), raw, hashlib.sha256).hexdigest()
        if isinstance(self._secret, rsa.RSAPrivateKey):
            return base64.b64encode(self._secret.sign(raw, padding.PKCS1v15(), hashes.SHA256())).decode()
        return base64.b64encode(self._secret.sign(raw)).decode()


class Api:
    """One connection: `call` waits for its answer and keeps events for `event`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, key: Key, now_ms: Callable[[], int]) -> None:
        self.socket = socket
        self.key = key
        self.now_ms = now_ms
        self.events: list[Any] = []
        self.answers: dict[Any, Any] = {}
        self._ids = itertools.count(1)
        self._reading = asyncio.Lock()
        self._taken = 0

    def signed(self, params: dict[str, Any], key: Key | None = None) -> dict[str, Any]:
        """The parameters with key, time and signature."""
        chosen = key or self.key
        whole = {"timestamp": self.now_ms(), **params, "apiKey": chosen.name}
        payload = "&".join(f"{name}={whole[name]}" for name in sorted(whole))
        return whole | {"signature": chosen.sign(payload)}

    async def send(self, method: str, params: dict[str, Any] | None = None) -> int:
        number = next(self._ids)
        await self.socket.send_str(json.dumps({"id": number, "method": method, "params": params or {}}))
        return number

    async def answer(self, number: Any) -> Any:
        while number not in self.answers:
            await self._read()
        return self.answers.pop(number)

    async def call(self, method: str, **params: Any) -> Any:
        """An unsigned request and its answer."""
        return await self.answer(await self.send(method, params))

    async def ask(self, method: str, **params: Any) -> Any:
        """A signed request and its answer."""
        return await self.answer(await self.send(method, self.signed(params)))

    async def event(self, kind: str) -> Any:
        """Return the next event of a kind; skip events of other kinds before it."""
        while (found := await self.next_event())["event"]["e"] != kind:
            pass
        return found

    async def next_event(self) -> Any:
        """The next event of any kind, with its subscription."""
        while not self.events:
            await self._read()
        return self.events.pop(0)

    async def _read(self) -> None:
        """Read one frame, or return after another task has read it first."""
        before = self._taken
        async with self._reading:
            if self._taken != before:
                return
            message = await asyncio.wait_for(self.socket.receive(), WAIT_S)
            self._taken += 1
            assert message.type is aiohttp.WSMsgType.TEXT, message
            body = json.loads(message.data)
            if "event" in body:
                self.events.append(body)
            else:
                self.answers[body["id"]] = body


def query(params: dict[str, Any], key: Key, now_ms: int) -> str:
    """A signed query string for REST."""
    encoded = urllib.parse.urlencode({**params, "timestamp": now_ms})
    return f"{encoded}&signature={urllib.parse.quote(key.sign(encoded))}"

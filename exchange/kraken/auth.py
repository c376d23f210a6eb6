"""Finds who signed a REST request and whether its nonce rises; keeps the tokens of the private websocket.

Theory of operation. First the key is looked up, then the signature is checked, then the nonce, which must be higher
than that of every earlier request of the key. A request is checked when it is executed. So a request that a fault
delayed is refused if the exchange has executed a request with a higher nonce in the meantime.

Source: spot-rest-auth (guide), get-websockets-token, spot-errors, error-handling.md of krakenfx/kraken-api-sdk, read
2026-11-27.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..floor import Floor
from ..wire import signatures
from .errors import ApiError
from .limits import Limits

LARGEST_NONCE = 2**64 - 1
TOKENS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Signed:
    """The signed parts of a private request: `body` exactly as received, `sent` its parameters."""

    path: str
    body: bytes
    sent: Mapping[str, Any]
    key: str | None
    signature: str | None


class Nonces:
    """The highest nonce of every key."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}

    def rise(self, key: str, nonce: int) -> None:
        """Accept a nonce.

        Raises:
            ApiError: the nonce does not rise.
        """
        if nonce <= self._highest.get(key, -1):
            raise ApiError("EAPI:Invalid nonce")
        self._highest[key] = nonce


def authenticate(floor: Floor, nonces: Nonces, signed: Signed) -> tuple[Account, ApiKey]:
    """Return the account and key of a private request.

    Raises:
        ApiError: Invalid key, Invalid signature, Invalid nonce.
    """
    owner = floor.owner(signed.key)
    if owner is None or owner[1].revoked:
        raise ApiError("EAPI:Invalid key")
    account, key = owner
    nonce = str(signed.sent.get("nonce", ""))
    digest = signatures.from_base64(signed.signature or "")
    secret = signatures.from_base64(key.verifier.decode("latin-1")) if isinstance(key.verifier, bytes) else None
    payload = signed.path.encode() + hashlib.sha256(nonce.encode() + signed.body).digest()
    if secret is None or digest is None or not signatures.is_hmac(secret, payload, digest, "sha512"):
        raise ApiError("EAPI:Invalid signature")
    if not nonce.isascii() or not nonce.isdigit() or int(nonce) > LARGEST_NONCE:
        raise ApiError("EAPI:Invalid nonce")
    nonces.rise(key.name, int(nonce))
    return account, key


class Tokens:
    """Tokens of the private websocket. `in_use(token)`: whether a private subscription uses the token."""

    def __init__(self, limits: Limits, in_use: Callable[[str], bool]) -> None:
        self._limits = limits
        self._in_use = in_use
        self._issued: OrderedDict[str, tuple[Account, ApiKey, int]] = OrderedDict()

    def issue(self, account: Account, key: ApiKey, now_ns: int) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(32)
        self._issued[token] = account, key, now_ns
        if len(self._issued) > TOKENS_KEPT:
            self._issued.popitem(last=False)
        return token

    def owner(self, token: object, now_ns: int) -> tuple[Account, ApiKey]:
        """Return the account and key of a token.

        Raises:
            ApiError: the token does not exist, its key was revoked, or it is too old and unused.
        """
        found = self._issued.get(token) if isinstance(token, str) else None
        if found is None or found[1].revoked:
            raise ApiError("ESession:Invalid session")
        account, key, issued_ns = found
        if now_ns - issued_ns > self._limits.token_s * SECOND_NS and not self._in_use(str(token)):
            raise ApiError("EAPI:Invalid token")
        return account, key

    def account(self, token: object) -> Account | None:
        """Return the account of a token, also of an expired one."""
        found = self._issued.get(token) if isinstance(token, str) else None
        return None if found is None else found[0]

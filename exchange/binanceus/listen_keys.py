"""User data streams of Binance.US: listen keys, and the events on the connections that were opened with them.

A listen key is valid for 60 minutes; a request extends it. The manual states that the stream closes when its key ends.
It states neither what a connection with an unknown or ended key sees, nor the error of a request with such a key. This
exchange closes the connection of an ended key, sends nothing on a connection with an unknown key, and answers with the
error of a later page of the same protocol.

Source: user-data-stream.md; rest-api.md, User data stream endpoints; read 2026-11-27.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from ...model.time import MINUTE_NS
from ..binance import user_data
from ..binance.client import Client
from ..binance.errors import ApiError
from ..binance.user_data import Subscription
from ..engine.accounts import Account
from ..floor import Floor

LIVES_NS = 60 * MINUTE_NS


@dataclass(slots=True)
class ListenKey:
    """The key of an account's stream, and the API key that requested it."""

    name: str
    account: Account
    api_key: str
    ends_ns: int


class UserData(user_data.UserData):
    """All listen keys and the connections that listen. An account has one key."""

    def __init__(self, floor: Floor, protocol: str) -> None:
        super().__init__(floor, protocol)
        self._keys: dict[str, ListenKey] = {}

    def start(self, account: Account, api_key: str, now_ns: int) -> str:
        """Return the account's listen key, a new one or the active one, extended."""
        found = next((key for key in self._keys.values() if key.account is account), None)
        if found is None:
            found = ListenKey(secrets.token_hex(30), account, api_key, 0)
            self._keys[found.name] = found
        found.ends_ns = now_ns + LIVES_NS
        return found.name

    def change(self, account: Account, name: str, now_ns: int, ends: bool) -> None:
        """Extend a key, or end it. Raises ApiError: the account has no such key."""
        found = self._keys.get(name)
        if found is None or found.account is not account:
            raise ApiError(-1125, "This listenKey does not exist.")
        found.ends_ns = now_ns if ends else now_ns + LIVES_NS
        self.expire_old(now_ns)

    def listen(self, client: Client, name: str, now_ns: int) -> bool:
        """Send an account's events to a connection; return False if `name` is no listen key."""
        self.expire_old(now_ns)
        found = self._keys.get(name)
        if found is not None:
            number = len(self.streams.on(client))
            self.streams.add(Subscription(number, client, found.account, found.api_key, by_session=False))
        return found is not None

    def expire_old(self, now_ns: int) -> None:
        """End the keys whose time is over, with their connections."""
        for key in [key for key in self._keys.values() if now_ns >= key.ends_ns]:
            self.expire(key.account)

    def expire(self, account: Account, key: str | None = None) -> int:
        for name in [one.name for one in self._keys.values() if one.account is account and key in (None, one.api_key)]:
            del self._keys[name]
        return self.streams.close(account, key, 1000, "the listen key ended")

    def framed(self, subscription: Subscription, body: bytes) -> bytes:
        """Write an event as other streams are written: alone, or combined under the stream's name."""
        client = subscription.connection
        if not client.form.combined:
            return body
        names = (key.name for key in self._keys.values() if key.account is subscription.account)
        return b'{"stream":"%b","data":%b}' % (next(names, "").encode(), body)

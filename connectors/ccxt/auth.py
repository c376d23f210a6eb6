"""The key of an account for ccxt, which makes and signs the requests itself when they are sent."""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

import orjson

from ...model.errors import Misconfigured, NotOffered
from ...model.time import MILLISECOND_NS
from ..order_codec import At, Draft, Ends, Kind, Signed, WhenSuperseded
from ..signing import is_sendable
from . import procedures
from .calls import Procedure, call
from .session import Session, settings_of
from .spec import FIELDS

PROCEDURES: dict[Kind, Procedure] = {
    Kind.PLACE: procedures.place,
    Kind.CANCEL: procedures.cancel,
    Kind.ORDER: procedures.find,
    Kind.OPEN_ORDERS: procedures.open_orders,
    Kind.ORDERS: procedures.everything,
    Kind.FILLS: procedures.fills,
    Kind.ACCOUNT: procedures.balance,
    Kind.FEES: procedures.fees,
    Kind.RAW: procedures.raw,
}
AS_JSON = frozenset({"symbols", "since_ms", "post_only"})  # arguments that are not text


WHERE = "venuemesh-where"  # in place of a header: the settings of the session, as JSON


class CcxtAuth:
    """One key. Nothing ends the validity of a request of ccxt: `Signed.ends` is when the mesh no longer writes it.

    An exchange may execute such a request until `Offer.processing_s` later, which is a guess of ours.
    """

    __slots__ = ("_exchange_id", "_key", "_sessions")

    def __init__(self, exchange_id: str, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> None:
        """Raises Misconfigured: another kind of key than hmac, or a text that no key has."""
        if kind != "hmac":
            raise Misconfigured("the kind of key", f"{kind!r}: keys for ccxt are of the kind hmac")
        written = secret.decode() if isinstance(secret, bytes) else secret
        if not is_sendable(api_key) or not written.strip():
            raise Misconfigured("the API key", "it or its secret is empty, or has characters that no key has")
        theirs = {ours: name for name, ours in FIELDS.items()}
        others = {theirs.get(name, name): str(value) for name, value in fields.items() if value}
        self._exchange_id = exchange_id
        self._key = {"apiKey": api_key, "secret": written.strip(), **others}
        self._sessions: dict[str, Session] = {}  # by where they connect

    @property
    def key_hint(self) -> str:
        api_key = self._key["apiKey"]
        return f"{api_key[:4]}..." if len(api_key) > 8 else "..."

    def __repr__(self) -> str:
        return f"CcxtAuth({self._exchange_id}, {self.key_hint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it stays in the process that signs")

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Return the call of a draft; ccxt signs its requests when they are sent."""
        if draft.kind not in PROCEDURES:
            raise NotOffered(f"ccxt:{self._exchange_id}", f"a request of the kind {draft.kind.value}")
        name, shown = draft.rest[1].strip("/"), dict(draft.params)
        given = {key: orjson.loads(value) if key in AS_JSON else value for key, value in shown.items()}
        if draft.kind is Kind.RAW:
            given = {"method": name, "given": shown}
        request = call(
            self._session(draft),
            name,
            PROCEDURES[draft.kind],
            given,
            draft.cost,
            {},
            method="POST" if draft.changes else "GET",
            nonce=draft.nonce,
        )
        text = f"ccxt {name} {orjson.dumps(shown).decode()}"
        ends: Ends = At(now_ns + validity_ms * MILLISECOND_NS)
        if draft.nonce is not None:
            ends = WhenSuperseded(draft.nonce)
        return Signed(draft, request_id, ends, text, hashlib.sha256(text.encode()).hexdigest(), request=request)

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Raises NotOffered: orders go over REST."""
        raise NotOffered(f"ccxt:{self._exchange_id}", "orders over a websocket")

    def login(self) -> bytes:
        """Return the message that gives the key to a link. It is a secret: it stays in this process."""
        return orjson.dumps({"op": "login", "key": self._key})

    def _session(self, draft: Draft) -> Session:
        """Return the session for where a draft connects (`orders.py`)."""
        written = dict(draft.headers).get(WHERE, "{}")
        if written not in self._sessions:
            where = orjson.loads(written)
            self._sessions[written] = Session(
                self._exchange_id,
                rest=where.get("rest"),
                key=self._key,
                settings=settings_of(where.get("settings", "{}")),
                sandbox=where.get("sandbox") == "true",
            )
        return self._sessions[written]

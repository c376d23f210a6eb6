"""Bybit signatures: those of the manual and of a public client, the end of their validity, and secrecy of keys."""

from __future__ import annotations

import json
import pickle
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.fakes.captures import captures
from venuemesh.connectors.bybit import CONNECTOR
from venuemesh.connectors.order_codec import Draft, Kind
from venuemesh.exchange.bybit.auth import authenticate, log_in
from venuemesh.exchange.bybit.errors import ApiError
from venuemesh.exchange.engine.accounts import Account
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.keys import public_key
from venuemesh.exchange.floor import Floor
from venuemesh.model.errors import Misconfigured, NotOffered

NOW_NS = 1_690_000_000_456_700_000
READ = Draft(
    Kind.RAW, ("GET", "/v5/order/realtime"), None, (("category", "spot"), ("cursor", "a%3A2")), host="https://h"
)
PLACE = Draft(Kind.PLACE, ("POST", "/v5/order/create"), None, (("category", "spot"), ("qty", "1")), host="https://h")
SECRET = "a secret of the tests"


def test_recorded_signatures_are_ours() -> None:
    recorded = json.loads((captures("bybit") / "signing.json").read_text())
    key = CONNECTOR.auth("hmac", recorded["keys"]["apiKey"], recorded["keys"]["secret"])
    assert recorded["requests"]
    for request in recorded["requests"]:
        assert key.signature(request["signed_text"]) == request["headers"]["X-BAPI-SIGN"]
        path, _, query = request["url"].removeprefix("https://api.bybit.com").partition("?")
        sent = json.loads(request["body"]) if request["body"] else dict(one.split("=") for one in query.split("&"))
        draft = Draft(Kind.RAW, (request["method"], path), None, tuple(sent.items()), host="https://api.bybit.com")
        signed = key.sign(draft, "r", recorded["clock_ms"] * 1_000_000, 5_000)
        assert signed.request is not None
        assert signed.request.url == request["url"]
        assert signed.request.body.decode() == (request["body"] or "")
        ours = dict(signed.request.headers)
        assert {name: ours[name] for name in ours if name.startswith("X-BAPI")}.items() <= request["headers"].items()


def test_a_request_ends_with_its_window() -> None:
    """guide.mdx: server_time - recv_window <= timestamp."""
    signed = CONNECTOR.auth("hmac", "a-key-of-bybit", SECRET).sign(PLACE, "r", NOW_NS, 5_000)
    assert signed.not_after_ns == 1_690_000_005_457_000_000 - 1
    assert dict(signed.request.headers)["X-BAPI-RECV-WINDOW"] == "5000"
    for wrong in (0, 60_001):
        with pytest.raises(Misconfigured, match="validity"):
            CONNECTOR.auth("hmac", "a-key-of-bybit", SECRET).sign(PLACE, "r", NOW_NS, wrong)


def test_an_rsa_key_signs_the_same_text_in_base64() -> None:
    """guide.mdx, Create A Request: timestamp, key, window and query or body; the server's side has the public half."""
    private = generate_private_key(65537, 2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = CONNECTOR.auth("rsa", "a-key-of-bybit", pem)
    engine, at_exchange = Engine(), public_key("a-key-of-bybit", public)
    engine.add_account(Account("main", keys={at_exchange.name: at_exchange}))
    floor = Floor(engine, None, None, lambda seconds, call: None)  # type: ignore[arg-type]
    for draft in (READ, PLACE):
        request = key.sign(draft, "r", NOW_NS, 5_000).request
        assert request is not None
        payload = request.body or request.url.partition("?")[2].encode()
        headers = dict(request.headers)
        signed = b"1690000000456a-key-of-bybit5000" + payload
        private.public_key().verify(b64decode(headers["X-BAPI-SIGN"]), signed, PKCS1v15(), SHA256())
        assert authenticate(floor, headers, payload, NOW_NS)[1] is at_exchange
        with pytest.raises(ApiError):
            authenticate(floor, headers, payload + b" ", NOW_NS)
    assert log_in(floor, json.loads(key.auth(NOW_NS, 5_000))["args"], NOW_NS)[1] is at_exchange


def test_a_cursor_is_sent_back_unchanged() -> None:
    signed = CONNECTOR.auth("hmac", "a-key-of-bybit", SECRET).sign(READ, "r", NOW_NS, 5_000)
    assert signed.request.url == "https://h/v5/order/realtime?category=spot&cursor=a%3A2"


def test_a_key_shows_nothing_and_stays_here() -> None:
    key = CONNECTOR.auth("hmac", "a-key-of-bybit", SECRET)
    assert (key.key_hint, SECRET in repr(key)) == ("a-ke...", False)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert SECRET not in f"{key.sign(PLACE, 'r', NOW_NS, 5_000)!r}"
    with pytest.raises(NotOffered):
        key.sign_call(PLACE, "r", NOW_NS, 5_000)
    for change in (
        {"kind": "rsa"},
        {"kind": "ed25519"},
        {"account": "x"},
        {"secret": " "},
        {"api_key": "a\nkey"},
        {"secret": "-----BEGIN KEY"},
    ):
        with pytest.raises(Misconfigured):
            CONNECTOR.auth(**{"kind": "hmac", "api_key": "a-key", "secret": SECRET} | change)

"""HTX signatures: those of a public client, over the host, and the end of their validity."""

from __future__ import annotations

import json
import pickle
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.fakes.captures import captures
from venuemesh.connectors.htx import CONNECTOR
from venuemesh.connectors.order_codec import Draft, Kind
from venuemesh.exchange.engine.keys import public_key
from venuemesh.exchange.wire import signatures
from venuemesh.model.errors import Misconfigured, NotOffered

NOW_NS = 1_690_000_000_456_700_000
SECRET = "a secret of the tests"
READ = Draft(Kind.RAW, ("GET", "/v1/order/openOrders"), None, (("symbol", "btcusdt"),), host="https://API.Huobi.pro")
AS_NOW_MS = 301_000  # with this validity a timestamp is the current second


def test_recorded_signatures_are_ours() -> None:
    recorded = json.loads((captures("htx") / "signing.json").read_text())
    key = CONNECTOR.auth("hmac", recorded["keys"]["apiKey"], recorded["keys"]["secret"])
    assert len(recorded["requests"]) == 4
    for request in recorded["requests"]:
        parts = urlsplit(request["url"])
        sent = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert key.signature(request["signed_text"]) == sent["Signature"]
        asked = json.loads(request["body"]) if request["body"] else {n: v for n, v in sent.items() if n.islower()}
        draft = Draft(
            Kind.RAW, (request["method"], parts.path), None, tuple(asked.items()), host="https://api.huobi.pro"
        )
        signed = key.sign(draft, "r", recorded["clock_ms"] * 1_000_000, AS_NOW_MS)
        assert signed.request is not None
        assert signed.request.url == request["url"]
        assert signed.request.body.decode() == (request["body"] or "")


def test_a_request_ends_within_its_validity() -> None:
    key = CONNECTOR.auth("hmac", "a-key-of-htx", SECRET)
    signed = key.sign(READ, "r", NOW_NS, 5_000)
    assert signed.not_after_ns == 1_690_000_005_000_000_000 - 1
    (stamp,) = parse_qs(urlsplit(signed.request.url).query)["Timestamp"]
    assert stamp == "2023-07-22T04:21:44"  # 301 seconds before the end
    for wrong in (0, 301_001):
        with pytest.raises(Misconfigured, match="validity"):
            key.sign(READ, "r", NOW_NS, wrong)


def test_the_host_is_signed_in_small_letters() -> None:
    key = CONNECTOR.auth("hmac", "a-key-of-htx", SECRET)
    signed = key.sign(READ, "r", NOW_NS, 5_000)
    query, _, signature = urlsplit(signed.request.url).query.partition("&Signature=")
    assert key.signature(f"GET\napi.huobi.pro\n/v1/order/openOrders\n{query}") == unquote(signature)
    assert signed.text == "GET /v1/order/openOrders?symbol=btcusdt"
    assert "Signature" not in repr(signed)


def test_an_unsigned_request_has_no_key() -> None:
    draft = Draft(Kind.RAW, ("GET", "/v1/common/timestamp"), None, (), signed=False, host="https://h")
    signed = CONNECTOR.auth("hmac", "a-key-of-htx", SECRET).sign(draft, "r", NOW_NS, 5_000)
    assert signed.request.url == "https://h/v1/common/timestamp"


def test_ed25519() -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signed = CONNECTOR.auth("ed25519", "a-key-of-htx", pem).sign(READ, "r", NOW_NS, 5_000)
    query, _, signature = urlsplit(signed.request.url).query.partition("&Signature=")
    assert "SignatureMethod=Ed25519" in query
    known = public_key("k", private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    digest = signatures.from_base64(unquote(signature))
    assert digest is not None
    text = f"GET\napi.huobi.pro\n/v1/order/openOrders\n{query}".encode()
    assert signatures.is_signed(known.verifier, text, digest)  # type: ignore[arg-type]


def test_the_message_of_the_private_websocket() -> None:
    key = CONNECTOR.auth("hmac", "a-key-of-htx", SECRET)
    message = json.loads(key.authenticate("wss://api.huobi.pro/ws/v2", NOW_NS, AS_NOW_MS))
    params = message["params"]
    assert (message["action"], message["ch"], params["authType"]) == ("req", "auth", "api")
    text = (
        "GET\napi.huobi.pro\n/ws/v2\naccessKey=a-key-of-htx&signatureMethod=HmacSHA256&signatureVersion=2.1"
        "&timestamp=2023-07-22T04%3A26%3A40"
    )
    assert params["signature"] == key.signature(text)


def test_keys_keep_their_secret() -> None:
    key = CONNECTOR.auth("hmac", "a-key-of-htx", SECRET)
    assert SECRET not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(NotOffered):
        key.sign_call(READ, "r", NOW_NS, 5_000)
    with pytest.raises(Misconfigured):
        CONNECTOR.auth("rsa", "a-key-of-htx", SECRET)

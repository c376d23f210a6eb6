"""Coinbase Exchange's signatures: those of a public client, the end of their validity, and secrecy of keys."""

from __future__ import annotations

import json
import pickle
from base64 import b64encode
from hashlib import sha256
from hmac import digest

import pytest

from tests.fakes.captures import captures
from venuemesh.connectors.coinbase import CONNECTOR
from venuemesh.connectors.order_codec import Draft, Kind
from venuemesh.model.errors import Misconfigured, NotOffered

RAW = b"sixty-four bytes as a real secret has them, or somewhat fewer"
SECRET, WORD = b64encode(RAW).decode(), "a passphrase"
NOW_NS = 1_607_418_537_715_400_000
FILLS = Draft(Kind.FILLS, ("GET", "/fills"), None, (("product_id", "BTC-USD"), ("limit", "100")), host="https://h")
PLACE = Draft(Kind.PLACE, ("POST", "/orders"), None, (("size", "1"), ("post_only", "true")), host="https://h")
CANCEL = Draft(Kind.CANCEL, ("DELETE", "/orders/x"), None, (("product_id", "BTC-USD"),), host="https://h")


def auth(**change: object):
    return CONNECTOR.auth(**{"kind": "hmac", "api_key": "a-key-of-cb", "secret": SECRET, "passphrase": WORD} | change)


def test_recorded_signatures_are_ours() -> None:
    """The recorded client wrote milliseconds where the manual wants seconds; the rest of what it signs is right."""
    recorded = json.loads((captures("coinbase") / "signing_exchange.json").read_text())
    keys = recorded["keys"]
    key = CONNECTOR.auth("hmac", keys["apiKey"], keys["secret"], passphrase=keys["password"])
    for request in recorded["requests"]:
        stamp = request["headers"]["CB-ACCESS-TIMESTAMP"]
        assert stamp == str(recorded["clock_ms"])
        path = request["url"].removeprefix("https://api.exchange.coinbase.com")
        assert request["signed_text"] == f"{stamp}{request['method']}{path}{request['body'] or ''}"
        assert key.signature(request["signed_text"]) == request["headers"]["CB-ACCESS-SIGN"]


@pytest.mark.parametrize(
    ("draft", "text"),
    [
        (FILLS, "GET/fills?product_id=BTC-USD&limit=100"),
        (CANCEL, "DELETE/orders/x?product_id=BTC-USD"),
        (PLACE, 'POST/orders{"size":"1","post_only":true}'),
    ],
)
def test_what_is_signed_is_seconds_method_path_with_query_and_body(draft: Draft, text: str) -> None:
    signed = auth().sign(draft, "r", NOW_NS, 30_000)
    headers = dict(signed.request.headers)
    assert headers["CB-ACCESS-TIMESTAMP"] == "1607418537.715"
    payload = f"1607418537.715{text}".encode()
    assert headers["CB-ACCESS-SIGN"] == b64encode(digest(RAW, payload, "sha256")).decode()
    assert (headers["CB-ACCESS-KEY"], headers["CB-ACCESS-PASSPHRASE"]) == ("a-key-of-cb", WORD)
    assert ("Content-Type" in headers) is (draft is PLACE)
    assert len(signed.digest) == len(sha256().hexdigest())


def test_a_request_of_any_kind_ends_with_its_validity() -> None:
    """The time is set back, so that the exchange's 30 seconds end when the validity does."""
    signed = auth().sign(FILLS, "r", NOW_NS, 5_000)
    stamp = dict(signed.request.headers)["CB-ACCESS-TIMESTAMP"]
    assert stamp == "1607418512.715"
    refused_ns = (int(stamp.replace(".", "")) + 30_000 + 1) * 1_000_000
    assert signed.not_after_ns == refused_ns - 1
    for wrong in (0, 30_001):
        with pytest.raises(Misconfigured, match="validity"):
            auth().sign(FILLS, "r", NOW_NS, wrong)


def test_a_subscription_is_signed_now() -> None:
    proof = auth().proof(NOW_NS)
    assert set(proof) == {"signature", "key", "passphrase", "timestamp"}
    payload = b"1607418537.715GET/users/self/verify"
    assert proof["signature"] == b64encode(digest(RAW, payload, "sha256")).decode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "rsa"}, "is not hmac"),
        ({"passphrase": ""}, "no passphrase"),
        ({"account": "x"}, "no account"),
        ({"secret": "not base64!"}, "not base64"),
        ({"api_key": "a\nkey"}, "API key"),
        ({"passphrase": "a\nword"}, "passphrase"),
    ],
)
def test_what_cannot_be_a_key(change: dict[str, str], reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason) as caught:
        auth(**change)
    assert SECRET not in str(caught.value)


def test_a_key_shows_nothing_and_stays_here() -> None:
    key = auth()
    assert SECRET not in repr(key) + key.key_hint
    assert WORD not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    signed = key.sign(PLACE, "r", NOW_NS, 5_000)
    assert WORD not in f"{signed!r}{signed.request!r}{signed.text}"
    with pytest.raises(NotOffered):
        key.sign_call(PLACE, "r", NOW_NS, 5_000)


def test_the_sandbox_has_its_own_hosts() -> None:
    assert CONNECTOR.trading().account().host == "https://api.exchange.coinbase.com"
    sandbox = CONNECTOR.trading(environment="sandbox")
    assert sandbox.account().host == "https://api-public.sandbox.exchange.coinbase.com"
    assert sandbox.stream_url() == "wss://ws-feed-public.sandbox.exchange.coinbase.com"
    with pytest.raises(Misconfigured, match="sandbox"):
        CONNECTOR.trading(environment="testnet")

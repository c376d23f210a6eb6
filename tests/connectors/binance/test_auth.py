"""Signatures: byte for byte those of the manual and of another client, and over exactly the bytes sent."""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
from base64 import b64decode
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.captures import captures
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.auth import MAX_WINDOW_MS
from venuemesh.connectors.order_codec import Draft, Kind
from venuemesh.model.errors import Misconfigured, NotOffered

MS = 1_000_000
HOST = "https://api.example.test"
# the manual's public example key. Source: rest-api.md, HMAC Keys, read 2026-11-22
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
RSA_KEY = generate_private_key(65537, 2048)
ED_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def pem(key, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def auth(kind="hmac", api_key=KEY, **options):
    secret = {"hmac": SECRET, "rsa": pem(RSA_KEY), "ed25519": pem(ED_KEY)}[kind]
    return CONNECTOR.auth(kind, api_key, secret, **options)


def draft(params, method="POST", path="/api/v3/order", call="order.place", signed=True) -> Draft:
    return Draft(Kind.PLACE, (method, path), call, tuple(params), host=HOST, signed=signed)


def verifies(kind: str, payload: str, signature: str) -> bool:
    """Check a signature as the exchange does, with the public half or the shared secret."""
    if kind == "hmac":
        return hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest() == signature
    given_ = b64decode(signature, validate=True)
    if kind == "rsa":
        RSA_KEY.public_key().verify(given_, payload.encode(), PKCS1v15(), SHA256())
    else:
        ED_KEY.public_key().verify(given_, payload.encode())
    return True


# The manual's worked examples. Source: rest-api.md, HMAC Keys, read 2026-11-22
ORDER = "&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
FULL_WIDTH = "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96"


@pytest.mark.parametrize(
    ("symbol", "signature"),
    [
        ("LTCBTC", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (FULL_WIDTH, "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"),
    ],
)
def test_the_manuals_rest_examples(symbol, signature):
    assert auth().signature(f"symbol={symbol}{ORDER}") == signature


@pytest.mark.parametrize(
    ("params", "window", "signature"),
    [
        (
            [("symbol", "BTCUSDT"), ("side", "SELL"), ("quantity", "0.01000000"), ("price", "52000.00")],
            100,
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            [("symbol", "１２３４５６"), ("side", "BUY"), ("quantity", "1.00000000"), ("price", "0.10000000")],
            5000,
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ],
)
def test_the_manuals_websocket_examples(params, window, signature):
    """Source: web-socket-api.md, SIGNED request example (HMAC), read 2026-11-22."""
    params = [*params, ("type", "LIMIT"), ("timeInForce", "GTC")]
    signed = auth().sign_call(draft(params), "id-1", 1645423376532 * MS + 999_999, window)
    frame = json.loads(signed.call)
    assert frame["params"]["signature"] == signature
    assert frame["id"] == "id-1"
    assert frame["method"] == "order.place"
    assert frame["params"]["timestamp"] == 1645423376532
    assert frame["params"]["recvWindow"] == window
    assert frame["params"]["apiKey"] == KEY
    assert frame["params"]["symbol"] == params[0][1]


def test_ed25519_by_the_standards_own_vector():
    """Source: RFC 8032, 7.1, test 2. Its message is the one byte 72, which is the text "r"."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = CONNECTOR.auth("ed25519", KEY, pem(Ed25519PrivateKey.from_private_bytes(seed)))
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert b64decode(key.signature("r")).hex() == expected


def test_the_same_bytes_as_another_client():
    """ccxt with the same key, clock and parameters makes the same requests, body and URL."""
    recorded = json.loads((captures("binance") / "signing.json").read_text())
    key = CONNECTOR.auth("hmac", recorded["keys"]["apiKey"], recorded["keys"]["secret"])
    assert len(recorded["requests"]) == 4
    for theirs in recorded["requests"]:
        params = [(n, v) for n, v in parse_qsl(theirs["signed_text"]) if n not in ("timestamp", "recvWindow")]
        path = urlsplit(theirs["url"]).path
        one = Draft(Kind.RAW, (theirs["method"], path), None, tuple(params), host="https://api.binance.com")
        ours = key.sign(one, "1", recorded["clock_ms"] * MS, 10_000)
        assert ours.request.url == theirs["url"], theirs["call"]
        assert ours.request.body == (theirs["body"] or "").encode(), theirs["call"]
        assert dict(ours.request.headers)["X-MBX-APIKEY"] == theirs["headers"]["X-MBX-APIKEY"]


VALUES = st.lists(
    st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), st.text(st.characters(codec="utf-8"))),
    max_size=6,
    unique_by=lambda pair: pair[0],
).filter(lambda pairs: not {"timestamp", "recvWindow", "apiKey", "signature"} & {name for name, _ in pairs})


@pytest.mark.parametrize("kind", ["hmac", "ed25519", "rsa"])
@pytest.mark.parametrize("method", ["POST", "GET"])
@settings(max_examples=15, deadline=None)
@given(params=VALUES, now_ns=st.integers(10**18, 2 * 10**18), window=st.integers(1, MAX_WINDOW_MS))
def test_any_parameters_verify_over_what_is_sent(kind, method, params, now_ns, window):
    signed = auth(kind).sign(draft(params, method), "1", now_ns, window)
    sent = signed.request.body.decode("ascii") if method == "POST" else signed.request.url.partition("?")[2]
    payload, _, signature = sent.rpartition("&signature=")
    assert payload.isascii()
    assert verifies(kind, payload, unquote(signature))
    read = parse_qsl(payload, keep_blank_values=True, strict_parsing=True)
    assert read == [("timestamp", str(now_ns // MS)), *params, ("recvWindow", str(window))]
    assert dict(signed.request.headers)["X-MBX-APIKEY"] == KEY


@pytest.mark.parametrize("kind", ["hmac", "ed25519", "rsa"])
@settings(max_examples=15, deadline=None)
@given(params=VALUES, now_ns=st.integers(10**18, 2 * 10**18))
def test_any_parameters_verify_over_the_frame_that_is_sent(kind, params, now_ns):
    frame = json.loads(auth(kind).sign_call(draft(params), "1", now_ns, 5000).call)
    sent = frame["params"]
    signature = sent.pop("signature")
    assert verifies(kind, "&".join(f"{name}={sent[name]}" for name in sorted(sent)), signature)
    assert {name: sent[name] for name, _ in params if name not in ("orderId", "limit")} == dict(params)


@given(now_ns=st.integers(10**18, 2 * 10**18), window=st.integers(1, MAX_WINDOW_MS))
def test_not_after_is_the_last_instant_at_which_the_exchange_accepts(now_ns, window):
    """The manual's rule: refused when serverTime - timestamp > recvWindow, in milliseconds."""
    signed = auth().sign(draft([]), "1", now_ns, window)
    timestamp = now_ns // MS
    assert signed.not_after_ns // MS - timestamp <= window
    assert (signed.not_after_ns + 1) // MS - timestamp > window
    assert signed.not_after_ns == auth().sign_call(draft([]), "1", now_ns, window).not_after_ns


def test_numbers_of_a_call_are_numbers_and_all_else_is_text():
    params = [("orderId", "12569099453"), ("quantity", "1"), ("omitZeroBalances", "true"), ("fromId", "0")]
    sent = json.loads(auth().sign_call(draft(params), "1", 10**18, 5000).call)["params"]
    assert (sent["orderId"], sent["quantity"], sent["omitZeroBalances"], sent["fromId"]) == (12569099453, "1", True, 0)


def test_an_unsigned_request_carries_no_key():
    signed = auth().sign(draft([("symbol", "BTCUSDT")], "GET", "/api/v3/depth", signed=False), "1", 10**18, 5000)
    assert signed.request.headers == ()
    assert signed.request.url == f"{HOST}/api/v3/depth?symbol=BTCUSDT"


def test_the_journaled_text_has_all_but_key_and_signature():
    params = [("symbol", "BTCUSDT"), ("newClientOrderId", "a b")]
    signed = auth().sign(draft(params), "1", 1_700_000_000_000 * MS, 5000)
    query = "timestamp=1700000000000&symbol=BTCUSDT&newClientOrderId=a%20b&recvWindow=5000"
    assert signed.text == f"POST /api/v3/order?{query}"
    assert signed.digest == hashlib.sha256(f"POST {HOST}/api/v3/order\n".encode() + signed.request.body).hexdigest()
    call = auth().sign_call(draft(params), "1", 1_700_000_000_000 * MS, 5000)
    assert json.loads(call.text)["params"] == {
        "timestamp": 1700000000000,
        "symbol": "BTCUSDT",
        "newClientOrderId": "a b",
        "recvWindow": 5000,
    }
    assert call.digest == hashlib.sha256(call.call).hexdigest()


@pytest.mark.parametrize("kind", ["hmac", "ed25519", "rsa"])
def test_no_text_shows_the_secrets(kind):
    key = auth(kind)
    signed, call = key.sign(draft([]), "1", 10**18, 5000), key.sign_call(draft([]), "1", 10**18, 5000)
    signature = json.loads(call.call)["params"]["signature"]
    shown = " ".join([repr(key), str(key), key.key_hint, repr(signed), repr(signed.request), signed.text])
    shown += repr(call) + call.text
    for planted in (KEY, KEY[5:], SECRET, SECRET[:12], signature, pem(ED_KEY).decode()[40:60]):
        assert planted not in shown
    assert key.key_hint == "vmPU..."
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("hmac", ""),
        ("hmac", pem(ED_KEY)),
        ("rsa", SECRET),
        ("rsa", pem(ED_KEY)),
        ("ed25519", pem(RSA_KEY)),
        ("ed25519", pem(ED_KEY).replace(b"M", b"N")),
        ("ed25519", pem(ED_KEY, BestAvailableEncryption(b"right"))),
        ("dsa", SECRET),
    ],
)
def test_a_secret_of_another_kind_is_misconfigured_and_not_quoted(kind, secret):
    with pytest.raises(Misconfigured) as caught:
        CONNECTOR.auth(kind, KEY, secret)
    planted = secret.decode() if isinstance(secret, bytes) else secret
    assert not planted or planted[30:60] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_from_a_file_may_end_its_line():
    assert CONNECTOR.auth("hmac", KEY, f"{SECRET}\n").signature("a=1") == auth().signature("a=1")


def test_an_encrypted_key_opens_with_its_passphrase():
    locked = pem(ED_KEY, BestAvailableEncryption(b"right"))
    with pytest.raises(Misconfigured, match="no account"):
        CONNECTOR.auth("hmac", KEY, SECRET, account="x")
    key = CONNECTOR.auth("ed25519", KEY, locked, passphrase="right")
    assert verifies("ed25519", "a=1", key.signature("a=1"))
    with pytest.raises(Misconfigured):
        CONNECTOR.auth("ed25519", KEY, locked, passphrase="wrong")


@pytest.mark.parametrize("window", [0, -1, 60_001])
def test_a_window_that_the_exchange_does_not_take(window):
    with pytest.raises(Misconfigured):
        auth().sign(draft([]), "1", 10**18, window)


def test_requests_without_a_websocket_method():
    with pytest.raises(NotOffered):
        auth().sign_call(draft([], call=None), "1", 10**18, 5000)


@pytest.mark.parametrize("api_key", ["", "with space", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_could_carry(api_key):
    with pytest.raises(Misconfigured):
        auth(api_key=api_key)

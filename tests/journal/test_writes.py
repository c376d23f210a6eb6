import pickle

import pytest

from tests.fakes.records import intent, put
from venuemesh.journal.writes import Batch, PutRequest
from venuemesh.model.errors import Misconfigured

KEY = "A1b2C3d4" * 8


def request(text):
    return PutRequest("r1", "place", ("o1",), text, "d" * 64, 8_000, 4_000)


@pytest.mark.parametrize(
    "text",
    [
        f"POST /api/v3/order?symbol=BTCUSDT&timestamp=1&signature={KEY}",
        "POST /api/v3/order?signature=ab%2Bcd%3Dabcdefghijkl",
        f"GET /api/v3/account X-MBX-APIKEY: {KEY}",
        f'{{"method":"order.place","params":{{"apiKey":"{KEY}"}}}}',
        f'{{"signature": "{KEY}"}}',
        f"api_key={KEY}",
        f"secret={KEY}",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_text_that_was_not_redacted_is_refused_and_not_repeated(text):
    with pytest.raises(Misconfigured) as caught:
        request(text)
    assert KEY not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "POST /api/v3/order?symbol=BTCUSDT&newClientOrderId=x-0123456789abcdef0123456789abcdef&timestamp=1700000000000",
        "POST /api/v3/order?symbol=BTCUSDT&signature=[redacted]",
        '{"method":"order.place","params":{"apiKey":"...","symbol":"BTCUSDT"}}',
        "signature=REDACTED&apiKey=A1b2...",
    ],
)
def test_a_redacted_text_is_taken_and_stays_out_of_the_repr(text):
    written = request(text)
    assert written.text == text
    assert text not in repr(written)


def test_batches_pickle():
    batch = Batch("b", (put(), intent()))
    assert pickle.loads(pickle.dumps(batch)) == batch

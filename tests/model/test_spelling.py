"""Which pairs an error suggests for a mistyped one."""

import pickle

import pytest

from venuemesh.model.errors import UnknownInstrument
from venuemesh.model.spelling import is_misspelled, respelled, similar_pairs

KNOWN = ["BTC-USDT", "BTC-USDC", "ETH-USDT", "ETH-BTC", "SOL-USDT", "A-B", "1000SATS-USDT", "ŞİŞ-TRY"]


@pytest.mark.parametrize("text", ["BTC/USDT", "BTCUSDT", "btc-usdt", "btcusdt", "Btc_Usdt", "BTC:USDT", " BTC-USDT "])
def test_another_spelling_has_one_answer(text):
    assert similar_pairs(text, KNOWN) == ["BTC-USDT"]
    assert is_misspelled(text, similar_pairs(text, KNOWN))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("BTC-UDST", "BTC-USDT"),
        ("BTC-USD", "BTC-USDC"),
        ("BTX-USDT", "BTC-USDT"),
        ("USDT-BTC", "BTC-USDT"),
        ("usdt/eth", "ETH-USDT"),
        ("ETHH-BTC", "ETH-BTC"),
        ("1000SAT-USDT", "1000SATS-USDT"),
    ],
)
def test_a_near_miss_names_the_most_similar_pair_first(text, first):
    assert similar_pairs(text, KNOWN)[0] == first


@pytest.mark.parametrize("text", ["XRP-EUR", "NO-PAIR", "", "-", "/", "x" * 500, "ADA-TRY"])
def test_a_pair_that_resembles_none_has_no_suggestion(text):
    assert similar_pairs(text, KNOWN) == []


def test_no_more_than_three_and_never_the_text_itself():
    assert similar_pairs("AA-USDT", [f"A{one}-USDT" for one in "ABCDEFG"]) == ["AB-USDT", "AC-USDT", "AD-USDT"]


def test_a_known_pair_is_not_misspelled_and_one_of_other_letters_neither():
    assert not is_misspelled("BTC-EUR", similar_pairs("BTC-EUR", ["BTC-USDT", "BTC-EURI"]))
    assert is_misspelled("BTC-EUR-1", [])


@pytest.mark.parametrize(
    ("text", "pair"),
    [("BTC/USDT", "BTC-USDT"), ("btc_usdt", "BTC-USDT"), ("BTCUSDT", None), ("*-USDT", None), ("", None)],
)
def test_a_text_without_a_listing_is_respelled_by_its_separator(text, pair):
    assert respelled(text) == pair


def test_the_error_suggests_and_pickles():
    error = UnknownInstrument("acme", "BTC/USDT", "not tracked", ["BTC-USDT", "BTC-USDC"])
    assert str(error).endswith("not tracked; did you mean BTC-USDT or BTC-USDC?")
    assert pickle.loads(pickle.dumps(error)) == error
    assert str(UnknownInstrument("acme", "X-Y", "not tracked")).endswith("not tracked")

"""Ids of trades: an id that fits stays unchanged, any other becomes a number that is the same everywhere."""

import pytest

from venuemesh.connectors.trade_ids import trade_id
from venuemesh.model.errors import DecodeError

UUID = "6d1a1a3e-9c1f-4d7e-8f0e-2b9a5d6c7e10"


@pytest.mark.parametrize("text", ["0", "7", "123456789012", str(2**63 - 1)])
def test_an_int64_in_plain_digits_is_itself(text):
    assert trade_id(text) == (int(text), None)


@pytest.mark.parametrize("text", [UUID, str(2**63), "100" + "0" * 24, "007", "-1", "1e3", "１２", " 7"])
def test_others_are_a_hash_with_their_text(text):
    number, kept = trade_id(text)
    assert kept == text
    assert 0 <= number < 2**63
    assert trade_id(text) == (number, kept)


def test_the_hash_is_the_same_in_every_process():
    assert trade_id(UUID)[0] == 3349894340301737227


@pytest.mark.parametrize("text", ["", "x" * 129])
def test_no_id_and_a_monstrous_one_are_refused(text):
    with pytest.raises(DecodeError):
        trade_id(text)

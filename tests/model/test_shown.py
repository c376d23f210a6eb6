"""Foreign text as people see it: nothing that a terminal executes, and still valid JSON."""

from __future__ import annotations

import json
import unicodedata

import pytest

from venuemesh.model.shown import is_name, shown, shown_lines, storable

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x00\r\n\x9b31m\u202eTDSU\u2066\u200b\u2028\ufeff\U000e0041"


def test_nothing_that_a_terminal_executes_is_left():
    for text in (shown(HOSTILE), shown_lines(HOSTILE.replace("\n", ""))):
        assert not {unicodedata.category(one) for one in text} & {"Cc", "Cf", "Zl", "Zp", "Cs"}
    assert shown("a\nb\tc") == "a\\nb\\tc"
    assert shown_lines("a\nb\tc\r") == "a\nb\tc\\r"


@pytest.mark.parametrize("kind", ["Cc", "Cf", "Zl", "Zp", "Cs"])
def test_every_character_of_a_hostile_kind_is_escaped(kind):
    for code in range(0x110000):
        one = chr(code)
        if unicodedata.category(one) == kind and not 0x110BD <= code < 0xE0000:  # marks of ancient scripts stay
            assert shown(one) == ("\\u007f" if code == 0x7F else json.dumps(one)[1:-1]), hex(code)


def test_other_text_stays_and_what_was_shown_once_stays():
    for text in ("BTC-USDT", "币安人生", "naïve – ok", "\\u001b", "[red]x[/]", "\U0001f600"):
        assert shown(text) == shown_lines(text) == text
    assert shown(shown(HOSTILE)) == shown(HOSTILE)


def test_an_escape_in_json_is_json():
    dumped = json.dumps({"a": HOSTILE}, ensure_ascii=False)
    assert json.loads(shown_lines(dumped)) == {"a": HOSTILE}


@pytest.mark.parametrize("name", ["BTC", "1INCH", "币安人生", "USD.M", "A" * 64])
def test_names(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "A B", "A/B", "..\\x", "A\x00", "A\x1b[m", "A\n", "\u202eA", "A" * 65])
def test_texts_that_are_no_names(name):
    assert not is_name(name)


def test_only_what_no_journal_keeps_is_escaped():
    assert storable("a\0b\ud800\udfff") == "a\\u0000b\\ud800\\udfff"
    for kept in ("", "plain", "\x01\x7f\n\u202e", "\U0001f600", "\\u0000"):
        assert storable(kept) == kept
    storable("\0\udc80").encode()

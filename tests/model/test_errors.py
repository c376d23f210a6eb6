"""Errors carry foreign text to logs, to other processes and to callers."""

from __future__ import annotations

import pickle

import orjson

from venuemesh.model.errors import Misconfigured, Rejected


def test_text_of_an_error_can_be_stored_and_sent():
    error = Rejected("-1", "half a pair: \ud800")
    assert error.reason == "half a pair: \\ud800"
    assert orjson.loads(orjson.dumps(str(error))) == "rejected (-1): half a pair: \\ud800"
    assert pickle.loads(pickle.dumps(error)) == error


def test_text_that_is_not_ascii_stays():
    assert Misconfigured("größe", "€ 数").reason == "€ 数"

"""A server process serves within the block and has ended after it, after any end of the block."""

from __future__ import annotations

import os

import pytest

from venuemesh.exchange.launch import serving
from venuemesh.model.errors import Misconfigured

EXCHANGE = ("venuemesh.exchange", "--json", "--parent", str(os.getpid()))


def test_it_serves_within_the_block_and_is_gone_after_it():
    with serving(*EXCHANGE) as (pid, urls):
        assert urls["binance"]["rest"].startswith("http://")
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_is_gone_after_an_error_too():
    running = serving(*EXCHANGE)
    pid, _ = running.__enter__()
    error = KeyError()
    assert not running.__exit__(KeyError, error, None)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_ends_before_it_serves_is_an_error(capfd):
    with pytest.raises(Misconfigured, match="before it served"), serving("venuemesh.exchange", "--no-such-option"):
        pass
    capfd.readouterr()

"""A supervisor with an unexpected error ends its process, which is the test's here: the test must fail instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The codes with which the process would have ended; a test that expects an end clears them."""
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    yield codes
    assert not codes, f"the supervisor ended its process with {codes}; its log has the error"

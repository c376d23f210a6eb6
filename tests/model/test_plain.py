"""Stored records are read with their exact types, or refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from venuemesh.model.errors import Misconfigured
from venuemesh.model.fixed import INT64_MAX
from venuemesh.model.plain import from_plain, to_plain


@dataclass
class Record:
    name: str | None
    count: int
    more: int | str = 0


def test_a_record_comes_back():
    for record in (Record("größe", INT64_MAX, -INT64_MAX), Record(None, 0, "x")):
        assert from_plain(Record, to_plain(record)) == record


@pytest.mark.parametrize(
    ("name", "count", "more", "where"),
    [("x\ud800", 1, 2, "name"), ("x", 2**63, 2, "count"), ("x", 1, -(2**63), "more"), ("x", 1, "\udfff", "more")],
)
def test_what_no_store_can_keep_is_refused(name, count, more, where):
    with pytest.raises(Misconfigured, match=rf"^Record\.{where}: "):
        from_plain(Record, {"name": name, "count": count, "more": more})

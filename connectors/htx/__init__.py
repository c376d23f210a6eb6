"""HTX spot."""

from __future__ import annotations

from dataclasses import dataclass

from ..connector import SpecifiedConnector
from .market import HtxCodec
from .spec import BOOK, SPEC


@dataclass(frozen=True, slots=True)
class HtxConnector(SpecifiedConnector):
    """An exchange with HTX's protocol."""

    def codec(self, rest: str | None = None, ws: str | None = None, book: str = BOOK.default) -> HtxCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        return HtxCodec(self.spec, rest, ws, book)


CONNECTOR = HtxConnector(SPEC)

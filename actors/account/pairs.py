"""Passes the exchange's listed pairs, as its catalog has them, to an order codec."""

from __future__ import annotations

from ...connectors.order_codec import TradingCodec
from ...model.address import catalog_address
from ...model.instrument import Instrument
from ..cell.role import Context

ASK_S = 10.0


async def bind_listed(codec: TradingCodec, context: Context, exchange: str) -> list[Instrument]:
    """Bind all listed pairs; return them. Raises MeshError: the catalog does not answer."""
    listed = await context.ask(catalog_address(exchange), "instruments", None, ASK_S)
    found = [Instrument.from_dict(plain) for plain in listed["instruments"]]
    codec.bind(found)
    return found

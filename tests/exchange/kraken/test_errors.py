"""The names of the engine's refusals: no refusal reads as an unknown outcome, and none is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

from venuemesh import exchange
from venuemesh.exchange.kraken.errors import UNKNOWN, refused
from venuemesh.model.errors import Rejected

ENGINE = Path(exchange.__path__[0]) / "engine"
# Codes that mean an argument here, and codes of what the protocol does not have: limits of stop orders, lists, amends.
PLAIN = {"BAD_ORDER", "AMEND_NOTHING", "AMEND_UNSUPPORTED", "MARKET_CLOSED"}
ABSENT = {
    "STOP_ORDERS",
    "OCO_PRICES",
    "ORDER_LISTS",
    "DUPLICATE_ACCOUNT",
    "DUPLICATE_SYMBOL",
    "AMENDS",
}


def test_every_code_of_the_engine_has_its_text() -> None:
    codes = {code for path in ENGINE.glob("*.py") for code in re.findall(r'Rejected\(\s*"([A-Z_]+)"', path.read_text())}
    assert {"PRICE", "SIZE", "INSUFFICIENT_BALANCE"} <= codes
    for code in codes:
        text = refused(Rejected(code, "")).text
        assert text not in UNKNOWN
        assert (text == "EGeneral:Invalid arguments") == (code in PLAIN | ABSENT), code

"""The requests that place orders, and their client order ids.

Keys are the endpoint's names on the WebSocket API and on REST; values are the parameters that name the orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ONE = ("newClientOrderId",)
_OCO = ("aboveClientOrderId", "belowClientOrderId")
_OTO = ("workingClientOrderId", "pendingClientOrderId")
_OTOCO = ("workingClientOrderId", "pendingAboveClientOrderId", "pendingBelowClientOrderId")
PLACING: dict[str, tuple[str, ...]] = {
    "ws-api:order.place": _ONE,
    "ws-api:order.cancelReplace": _ONE,
    "ws-api:sor.order.place": _ONE,
    "ws-api:orderList.place": ("limitClientOrderId", "stopClientOrderId"),
    "ws-api:orderList.place.oco": _OCO,
    "ws-api:orderList.place.oto": _OTO,
    "ws-api:orderList.place.otoco": _OTOCO,
    "ws-api:orderList.place.opo": _OTO,
    "ws-api:orderList.place.opoco": _OTOCO,
    "POST /api/v3/order": _ONE,
    "POST /api/v3/order/cancelReplace": _ONE,
    "POST /api/v3/sor/order": _ONE,
    "POST /api/v3/order/oco": ("limitClientOrderId", "stopClientOrderId"),
    "POST /api/v3/orderList/oco": _OCO,
    "POST /api/v3/orderList/oto": _OTO,
    "POST /api/v3/orderList/otoco": _OTOCO,
    "POST /api/v3/orderList/opo": _OTO,
    "POST /api/v3/orderList/opoco": _OTOCO,
}


def client_ids(endpoint: str, sent: Mapping[str, Any]) -> list[Any]:
    """Return the client order ids of the orders that a request would place."""
    return [sent.get(parameter) for parameter in PLACING.get(endpoint, ())]

"""How often the exchange was asked to place an order under each client order id, whatever came of it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

KEPT = 300_000  # client order ids of one account

# What places orders, by its name on the WebSocket API and on REST, and the parameters that name those orders.
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


@dataclass(slots=True)
class Receipt:
    """Placements of one client order id: requests that came in, that were accepted, that were refused.

    What was received and is neither was not executed: a fault kept it, or it is held still.
    """

    client_id: str
    received: int = 0
    accepted: int = 0
    refused: int = 0


class Receipts:
    """The receipts of one account, in the order their ids were first seen; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Receipt] = OrderedDict()
        self._dropped = 0

    def received(self, name: str, sent: Mapping[str, Any]) -> list[Receipt]:
        """Count a request called `name`; return the receipts of the orders it would place."""
        found = []
        for parameter in PLACING.get(name, ()):
            client_id = sent.get(parameter)
            if isinstance(client_id, str) and client_id:
                receipt = self._by_id.get(client_id)
                if receipt is None:
                    receipt = self._by_id[client_id] = Receipt(client_id)
                    if len(self._by_id) > KEPT:
                        self._by_id.popitem(last=False)
                        self._dropped += 1
                receipt.received += 1
                found.append(receipt)
        return found

    def since(self, number: int, limit: int) -> Iterator[tuple[int, Receipt]]:
        """Yield (number, receipt) of ids first seen after the `number`th, at most `limit`."""
        skip = max(0, number - self._dropped)
        yield from enumerate(islice(self._by_id.values(), skip, skip + limit), self._dropped + skip + 1)

    def of(self, client_id: str) -> Receipt:
        return self._by_id.get(client_id) or Receipt(client_id)


def settle(receipts: list[Receipt], accepted: bool) -> None:
    """Note how a request ended."""
    for receipt in receipts:
        if accepted:
            receipt.accepted += 1
        else:
            receipt.refused += 1

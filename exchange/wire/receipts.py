"""How often the exchange was asked to place an order under each client order id, whatever came of it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

KEPT = 300_000  # client order ids of one account


@dataclass(slots=True)
class Receipt:
    """Placements of one client order id: requests that came in, that were accepted, that were refused.

    A request that is received and neither accepted nor refused was not executed: a fault kept it or still holds it.
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

    def received(self, client_ids: Iterable[object]) -> list[Receipt]:
        """Count a request to place orders under these client order ids; what is no id is not counted."""
        found = []
        for client_id in client_ids:
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

    def find(self, client_id: str) -> Receipt:
        """Return the receipt of an id; all its counts are 0 when the id was never seen."""
        return self._by_id.get(client_id) or Receipt(client_id)


def settle(receipts: Iterable[Receipt], accepted: bool) -> None:
    """Note how a request ended."""
    for receipt in receipts:
        if accepted:
            receipt.accepted += 1
        else:
            receipt.refused += 1

"""Counts the requests to place an order by client order id, with any outcome. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

KEPT = 300_000  # client order ids of one account


@dataclass(slots=True)
class Receipt:
    """Placements of one client order id: received, accepted and refused requests.

    A received request that is neither accepted nor refused was not executed: a fault dropped it or still holds it.
    """

    client_id: str
    received: int = 0
    accepted: int = 0
    refused: int = 0


class Receipts:
    """The receipts of one account by first appearance of their ids; above the limit the oldest are dropped."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Receipt] = OrderedDict()
        self._dropped = 0

    def received(self, client_ids: Iterable[object]) -> list[Receipt]:
        """Count a request to place orders under these client order ids; a value that is not an id is not counted."""
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
        """Yield (number, receipt) of at most `limit` ids first seen after this number."""
        skip = max(0, number - self._dropped)
        yield from enumerate(islice(self._by_id.values(), skip, skip + limit), self._dropped + skip + 1)

    def find(self, client_id: str) -> Receipt:
        """Return the receipt of an id; all its counts are 0 if the id was never seen."""
        return self._by_id.get(client_id) or Receipt(client_id)


def settle_refused(receipts: Iterable[Receipt], refused: Iterable[object]) -> list[Receipt]:
    """Record refused orders of a batch by their client ids; return the receipts that are still open."""
    unmatched, kept = list(refused), []
    for receipt in receipts:
        if receipt.client_id in unmatched:
            unmatched.remove(receipt.client_id)
            settle([receipt], accepted=False)
        else:
            kept.append(receipt)
    return kept


def settle(receipts: Iterable[Receipt], accepted: bool) -> None:
    """Record the outcome of a request."""
    for receipt in receipts:
        if accepted:
            receipt.accepted += 1
        else:
            receipt.refused += 1

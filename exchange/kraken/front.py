"""The shared path of REST and the websocket from a request to its answer: both are envelopes of the executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...model.errors import Rejected
from ..engine.accounts import Account
from ..faults import Fault
from ..wire.receipts import settle_refused
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN, ApiError, refused


@dataclass(slots=True)
class Reply:
    """A result or the text of an error, and the subscription that begins when it is written. Only REST has a status."""

    result: Any = None
    error: str | None = None
    status: int = 200
    symbol: object = None  # pairs that are named next to an error
    then: Callable[[], None] | None = None
    refused: Sequence[object] = ()  # the client ids of the refused orders of a batch


class Front(ABC):
    """One request with an answer for each pair or order that it names. `names`: the endpoint's names in fault rules.

    `client_ids` are the ids under which the request would place orders; an id None is not counted.
    """

    protocol = NAME
    slow_executes_first = False

    def __init__(
        self, desk: Desk, names: tuple[str, ...], account: Account | None, pair: object, *client_ids: object
    ) -> None:
        self.desk = desk
        self.names = names
        self.account = account
        self.symbol = desk.pairs.symbol(pair)
        self.receipts = [] if account is None else desk.floor.receipts_of(account).received(client_ids)

    @abstractmethod
    def perform(self) -> list[Reply]:
        """Execute the request.

        Raises:
            ApiError, Rejected: why it is refused.
        """

    @abstractmethod
    def send(self, answer: list[Reply]) -> None: ...

    @abstractmethod
    def send_half(self, answer: list[Reply]) -> None: ...

    @abstractmethod
    def cut(self) -> None: ...

    def run(self) -> list[Reply]:
        try:
            answer = self.perform()
            for reply in answer:
                self.receipts = settle_refused(self.receipts, reply.refused)
        except ApiError as error:
            answer = [Reply(error=error.text)]
        except Rejected as rejected:
            answer = [Reply(error=refused(rejected).text)]
        self.desk.floor.count(self.names[0], 200 if self.good(answer) else 400)
        return answer

    def good(self, answer: list[Reply]) -> bool:
        return all(reply.error is None for reply in answer)

    def placed(self, answer: list[Reply]) -> bool:
        return self.good(answer)

    def misstate(self, answer: list[Reply], wrong: Callable[[], dict[str, Decimal]]) -> list[Reply]:
        """Return the answer unchanged: only answers of REST have balances."""
        return answer

    def refusal(self, fault: Fault) -> list[Reply]:
        self.desk.floor.count(self.names[0], fault.status)
        text = "EAPI:Rate limit exceeded" if fault.status == 429 else UNKNOWN[1]
        return [Reply(error=str(fault.code or text), status=fault.status)]

    def unknown(self, fault: Fault, answer: list[Reply]) -> list[Reply]:
        return [Reply(error=str(fault.code or UNKNOWN[0]), status=fault.status)]

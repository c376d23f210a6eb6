"""The shared path of REST and the WebSocket API from a request's arrival to its answer.

Both are envelopes of the executor of faults (`wire.executor`); they differ in the form and the sending of answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...model.fixed import to_raw
from ..engine.accounts import Account
from ..engine.rules import SCALE
from ..faults import Fault
from ..wire.numbers import text
from ..wire.receipts import Receipt
from .desk import Desk
from .errors import STATUS_BODIES, UNKNOWN, ApiError
from .placements import client_ids


@dataclass(slots=True)
class Outcome:
    """An answer before it is written. `body` is the result, or the error if the status is not 200.

    `counts` is the account's unfilled order count where the method places orders; `page` an HTML page in place of a
    body.
    """

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    counts: tuple[int, int] | None = None
    page: str | None = None


class FrontEnvelope(ABC):
    """One request. Fault rules may use any of its `names`; placements are counted by the last one."""

    def __init__(self, desk: Desk, names: tuple[str, ...], account: Account | None, sent: Mapping[str, Any]) -> None:
        self.desk = desk
        self.protocol = desk.protocol
        self.names = names
        self.account = account
        symbol = sent.get("symbol")
        self.symbol = symbol if isinstance(symbol, str) else None
        self.receipts: Sequence[Receipt] = ()
        if account is not None:
            self.receipts = desk.floor.receipts_of(account).received(client_ids(names[-1], sent))

    @abstractmethod
    def run(self) -> Outcome: ...

    @abstractmethod
    def refusal(self, fault: Fault) -> Outcome: ...

    def good(self, answer: Outcome) -> bool:
        return answer.status == 200

    def placed(self, answer: Outcome) -> bool:
        """A cancel-replace may place and still answer 409."""
        data = answer.body.get("data") if isinstance(answer.body, dict) else None
        return answer.status == 200 or (isinstance(data, dict) and data.get("newOrderResult") == "SUCCESS")

    def misstate(self, answer: Outcome, wrong: Callable[[], dict[str, Decimal]]) -> Outcome:
        body = answer.body
        if not isinstance(body, dict) or not isinstance(body.get("balances"), list):
            return answer
        amounts = wrong()
        for line in body["balances"]:
            if line["asset"] in amounts:
                line["free"] = text(to_raw(line["free"], SCALE) + to_raw(amounts.pop(line["asset"]), SCALE))
        for asset, amount in amounts.items():
            body["balances"].append({"asset": asset, "free": text(to_raw(amount, SCALE)), "locked": text(0)})
        return answer

    def unknown(self, fault: Fault, answer: Outcome) -> Outcome:
        code = fault.code if isinstance(fault.code, int) else next(iter(UNKNOWN))
        return Outcome(fault.status, ApiError(code, UNKNOWN[code]).body, counts=answer.counts)


def refused_by(fault: Fault) -> ApiError:
    """The error of a `status` fault."""
    return ApiError(*STATUS_BODIES.get(fault.status, STATUS_BODIES[500]), fault.status)

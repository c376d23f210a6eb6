"""One request of the Bybit protocol for the executor of faults, as REST and the websocket for orders share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..faults import Fault
from ..wire.receipts import Receipt, settle_refused
from .client import NAME
from .desk import Desk
from .errors import SERVER_ERROR, TEXTS, TOO_MANY, UNKNOWN, ApiError
from .limits import Use
from .order_bodies import misstate
from .private import WRITES, Asked, Batch, Endpoint, perform

BALANCE = "/v5/account/wallet-balance"
CREATE, CREATE_BATCH = "/v5/order/create", "/v5/order/create-batch"


@dataclass(slots=True)
class Answer:
    """The outcome of a request."""

    result: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    text: str = "OK"
    status: int = 200
    outcomes: Sequence[tuple[int, str]] | None = None  # outcomes of the rows of a batch


class Envelope:
    """One request on any transport; a subclass sends the answer. `path` is that of the REST endpoint."""

    protocol = NAME

    def __init__(
        self,
        desk: Desk,
        names: tuple[str, ...],
        path: str,
        account: Account | None,
        sent: Mapping[str, Any],
        answer: Callable[[Envelope], Any],
    ) -> None:
        self.desk = desk
        self.names = names
        batch = sent.get("request")
        rows = [row for row in batch if isinstance(row, dict)] if isinstance(batch, list) else [sent]
        named = {str(row.get("symbol")) for row in rows}
        self.symbol = named.pop() if len(named) == 1 and named <= desk.pairs.by_symbol.keys() else None
        self.account = account
        placed = [row.get("orderLinkId") for row in rows] if path in (CREATE, CREATE_BATCH) else []
        self.receipts = [] if account is None else desk.floor.receipts_of(account).received(placed)
        self.use: Use | None = None
        self._answer = answer

    def run(self) -> Answer:
        try:
            made = self._answer(self)
            answer = Answer({"list": made.rows}, outcomes=made.outcomes) if isinstance(made, Batch) else Answer(made)
            self.receipts = self._settled(answer)
        except ApiError as error:
            answer = Answer(code=error.code, text=error.text, status=error.status)
        self.desk.floor.count(self.names[0], 200 if self.good(answer) else max(400, answer.status))
        return answer

    def _settled(self, answer: Answer) -> list[Receipt]:
        """Record which orders of a batch were refused; return the receipts that are still open."""
        codes = zip(answer.result["list"], answer.outcomes, strict=True) if answer.outcomes else ()
        refused = [row["orderLinkId"] for row, (code, _) in codes if code]
        return settle_refused(self.receipts, refused)

    def good(self, answer: Answer) -> bool:
        return answer.code == 0

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        """Change the free balances in an answer that has balances."""
        if self.names[0] != BALANCE:
            return answer
        (row,) = answer.result["list"]
        return Answer({"list": [misstate(row, wrong())]})

    def refusal(self, fault: Fault) -> Answer:
        self.desk.floor.count(self.names[0], fault.status)
        code = _code(fault, TOO_MANY if fault.status == 429 else SERVER_ERROR)
        return Answer(code=code, text=TEXTS.get(code, "refused by a fault"), status=fault.status)

    def unknown(self, fault: Fault, answer: Answer) -> Answer:
        code = _code(fault, UNKNOWN[0])
        return Answer(code=code, text=TEXTS.get(code, "outcome unknown"), status=fault.status)

    def more(self, answer: Answer) -> dict[str, Any]:
        """Return `retExtInfo`: the outcomes of the rows of a batch."""
        if answer.outcomes is None:
            return {}
        return {"list": [{"code": code, "msg": text} for code, text in answer.outcomes]}


def _code(fault: Fault, usual: int) -> int:
    """Return the code that a fault states; the usual code if the fault states no number."""
    text = str(fault.code)
    return int(text) if text.lstrip("-").isdigit() else usual


def carried_out(
    envelope: Envelope, endpoint: Endpoint, path: str, owner: tuple[Account, ApiKey], sent: Mapping[str, Any]
) -> Any:
    """Count an authenticated private request, and execute it.

    Raises:
        ApiError: why it is refused.
    """
    desk, (account, key) = envelope.desk, owner
    now_ns = desk.now_ns()

    def spend() -> None:
        envelope.use = desk.meter.spend(account, path, endpoint.per_s, now_ns)
        if envelope.use.refused:
            raise ApiError(TEXTS[TOO_MANY], TOO_MANY)

    return perform(endpoint, Asked(desk, account, key, sent, now_ns), path in WRITES, spend)

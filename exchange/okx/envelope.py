"""One request for the executor of faults, over REST or a websocket: how it ends, and what its answer says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..engine.accounts import Account
from ..faults import Fault
from ..wire.receipts import Receipt, settle
from . import payloads
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN, ApiError
from .private import PLACES
from .trading import Rows

BASE = "/api/v5/"


@dataclass(slots=True)
class Answer:
    """The outcome of a request."""

    data: Any = field(default_factory=list)
    code: str = "0"
    text: str = ""
    status: int = 200


class Envelope:
    """See the module. `name` is the endpoint below `BASE`; a transport adds how an answer is sent."""

    protocol = NAME

    def __init__(
        self,
        desk: Desk,
        names: tuple[str, ...],
        name: str,
        account: Account | None,
        listed: Sequence[dict[str, Any]],
        perform: Callable[[], Any],
    ) -> None:
        self.desk = desk
        self.names = names
        self.account = account
        self.symbol = desk.symbol_of(listed)
        self.receipts: Sequence[Receipt] = ()
        self._name = name
        self._placing = account is not None and name in PLACES
        if account is not None and self._placing:
            self.receipts = desk.floor.receipts_of(account).received([row.get("clOrdId") for row in listed])
        self._perform = perform

    def run(self) -> Answer:
        try:
            made = self._perform()
            answer = Answer(made.rows, made.code, made.text) if isinstance(made, Rows) else Answer(made)
        except ApiError as error:
            answer = Answer(code=error.code, text=error.text, status=error.status)
        if self._placing and answer.code == "2":  # each order of a batch has its own outcome
            refused = {row["clOrdId"] for row in answer.data if row["sCode"] != "0"}
            settle([receipt for receipt in self.receipts if receipt.client_id in refused], accepted=False)
            self.receipts = [receipt for receipt in self.receipts if receipt.client_id not in refused]
        self.desk.floor.count(self.names[0], 200 if self.good(answer) else max(answer.status, 400))
        return answer

    def good(self, answer: Answer) -> bool:
        return answer.code in ("0", "2")

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        """Change the free balances in an answer with balances."""
        if self._name != "account/balance":
            return answer
        (account,) = answer.data
        account["details"] = payloads.misstated(account["details"], wrong())
        return answer

    def refusal(self, fault: Fault) -> Answer:
        self.desk.floor.count(self.names[0], fault.status)
        code, text = (
            ("50011", "Too Many Requests") if fault.status == 429 else ("50001", "Service temporarily unavailable")
        )
        return Answer(code=str(fault.code or code), text=text, status=fault.status)

    def unknown(self, fault: Fault, answer: Answer) -> Answer:
        return Answer(code=str(fault.code or UNKNOWN[0]), text="API endpoint request timeout.", status=fault.status)

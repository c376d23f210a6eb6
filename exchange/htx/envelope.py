"""One request over REST for the executor of faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from ..engine.accounts import Account
from ..faults import Fault
from ..wire.http import HttpChannel
from ..wire.receipts import Receipt, settle_refused
from ..wire.sending import OverHttp
from .client import NAME
from .desk import Desk
from .errors import SYSTEM, TEXTS, TOO_MANY, UNKNOWN, ApiError
from .limits import Use
from .order_bodies import misstated
from .private import PLACE, PLACE_BATCH

BALANCE = "/v1/account/accounts/{}/balance"


@dataclass(slots=True)
class Answer:
    """The outcome of a request: its whole body, or a refusal."""

    body: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    text: str = ""
    status: int = 200


class Envelope(OverHttp[Answer]):
    """One HTTP request. Fault rules know it by its endpoint, and by its verb and endpoint together."""

    protocol = NAME

    def __init__(
        self,
        desk: Desk,
        request: web.Request,
        name: str,
        account: Account | None,
        sent: Mapping[str, Any],
        answer: Callable[[Envelope], Any],
    ) -> None:
        self.desk = desk
        self.names = (name, f"{request.method} {name}")
        self.account = account
        listed = sent.get("orders")
        rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else [sent]
        named = {desk.pairs.engine_symbol(row.get("symbol")) for row in rows}
        self.symbol = named.pop() if len(named) == 1 else None
        placed = [row.get("client-order-id") for row in rows] if name in (PLACE, PLACE_BATCH) else []
        self.receipts: Sequence[Receipt] = [] if account is None else desk.floor.receipts_of(account).received(placed)
        self.use: Use | None = None
        self._answer = answer
        self._is_v2 = name.startswith("/v2/")
        self.channel = HttpChannel(request, desk.floor.faults, self)

    def run(self) -> Answer:
        try:
            answer = Answer(self._answer(self))
            if self.names[0] == PLACE_BATCH:
                refused = [row.get("client-order-id") for row in answer.body["data"] if "err-code" in row]
                self.receipts = settle_refused(self.receipts, refused)
        except ApiError as error:
            answer = Answer(code=error.code, text=error.text, status=error.status)
        self.desk.floor.count(self.names[0], 200 if self.good(answer) else max(400, answer.status))
        return answer

    def good(self, answer: Answer) -> bool:
        return not answer.code

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        """Change the free balances in an answer that has balances."""
        if self.names[0] != BALANCE:
            return answer
        data = answer.body["data"]
        return Answer({**answer.body, "data": {**data, "list": misstated(data["list"], wrong())}})

    def refusal(self, fault: Fault) -> Answer:
        self.desk.floor.count(self.names[0], fault.status)
        code = str(fault.code or (TOO_MANY if fault.status == 429 else SYSTEM))
        return Answer(code=code, text=TEXTS.get(code, "refused by a fault"), status=fault.status)

    def unknown(self, fault: Fault, answer: Answer) -> Answer:
        code = str(fault.code or UNKNOWN[0])
        return Answer(code=code, text=TEXTS.get(code, "outcome unknown"), status=fault.status)

    def response(self, answer: Answer) -> web.Response:
        body: Mapping[str, Any] = answer.body
        if answer.code and self._is_v2 and answer.code.isdigit():
            body = {"code": int(answer.code), "message": answer.text}
        elif answer.code:
            body = {"status": "error", "err-code": answer.code, "err-msg": answer.text, "data": None}
        return web.Response(
            body=orjson.dumps(body),
            status=answer.status,
            content_type="application/json",
            charset="utf-8",
            headers=None if self.use is None else self.use.headers,
        )

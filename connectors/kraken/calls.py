"""Orders over websocket v2: a request of REST as a call, and the answer to a call in the form of REST's.

A call has the names and types of the websocket: numbers instead of texts, the pair's symbol, objects for triggers. If a
batch does not place an order, the manual only states that the other orders continue; krakenfx/kraken-api-sdk reads an
`error` in the order's row, and valid other rows in an answer without success.

Source: websocket-v2/add_order, amend_order, cancel_order, batch_add, batch_cancel of docs.kraken.com, ws_compose.rs of
krakenfx/kraken-api-sdk, the exchange's own library, read 2026-11-27.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from ..order_codec import CallAnswer, Draft, Kind

METHODS = frozenset({"add_order", "amend_order", "cancel_order", "batch_add", "batch_cancel"})
NAMES = {"txid": "order_id", "cl_ord_ids": "cl_ord_id", "ordertype": "order_type", "type": "side"}
NUMBERS = ("order_qty", "limit_price")


def number_of(request_id: str) -> int:
    """Return the `req_id` of a request: a number, as the exchange takes no text."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:6], "big")


def params_of(draft: Draft) -> dict[str, Any]:
    """Return the parameters of a call without token and deadline."""
    sent = dict(draft.params)
    if draft.kind is Kind.PLACE:
        return {"symbol": _symbol(draft), **_order(sent)}
    if draft.kind is Kind.BATCH_PLACE:
        return {"symbol": _symbol(draft), "orders": [_order(one) for one in orjson.loads(sent["orders"])]}
    if draft.kind is Kind.BATCH_CANCEL:
        return {"orders": [], **{NAMES.get(name, name): orjson.Fragment(ids) for name, ids in sent.items()}}
    found = {NAMES.get(name, name): orjson.Fragment(text) if name in NUMBERS else text for name, text in sent.items()}
    return {name: [text] for name, text in found.items()} if draft.kind is Kind.CANCEL else found


def _symbol(draft: Draft) -> str:
    return (draft.pair or "").replace("-", "/")


def _order(sent: dict[str, str]) -> dict[str, Any]:
    flags, triggered = sent["oflags"].split(","), "-" in sent["ordertype"]
    made: dict[str, Any] = {NAMES.get(name, name): sent[name] for name in ("ordertype", "type", "cl_ord_id")}
    made["cash_order_qty" if "viqc" in flags else "order_qty"] = orjson.Fragment(sent["volume"])
    made["fee_preference"] = "quote"
    if "post" in flags:
        made["post_only"] = True
    if triggered:
        made["triggers"] = {"reference": "last", "price": orjson.Fragment(sent["price"])}
    if (limit := sent.get("price2" if triggered else "price")) is not None:
        made["limit_price"] = orjson.Fragment(limit)
    if "timeinforce" in sent:
        made["time_in_force"] = sent["timeinforce"].lower()
    if "stptype" in sent:
        made["stp_type"] = sent["stptype"].replace("-", "_")
    return made


def answer_of(frame: bytes | memoryview) -> CallAnswer | None:
    """Read an answer to a call; None for any other frame."""
    try:
        message = orjson.loads(frame)
        number, method = message["req_id"], message["method"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
    if type(number) is not int or not isinstance(method, str) or method not in METHODS:
        return None
    result, error = message.get("result"), message.get("error")
    is_answer = message.get("success") is True or isinstance(result, list)
    body = {"error": [], "result": _as_rest(method, result)} if is_answer else {"error": [error] if error else []}
    return CallAnswer(str(number), 200, orjson.dumps(body), {})


def _as_rest(method: str, result: Any) -> Any:
    try:
        if method == "add_order":
            return {"txid": [result["order_id"]]}
        if method == "batch_add":
            return {"orders": [row if "error" in row else {"txid": row["order_id"]} for row in result]}
    except (LookupError, TypeError):
        return None
    return {"count": 1} if method == "cancel_order" else result

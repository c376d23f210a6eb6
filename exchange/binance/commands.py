"""Live subscribing on the market streams: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY.

Source: web-socket-streams.md (Live Subscribing/Unsubscribing to streams, Error Messages), read 2026-11-22. Error frames
are flat, as in that table; only "Unknown property" carries the id.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from ..wire.frames import text_frame
from .client import Client, Form
from .desk import Desk

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_ID = re.compile(r"[A-Za-z0-9\-_]{1,36}", re.ASCII)
_EXPECTED = ", ".join(f"`{method}`" for method in METHODS)


class _Refused(Exception):
    def __init__(self, code: int, msg: str, **more: Any) -> None:
        self.body = {"code": code, "msg": msg, **more}


def receive(desk: Desk, client: Client, text: bytes) -> None:
    """Execute one message and answer."""
    try:
        body = _answer(desk, client, text)
    except _Refused as refused:
        body = refused.body
    client.write(text_frame(orjson.dumps(body)))


def _answer(desk: Desk, client: Client, text: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _Refused(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}") from None
    if not isinstance(asked, dict):
        raise _Refused(3, "Invalid JSON: expected value at line 1 column 1")
    if "method" not in asked:
        raise _Refused(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    method = asked["method"]
    if method not in METHODS:
        at = text.find(b'"method"') + len(b'"method"') + 1
        raise _Refused(
            2, f"Invalid request: unknown variant `{method}`, expected one of {_EXPECTED} at line 1 column {at}"
        )
    if set(asked) - {"method", "params", "id"}:
        raise _Refused(2, "Invalid request: too many parameters")
    number = asked.get("id", False)
    if not _is_id(number):
        raise _Refused(2, "Invalid request: request ID must be an unsigned integer")
    result = _do(desk, client, method, asked.get("params"), number)
    return {"result": result, "id": number}


def _is_id(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _do(desk: Desk, client: Client, method: str, params: Any, number: Any) -> Any:
    if method == "LIST_SUBSCRIPTIONS":
        if params:
            raise _Refused(2, "Invalid request: too many parameters")
        return list(client.streams)
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        if not isinstance(params, list) or not params or not all(isinstance(name, str) for name in params):
            raise _Refused(2, "Invalid request: property name must be a string")
        if method == "UNSUBSCRIBE":
            for name in params:
                desk.streams.topics.unsubscribe(client, name)
            return None
        if len(set(client.streams) | set(params)) > desk.limits.streams:
            raise _Refused(2, "Invalid request: too many parameters")
        for name in params:
            desk.streams.subscribe(client, name)
        return None
    return _property(client, method, params, number)


def _property(client: Client, method: str, params: Any, number: Any) -> bool | None:
    wanted = 2 if method == "SET_PROPERTY" else 1
    if not isinstance(params, list) or not params or not isinstance(params[0], str):
        raise _Refused(2, "Invalid request: property name must be a string")
    if len(params) > wanted:
        raise _Refused(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        raise _Refused(0, "Unknown property", id=number)
    if method == "GET_PROPERTY":
        return client.form.combined
    if len(params) < 2 or not isinstance(params[1], bool):
        raise _Refused(1, "Invalid value type: expected Boolean")
    client.form = Form(params[1], client.form.unit)
    return None

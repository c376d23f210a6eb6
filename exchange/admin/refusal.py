"""Refusals of the admin interface, and the reader of its query strings."""

from __future__ import annotations

from aiohttp import web


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, field: str | None, reason: str, status: int = 400, kind: str = "invalid") -> None:
        super().__init__(reason)
        self.status = status
        self.body = {"error": {"type": kind, "field": field, "reason": reason}}


def query(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise Refusal(name, "is required")
    return value


def whole_number(request: web.Request, name: str, default: int) -> int:
    value = request.query.get(name)
    if value is None:
        return default
    if not value.isdecimal():
        raise Refusal(name, f"{value!r} is not a whole number")
    return int(value)

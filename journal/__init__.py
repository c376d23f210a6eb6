"""Durable orders, fills, requests and numbered events, on SQLite or PostgreSQL."""

from .committer import Committer
from .journal import Journal
from .records import Filter, JournaledRequest, Loaded, Owner, Page, Pause, Transition, Trimmed

__all__ = [
    "Committer",
    "Filter",
    "Journal",
    "JournaledRequest",
    "Loaded",
    "Owner",
    "Page",
    "Pause",
    "Transition",
    "Trimmed",
]

"""Durable orders, fills, requests and numbered events, on SQLite or PostgreSQL."""

from .committer import Committer
from .journal import Journal
from .records import Filter, Loaded, Owner, Page, Pause, Request, Transition, Trimmed

__all__ = ["Committer", "Filter", "Journal", "Loaded", "Owner", "Page", "Pause", "Request", "Transition", "Trimmed"]

"""Durable orders, fills, requests and numbered events, in SQLite or PostgreSQL."""

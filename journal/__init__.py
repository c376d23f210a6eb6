"""Durable orders, fills, requests and numbered events, on SQLite or PostgreSQL."""

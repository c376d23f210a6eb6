"""Binance spot's market-data protocol over the engine, by its manual.

Source: binance/binance-spot-api-docs, read 2026-11-22; each module names its pages.
"""

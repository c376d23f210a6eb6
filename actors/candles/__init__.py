"""Candles of an exchange: queries over REST, and series that follow its stream."""

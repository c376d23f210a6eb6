"""Defaults of commands and test tools."""

# exchange of recordings without --exchange, of the demonstration, and of the local exchange in tests
EXCHANGE = "binance"

"""Defaults of commands and test tools."""

# whose frames a recording holds, and whose protocol the demonstration and the local exchange of a test speak
EXCHANGE = "binance"

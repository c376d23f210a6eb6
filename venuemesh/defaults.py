"""What commands and test tools assume where the user names nothing."""

# whose frames a recording holds, and whose protocol the demonstration and the local exchange of a test speak
EXCHANGE = "binance"

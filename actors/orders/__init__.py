"""The order manager: the one writer of an account's orders."""

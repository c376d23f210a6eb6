"""The matching engine and its accounts: no exchange's protocol."""

"""The matching engine and its accounts, without any exchange's protocol."""

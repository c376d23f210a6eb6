"""The market-data suite."""

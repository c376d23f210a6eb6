"""The trading suite."""

"""The role that leases one rate budget to every cell that spends it."""

"""The role that leases the rate budget of one exchange and egress to the cells that use it."""

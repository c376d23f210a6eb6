"""The demonstration: a mesh on a local exchange, kills, and the audit at its end."""

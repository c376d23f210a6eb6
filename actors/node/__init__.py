"""The roles of a node: the agent that kills and sweeps, the mirror of books from other nodes."""

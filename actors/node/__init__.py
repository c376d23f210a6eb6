"""The roles of a node: the agent, which kills and sweeps, and the mirror of books from other nodes."""

"""The roles of a node: the agent, which kills hung processes and removes their files, and the mirror of books."""

"""The link between two nodes: one connection over which a mirror gets the books of another node, as they change."""

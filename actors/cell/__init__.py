"""Host roles: the cell, its messages, its heartbeat, and cells in one process."""

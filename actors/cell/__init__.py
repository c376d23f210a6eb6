"""What hosts a role: the cell, its messages, its heartbeat, and a mesh in one process."""

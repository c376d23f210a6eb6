"""`Mesh`: a running mesh as its users see it, over Ray."""

"""`Mesh`: the users' access to a running mesh, over Ray."""

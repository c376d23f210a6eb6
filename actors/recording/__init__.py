"""Recording raw frames and replaying them."""

"""What the supervisor decides: pure, without clock or Ray."""

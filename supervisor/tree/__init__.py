"""The supervisor's decisions: pure, without clock or Ray."""

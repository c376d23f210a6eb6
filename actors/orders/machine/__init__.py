"""The decisions of an order manager: pure, without clock, socket or journal."""

"""What an order manager decides: pure, without clock, socket or journal."""

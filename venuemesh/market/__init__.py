"""`Market`, the facade that strategies use."""

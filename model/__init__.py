"""The vocabulary of the mesh: instruments, events, errors, exact numbers. No I/O, no Ray."""

"""What goes wrong, injected on purpose, and what must hold afterwards."""

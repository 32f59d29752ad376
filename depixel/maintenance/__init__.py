"""Whether the project is in order, and repairs."""

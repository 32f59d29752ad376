"""Checks of the project, and repairs."""

"""Restoring pictures of any size, color and format."""

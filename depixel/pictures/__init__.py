"""Restoration of pictures of any size, color and format."""

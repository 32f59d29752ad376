"""Detection of the pixelated areas of a picture."""

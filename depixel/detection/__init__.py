"""Finding the pixelated areas of a picture."""

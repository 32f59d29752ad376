"""Areas of a picture: as a person names them, with their blocks resolved, and their grid of blocks."""

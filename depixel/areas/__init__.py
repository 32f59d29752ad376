"""Areas of a picture: as a person names them, as they are resolved, and their grid of blocks."""

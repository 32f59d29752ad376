"""Analysis of a photo collection: its properties, odd photos, and gaps."""

"""The prepared photos and their split, as training reads them."""

"""The prepared photos, their split, and the training samples made from them."""

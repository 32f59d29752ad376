"""Turns archives of photos into the prepared arrays: reading, decoding, rules, near-duplicates."""

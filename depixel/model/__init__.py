"""Blocks in, pixels out: pixelation, networks, prediction. Only what training computes with."""

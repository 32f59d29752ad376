"""Pixelation, networks and prediction. This package holds only code that training uses."""

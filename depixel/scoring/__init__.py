"""Scores, baselines, and confidence intervals that separate differences from chance."""

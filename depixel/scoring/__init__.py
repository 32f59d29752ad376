"""Scores, baselines, and intervals that tell a difference from luck."""

"""Experiments with many runs: records, comparison, seeds, sweeps."""

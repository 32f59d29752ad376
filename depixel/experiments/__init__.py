"""Many runs: records, comparison, seeds, sweeps."""

"""Test sets and submissions in the challenge's format. Pickles are read without running code."""

"""Test sets and submissions in the challenge's format; pickles are read without running code."""

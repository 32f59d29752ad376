"""Depixelation as a reproducible pipeline: what the stages and the `depixel` command are made of."""

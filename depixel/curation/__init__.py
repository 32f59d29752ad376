"""Collecting, versioning and comparing photos: snapshots, public collections, the generated sample."""

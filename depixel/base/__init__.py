"""Shared by all packages: errors, files, tables, settings, the console, stages and the paths of the project's files."""

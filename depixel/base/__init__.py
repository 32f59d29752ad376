"""What all packages stand on: errors, files, tables, settings, the console, stages, where the project's files are."""

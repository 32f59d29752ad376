"""What `make` calls: the installer, which runs before anything is installed, and the first run of the pipeline."""

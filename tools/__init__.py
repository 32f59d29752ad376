"""The programs behind `make`: the installer, which needs only Python, and the run of the whole pipeline."""

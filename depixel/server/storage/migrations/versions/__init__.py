"""The steps, each from one revision of the tables to the next."""

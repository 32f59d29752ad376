"""How the tables of a challenge came about, step by step (Alembic)."""

"""Run the steps that a database lacks, within the transaction of `Database`."""

from alembic import context

from depixel.server.storage.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
context.run_migrations()

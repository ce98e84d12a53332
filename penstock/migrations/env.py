"""Run by Alembic for each command: hands it our connection and the declared tables."""

from alembic import context

from penstock.migrations import VERSION_TABLE, is_declared
from streams.db.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=is_declared,
    render_as_batch=True,  # SQLite alters a table by building it anew
)
with context.begin_transaction():
    context.run_migrations()

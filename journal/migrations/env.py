"""Run by alembic: applies the versions on the connection and in the transaction of `journal.migrate`."""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given["metadata"],
    transactional_ddl=True,  # also on SQLite, because we issue BEGIN ourselves
    render_as_batch=True,
)
context.run_migrations()

"""Alembic's way in: it runs in the transaction and under the lock that ``migrate`` holds."""

from alembic import context

from lading.ledger.migrate import VERSION_TABLE
from lading.ledger.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()

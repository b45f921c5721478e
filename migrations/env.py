"""Alembic's entry: the URL from DATABASE_DIRECT_URL or DATABASE_URL, the target from shared/database/tables.py."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from shared.database.engine import sqlalchemy_url
from shared.database.tables import metadata
from shared.settings import Settings

# Two starting processes must not migrate at once; the number is this lock's name.
MIGRATION_LOCK = 7_346_001

url = context.config.get_main_option("database_url") or Settings().session_database_url
# No connection is left behind, also when there is an error: a restore renames the database right after.
engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
with engine.connect() as connection:
    # Another migration is waited for as long as it takes.
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
    # Whoever waits for a table stands before all who come later: not for long. shared/database/schema.py tries again.
    connection.execute(text("SET lock_timeout = '3s'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()

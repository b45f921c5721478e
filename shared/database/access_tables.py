"""Who may use the API: keys, and the sessions that browsers have begun with them. Of both only hashes."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from shared.database.table_parts import Usd, created_at, metadata

api_key = Table(
    "api_key",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, unique=True, comment="sha256 of the whole key"),
    created_at(),
    Column("last_used_at", DateTime(timezone=True), comment="to the minute"),
    Column("revoked_at", DateTime(timezone=True)),
    Column("requests_per_minute", Integer, comment="NULL, as of the three below: no limit"),
    Column("most_open_jobs", Integer),
    Column("most_questions", BigInteger),
    Column("most_usd", Usd),
    CheckConstraint("scope IN ('read', 'submit', 'admin')", name="scope_known"),
    CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash_32"),
    CheckConstraint("requests_per_minute > 0", name="requests_positive"),
    CheckConstraint("LEAST(most_open_jobs, most_questions, most_usd) >= 0", name="quotas_not_negative"),
)
# A revoked key's name may be given again.
Index("uq_api_key_name_in_force", api_key.c.name, unique=True, postgresql_where=text("revoked_at IS NULL"))

api_session = Table(
    "api_session",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="sha256 of what the cookie holds"),
    Column("key_id", ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False),
    created_at(),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
Index("ix_api_session_key_id", api_session.c.key_id)

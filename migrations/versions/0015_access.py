"""access: keys, the sessions that browsers begin with them, and which key posted a job"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only adds: what runs on the schema before goes on."""
    op.create_table(
        "api_key",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="sha256 of the whole key"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), comment="to the minute"),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("requests_per_minute", sa.Integer(), comment="NULL, as of the three below: no limit"),
        sa.Column("most_open_jobs", sa.Integer()),
        sa.Column("most_questions", sa.BigInteger()),
        sa.Column("most_usd", sa.Numeric(18, 12)),
        sa.CheckConstraint("scope IN ('read', 'submit', 'admin')", name=op.f("ck_api_key_scope_known")),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name=op.f("ck_api_key_secret_hash_32")),
        sa.CheckConstraint("requests_per_minute > 0", name=op.f("ck_api_key_requests_positive")),
        sa.CheckConstraint(
            "LEAST(most_open_jobs, most_questions, most_usd) >= 0", name=op.f("ck_api_key_quotas_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_key_secret_hash")),
    )
    op.create_index(
        "uq_api_key_name_in_force", "api_key", ["name"], unique=True, postgresql_where=sa.text("revoked_at IS NULL")
    )
    op.create_table(
        "api_session",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="sha256 of what the cookie holds"),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_api_session")),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_api_session_key_id"), ondelete="CASCADE"),
    )
    op.create_index("ix_api_session_key_id", "api_session", ["key_id"])
    op.add_column("job", sa.Column("api_key_id", sa.Integer(), comment="the key that posted it, if one did"))
    op.create_foreign_key(op.f("fk_job_api_key_id"), "job", "api_key", ["api_key_id"], ["id"])
    op.create_index("ix_job_api_key_id", "job", ["api_key_id"], postgresql_where=sa.text("api_key_id IS NOT NULL"))


def downgrade() -> None:
    """All keys are lost."""
    op.drop_index("ix_job_api_key_id", "job")
    op.drop_constraint(op.f("fk_job_api_key_id"), "job")
    op.drop_column("job", "api_key_id")
    op.drop_table("api_session")
    op.drop_table("api_key")

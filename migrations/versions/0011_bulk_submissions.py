"""bulk submissions: calls that are handed in together and answered within a day at half price"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Before the first change of a table, so that a busy system is waited for once.
    op.execute("LOCK TABLE batch, call IN ACCESS EXCLUSIVE MODE")
    op.add_column(
        "batch",
        sa.Column(
            "in_bulk",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="its calls are with a provider, or to be submitted: nobody may claim it",
        ),
    )
    op.create_check_constraint(op.f("ck_batch_in_bulk_is_pending"), "batch", "NOT in_bulk OR state = 'pending'")
    op.create_index("ix_batch_in_bulk", "batch", ["id"], postgresql_where=sa.text("in_bulk"))
    op.add_column(
        "call",
        sa.Column(
            "submission_id",
            sa.Uuid(),
            nullable=True,
            comment="the bulk submission that it is part of; NULL: sent by itself",
        ),
    )
    op.create_index(
        "ix_call_submission_id",
        "call",
        ["submission_id"],
        postgresql_where=sa.text("submission_id IS NOT NULL"),
    )
    op.create_table(
        "bulk_submission",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False, comment="provider/model"),
        sa.Column("state", sa.Text(), server_default="intended", nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=True, comment="the provider's own id"),
        sa.Column(
            "attempts", sa.SmallInteger(), server_default="0", nullable=False, comment="how often it was handed in"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="the intent",
        ),
        sa.Column(
            "attempted_at", sa.DateTime(timezone=True), nullable=True, comment="since then the provider may have it"
        ),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True, comment="when its id was known"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True, comment="what the provider says of it beside its state"),
        sa.CheckConstraint(
            "state IN ('intended', 'submitted', 'ended', 'failed', 'withdrawn')",
            name=op.f("ck_bulk_submission_state_known"),
        ),
        sa.CheckConstraint("requests > 0 AND attempts >= 0", name=op.f("ck_bulk_submission_not_empty")),
        sa.CheckConstraint(
            "state NOT IN ('submitted', 'ended') OR provider_id IS NOT NULL",
            name=op.f("ck_bulk_submission_provider_id_known"),
        ),
        sa.CheckConstraint(
            "(submitted_at IS NOT NULL) = (provider_id IS NOT NULL)",
            name=op.f("ck_bulk_submission_submitted_at_iff_known"),
        ),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (state IN ('ended', 'failed', 'withdrawn'))",
            name=op.f("ck_bulk_submission_ended_at_iff_over"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('failed', 'withdrawn') OR detail IS NOT NULL",
            name=op.f("ck_bulk_submission_detail_given"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_bulk_submission_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batch.id"], name=op.f("fk_bulk_submission_batch_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_submission")),
    )
    op.create_index("ix_bulk_submission_job_id_id", "bulk_submission", ["job_id", "id"])
    op.create_index("ix_bulk_submission_batch_id", "bulk_submission", ["batch_id"])
    op.create_index(
        "uq_bulk_submission_unfinished",
        "bulk_submission",
        ["batch_id", "model"],
        unique=True,
        postgresql_where=sa.text("state IN ('intended', 'submitted')"),
    )
    op.create_index("uq_bulk_submission_provider_id", "bulk_submission", ["provider", "provider_id"], unique=True)


def downgrade() -> None:
    """Calls that are with a provider stay `sent`, and are booked as unknown; their batches are free."""
    op.drop_table("bulk_submission")
    op.drop_index("ix_call_submission_id", "call")
    op.drop_column("call", "submission_id")
    op.drop_index("ix_batch_in_bulk", "batch")
    op.drop_constraint(op.f("ck_batch_in_bulk_is_pending"), "batch")
    op.drop_column("batch", "in_bulk")

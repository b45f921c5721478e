"""novelty: atlases that users bring, how each topic fares, and batches that pass over topics at rest"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "atlas",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON, whose order counts"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_atlas")),
    )
    op.create_table(
        "topic_yield",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("generated", sa.BigInteger(), nullable=False),
        sa.Column("admitted", sa.BigInteger(), nullable=False),
        sa.Column("recent", sa.Float(), nullable=False, comment="moving average of the yield, from 1"),
        sa.Column("marked", sa.Float(), nullable=False, comment="sum of caught x known before, see topic_yields.py"),
        sa.Column("recaptured", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("recent >= 0 AND recent <= 1", name=op.f("ck_topic_yield_recent_is_share")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_topic_yield_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "domain", "difficulty", "topic", name=op.f("pk_topic_yield")),
    )
    op.add_column(
        "batch",
        sa.Column(
            "ordinals",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=True,
            comment="its prompt tuples, where some are passed over; NULL: first_ordinal + 0 .. calls - 1",
        ),
    )
    op.create_check_constraint(op.f("ck_batch_ordinals_whole"), "batch", "cardinality(ordinals) = calls")


def downgrade() -> None:
    op.drop_column("batch", "ordinals")
    op.drop_table("topic_yield")
    op.drop_table("atlas")

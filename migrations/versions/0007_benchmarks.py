"""benchmarks: sets of test questions as hashes, and the questions that are like one of them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "benchmark",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True, comment="the file or package that it came from"),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=False,
            comment="of what is stored: the same items again change nothing",
        ),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_benchmark_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benchmark")),
        sa.UniqueConstraint("dataset_id", "name", name=op.f("uq_benchmark_dataset_id_name")),
    )
    op.create_table(
        "benchmark_item",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("benchmark_id", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False, comment="its id in the set, or its line"),
        sa.Column(
            "grams", sa.Integer(), nullable=False, comment="of its 8-grams, how many are not the form of its set"
        ),
        sa.Column(
            "shingles",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="hashes of a short item's words and pairs of words",
        ),
        sa.ForeignKeyConstraint(
            ["benchmark_id"], ["benchmark.id"], name=op.f("fk_benchmark_item_benchmark_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benchmark_item")),
    )
    op.create_index(op.f("ix_benchmark_item_benchmark_id"), "benchmark_item", ["benchmark_id"])
    op.create_table(
        "benchmark_key",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "key", "item_id", name=op.f("pk_benchmark_key")),
    )
    op.create_table(
        "contamination",
        sa.Column("question_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "benchmark",
            sa.Text(),
            nullable=False,
            comment="the set's name: a clearance outlives a new version of it",
        ),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("score", sa.Numeric(precision=4, scale=3), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "cleared_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a person said that it is a false alarm",
        ),
        sa.CheckConstraint(
            "kind IN ('exact', 'numbers', 'sentence', '8-gram', 'short')", name=op.f("ck_contamination_kind_known")
        ),
        sa.ForeignKeyConstraint(
            ["question_id"], ["question.id"], name=op.f("fk_contamination_question_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_contamination_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("question_id", "benchmark", name=op.f("pk_contamination")),
    )
    op.create_index(op.f("ix_contamination_dataset_id_question_id"), "contamination", ["dataset_id", "question_id"])
    op.add_column(
        "rejection",
        sa.Column("matched", sa.Text(), nullable=True, comment="the benchmark's item that it is like, and how"),
    )


def downgrade() -> None:
    op.drop_column("rejection", "matched")
    for table in ("contamination", "benchmark_key", "benchmark_item", "benchmark"):
        op.drop_table(table)

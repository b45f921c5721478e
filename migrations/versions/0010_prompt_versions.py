"""prompt versions: the files that each version of a stage's prompts stands for"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "prompt_version",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("files", postgresql.JSONB(), nullable=False, comment="text by file name"),
        sa.Column("first_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("stage IN ('generate', 'validate', 'answer')", name=op.f("ck_prompt_version_stage_known")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_prompt_version")),
    )


def downgrade() -> None:
    op.drop_table("prompt_version")

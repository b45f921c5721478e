"""sketches: two bits of each MinHash row of a question, by which most neighbours need not be compared"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "question",
        sa.Column(
            "sketch",
            postgresql.BIT(length=120),
            nullable=True,
            comment="of the MinHash rows; NULL where an older release wrote it",
        ),
    )


def downgrade() -> None:
    op.drop_column("question", "sketch")

"""verdicts by job: what a job's judges said, without reading those of all others"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_verdict_job_id", "verdict", ["job_id"])


def downgrade() -> None:
    op.drop_index("ix_verdict_job_id", "verdict")

"""pages: the questions of a dataset in order, and the newest of a job, without reading those of all others"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_question_dataset_id_id", "question", ["dataset_id", "id"])
    # A deleted job is looked for here too, by the foreign key.
    op.create_index(
        "ix_question_job_id_id", "question", ["job_id", "id"], postgresql_where=sa.text("job_id IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_question_job_id_id", "question")
    op.drop_index("ix_question_dataset_id_id", "question")

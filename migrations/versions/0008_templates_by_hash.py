"""templates by hash: an index that is the right one whatever the planner thinks of a new dataset's size"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_question_template", "question", ["template_hash", "dataset_id"])
    op.drop_index("ix_question_template_hash", "question")


def downgrade() -> None:
    op.create_index("ix_question_template_hash", "question", ["dataset_id", "template_hash"])
    op.drop_index("ix_question_template", "question")

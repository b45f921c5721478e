"""initial schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("order_seed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )
    op.create_table(
        "provider",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rehearsal", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_provider")),
    )
    op.create_table(
        "question_band",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("band", sa.BigInteger(), nullable=False),
        sa.Column("question_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "band", "question_id", name=op.f("pk_question_band")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("rehearsal", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'cancelled', 'failed'))",
            name=op.f("ck_job_finished_at_iff_ended"),
        ),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'succeeded', 'cancelled', 'failed')", name=op.f("ck_job_state_known")
        ),
        sa.CheckConstraint("state NOT IN ('failed', 'paused') OR reason IS NOT NULL", name=op.f("ck_job_reason_given")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_job_dataset_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_job_idempotency_key")),
    )
    op.create_index("ix_job_created_at", "job", ["created_at"], unique=False)
    op.create_index(
        "uq_job_unfinished",
        "job",
        ["dataset_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('running', 'paused')"),
    )
    op.create_table(
        "prompt_cursor",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("next_ordinal", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_prompt_cursor_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "domain", "difficulty", name=op.f("pk_prompt_cursor")),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="counts from 1 within job, cell and stage"),
        sa.Column("questions", sa.Integer(), nullable=False, comment="how many it asks for"),
        sa.Column("questions_per_call", sa.SmallInteger(), nullable=False),
        sa.Column(
            "first_ordinal",
            sa.BigInteger(),
            nullable=False,
            comment="its prompt tuples are first_ordinal + 0 .. calls - 1",
        ),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("hinted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("generated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("admitted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rejected", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("repaired", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("calls_parsed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("calls_given_up", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('done', 'parked', 'dropped'))",
            name=op.f("ck_batch_finished_at_iff_ended"),
        ),
        sa.CheckConstraint("(lease_until IS NOT NULL) = (state = 'leased')", name=op.f("ck_batch_lease_iff_leased")),
        sa.CheckConstraint("stage IN ('generate', 'validate', 'answer')", name=op.f("ck_batch_stage_known")),
        sa.CheckConstraint("state <> 'leased' OR fence > 0", name=op.f("ck_batch_leased_has_fence")),
        sa.CheckConstraint(
            "state IN ('pending', 'leased', 'done', 'parked', 'dropped')", name=op.f("ck_batch_state_known")
        ),
        sa.CheckConstraint(
            "state NOT IN ('parked', 'dropped') OR reason IS NOT NULL", name=op.f("ck_batch_reason_given")
        ),
        sa.CheckConstraint("questions > 0 AND calls > 0 AND questions_per_call > 0", name=op.f("ck_batch_not_empty")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_batch_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint(
            "job_id",
            "stage",
            "domain",
            "difficulty",
            "number",
            name=op.f("uq_batch_job_id_stage_domain_difficulty_number"),
        ),
    )
    op.create_index(
        "ix_batch_open", "batch", ["job_id"], unique=False, postgresql_where=sa.text("state IN ('pending', 'leased')")
    )
    op.create_table(
        "job_budget",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("budget_usd", sa.Numeric(precision=18, scale=12), nullable=False),
        sa.Column("spent_usd", sa.Numeric(precision=18, scale=12), server_default="0", nullable=False),
        sa.Column("held_usd", sa.Numeric(precision=18, scale=12), server_default="0", nullable=False),
        sa.CheckConstraint(
            "budget_usd >= 0 AND spent_usd >= 0 AND held_usd >= 0", name=op.f("ck_job_budget_not_negative")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_budget_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_budget")),
    )
    op.create_table(
        "job_cell",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=False),
        sa.Column("mean_tokens", sa.Integer(), nullable=False),
        sa.Column(
            "stopped",
            sa.Text(),
            nullable=True,
            comment="why no more batches are made; NULL while the cell is worked on",
        ),
        sa.CheckConstraint("target >= 0", name=op.f("ck_job_cell_target_not_negative")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_cell_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "domain", "difficulty", name=op.f("pk_job_cell")),
    )
    op.create_table(
        "job_plan",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("plan", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_plan_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "version", name=op.f("pk_job_plan")),
    )
    op.create_table(
        "question",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="16 bytes of sha256 over the normalised text"),
        sa.Column("template_hash", sa.BigInteger(), nullable=False, comment="of the text with its numbers masked"),
        sa.Column("signature_version", sa.SmallInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("tokenizer", sa.Text(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "metadata",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what a baseline row carried besides",
        ),
        sa.Column("state", sa.Text(), server_default="selected", nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True, comment="NULL for a baseline row"),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('selected', 'reserve', 'discarded')", name=op.f("ck_question_state_known")),
        sa.CheckConstraint(
            "num_nonnulls(job_id, batch_id, call_id, fence, model) IN (0, 5)", name=op.f("ck_question_provenance_whole")
        ),
        sa.CheckConstraint("octet_length(text_hash) = 16", name=op.f("ck_question_text_hash_16")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_question_dataset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_question_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
    )
    op.create_index(
        "ix_question_cell",
        "question",
        ["dataset_id", "domain", "difficulty", "state"],
        unique=False,
        postgresql_include=["prompt_tokens"],
    )
    op.create_index("ix_question_template_hash", "question", ["dataset_id", "template_hash"], unique=False)
    op.create_index("uq_question_text_hash", "question", ["dataset_id", "text_hash"], unique=True)
    op.create_table(
        "rejection",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("question_id", sa.BigInteger(), nullable=True, comment="the question that it repeats"),
        sa.Column("similarity", sa.Numeric(precision=4, scale=3), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_rejection_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejection")),
    )
    op.create_index("ix_rejection_job_id_id", "rejection", ["job_id", "id"], unique=False)
    op.create_table(
        "call",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False, comment="the hold that sent it"),
        sa.Column("model", sa.Text(), nullable=False, comment="provider/model"),
        sa.Column(
            "prompt",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="prompt tuple, prompt version, questions asked",
        ),
        sa.Column("state", sa.Text(), server_default="sent", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True, comment="how it ended, see shared.llm.provider.Outcome"),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True, comment="the provider's own id"),
        sa.Column("raw", sa.Text(), nullable=True, comment="the reply as it came, before any parsing"),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("cached_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("reasoning_tokens", sa.Integer(), nullable=True),
        sa.Column("worst_usd", sa.Numeric(precision=18, scale=12), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=18, scale=12), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parsed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("generated", sa.SmallInteger(), nullable=True, comment="candidates found in the reply"),
        sa.Column("admitted", sa.SmallInteger(), nullable=True, comment="how many of them became questions"),
        sa.CheckConstraint("(cost_usd IS NULL) = (state = 'sent')", name=op.f("ck_call_cost_iff_settled")),
        sa.CheckConstraint("(settled_at IS NULL) = (state = 'sent')", name=op.f("ck_call_settled_at_iff_settled")),
        sa.CheckConstraint("state <> 'ok' OR raw IS NOT NULL", name=op.f("ck_call_raw_before_parse")),
        sa.CheckConstraint("state IN ('sent', 'ok', 'failed', 'unknown')", name=op.f("ck_call_state_known")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_call_batch_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_call_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call")),
        sa.UniqueConstraint("batch_id", "ordinal", "attempt", name=op.f("uq_call_batch_id_ordinal_attempt")),
    )
    op.create_index("ix_call_job_id_id", "call", ["job_id", "id"], unique=False)
    op.create_index("ix_call_sent", "call", ["sent_at"], unique=False, postgresql_where=sa.text("state = 'sent'"))


def downgrade() -> None:
    op.drop_index("ix_call_sent", table_name="call", postgresql_where=sa.text("state = 'sent'"))
    op.drop_index("ix_call_job_id_id", table_name="call")
    op.drop_table("call")
    op.drop_index("ix_rejection_job_id_id", table_name="rejection")
    op.drop_table("rejection")
    op.drop_index("uq_question_text_hash", table_name="question")
    op.drop_index("ix_question_template_hash", table_name="question")
    op.drop_index("ix_question_cell", table_name="question", postgresql_include=["prompt_tokens"])
    op.drop_table("question")
    op.drop_table("job_plan")
    op.drop_table("job_cell")
    op.drop_table("job_budget")
    op.drop_index("ix_batch_open", table_name="batch", postgresql_where=sa.text("state IN ('pending', 'leased')"))
    op.drop_table("batch")
    op.drop_table("prompt_cursor")
    op.drop_index("uq_job_unfinished", table_name="job", postgresql_where=sa.text("state IN ('running', 'paused')"))
    op.drop_index("ix_job_created_at", table_name="job")
    op.drop_table("job")
    op.drop_table("question_band")
    op.drop_table("provider")
    op.drop_table("dataset")

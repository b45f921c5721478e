"""Jobs: plans, budgets, batches, the ledger, bulk submissions, and what is told of them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.states import (
    BatchState,
    CallState,
    IncidentKind,
    JobState,
    NotificationState,
    Stage,
    SubmissionState,
)
from shared.database.table_parts import Usd, created_at, metadata, one_of

provider = Table(
    # Which providers some worker holds a key for; workers publish names here, never keys.
    "provider",
    metadata,
    Column("name", Text, primary_key=True),
    Column("rehearsal", Boolean, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)

worker_report = Table(
    # What a worker process says of itself, four times a minute: its port would be one more to open and to find.
    "worker_report",
    metadata,
    Column("name", Text, primary_key=True, comment="host:pid"),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("batches", Integer, nullable=False),
    Column("calls_in_flight", Integer, nullable=False),
    Column("calls_started", BigInteger, nullable=False),
    Column("turn_wait_seconds", Float, nullable=False),
    Column("rate_wait_seconds", Float, nullable=False),
    Column("limiter_failures", BigInteger, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("dataset_id", ForeignKey("dataset.id", ondelete="CASCADE"), nullable=False),
    Column("state", Text, nullable=False, server_default=JobState.RUNNING),
    Column("reason", Text),
    Column("spec", JSONB, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("rehearsal", Boolean, nullable=False, server_default="false"),
    Column("idempotency_key", Text, unique=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("traceparent", Text, comment="the W3C trace context of its POST"),
    Column("api_key_id", ForeignKey("api_key.id"), comment="the key that posted it, if one did"),
    created_at(),
    Column("finished_at", DateTime(timezone=True)),
    one_of("state", JobState),
    CheckConstraint(
        "(finished_at IS NOT NULL) = (state IN ('succeeded', 'cancelled', 'failed'))", name="finished_at_iff_ended"
    ),
    CheckConstraint("state NOT IN ('failed', 'paused') OR reason IS NOT NULL", name="reason_given"),
)
# One unfinished job per dataset, also for two POSTs at once.
Index("uq_job_unfinished", job.c.dataset_id, unique=True, postgresql_where=text("state IN ('running', 'paused')"))
Index("ix_job_created_at", job.c.created_at)
Index("ix_job_dataset_id_id", job.c.dataset_id, job.c.id)
Index("ix_job_api_key_id", job.c.api_key_id, postgresql_where=text("api_key_id IS NOT NULL"))

job_plan = Table(
    # Every plan a job has followed; the highest version is the current one.
    "job_plan",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("plan", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    created_at(),
)

job_budget = Table(
    # The one counter that writers share: a wall needs one row to stand on.
    "job_budget",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("budget_usd", Usd, nullable=False),
    Column("spent_usd", Usd, nullable=False, server_default="0"),
    Column("held_usd", Usd, nullable=False, server_default="0"),
    CheckConstraint("budget_usd >= 0 AND spent_usd >= 0 AND held_usd >= 0", name="not_negative"),
)

job_cell = Table(
    # A cell that can yield no more is stopped here, with its reason.
    "job_cell",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("difficulty", Text, primary_key=True),
    Column("target", Integer, nullable=False),
    Column("mean_tokens", Integer, nullable=False),
    Column("answer_tokens", Integer, nullable=False, server_default="100", comment="an answer's, as expected"),
    Column("stopped", Text, comment="why no more batches are made; NULL while the cell is worked on"),
    Column("stopped_stage", Text, comment="the last stage that is stopped, and with it those before"),
    CheckConstraint("target >= 0", name="target_not_negative"),
)

batch = Table(
    "batch",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("stage", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("difficulty", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="counts from 1 within job, cell and stage"),
    Column("questions", Integer, nullable=False, comment="how many it asks for"),
    Column("questions_per_call", SmallInteger, nullable=False),
    Column("first_ordinal", BigInteger, nullable=False, comment="its prompt tuples are first_ordinal + 0 .. calls - 1"),
    Column("calls", Integer, nullable=False),
    Column(
        "ordinals",
        ARRAY(BigInteger),
        comment="its prompt tuples, where some are passed over; NULL: first_ordinal + 0 .. calls - 1",
    ),
    Column("question_ids", ARRAY(BigInteger), comment="what it validates or answers; NULL of a batch that generates"),
    Column("state", Text, nullable=False, server_default=BatchState.PENDING),
    Column("reason", Text),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("lease_until", DateTime(timezone=True)),
    Column("worker", Text),
    Column("hinted_at", DateTime(timezone=True)),
    Column(
        "in_bulk",
        Boolean,
        nullable=False,
        server_default="false",
        comment="its calls are with a provider, or to be submitted: nobody may claim it",
    ),
    # Written only by the holder, in the transaction that admits: how many candidates were judged, and how.
    Column("generated", Integer, nullable=False, server_default="0"),
    Column("admitted", Integer, nullable=False, server_default="0"),
    Column("rejected", JSONB, nullable=False, server_default="{}"),
    Column("repaired", JSONB, nullable=False, server_default="{}"),
    Column("calls_parsed", Integer, nullable=False, server_default="0"),
    Column("calls_given_up", Integer, nullable=False, server_default="0"),
    created_at(),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("job_id", "stage", "domain", "difficulty", "number"),
    one_of("state", BatchState),
    one_of("stage", Stage),
    CheckConstraint("(lease_until IS NOT NULL) = (state = 'leased')", name="lease_iff_leased"),
    CheckConstraint(
        "(finished_at IS NOT NULL) = (state IN ('done', 'parked', 'dropped'))", name="finished_at_iff_ended"
    ),
    CheckConstraint("state NOT IN ('parked', 'dropped') OR reason IS NOT NULL", name="reason_given"),
    CheckConstraint("state <> 'leased' OR fence > 0", name="leased_has_fence"),
    CheckConstraint("questions > 0 AND calls > 0 AND questions_per_call > 0", name="not_empty"),
    CheckConstraint("cardinality(ordinals) = calls", name="ordinals_whole"),
    CheckConstraint("NOT in_bulk OR state = 'pending'", name="in_bulk_is_pending"),
)
Index("ix_batch_open", batch.c.job_id, postgresql_where=text("state IN ('pending', 'leased')"))
Index("ix_batch_in_bulk", batch.c.id, postgresql_where=text("in_bulk"))
Index("ix_batch_job_id_id", batch.c.job_id, batch.c.id)
Index("ix_batch_job_id_state_id", batch.c.job_id, batch.c.state, batch.c.id)
Index(
    # The newest ended batches of a cell, by which it is judged.
    "ix_batch_evidence",
    batch.c.job_id,
    batch.c.stage,
    batch.c.domain,
    batch.c.difficulty,
    batch.c.number,
    postgresql_where=text("state IN ('done', 'parked')"),
)
Index("ix_batch_finished", batch.c.job_id, batch.c.finished_at, postgresql_where=text("finished_at IS NOT NULL"))

call = Table(
    # The ledger: a row before each request, the raw reply before it is parsed.
    "call",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("batch_id", ForeignKey("batch.id", ondelete="CASCADE"), nullable=False),
    Column("stage", Text, nullable=False, server_default=Stage.GENERATE),
    Column("difficulty", Text, nullable=False, server_default=""),
    Column("ordinal", BigInteger, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("fence", Integer, nullable=False, comment="the hold that sent it"),
    Column("submission_id", Uuid, comment="the bulk submission that it is part of; NULL: sent by itself"),
    Column("model", Text, nullable=False, comment="provider/model"),
    Column("prompt", JSONB, nullable=False, comment="prompt tuple, prompt version, questions asked"),
    Column("state", Text, nullable=False, server_default=CallState.SENT),
    Column("outcome", Text, comment="how it ended, see shared.llm.provider.Outcome"),
    Column("detail", Text),
    Column("http_status", SmallInteger),
    Column("request_id", Text, comment="the provider's own id"),
    Column("raw", Text, comment="the reply as it came, before any parsing"),
    Column("finish_reason", Text),
    Column("input_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("output_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("worst_usd", Usd, nullable=False),
    Column("cost_usd", Usd),
    Column("sent_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("settled_at", DateTime(timezone=True)),
    Column("parsed_at", DateTime(timezone=True)),
    Column("generated", SmallInteger, comment="candidates found in the reply"),
    Column("admitted", SmallInteger, comment="how many of them became questions"),
    Column(
        "raw_pruned_at", DateTime(timezone=True), comment="when its raw reply was cleared, long after the job ended"
    ),
    UniqueConstraint("batch_id", "ordinal", "attempt"),
    one_of("state", CallState),
    CheckConstraint("(settled_at IS NULL) = (state = 'sent')", name="settled_at_iff_settled"),
    CheckConstraint("(cost_usd IS NULL) = (state = 'sent')", name="cost_iff_settled"),
    CheckConstraint("state <> 'ok' OR raw IS NOT NULL OR raw_pruned_at IS NOT NULL", name="raw_before_parse"),
)
Index("ix_call_job_id_id", call.c.job_id, call.c.id)
Index("ix_call_sent", call.c.job_id, call.c.sent_at, postgresql_where=text("state = 'sent'"))
Index("ix_call_submission_id", call.c.submission_id, postgresql_where=text("submission_id IS NOT NULL"))
Index("ix_call_failed", call.c.job_id, call.c.state, call.c.id, postgresql_where=text("state IN ('failed', 'unknown')"))

bulk_submission = Table(
    # Calls of one batch to one model that are handed in together. It has no lease: only the keeper acts on it.
    "bulk_submission",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("batch_id", ForeignKey("batch.id", ondelete="CASCADE"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False, comment="provider/model"),
    Column("state", Text, nullable=False, server_default=SubmissionState.INTENDED),
    Column("requests", Integer, nullable=False),
    Column("provider_id", Text, comment="the provider's own id"),
    Column("attempts", SmallInteger, nullable=False, server_default="0", comment="how often it was handed in"),
    Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
        comment="the intent",
    ),
    Column("attempted_at", DateTime(timezone=True), comment="since then the provider may have it"),
    Column("submitted_at", DateTime(timezone=True), comment="when its id was known"),
    Column("ended_at", DateTime(timezone=True)),
    Column("cancel_asked_at", DateTime(timezone=True)),
    Column("detail", Text, comment="what the provider says of it beside its state"),
    one_of("state", SubmissionState),
    CheckConstraint("requests > 0 AND attempts >= 0", name="not_empty"),
    CheckConstraint("state NOT IN ('submitted', 'ended') OR provider_id IS NOT NULL", name="provider_id_known"),
    CheckConstraint("(submitted_at IS NOT NULL) = (provider_id IS NOT NULL)", name="submitted_at_iff_known"),
    CheckConstraint("(ended_at IS NOT NULL) = (state IN ('ended', 'failed', 'withdrawn'))", name="ended_at_iff_over"),
    CheckConstraint("state NOT IN ('failed', 'withdrawn') OR detail IS NOT NULL", name="detail_given"),
)
Index("ix_bulk_submission_job_id_id", bulk_submission.c.job_id, bulk_submission.c.id)
Index("ix_bulk_submission_batch_id", bulk_submission.c.batch_id)
# No call is handed in twice, also by two keepers at once.
Index(
    "uq_bulk_submission_unfinished",
    bulk_submission.c.batch_id,
    bulk_submission.c.model,
    unique=True,
    postgresql_where=text("state IN ('intended', 'submitted')"),
)
Index(
    "uq_bulk_submission_provider_id",
    bulk_submission.c.provider,
    bulk_submission.c.provider_id,
    unique=True,
)

rejection = Table(
    # Promise 7: each refused candidate, with its reason and what it matched.
    "rejection",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("call_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("text", Text, comment="NULL once the raw reply that it stood in was pruned"),
    Column("question_id", BigInteger, comment="the question that it repeats"),
    Column("similarity", Numeric(4, 3)),
    Column("matched", Text, comment="the benchmark's item that it is like, and how"),
    created_at(),
)
Index("ix_rejection_job_id_id", rejection.c.job_id, rejection.c.id)

incident = Table(
    # Promise 7: what the fences and leases prevented, one row each; never read by what decides.
    "incident",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("fence", Integer, nullable=False, comment="the hold that was stale or had run out"),
    Column("worker", Text, comment="who had that hold"),
    created_at(),
    one_of("kind", IncidentKind),
)
Index("ix_incident_job_id", incident.c.job_id)

job_archive = Table(
    # What people see of a job whose ledger was deleted; written before the first row of it goes.
    "job_archive",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("progress", JSONB, nullable=False, comment="the last progress, as GET /v1/jobs/{id} showed it"),
    Column("calls", Integer, nullable=False, comment="rows that the ledger had"),
    Column("spent_usd", Usd, nullable=False, comment="the sum over the ledger; equals job_budget.spent_usd"),
    Column("archived_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("calls >= 0 AND spent_usd >= 0", name="not_negative"),
)

notification = Table(
    # What is to be told of a job; a trigger on job writes it in the transaction that ends or pauses it. Migration 0014.
    "notification",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("event", Text, nullable=False, comment="the state that the job came to"),
    Column("reason", Text),
    Column("url", Text, comment="as the job's spec names it; NULL: the server's own"),
    Column("state", Text, nullable=False, server_default=NotificationState.PENDING),
    Column("body", Text, comment="what is sent, the same each time; made before the first"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("detail", Text, comment="what became of the last attempt"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint("event IN ('paused', 'succeeded', 'cancelled', 'failed')", name="event_known"),
    one_of("state", NotificationState),
    CheckConstraint("(ended_at IS NULL) = (state = 'pending')", name="ended_at_iff_over"),
)
Index("ix_notification_job_id", notification.c.job_id)
Index("ix_notification_due", notification.c.next_at, postgresql_where=text("state = 'pending'"))

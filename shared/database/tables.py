"""The schema, as SQLAlchemy Core tables. CHECK constraints hold what docs/states.md draws."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

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
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import BIT, JSONB
from sqlalchemy.types import TypeEngine

from shared.database.states import (
    BatchState,
    CallState,
    IncidentKind,
    JobState,
    MatchKind,
    NotificationState,
    QuestionState,
    Stage,
    SubmissionState,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Money is exact: twelve digits behind the point hold the price of one token of the cheapest model.
Usd = Numeric(18, 12, asdecimal=True)


def _one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{state}'" for state in states)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _created_at() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


dataset = Table(
    "dataset",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("order_seed", BigInteger, nullable=False, server_default="0"),
    _created_at(),
)

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
    _created_at(),
    Column("finished_at", DateTime(timezone=True)),
    _one_of("state", JobState),
    CheckConstraint(
        "(finished_at IS NOT NULL) = (state IN ('succeeded', 'cancelled', 'failed'))", name="finished_at_iff_ended"
    ),
    CheckConstraint("state NOT IN ('failed', 'paused') OR reason IS NOT NULL", name="reason_given"),
)
# One unfinished job per dataset, also for two POSTs at once.
Index("uq_job_unfinished", job.c.dataset_id, unique=True, postgresql_where=text("state IN ('running', 'paused')"))
Index("ix_job_created_at", job.c.created_at)
Index("ix_job_dataset_id_id", job.c.dataset_id, job.c.id)

job_plan = Table(
    # Every plan a job has followed; the highest version is the current one.
    "job_plan",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("plan", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    _created_at(),
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

prompt_cursor = Table(
    # How many prompt tuples of a dataset's cell are taken: drawn without replacement, over all its jobs.
    "prompt_cursor",
    metadata,
    Column("dataset_id", ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("difficulty", Text, primary_key=True),
    Column("next_ordinal", BigInteger, nullable=False),
)

atlas = Table(
    # What users brought for domains of their own, by the digest that jobs' specs name.
    "atlas",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("content", Text, nullable=False, comment="JSON, whose order counts"),
    _created_at(),
)

prompt_version = Table(
    # What a version of a stage's prompts stands for: the files, by name, that its prompts were written with.
    "prompt_version",
    metadata,
    Column("version", Text, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("files", JSONB, nullable=False, comment="text by file name"),
    Column("first_used_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _one_of("stage", Stage),
)

topic_yield = Table(
    # How each topic of a dataset's cell has fared; written where its questions are admitted, under the same lock.
    "topic_yield",
    metadata,
    Column("dataset_id", ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("difficulty", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("generated", BigInteger, nullable=False),
    Column("admitted", BigInteger, nullable=False),
    Column("recent", Float, nullable=False, comment="moving average of the yield, from 1"),
    Column("marked", Float, nullable=False, comment="sum of caught x known before, see topic_yields.py"),
    Column("recaptured", BigInteger, nullable=False),
    CheckConstraint("recent >= 0 AND recent <= 1", name="recent_is_share"),
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
    _created_at(),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("job_id", "stage", "domain", "difficulty", "number"),
    _one_of("state", BatchState),
    _one_of("stage", Stage),
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
    _one_of("state", CallState),
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
    _one_of("state", SubmissionState),
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

question = Table(
    "question",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("dataset_id", ForeignKey("dataset.id", ondelete="CASCADE"), nullable=False),
    Column("domain", Text, nullable=False),
    Column("difficulty", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_hash", LargeBinary, nullable=False, comment="16 bytes of sha256 over the normalised text"),
    Column("template_hash", BigInteger, nullable=False, comment="of the text with its numbers masked"),
    Column("signature_version", SmallInteger, nullable=False),
    Column("sketch", BIT(120), comment="of the MinHash rows; NULL where an older release wrote it"),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, comment="of its first answer"),
    Column("tokenizer", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    Column("metadata", JSONB, comment="what a baseline row carried besides"),
    Column("state", Text, nullable=False, server_default=QuestionState.SELECTED),
    Column("reason", Text, comment="why a judge rejected it, or why it has no answer"),
    Column("validated", Boolean, nullable=False, server_default="false", comment="by all judges that were asked for"),
    Column("answered", Boolean, nullable=False, server_default="false", comment="as often as was asked for"),
    Column("tries", SmallInteger, nullable=False, server_default="0", comment="calls of its stage that were no use"),
    Column("prompt_version", Text),
    Column("job_id", ForeignKey("job.id"), comment="NULL for a baseline row"),
    Column("batch_id", Uuid),
    Column("call_id", Uuid),
    Column("fence", Integer),
    Column("model", Text),
    _created_at(),
    _one_of("state", QuestionState),
    CheckConstraint("octet_length(text_hash) = 16", name="text_hash_16"),
    CheckConstraint("state <> 'rejected' OR reason IS NOT NULL", name="reason_given"),
    CheckConstraint("num_nonnulls(job_id, batch_id, call_id, fence, model) IN (0, 5)", name="provenance_whole"),
)
# Promise 2: no two questions of a dataset are equal, whoever writes them.
Index("uq_question_text_hash", question.c.dataset_id, question.c.text_hash, unique=True)
Index("ix_question_template", question.c.template_hash, question.c.dataset_id)
Index(
    "ix_question_cell",
    question.c.dataset_id,
    question.c.domain,
    question.c.difficulty,
    question.c.state,
    postgresql_include=["prompt_tokens"],
)
Index(
    # What a later stage still has to look at; it shrinks as the work is done.
    "ix_question_unfinished",
    question.c.dataset_id,
    question.c.domain,
    question.c.difficulty,
    question.c.validated,
    question.c.answered,
    postgresql_where=text("state = 'selected' AND NOT (validated AND answered)"),
)
Index("ix_question_dataset_id_id", question.c.dataset_id, question.c.id)
Index("ix_question_job_id_id", question.c.job_id, question.c.id, postgresql_where=text("job_id IS NOT NULL"))


def _of_question(name: str, place: str, *own: Column[Any]) -> Table:
    """What a stage has to say about a question: one row for each model, prompt version and place."""
    return Table(
        name,
        metadata,
        Column("question_id", ForeignKey("question.id", ondelete="CASCADE"), primary_key=True),
        Column("model", Text, primary_key=True),
        Column("prompt_version", Text, primary_key=True),
        Column(place, SmallInteger, primary_key=True, autoincrement=False),
        *own,
        Column("job_id", Uuid, nullable=False),
        Column("batch_id", Uuid, nullable=False),
        Column("call_id", Uuid, nullable=False),
        Column("fence", Integer, nullable=False),
        _created_at(),
    )


verdict = _of_question(
    "verdict",
    "vote",
    Column("accepted", Boolean, nullable=False),
    Column("scores", JSONB, nullable=False, comment="1 to 5 by criterion"),
    Column("reason", Text, nullable=False),
)
Index("ix_verdict_job_id", verdict.c.job_id)
answer = _of_question(
    "answer",
    "sample",
    Column("text", Text, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("checked", JSONB, comment="what a check of it found; NULL where nothing can be checked"),
)

question_band = Table(
    # 12 MinHash bands per question: two questions that share one are compared exactly.
    "question_band",
    metadata,
    Column("dataset_id", Integer, primary_key=True),
    Column("band", BigInteger, primary_key=True),
    Column("question_id", BigInteger, primary_key=True),
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
    _created_at(),
)
Index("ix_rejection_job_id_id", rejection.c.job_id, rejection.c.id)

benchmark = Table(
    # A set of test questions that a dataset must not hold. Of their text only hashes are stored.
    "benchmark",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("dataset_id", ForeignKey("dataset.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, comment="the file or package that it came from"),
    Column("digest", LargeBinary, nullable=False, comment="of what is stored: the same items again change nothing"),
    Column("items", Integer, nullable=False),
    Column("loaded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("dataset_id", "name"),
)

benchmark_item = Table(
    "benchmark_item",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("benchmark_id", ForeignKey("benchmark.id", ondelete="CASCADE"), nullable=False),
    Column("reference", Text, nullable=False, comment="its id in the set, or its line"),
    Column("grams", Integer, nullable=False, comment="of its 8-grams, how many are not the form of its set"),
    Column("shingles", ARRAY(BigInteger), nullable=False, comment="hashes of a short item's words and pairs of words"),
)
Index("ix_benchmark_item_benchmark_id", benchmark_item.c.benchmark_id)

benchmark_key = Table(
    # By what a question finds the items that it is like: hashes of 64 bits.
    "benchmark_key",
    metadata,
    Column("dataset_id", Integer, primary_key=True),
    Column("key", BigInteger, primary_key=True),
    Column("item_id", BigInteger, primary_key=True),
)

contamination = Table(
    # A question that is like an item of a benchmark. Its state stays; exports leave it out unless a person cleared it.
    "contamination",
    metadata,
    Column("question_id", ForeignKey("question.id", ondelete="CASCADE"), primary_key=True),
    Column("benchmark", Text, primary_key=True, comment="the set's name: a clearance outlives a new version of it"),
    Column("dataset_id", ForeignKey("dataset.id", ondelete="CASCADE"), nullable=False),
    Column("reference", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("score", Numeric(4, 3), nullable=False),
    _created_at(),
    Column("cleared_at", DateTime(timezone=True), comment="when a person said that it is a false alarm"),
    _one_of("kind", MatchKind),
)
Index("ix_contamination_dataset_id_question_id", contamination.c.dataset_id, contamination.c.question_id)

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
    _created_at(),
    _one_of("kind", IncidentKind),
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
    _one_of("state", NotificationState),
    CheckConstraint("(ended_at IS NULL) = (state = 'pending')", name="ended_at_iff_over"),
)
Index("ix_notification_job_id", notification.c.job_id)
Index("ix_notification_due", notification.c.next_at, postgresql_where=text("state = 'pending'"))


def _counts(name: str, keys: Mapping[str, type[TypeEngine[Any]]], sums: Sequence[str]) -> tuple[Table, Table]:
    """Promise 8. NAME_change gets a row from triggers on NAME for each statement that changes what counts; nobody waits
    for it. Folded now and then into NAME_tally; the view NAME_count adds both up. All in migration 0004.
    """
    changes = Table(
        f"{name}_change",
        metadata,
        *(Column(key, kind, nullable=False) for key, kind in keys.items()),
        *(Column(each, BigInteger, nullable=False) for each in sums),
    )
    tally = Table(
        f"{name}_tally",
        metadata,
        *(Column(key, kind, primary_key=True, autoincrement=False) for key, kind in keys.items()),
        *(Column(each, BigInteger, nullable=False) for each in sums),
    )
    return changes, tally


_cell = {"domain": Text, "difficulty": Text}
question_change, question_tally = _counts(
    "question",
    {"dataset_id": Integer, **_cell, "state": Text},
    ["questions", "prompt_tokens", "completion_tokens", "validated", "answered"],
)
# `what` is batches (named by their state), generated, admitted, rejected (by reason) or repaired (by kind); of ended
# batches only, open ones are few and counted from their rows.
batch_change, batch_tally = _counts(
    "batch", {"job_id": Uuid, "stage": Text, **_cell, "what": Text, "name": Text}, ["n"]
)
# Of settled calls only, those under way are few and counted from their rows.
call_change, call_tally = _counts(
    "call",
    {
        "job_id": Uuid,
        "stage": Text,
        "difficulty": Text,
        "state": Text,
        "outcome": Text,
        "again": Boolean,
        "model": Text,
    },
    ["calls", "input_tokens", "output_tokens", "pico_usd"],  # a millionth of a millionth of a dollar: whole numbers
)

"""Datasets, their questions, what was said of those, and what they are drawn from and held against."""

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

from shared.database.states import (
    MatchKind,
    QuestionState,
    Stage,
)
from shared.database.table_parts import created_at, metadata, one_of

dataset = Table(
    "dataset",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("order_seed", BigInteger, nullable=False, server_default="0"),
    created_at(),
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
    created_at(),
    one_of("state", QuestionState),
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
        created_at(),
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
    created_at(),
)

prompt_version = Table(
    # What a version of a stage's prompts stands for: the files, by name, that its prompts were written with.
    "prompt_version",
    metadata,
    Column("version", Text, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("files", JSONB, nullable=False, comment="text by file name"),
    Column("first_used_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    one_of("stage", Stage),
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
    created_at(),
    Column("cleared_at", DateTime(timezone=True), comment="when a person said that it is a false alarm"),
    one_of("kind", MatchKind),
)
Index("ix_contamination_dataset_id_question_id", contamination.c.dataset_id, contamination.c.question_id)

"""Typed identifiers. Time-ordered UUIDs keep the indexes of the fast-growing tables compact."""

from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

JobId = NewType("JobId", UUID)
BatchId = NewType("BatchId", UUID)
CallId = NewType("CallId", UUID)
DatasetId = NewType("DatasetId", int)
SubmissionId = NewType("SubmissionId", UUID)
QuestionId = NewType("QuestionId", int)
KeyId = NewType("KeyId", int)


def new_job_id() -> JobId:
    """A fresh job id."""
    return JobId(uuid7())


def new_batch_id() -> BatchId:
    """A fresh batch id."""
    return BatchId(uuid7())


def new_call_id() -> CallId:
    """A fresh call id, also sent to the provider as `X-Client-Request-Id`."""
    return CallId(uuid7())


def new_submission_id() -> SubmissionId:
    """A fresh id of a bulk submission, which OpenAI keeps as its metadata."""
    return SubmissionId(uuid7())

"""How a batch is called where people look at its task: in Flower, and in links to it."""

import hashlib

from shared.ids import BatchId


def label_of(dataset: str, domain: str, difficulty: str, number: int, questions: int) -> str:
    """As a person reads it: "phase1 math/hard #0005, 40 questions"."""
    return f"{dataset} {domain}/{difficulty} #{number:04}, {questions} questions"


def task_id_of(batch_id: BatchId, label: str) -> str:
    """How Flower lists the task: readable, and the same for a repeated hint ("phase1-math-hard-0005-1f2e3d").

    Whoever knows the batch knows it, so that pages link to a task without asking Flower or the broker.
    """
    words = label.partition(",")[0].replace("#", "").replace("/", " ").split()
    return "-".join([*words, hashlib.sha256(batch_id.bytes).hexdigest()[:6]])

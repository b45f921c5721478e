"""What the system holds before a page is opened: an ended job, its dataset and hostile texts among the questions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.jobs import wait_for_end
from tests.faults.system import RunningSystem

DATASET = "sampled"
# What a model may write, and must stay text. Each would call `hostile()` or break out of a page that sets it as HTML.
HOSTILE_TEXTS = (
    'What does <img src="/nowhere.png" onerror="hostile()"> show when the picture is missing?',
    "Why does </script><script>hostile()</script> end a block of code before it should?",
    "How is <b onmouseover='hostile()'>this bold word</b> read aloud & by whom, if \"quoted\"?",
    "Is {{constructor.constructor('hostile()')()}} or ${hostile()} a template in this language?",
)

ANSWERED = "SELECT min(id) FROM question WHERE job_id = %s AND state = 'selected' AND difficulty = 'hard'"


@dataclass(frozen=True, slots=True)
class Samples:
    """What was made."""

    dataset: str
    job_id: str
    question_id: int


def write_plants(path: Path) -> Path:
    """The hostile texts, for the rehearsal models to write."""
    path.write_text("".join(json.dumps(text) + "\n" for text in HOSTILE_TEXTS))
    return path


def make_spec(dataset: str, *, questions: int = 60, **changes: object) -> dict[str, Any]:
    """A spec of four cells and all stages."""
    return {
        "dataset": dataset,
        "mix": {
            "domains": {"coding": questions // 2, "math": questions // 2},
            "difficulties": {
                "easy": {"token_share": 0.4, "mean_tokens": 15, "answer_tokens": 60},
                "hard": {"token_share": 0.6, "mean_tokens": 120, "answer_tokens": 200},
            },
        },
        "models": {
            "generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"},
            "validate": {"easy": "openai/gpt-6-luna", "hard": "openai/gpt-6-luna"},
            "answer": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"},
        },
        "questions_per_call": {"easy": 10, "hard": 2},
        "stages": ["generate", "validate", "answer"],
        "budget_usd": "5",
        "seed": 2025,
        **changes,
    }


def make_samples(system: RunningSystem) -> Samples:
    """Run a small job to its end."""
    job_id = str(system.client.submit(make_spec(DATASET))["id"])
    ended = wait_for_end(system, job_id)
    assert ended.state == "succeeded", ended
    question_id = system.value(ANSWERED, [job_id])
    return Samples(DATASET, job_id, question_id)

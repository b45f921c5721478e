from typing import Any

import pytest

from shared.corpus.stages import VALIDATION_TRIES, Slot, StageTerms, later_stages, stages_of, terms_of
from shared.database.states import Stage

SPEC: dict[str, Any] = {
    "stages": ["generate", "validate", "answer"],
    "models": {
        "validate": {"easy": "openai/judge", "hard": ["openai/judge", "anthropic/judge"]},
        "answer": {"easy": "openai/small", "hard": ["openai/large", "anthropic/large"]},
    },
    "judging": {"questions_per_call": {"easy": 20, "hard": 10}, "votes": 3, "least": 4},
    "answering": {"questions_per_call": {"easy": 10, "hard": 1}, "samples": 2, "tries": 5, "check": True},
}


def test_a_stored_spec_without_stages_is_of_a_job_that_generates() -> None:
    assert (stages_of({}), later_stages({})) == ((Stage.GENERATE,), ())
    assert stages_of(SPEC) == tuple(Stage)
    assert later_stages(SPEC) == (Stage.VALIDATE, Stage.ANSWER)
    assert later_stages({"stages": ["answer"]}) == (Stage.ANSWER,)


def test_judges_take_turns_at_the_votes() -> None:
    terms = terms_of(SPEC, Stage.VALIDATE, "hard")
    assert terms == StageTerms(
        Stage.VALIDATE,
        questions_per_call=10,
        slots=(Slot("openai/judge", 0), Slot("anthropic/judge", 1), Slot("openai/judge", 2)),
        tries=VALIDATION_TRIES,
        least=4,
    )
    assert terms_of(SPEC, Stage.VALIDATE, "easy").slots == tuple(Slot("openai/judge", vote) for vote in range(3))


def test_each_of_several_models_gives_every_sample() -> None:
    terms = terms_of(SPEC, Stage.ANSWER, "hard")
    assert terms == StageTerms(
        Stage.ANSWER,
        questions_per_call=1,
        slots=tuple(Slot(f"{provider}/large", sample) for provider in ("openai", "anthropic") for sample in (0, 1)),
        tries=5,
        check=True,
    )


@pytest.mark.parametrize(
    ("stage", "questions", "calls"),
    [(Stage.VALIDATE, 0, 0), (Stage.VALIDATE, 1, 3), (Stage.VALIDATE, 20, 3), (Stage.VALIDATE, 21, 6),
     (Stage.ANSWER, 25, 6)],
)  # fmt: skip
def test_a_call_asks_one_model_about_a_whole_group(stage: Stage, questions: int, calls: int) -> None:
    assert terms_of(SPEC, stage, "easy").calls_for(questions) == calls

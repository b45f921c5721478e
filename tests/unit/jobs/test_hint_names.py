import re
from uuid import UUID

from shared.ids import BatchId, new_batch_id
from shared.jobs.hint_names import label_of, task_id_of

LABEL = "phase1 tool use/hard #0005, 40 questions"


def test_a_batch_is_labelled_for_a_person() -> None:
    assert label_of("phase1", "tool use", "hard", 5, 40) == LABEL


def test_a_task_is_listed_by_a_name_that_a_person_can_read() -> None:
    assert re.fullmatch("phase1-tool-use-hard-0005-[0-9a-f]{6}", task_id_of(BatchId(UUID(int=1)), LABEL))


def test_a_repeated_hint_has_the_same_name_and_another_batch_another() -> None:
    first, second = new_batch_id(), new_batch_id()
    assert task_id_of(first, LABEL) == task_id_of(BatchId(UUID(first.hex)), LABEL)
    assert task_id_of(first, LABEL) != task_id_of(second, LABEL)

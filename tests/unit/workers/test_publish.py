import re
from uuid import UUID

from shared.database.states import Stage
from shared.ids import BatchId, new_batch_id
from shared.jobs.reconcile import HintMessage
from workers.publish import task_id_of

LABEL = "phase1 tool use/hard #0005, 40 questions"


def test_a_task_is_listed_by_a_name_that_a_person_can_read() -> None:
    message = HintMessage(BatchId(UUID(int=1)), Stage.GENERATE, LABEL)
    assert re.fullmatch("phase1-tool-use-hard-0005-[0-9a-f]{6}", task_id_of(message))


def test_a_repeated_hint_has_the_same_name_and_another_batch_another() -> None:
    first, second = (HintMessage(new_batch_id(), Stage.GENERATE, LABEL) for _ in range(2))
    assert task_id_of(first) == task_id_of(HintMessage(first.batch_id, Stage.GENERATE, LABEL))
    assert task_id_of(first) != task_id_of(second)

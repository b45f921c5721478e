from shared.llm.bulk import BulkProblem
from shared.llm.provider import Outcome
from workers.bulk_room import Room

LUNA, SOL = "openai/gpt-6-luna", "openai/gpt-6.1-sol"
FULL = BulkProblem(Outcome.RATE_LIMITED, "Enqueued token limit reached")


def refused(base_seconds: float) -> Room:
    """Room that has turned out to be scarce at the end of a round."""
    room = Room(base_seconds)
    assert room.take(LUNA)
    assert room.take(LUNA)  # as many as come, as long as nobody knows better
    room.begin_round()
    room.note_refused(LUNA, FULL)
    return room


async def test_after_a_refusal_nothing_goes_to_that_model_until_one_of_ours_has_ended() -> None:
    room = refused(3600)
    assert not room.take(LUNA)
    assert room.take(SOL)
    room.begin_round()
    assert not room.take(LUNA)
    room.note_ended(LUNA)
    assert room.take(LUNA)


async def test_where_room_is_scarce_one_goes_at_a_time_until_the_provider_has_room_for_it() -> None:
    room = refused(0)
    assert [room.take(LUNA) for _ in range(3)] == [True, False, False]
    room.begin_round()
    room.note_unanswered(LUNA)
    assert not room.take(LUNA)
    room.begin_round()  # it was looked at, and runs
    assert [room.take(LUNA) for _ in range(3)] == [True, False, False]


async def test_refusals_of_what_was_out_together_make_one_wait() -> None:
    room = Room(3600)
    for _ in range(10):
        room.note_refused(LUNA, FULL)
    assert room._patience._problems[LUNA] == 1

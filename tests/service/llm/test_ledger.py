import asyncio
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.errors import BudgetExhausted, FencedOff, JobNotRunning, LeaseLapsed
from shared.ids import CallId, new_call_id
from shared.llm.budget import read_budget
from shared.llm.ledger import NewCall, Settlement, book_unknown, mark_parsed, open_call, settle_calls, unparsed_replies
from shared.llm.provider import LLMReply, Outcome, Usage
from tests.service.llm.rows import add_job, budget_of, execute, fetch
from tests.service.llm.scripted_server import openai_body

WORST = Decimal("0.01")
COST = Decimal("0.004")
ZERO = Decimal(0)
MODEL = "openai/gpt-6-luna"
OK = LLMReply(Outcome.OK, text="[]", raw=openai_body('{"questions": []}').decode(), usage=Usage(10, 5), http_status=200)
TIMEOUT = LLMReply(Outcome.TIMEOUT, detail="no answer in 180 s")
SERVER_ERROR = LLMReply(Outcome.SERVER_ERROR, raw="oops", http_status=500)


async def opened(
    engine: AsyncEngine, hold: Hold, *, ordinal: int = 0, call_id: CallId | None = None, worst: Decimal = WORST
) -> tuple[CallId, int]:
    call_id = call_id or new_call_id()
    async with engine.begin() as conn:
        new = NewCall(hold, call_id=call_id, ordinal=ordinal, model=MODEL, prompt={"topic": "sums"}, worst_usd=worst)
        attempt = await open_call(conn, new)
    return call_id, attempt


async def settled(engine: AsyncEngine, call_id: CallId, reply: LLMReply, cost: Decimal) -> bool:
    async with engine.begin() as conn:
        return bool(await settle_calls(conn, [Settlement(call_id, reply, cost)]))


async def booked_unknown(engine: AsyncEngine, hold: Hold) -> int:
    async with engine.begin() as conn:
        return await book_unknown(conn, batch_id=hold.batch_id)


async def states(engine: AsyncEngine, hold: Hold) -> list[tuple[object, ...]]:
    return await fetch(
        engine, "SELECT state, outcome, cost_usd FROM call WHERE batch_id = :id ORDER BY id", id=hold.batch_id
    )


async def test_open_call_holds_its_worst_case(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    await opened(engine, hold)
    assert await budget_of(engine, hold) == (ZERO, WORST)
    assert await fetch(engine, "SELECT state, attempt, fence, prompt FROM call WHERE job_id = :id", id=hold.job_id) == [
        ("sent", 1, 1, {"topic": "sums"})
    ]


async def test_settled_call_turns_hold_into_cost(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    call_id, _ = await opened(engine, hold)
    assert await settled(engine, call_id, OK, COST)
    assert await budget_of(engine, hold) == (COST, ZERO)
    assert await fetch(
        engine,
        "SELECT state, outcome, raw, input_tokens, output_tokens, http_status FROM call WHERE id = :id",
        id=call_id,
    ) == [("ok", "ok", OK.raw, 10, 5, 200)]


async def test_failed_call_gives_its_hold_back(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    call_id, _ = await opened(engine, hold)
    await settled(engine, call_id, SERVER_ERROR, Decimal(0))
    assert await budget_of(engine, hold) == (ZERO, ZERO)
    assert await states(engine, hold) == [("failed", "server_error", 0)]


async def test_cut_reply_is_a_paid_reply(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    call_id, _ = await opened(engine, hold)
    await settled(engine, call_id, LLMReply(Outcome.CUT, raw="{}", usage=Usage(1, 1)), COST)
    assert await states(engine, hold) == [("ok", "cut", COST)]


async def test_settling_twice_has_no_second_effect(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    call_id, _ = await opened(engine, hold)
    assert await settled(engine, call_id, OK, COST)
    assert not await settled(engine, call_id, OK, COST)
    assert not await settled(engine, call_id, TIMEOUT, WORST)
    assert await budget_of(engine, hold) == (COST, ZERO)
    assert await states(engine, hold) == [("ok", "ok", COST)]


async def test_timeout_is_booked_once_at_its_worst_case(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    call_id, _ = await opened(engine, hold)
    assert await settled(engine, call_id, TIMEOUT, WORST)
    assert not await settled(engine, call_id, TIMEOUT, WORST)
    assert await budget_of(engine, hold) == (WORST, ZERO)
    assert await states(engine, hold) == [("unknown", "timeout", WORST)]


async def test_opening_twice_with_one_id_has_no_second_effect(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    call_id, first = await opened(engine, hold)
    _, second = await opened(engine, hold, call_id=call_id)
    assert first == second == 1
    assert await budget_of(engine, hold) == (ZERO, WORST)


async def test_attempts_are_counted_per_prompt_over_all_holders(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    attempts = [(await opened(engine, hold, ordinal=ordinal))[1] for ordinal in (0, 0, 1)]
    await execute(engine, "UPDATE batch SET fence = 2 WHERE id = :id", id=hold.batch_id)
    later = Hold(hold.job_id, hold.dataset_id, hold.batch_id, 2)
    attempts.append((await opened(engine, later))[1])
    assert attempts == [1, 2, 1, 3]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE batch SET fence = 2 WHERE id = :batch", FencedOff),
        ("UPDATE batch SET lease_until = clock_timestamp() - interval '1 ms' WHERE id = :batch", LeaseLapsed),
        ("UPDATE batch SET state = 'pending', lease_until = NULL WHERE id = :batch", FencedOff),
        ("UPDATE job SET state = 'paused', reason = 'by hand' WHERE id = :job AND :batch IS NOT NULL", JobNotRunning),
        (
            "UPDATE job SET state = 'cancelled', finished_at = now() WHERE id = :job AND :batch IS NOT NULL",
            JobNotRunning,
        ),
        ("DELETE FROM job WHERE id = :job AND :batch IS NOT NULL", JobNotRunning),
    ],
)
async def test_no_call_is_opened_without_the_right_to(engine: AsyncEngine, change: str, error: type[Exception]) -> None:
    hold = await add_job(engine)
    values = {"batch": hold.batch_id, "job": hold.job_id}
    await execute(
        engine,
        change.replace(" AND :batch IS NOT NULL", ""),
        **{name: value for name, value in values.items() if f":{name}" in change.replace(" AND :batch", "")},
    )
    with pytest.raises(error):
        await opened(engine, hold)
    assert await states(engine, hold) == []


async def test_call_beyond_the_budget_is_not_opened(engine: AsyncEngine) -> None:
    hold = await add_job(engine, "0.015")
    await opened(engine, hold)
    with pytest.raises(BudgetExhausted, match=r"resume with a higher budget to go on"):
        await opened(engine, hold)
    assert await budget_of(engine, hold) == (ZERO, WORST)


async def test_racing_openers_and_settlers_never_pass_the_wall(engine: AsyncEngine) -> None:
    """200 openers of random cost, settled at random costs meanwhile: at every look spent + held <= budget."""
    seed = 2025
    rng = Random(seed)
    for openers in (200, 40, 40):
        budget = Decimal(rng.randrange(50, 100) * openers) / 40_000
        hold = await add_job(engine, budget)
        results = await asyncio.gather(*(_one_opener(engine, hold, rng.randrange(2**31)) for _ in range(openers)))
        spent, held = await budget_of(engine, hold)
        assert spent + held <= budget, f"seed {seed}"
        assert results.count("refused") > 0
        assert results.count("opened") > 0


async def _one_opener(engine: AsyncEngine, hold: Hold, seed: int) -> str:
    rng = Random(seed)
    worst = Decimal(rng.randrange(1, 200)) / 10_000
    try:
        call_id, _ = await opened(engine, hold, ordinal=seed, worst=worst)
    except BudgetExhausted:
        return "refused"
    async with engine.connect() as conn:
        budget = await read_budget(conn, hold.job_id)
    assert budget.spent_usd + budget.held_usd <= budget.budget_usd
    if rng.random() < 0.7:
        await settled(engine, call_id, OK, worst * rng.randrange(0, 100) / 100)
    return "opened"


async def test_racing_attempts_of_one_prompt_are_numbered_once_each(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    outcomes = await asyncio.gather(*(opened(engine, hold) for _ in range(20)), return_exceptions=True)
    attempts = sorted(outcome[1] for outcome in outcomes if not isinstance(outcome, BaseException))
    assert attempts == list(range(1, len(attempts) + 1))
    await budget_of(engine, hold)


async def test_calls_of_a_dead_holder_are_booked_as_spent(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    await opened(engine, hold)
    done, _ = await opened(engine, hold)
    await settled(engine, done, OK, COST)
    assert await booked_unknown(engine, hold) == 0  # its holder lives
    await execute(engine, "UPDATE batch SET fence = 2 WHERE id = :id", id=hold.batch_id)
    assert await booked_unknown(engine, hold) == 1
    assert await booked_unknown(engine, hold) == 0
    assert await budget_of(engine, hold) == (WORST + COST, ZERO)
    assert await states(engine, hold) == [("unknown", "lost", WORST), ("ok", "ok", COST)]


async def test_late_truth_replaces_the_worst_case(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    call_id, _ = await opened(engine, hold)
    await execute(engine, "UPDATE batch SET fence = 2 WHERE id = :id", id=hold.batch_id)
    await booked_unknown(engine, hold)
    assert await settled(engine, call_id, OK, COST)
    assert await budget_of(engine, hold) == (COST, ZERO)
    assert not await settled(engine, call_id, OK, COST)
    assert await budget_of(engine, hold) == (COST, ZERO)


async def test_settling_and_booking_unknown_at_once_counts_once(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    calls = [(await opened(engine, hold, ordinal=ordinal))[0] for ordinal in range(30)]
    await execute(engine, "UPDATE batch SET fence = 2 WHERE id = :id", id=hold.batch_id)
    await asyncio.gather(
        *(settled(engine, call_id, OK, COST) for call_id in calls),
        *(booked_unknown(engine, hold) for _ in range(5)),
    )
    assert await budget_of(engine, hold) == (30 * COST, ZERO)


async def test_stored_replies_wait_until_they_are_parsed(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    late, _ = await opened(engine, hold, ordinal=7)
    early, _ = await opened(engine, hold, ordinal=3)
    failed, _ = await opened(engine, hold, ordinal=4)
    await settled(engine, late, OK, COST)
    cut = LLMReply(Outcome.CUT, raw=openai_body('{"questions": ["a"', finish="length").decode(), usage=Usage(1, 1))
    await settled(engine, early, cut, COST)
    await settled(engine, failed, SERVER_ERROR, Decimal(0))
    async with engine.begin() as conn:
        replies = await unparsed_replies(conn, hold)
        assert [(reply.call_id, reply.text, reply.cut) for reply in replies] == [
            (early, '{"questions": ["a"', True),
            (late, '{"questions": []}', False),
        ]
        assert replies[0].prompt == {"topic": "sums"}
        assert await mark_parsed(conn, [early])
        assert not await mark_parsed(conn, [early])
        assert [reply.call_id for reply in await unparsed_replies(conn, hold)] == [late]

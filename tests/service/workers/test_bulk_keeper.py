"""Bulk submissions, from the intent to the answered question: whole jobs against the rehearsal server."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from shared.corpus.datasets import delete_dataset
from shared.database.trouble import DatabaseSilent
from shared.errors import Conflict
from shared.ids import BatchId
from shared.jobs.control import cancel_job, pause_job, resume_job
from shared.jobs.progress import list_submissions, read_job
from shared.llm.bulk import BulkProblem, BulkState, BulkStatus
from shared.llm.ledger import book_unknown
from shared.llm.prices import price_of
from shared.llm.provider import LLMRequest, Outcome, Usage
from shared.llm.stop import Stop
from tests.service.jobs.world import EASY, batches_of, claim_as, execute, fetch, tick
from tests.service.workers.bulk_world import LOCK, BulkWorld, Crash
from workers.bulk_keeper import BulkKeeper
from workers.bulk_lock import LockLost, keeper_lock


async def test_a_whole_job_on_both_providers_ends_exact_at_half_price(world: BulkWorld, dataset: str) -> None:
    job_id = await world.submit(dataset)
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    progress = job["progress"]
    assert progress["selected"] == progress["validated"] == progress["answered"] == 60
    assert [cell for cell in progress["cells"] if cell["selected"] != cell["target"]] == []
    await world.check(job_id)
    half = Decimal(0)
    for call in await world.calls(job_id):
        assert call["submission_id"]
        if call["input_tokens"] is not None:
            usage = Usage(call["input_tokens"], call["output_tokens"], call["cached_tokens"] or 0)
            price = price_of(call["model"], usage, world.settings.prices)
            assert Decimal(str(call["cost_usd"])) * 2 - price in {Decimal(0), Decimal("1e-12")}
            half += price_of(call["model"], usage, world.settings.prices, bulk=True)
    assert Decimal((await world.money(job_id))["spent_usd"]) == half
    assert {each["state"] for each in await world.submissions(job_id)} == {"ended"}
    assert {each["provider"] for each in await world.submissions(job_id)} == {"openai", "anthropic"}


async def test_a_submission_is_not_looked_for_where_models_of_the_other_kind_are(
    world: BulkWorld, engine: AsyncEngine, dataset: str
) -> None:
    await world.server.post("/rehearsal/bulk", {"seconds": 3_600})
    job_id = await world.submit(dataset)
    await world.keep()
    before = await world.submissions(job_id)
    assert {each["state"] for each in before} == {"submitted"}
    await execute(engine, "UPDATE job SET rehearsal = false WHERE id = :id", id=job_id)
    await world.keep()
    assert await world.submissions(job_id) == before
    job = await read_job(engine, job_id)
    assert job["state"] == "paused"
    assert "no provider key" in job["reason"]
    assert "what a provider has in bulk is cancelled there only once workers have its key again" in job["reason"]


async def test_what_failed_or_expired_is_submitted_again_and_every_ordinal_answered_once(
    world: BulkWorld, dataset: str
) -> None:
    await world.server.script("500")
    await world.server.post("/rehearsal/bulk", {"expire_share": 0.4})
    job_id = await world.submit(dataset, mix={"domains": {"math": 120}})
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    await world.check(job_id)
    calls = await world.calls(job_id)
    assert {call["outcome"] for call in calls} >= {"ok", "server_error", "expired"}
    assert {call["cost_usd"] for call in calls if call["outcome"] in {"server_error", "expired"}} == {0}
    read = Counter((call["batch_id"], call["ordinal"]) for call in calls if call["outcome"] == "ok")
    generated = {call["batch_id"] for call in calls if call["stage"] == "generate"}
    assert {count for (batch_id, _), count in read.items() if batch_id in generated} == {1}
    assert [call for call in calls if call["outcome"] == "ok" and not call["parsed_at"]] == []


async def test_what_the_model_refuses_is_given_up_and_replaced_not_asked_again(world: BulkWorld, dataset: str) -> None:
    await world.server.script("refusal", "500")
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    calls = await world.calls(job_id)
    [refused] = [call for call in calls if call["outcome"] == "refused"]
    [failed] = [call for call in calls if call["outcome"] == "server_error"]
    again = Counter((call["batch_id"], call["ordinal"]) for call in calls)
    assert again[refused["batch_id"], refused["ordinal"]] == 1
    assert again[failed["batch_id"], failed["ordinal"]] == 2
    assert sum(row.calls_given_up for row in await batches_of(world.engine, job_id)) == 1
    assert {row.state for row in await batches_of(world.engine, job_id)} == {"done"}
    await world.check(job_id)


async def test_a_submission_that_fails_as_a_whole_is_tried_again(world: BulkWorld, dataset: str) -> None:
    await world.server.post("/rehearsal/bulk", {"fail_next": 1})
    job_id = await world.submit(dataset)
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    await world.check(job_id)
    failed = [each for each in await world.submissions(job_id) if each["state"] == "failed"]
    assert len(failed) == 1
    assert "told to fail" in failed[0]["detail"]


async def test_a_submission_that_fails_for_want_of_credit_pauses_the_job_and_goes_again_once_it_is_resumed(
    world: BulkWorld, dataset: str
) -> None:
    meddling = world.meddle("openai")
    real = meddling.look

    async def look(provider_id: str) -> BulkStatus:
        meddling.look = real
        status = await real(provider_id)
        return replace(status, state=BulkState.FAILED, detail="billing_hard_limit_reached", outcome=Outcome.QUOTA)

    meddling.look = look
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    job = await world.run_to_end(job_id)
    assert (job["state"], job["reason"]) == (
        "paused",
        "the provider says that the account's quota or credit is used up",
    )
    [refused] = await world.submissions(job_id)
    assert (refused["state"], refused["detail"]) == ("withdrawn", "billing_hard_limit_reached")
    await resume_job(world.engine, job_id)
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_a_batch_whose_submissions_fail_again_and_again_is_parked_with_the_reason(
    world: BulkWorld, dataset: str
) -> None:
    await world.server.post("/rehearsal/bulk", {"fail_next": 1000})
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    job = await world.run_to_end(job_id)
    assert job["state"] == "failed"
    parked = await fetch(
        world.engine, "SELECT reason FROM batch WHERE job_id = :id AND state = 'parked' LIMIT 1", id=job_id
    )
    assert "openai/gpt-6-luna: its bulk submission was refused 3 times: " in parked[0][0]
    await world.check(job_id)
    assert float((await world.money(job_id))["spent_usd"]) == 0


async def test_a_cancelled_job_is_cancelled_at_the_provider_and_what_was_run_is_paid(
    world: BulkWorld, dataset: str
) -> None:
    await world.server.post("/rehearsal/bulk", {"seconds": 20})
    job_id = await world.submit(dataset, mix={"domains": {"math": 1000}})
    await world.work(job_id)
    await world.keep()

    async def answered() -> int:
        listed = await world.at_provider(job_id)
        assert len(listed) == 2
        return min(sum(end is not None for end in each["requests"].values()) for each in listed)

    async with asyncio.timeout(10):
        while await answered() == 0:  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.02)
    held = Decimal((await world.money(job_id))["held_usd"])
    assert held > 0
    await cancel_job(world.engine, job_id)
    await world.run_until_over(job_id)
    assert [each["cancel_asked"] for each in await world.at_provider(job_id)] == [True, True]
    await world.check(job_id)
    outcomes = Counter(call["outcome"] for call in await world.calls(job_id))
    assert outcomes["cancelled"] > 0
    assert outcomes["ok"] > 0
    assert 0 < Decimal((await world.money(job_id))["spent_usd"]) < held
    assert await fetch(world.engine, "SELECT FROM question WHERE job_id = :id", id=job_id) == []


async def test_a_dataset_is_not_deleted_while_a_provider_has_calls_of_it(world: BulkWorld, dataset: str) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True})
    job_id = await world.submit(dataset, stages=["generate"])
    await world.work(job_id)
    await world.keep()
    await cancel_job(world.engine, job_id)
    with pytest.raises(Conflict, match="2 bulk submissions"):
        await delete_dataset(world.engine, dataset)
    await world.run_until_over(job_id)
    assert {each["cancel_asked"] for each in await world.at_provider(job_id)} == {True}
    await delete_dataset(world.engine, dataset)


async def test_a_paused_job_intends_nothing_and_what_is_out_is_settled(world: BulkWorld, dataset: str) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True})
    job_id = await world.submit(dataset)
    await world.work(job_id)
    await world.keep()
    await pause_job(world.engine, job_id)
    await world.server.post("/rehearsal/bulk", {"hold": False})
    await world.run_until_over(job_id)
    await world.work(job_id)
    await world.keep()
    assert [each["state"] for each in await world.submissions(job_id)] == ["ended", "ended"]
    await world.check(job_id)
    assert {call["outcome"] for call in await world.calls(job_id)} == {"ok"}
    await resume_job(world.engine, job_id)
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_as_many_calls_go_as_fit_into_the_budget_and_then_the_job_pauses(world: BulkWorld, dataset: str) -> None:
    mix = {"domains": {"math": 2000}, "difficulties": EASY}
    job_id = await world.submit(dataset, stages=["generate"], mix=mix, budget_usd="0.005")
    await world.work(job_id)
    await world.keep()
    [first] = await world.submissions(job_id)
    money = await world.money(job_id)
    [one] = {Decimal(str(call["worst_usd"])) for call in await world.calls(job_id)}
    assert 1 < first["requests"] < 100
    assert Decimal("0.005") - one < Decimal(money["held_usd"]) <= Decimal("0.005")
    job = await world.run_to_end(job_id)
    assert job["state"] == "paused"
    assert job["reason"].startswith("the next call may cost $")
    assert "Missing: " in job["reason"]
    await world.check(job_id)
    assert Decimal((await world.money(job_id))["spent_usd"]) <= Decimal("0.005")
    await resume_job(world.engine, job_id, Decimal(1))
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_crash_right_between_submission_and_id_is_survived(
    world: BulkWorld, dataset: str, provider: str
) -> None:
    meddling = world.meddle(provider)
    meddling.crash_after_submit()
    job_id = await world.submit(dataset)
    await world.work(job_id)
    with pytest.raises(Crash):
        await world.keep()
    [lost] = [each for each in await world.submissions(job_id) if each["provider"] == provider]
    assert (lost["state"], lost["provider_id"]) == ("intended", None)
    assert lost["attempted_at"]
    world.keeper = world.new_keeper()
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    [adopted] = [each for each in await world.submissions(job_id) if each["id"] == lost["id"]]
    assert (adopted["state"], adopted["attempts"]) == ("ended", 1)
    await world.check(job_id)
    assert len(await world.at_provider(job_id)) == len(await world.submissions(job_id))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_crash_before_the_submission_left_is_survived(world: BulkWorld, dataset: str, provider: str) -> None:
    meddling = world.meddle(provider)
    meddling.crash_before_submit()
    job_id = await world.submit(dataset)
    await world.work(job_id)
    with pytest.raises(Crash):
        await world.keep()
    world.keeper = world.new_keeper()
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    states = Counter(each["state"] for each in await world.submissions(job_id))
    assert states["withdrawn"] == 1
    await world.check(job_id)
    assert len(await world.at_provider(job_id)) == states["ended"]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_lost_answer_is_found_again(world: BulkWorld, dataset: str, provider: str) -> None:
    easy, hard = ("openai/gpt-6-luna", "anthropic/claude-haiku-5-5")
    models = {"generate": {"easy": easy if provider == "openai" else hard}}
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY}, models=models)
    await world.work(job_id)
    await world.server.post("/rehearsal/bulk", {"lose_next": 1})
    await world.keep()
    [lost] = await world.submissions(job_id)
    assert (lost["state"], lost["provider_id"]) == ("intended", None)
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    assert {each["state"] for each in await world.submissions(job_id)} == {"ended"}
    await world.check(job_id)


async def test_while_a_lost_submission_may_still_turn_up_nothing_is_submitted_again(
    world: BulkWorld, dataset: str
) -> None:
    world.keeper = BulkKeeper(
        replace(world.shop, settings=world.settings.model_copy(update={"bulk_settle_seconds": 3600.0})), world.providers
    )
    meddling = world.meddle("openai")
    late: list[Any] = []

    async def submit(submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:
        late.append((submission_id, requests))
        raise BulkProblem(Outcome.TIMEOUT, "no answer", maybe_submitted=True)

    meddling.submit, real = submit, meddling.submit
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    for _ in range(3):
        await world.keep()
    assert len(late) == 1
    await real(*late[0])
    meddling.submit = real
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)
    assert {each["state"] for each in await world.submissions(job_id)} == {"ended"}


async def test_a_submission_that_turns_up_after_it_was_given_up_is_cancelled(world: BulkWorld, dataset: str) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True})
    meddling = world.meddle("openai")
    late: list[Any] = []

    async def submit(submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:
        late.append((submission_id, requests))
        meddling.submit = real
        raise BulkProblem(Outcome.TIMEOUT, "no answer", maybe_submitted=True)

    meddling.submit, real = submit, meddling.submit
    world.shop.settings = world.settings.model_copy(update={"bulk_settle_seconds": 0.05})
    world.keeper = world.new_keeper()
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    await world.keep()
    async with asyncio.timeout(10):
        while [each["state"] for each in await world.submissions(job_id)] != ["withdrawn", "submitted"]:
            await world.keep()
            await asyncio.sleep(0.02)
    await real(*late[0])
    await world.keep()
    assert sorted(each["cancel_asked"] for each in await world.at_provider(job_id)) == [False, True]
    await world.server.post("/rehearsal/bulk", {"hold": False})
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_what_another_keeper_has_found_meanwhile_is_not_given_up(world: BulkWorld, dataset: str) -> None:
    stalled = world.new_keeper()
    meddling = world.meddle("openai")
    meddling.crash_after_submit()
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    with pytest.raises(Crash):
        await world.keep()
    held = await world.money(job_id)

    async def find_nothing_and_stall(*_: object, **__: object) -> None:
        """The provider's list is behind; by the time that this keeper goes on, another one has seen more of it."""
        meddling.find = real
        await world.new_keeper().run_once(LOCK)

    meddling.find, real = find_nothing_and_stall, meddling.find
    await stalled.run_once(LOCK)
    assert [each["state"] for each in await world.submissions(job_id)] == ["submitted"]
    assert await world.money(job_id) == held
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_two_keepers_at_once_submit_nothing_twice(world: BulkWorld, dataset: str) -> None:
    other = world.new_keeper()
    job_id = await world.submit(dataset)
    for _ in range(200):
        await world.work(job_id)
        await asyncio.gather(world.keep(), other.run_once(LOCK))
        job = await read_job(world.engine, job_id)
        if job["state"] != "running":
            break
    assert job["state"] == "succeeded", job["reason"]
    await world.check(job_id)


async def test_a_throttled_submission_goes_later_as_it_is_and_a_refused_key_pauses_the_job(
    world: BulkWorld, dataset: str
) -> None:
    world.shop.settings = world.settings.model_copy(update={"bulk_poll_seconds": 0.01})
    world.keeper = world.new_keeper()
    meddling = world.meddle("openai")
    meddling.refuse(
        BulkProblem(Outcome.RATE_LIMITED, "slower", http_status=429),
        BulkProblem(Outcome.UNAUTHORISED, "no such key", http_status=401),
    )
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    await world.keep()
    [first] = await world.submissions(job_id)
    assert (first["state"], first["attempted_at"]) == ("intended", None)
    job = await world.run_to_end(job_id)
    assert (job["state"], job["reason"]) == ("paused", "the provider refused the key")
    [again] = await world.submissions(job_id)
    assert (again["id"], again["state"], again["attempts"]) == (first["id"], "withdrawn", 2)
    await world.check(job_id)
    await resume_job(world.engine, job_id)
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_a_submission_that_the_provider_has_forgotten_is_booked_and_made_anew(
    world: BulkWorld, dataset: str
) -> None:
    meddling = world.meddle("openai")
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    await world.keep()
    real = meddling.look

    async def look(provider_id: str) -> BulkStatus:
        meddling.look = real
        return await real(f"{provider_id}x")

    meddling.look = look
    await world.keep()
    lost = [call for call in await world.calls(job_id) if call["outcome"] == "lost"]
    assert lost
    assert all(call["cost_usd"] == call["worst_usd"] for call in lost)
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_a_model_that_is_unknown_inside_a_submission_pauses_the_job_once(world: BulkWorld, dataset: str) -> None:
    await world.server.script("quota")
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    job = await world.run_to_end(job_id)
    assert (job["state"], job["reason"]) == (
        "paused",
        "the provider says that the account's quota or credit is used up",
    )
    await world.check(job_id)
    await resume_job(world.engine, job_id)
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_a_batch_in_bulk_is_neither_claimed_nor_hinted(world: BulkWorld, dataset: str) -> None:
    job_id = await world.submit(dataset)
    await tick(world.engine, job_id, world.broker)
    rows = await batches_of(world.engine, job_id)
    assert {(row.state, row.in_bulk, row.hinted_at) for row in rows} == {("pending", True, None)}
    assert world.broker.take() == []
    assert await claim_as(world.engine, BatchId(rows[0].id)) is None


async def test_calls_that_are_with_a_provider_need_no_holder(world: BulkWorld, dataset: str) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True})
    job_id = await world.submit(dataset)
    await world.work(job_id)
    await world.keep()
    async with world.engine.begin() as conn:
        await book_unknown(conn)
    assert {call["state"] for call in await world.calls(job_id)} == {"sent"}
    assert (await read_job(world.engine, job_id))["progress"]["calls"]["in_flight"] == len(await world.calls(job_id))
    assert len(await list_submissions(world.engine, job_id, state="submitted", after=None, limit=10)) == 2


async def test_a_submission_whose_rows_are_busy_is_left_to_the_next_round(world: BulkWorld) -> None:
    async def attend(problem: Exception | None) -> None:
        if problem is not None:
            raise problem

    with capture_logs() as logs:
        await world.keeper._each(attend, [LockNotAvailable("busy"), None])
    assert [each["event"] for each in logs] == ["bulk submission not attended to"]
    with pytest.raises(DatabaseSilent):
        await world.keeper._each(attend, [DatabaseSilent("no answer"), None])


async def test_only_one_process_has_the_lock_and_who_has_lost_it_starts_nothing(world: BulkWorld, dataset: str) -> None:
    url = world.settings.database_url
    job_id = await world.submit(dataset)
    await world.work(job_id)
    async with keeper_lock(url) as lock:
        assert lock is not None
        await lock.confirm()
        async with keeper_lock(url) as second:
            assert second is None
        await execute(
            world.engine,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'questmill-bulk-keeper'",
        )
        with pytest.raises(LockLost):
            await world.keeper.run_once(lock)
        async with keeper_lock(url) as third:
            assert third is not None
    assert await world.submissions(job_id) == []


async def test_a_keeper_runs_by_itself_and_ends_when_told(world: BulkWorld, dataset: str) -> None:
    world.shop.settings = world.settings.model_copy(update={"bulk_poll_seconds": 0.02})
    stop, other = Stop(), Stop()
    keeping = [asyncio.create_task(world.new_keeper().run(each)) for each in (stop, other)]
    job_id = await world.submit(dataset)
    async with asyncio.timeout(30):
        while (await read_job(world.engine, job_id))["state"] == "running":
            await world.work(job_id)
            await asyncio.sleep(0.01)
    stop.set()
    other.set()
    await asyncio.gather(*keeping)
    assert (await read_job(world.engine, job_id))["state"] == "succeeded"
    await world.check(job_id)

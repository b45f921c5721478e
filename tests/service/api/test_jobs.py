import asyncio
import copy
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.job_shapes import JobPage, JobShape
from api.live_shapes import LiveShape, RejectionPage, SeriesShape
from api.notification_shapes import NotificationsShape
from api.novelty_shapes import NoveltyShape, TopicsShape
from api.schemas import PlannedShape
from api.work_shapes import BatchPage, CallPage, SubmissionPage
from tests.service.api.documented import undocumented

Spec = dict[str, Any]


def submit(http: httpx2.Client, spec: Spec, key: str | None = None) -> httpx2.Response:
    return http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key} if key else {})


def test_a_plan_has_the_documented_shape_and_writes_nothing(http: httpx2.Client, spec: Spec) -> None:
    answer = http.post("/v1/plans", json=spec)
    assert answer.status_code == 200
    planned = PlannedShape.model_validate(answer.json())
    assert undocumented(planned) == set()
    assert planned.totals.questions == 100
    assert sum(cell.target for cell in planned.cells) == 100
    assert http.get("/v1/datasets/" + spec["dataset"]).status_code == 404


def test_a_job_is_accepted_with_its_location(http: httpx2.Client, spec: Spec) -> None:
    answer = submit(http, spec)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    job = http.get(answer.headers["Location"])
    shaped = JobShape.model_validate(job.json())
    assert undocumented(shaped) == set()
    assert (shaped.dataset, shaped.state, shaped.progress.target) == (spec["dataset"], "running", 100)


def test_novelty_and_topics_have_the_documented_shape(http: httpx2.Client, spec: Spec) -> None:
    job_id = submit(http, spec).json()["id"]
    shaped = NoveltyShape.model_validate(http.get(f"/v1/jobs/{job_id}/novelty").json())
    assert undocumented(shaped) == set()
    assert shaped.steered
    cell = shaped.cells[0]
    assert cell.topics is not None
    assert (cell.topics.resting, cell.topics.dry, cell.pool) == (0, 0, None)
    asked = {"domain": cell.domain.upper(), "difficulty": cell.difficulty}
    topics = TopicsShape.model_validate(http.get(f"/v1/jobs/{job_id}/topics", params=asked).json()).items
    assert len(topics) == cell.topics.open
    unknown = http.get(f"/v1/jobs/{job_id}/topics", params={"domain": "x", "difficulty": "easy"})
    assert unknown.status_code == 422
    assert cell.domain in unknown.json()["detail"]
    assert http.get(f"/v1/jobs/{job_id}/topics", params={"domain": "x"}).status_code == 422


def test_notifications_have_the_documented_shape(http: httpx2.Client, spec: Spec) -> None:
    job_id = submit(http, spec).json()["id"]
    url = f"/v1/jobs/{job_id}/notifications"
    assert http.get(url).json() == {"items": []}
    http.post(f"/v1/jobs/{job_id}/cancel")
    [told] = NotificationsShape.model_validate(http.get(url).json()).items
    assert undocumented(told) == set()
    assert (told.event, told.state, told.url, told.attempts) == ("cancelled", "pending", None, 0)
    assert http.get(f"/v1/jobs/{UUID(int=0)}/notifications").status_code == 404


def test_a_receiver_that_cannot_be_notified_names_its_place(http: httpx2.Client, spec: Spec) -> None:
    for url, why in (("ftp://x", "write a URL"), ("http://127.0.0.1/", "QUESTMILL_WEBHOOK_SECRET")):
        answer = submit(http, {**spec, "notify": {"url": url}})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == "notify.url"
        assert why in answer.json()["errors"][0]["msg"]


def test_an_atlas_that_cannot_work_names_its_place(http: httpx2.Client, spec: Spec) -> None:
    domain = next(iter(spec["mix"]["domains"]))
    answer = submit(http, {**spec, "atlas": {domain: {"topics": {"knots": ["a; b"]}}}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"].startswith(f"atlas.{domain}")
    assert "semicolon" in answer.json()["errors"][0]["msg"]


def test_the_same_key_finds_the_first_job(http: httpx2.Client, spec: Spec) -> None:
    first, second = submit(http, spec, "once"), submit(http, spec, "once")
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Location"] == first.headers["Location"]


def test_the_same_key_with_another_body_is_a_conflict(http: httpx2.Client, spec: Spec) -> None:
    assert submit(http, spec, "taken").status_code == 202
    other = submit(http, {**spec, "seed": 1}, "taken")
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"


async def test_one_key_sent_twenty_times_at_once_is_one_job(api_url: str, spec: Spec, engine: AsyncEngine) -> None:
    async with httpx2.AsyncClient(base_url=api_url, timeout=30) as http:
        posts = [http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "storm"}) for _ in range(20)]
        answers = await asyncio.gather(*posts)
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    async with engine.connect() as conn:
        counted = await conn.execute(text("SELECT COUNT(*) FROM job WHERE idempotency_key = 'storm'"))
        assert counted.scalar_one() == 1


async def test_jobs_for_one_dataset_at_once_are_one_job(api_url: str, spec: Spec) -> None:
    async with httpx2.AsyncClient(base_url=api_url, timeout=30) as http:
        answers = await asyncio.gather(*(http.post("/v1/jobs", json=spec) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7


def test_a_dataset_with_an_unfinished_job_takes_no_other_and_names_it(http: httpx2.Client, spec: Spec) -> None:
    first = submit(http, spec).json()["id"]
    second = submit(http, spec)
    assert second.status_code == 409
    assert first in second.json()["detail"]


def change(spec: Spec, path: str, value: object) -> Spec:
    changed = copy.deepcopy(spec)
    *parents, last = path.split(".")
    place = changed
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "loc"),
    [
        ("colour", "red", "colour"),
        ("mix.colour", "red", "mix.colour"),
        ("mix.difficulties.easy.colour", "red", "mix.difficulties.easy.colour"),
        ("mix.domains.math", -5, "mix.domains.math"),
        ("mix.domains.math", 10**15, "mix.domains.math"),
        ("mix.domains.math", True, "mix.domains.math"),
        ("mix.domains.math", 1.5, "mix.domains.math"),
        ("mix.domains.MATH", 5, "mix.domains"),
        ("mix.difficulties.easy.token_share", 0.7, "mix.difficulties"),
        ("mix.difficulties.easy.mean_tokens", 0, "mix.difficulties.easy.mean_tokens"),
        ("models.generate.easy", "nobody/knows", "models.generate.easy"),
        ("models.generate.easy", "openai/gpt-unheard-of", "models.generate.easy"),
        ("dataset", "../etc", "dataset"),
        ("dataset", "Größe", "dataset"),
        ("dataset", "x" * 65, "dataset"),
        ("budget_usd", "-1", "budget_usd"),
        ("budget_usd", "NaN", "budget_usd"),
        ("seed", -1, "seed"),
        ("seed", 2**64, "seed"),
        ("mix.domains", {}, "mix.domains"),
        ("mix", None, "mix"),
    ],
)
def test_bad_input_names_the_field_and_leaves_nothing(
    http: httpx2.Client, spec: Spec, path: str, value: object, loc: str
) -> None:
    before = http.get("/v1/datasets").json()
    for url in ("/v1/plans", "/v1/jobs"):
        answer = http.post(url, json=change(spec, path, value))
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail"} <= set(answer.json())
        assert any(error["loc"].startswith(loc) for error in answer.json()["errors"]), answer.text
    assert http.get("/v1/datasets").json() == before


def test_a_model_without_a_price_names_the_setting(http: httpx2.Client, spec: Spec) -> None:
    answer = http.post("/v1/jobs", json=change(spec, "models.generate.easy", "openai/gpt-unheard-of"))
    assert "QUESTMILL_PRICES" in answer.json()["detail"]


async def test_a_model_without_a_key_names_the_variable(
    http: httpx2.Client, spec: Spec, engine: AsyncEngine, providers: None
) -> None:
    forget = text("UPDATE provider SET seen_at = 'epoch' WHERE name = 'anthropic'")
    async with engine.begin() as conn:
        await conn.execute(forget)
    answer = http.post("/v1/jobs", json=change(spec, "models.generate.hard", "anthropic/claude-sonnet-5-5"))
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE provider SET seen_at = clock_timestamp()"))
    assert answer.status_code == 422
    assert "ANTHROPIC_API_KEY" in answer.json()["detail"]


def test_a_mix_that_cannot_be_met_names_the_domain(http: httpx2.Client, spec: Spec) -> None:
    answer = http.post("/v1/plans", json=change(spec, "mix.minimum", {"hard": 41}))
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:questmill:infeasible-mix"
    assert "reading" in answer.json()["detail"]


@pytest.mark.parametrize("key", ["a b", "x" * 201, "ключ".encode().decode("latin-1")], ids=["space", "long", "bytes"])
def test_an_odd_idempotency_key_is_refused(http: httpx2.Client, spec: Spec, key: str) -> None:
    answer = http.post("/v1/jobs", json=spec, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == "idempotency-key"


def test_a_job_can_be_paused_resumed_and_cancelled_once_each(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec).headers["Location"]
    steps = [
        ("resume", 409, "running"),
        ("pause", 200, "paused"),
        ("pause", 409, "paused"),
        ("resume", 200, "running"),
        ("cancel", 200, "cancelled"),
        ("cancel", 409, "cancelled"),
        ("pause", 409, "cancelled"),
        ("resume", 409, "cancelled"),
    ]
    for action, status, state in steps:
        answer = http.post(f"{url}/{action}")
        assert answer.status_code == status, (action, answer.text)
        assert http.get(url).json()["state"] == state


def test_a_resume_may_carry_a_budget(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec).headers["Location"]
    http.post(f"{url}/pause")
    assert http.post(f"{url}/resume", json={"budget_usd": "-3"}).status_code == 422
    refused = http.post(f"{url}/resume", json={"budget_usd": "1e-99999999"}).json()
    assert refused["detail"] == 'budget_usd: write a plain number, like "25.00"'
    assert http.post(f"{url}/resume", json={"budget": "3"}).json()["errors"][0]["loc"] == "budget"
    resumed = http.post(f"{url}/resume", json={"budget_usd": "123.45"})
    assert resumed.status_code == 200
    assert resumed.json()["budget_usd"] == 123.45


@pytest.mark.parametrize(("budget", "status"), [(999_999, 202), (1_000_000, 422)])
def test_a_budget_is_refused_that_the_ledger_could_not_hold(
    http: httpx2.Client, spec: Spec, budget: int, status: int
) -> None:
    assert submit(http, {**spec, "budget_usd": budget}).status_code == status


def test_a_running_job_gets_another_budget(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec).headers["Location"]
    assert http.post(f"{url}/budget").status_code == 422
    assert http.post(f"{url}/budget", json={}).json()["errors"][0]["loc"] == "budget_usd"
    assert http.post(f"{url}/budget", json={"budget_usd": "-3"}).status_code == 422
    refused = http.post(f"{url}/budget", json={"budget_usd": "1e-99999999"}).json()
    assert refused["detail"] == 'budget_usd: write a plain number, like "25.00"'
    assert http.post(f"{url}/budget", json={"budget_usd": 1_000_000}).status_code == 422
    assert http.post(f"{url}/budget", json={"budget_usd": 999_999}).status_code == 200
    changed = http.post(f"{url}/budget", json={"budget_usd": "123.45"})
    assert (changed.status_code, changed.json()["state"], changed.json()["budget_usd"]) == (200, "running", 123.45)
    http.post(f"{url}/cancel")
    assert http.post(f"{url}/budget", json={"budget_usd": 5}).status_code == 409


def test_what_a_job_is_at_has_the_documented_shape(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec).headers["Location"]
    assert LiveShape.model_validate(http.get(f"{url}/live").json()).batches == []


def test_a_job_over_time_has_the_documented_shape(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec).headers["Location"]
    shaped = SeriesShape.model_validate(http.get(f"{url}/series", params={"points": 10}).json())
    assert (shaped.source, len(shaped.times)) == ("ledger", len(shaped.cost_usd))
    assert http.get(f"{url}/series", params={"points": 501}).json()["errors"][0]["loc"] == "points"


@pytest.mark.parametrize("job_id", ["01a20549-ae09-7642-8d1f-07f809ee5e50", "nonsense"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/batches"),
        ("GET", "/calls"),
        ("GET", "/submissions"),
        ("GET", "/live"),
        ("GET", "/rejections"),
        ("GET", "/series"),
        ("POST", "/pause"),
        ("POST", "/cancel"),
    ],
)
def test_an_unknown_job_is_not_found(http: httpx2.Client, job_id: str, method: str, path: str) -> None:
    answer = http.request(method, f"/v1/jobs/{job_id}{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert job_id in answer.json()["detail"]


def test_pages_of_one_give_every_job_once(http: httpx2.Client, spec: Spec) -> None:
    for name in ("page-a", "page-b", "page-c"):
        submit(http, {**spec, "dataset": name})
    whole = JobPage.model_validate(http.get("/v1/jobs", params={"limit": 500}).json())
    assert whole.next_cursor is None
    seen: list[UUID] = []
    params: dict[str, str] = {"limit": "1"}
    while True:
        page = JobPage.model_validate(http.get("/v1/jobs", params=params).json())
        seen += [item.id for item in page.items]
        if page.next_cursor is None:
            break
        params["cursor"] = page.next_cursor
    assert seen == [item.id for item in whole.items]
    assert [item.dataset for item in whole.items[:3]] == ["page-c", "page-b", "page-a"]


def test_a_list_of_jobs_tells_how_far_each_is_when_asked(http: httpx2.Client, spec: Spec) -> None:
    submit(http, spec)
    plain = JobPage.model_validate(http.get("/v1/jobs", params={"limit": 1}).json())
    assert plain.items[0].progress is None
    asked = JobPage.model_validate(http.get("/v1/jobs", params={"limit": 1, "summary": 1}).json())
    assert undocumented(asked) == set()
    assert asked.items[0].progress is not None
    assert (asked.items[0].progress.target, asked.items[0].progress.done) == (100, 0)


def test_batches_and_calls_are_pages_by_state(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec).headers["Location"]
    batches = BatchPage.model_validate(http.get(f"{url}/batches", params={"state": "pending"}).json())
    assert batches.items
    assert undocumented(batches) == set()
    assert BatchPage.model_validate(http.get(f"{url}/batches", params={"state": "done"}).json()).items == []
    assert CallPage.model_validate(http.get(f"{url}/calls").json()).items == []
    assert RejectionPage.model_validate(http.get(f"{url}/rejections").json()).items == []
    assert SubmissionPage.model_validate(http.get(f"{url}/submissions").json()).items == []
    assert http.get(f"{url}/submissions", params={"state": "intended"}).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("cursor=%00", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "a" * 41, "cursor"),
        ("colour=red", "colour"),
    ],
)
def test_an_odd_query_is_refused_by_name(http: httpx2.Client, query: str, loc: str) -> None:
    answer = http.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == loc


def test_an_unknown_state_is_refused(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec).headers["Location"]
    assert http.get(f"{url}/batches?state=lost").json()["errors"][0]["loc"] == "state"

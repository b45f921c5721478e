"""Turn a spec into a plan, a forecast and warnings, given what the dataset holds. Writes nothing."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.states import Stage
from shared.errors import UnusableModel
from shared.ids import DatasetId
from shared.jobs.atlases import read_atlases
from shared.jobs.existing_mix import mix_of_dataset
from shared.jobs.experience import experience_of
from shared.jobs.job_forecast import Forecaster, Standing, work_of_plan
from shared.jobs.mix_spec import MixSpec
from shared.jobs.models import choose_models, configured_providers
from shared.jobs.spec import Answering, JobSpec, Judging, Mode, parse_spec
from shared.llm.prices import model_warnings, price_of
from shared.llm.provider import Usage
from shared.planning.balance import Plan, make_plan
from shared.planning.forecast import Forecast
from shared.planning.mix import Cell, Measure, Mix, Surplus
from shared.planning.warnings import mean_warnings, rounding_warnings
from shared.questions.atlas import DomainAtlas, load_atlas
from shared.questions.gates.table import switch_gates
from shared.questions.prompts import distinct_tuples
from shared.settings import Settings

# DESIGN: an omitted budget is 1.5 times the forecast.
BUDGET_FACTOR = Decimal("1.5")
# Each call holds its worst case, several times its likely price: a tiny job must still be able to send its last ones.
BUDGET_LEAST_CALLS = 20
# A reply of about this size keeps the share of the prompt small and a lost reply cheap (20 x 15 or 2 x 750 tokens).
TOKENS_PER_REPLY = 1_500
MOST_QUESTIONS_PER_CALL = 20
# A judge compares what it reads; more than about this at once, and it tires: 20 x 15 or 10 x 750 tokens.
TOKENS_JUDGED_PER_CALL = 8_000
MOST_JUDGED_PER_CALL = 20
# Several easy questions a call, one hard one.
TOKENS_ANSWERED_PER_CALL = 300
MOST_ANSWERED_PER_CALL = 10
FIND_DATASET = text("SELECT id FROM dataset WHERE name = :name")
CELLS = text("""
SELECT domain, difficulty, SUM(questions)::bigint AS have, SUM(prompt_tokens)::bigint AS prompt_tokens,
    SUM(validated)::bigint AS validated, SUM(answered)::bigint AS answered
FROM question_count WHERE dataset_id = :dataset_id AND state IN ('selected', 'reserve')
GROUP BY domain, difficulty ORDER BY domain, difficulty
""")
HAS_REAL_OR_REHEARSED = text("""
SELECT EXISTS (SELECT FROM job WHERE dataset_id = :dataset_id AND rehearsal <> :rehearsal) AS mixed
""")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A spec with nothing left open, and what it leads to.

    Of atlases that the user brought, the spec names the digests only. `distinct_prompts` counts, for each cell, its
    tuples of topic, subtopic, form and setting.
    """

    spec: JobSpec
    plan: Plan
    forecast: Forecast
    warnings: tuple[str, ...]
    rehearsal: bool
    distinct_prompts: Mapping[Cell, int]

    def to_json(self) -> dict[str, object]:
        """The answer of POST /v1/plans."""
        plan = self.plan.to_json()
        cells = [
            {**shown, "distinct_prompts": self.distinct_prompts[each.cell]}
            for shown, each in zip(plan["cells"], self.plan.cells, strict=True)
        ]
        return {
            **plan,
            "cells": cells,
            "forecast": self.forecast.to_json(),
            "warnings": list(self.warnings),
            "spec": self.spec.model_dump(mode="json"),
            "rehearsal": self.rehearsal,
        }


def warm_up(settings: Settings) -> None:
    """Read the atlas and the price list, for which the first plan of a process would wait some 200 ms."""
    load_atlas()
    nothing = Usage(input_tokens=0, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
    for model in settings.cheap_models:
        with suppress(UnusableModel):
            price_of(model, nothing, settings.prices)


async def plan_job(engine: AsyncEngine, settings: Settings, spec: JobSpec) -> PlannedJob:
    """What the job would do and cost, given what the dataset holds now.

    Raises InfeasibleMix, or UnusableModel for a model without a configured provider or a price.
    """
    async with engine.connect() as conn:
        dataset_id = (await conn.execute(FIND_DATASET, {"name": spec.dataset})).scalar_one_or_none()
        return await make_planned_job(conn, settings, spec, dataset_id)


async def make_planned_job(
    conn: AsyncConnection, settings: Settings, spec: JobSpec, dataset_id: DatasetId | None
) -> PlannedJob:
    """What plan_job does, in the caller's transaction; `dataset_id` is None for a dataset that does not exist yet."""
    rows = (await conn.execute(CELLS, {"dataset_id": dataset_id})).all()
    known = {Cell(row.domain, row.difficulty): row for row in rows}
    have = {cell: int(row.have) for cell, row in known.items()}
    mix_spec = mix_of_dataset(spec.dataset, known) if spec.mix is None or spec.mix.existing else spec.mix
    spec = parse_spec({**spec.model_dump(mode="json"), "mix": mix_spec.model_dump(mode="json")})
    providers = await configured_providers(conn)
    values = {"dataset_id": dataset_id, "rehearsal": providers.rehearsal}
    mixed = (await conn.execute(HAS_REAL_OR_REHEARSED, values)).scalar_one()
    mix = mix_spec.to_mix()
    # Of a large mix it takes long enough for others to notice.
    plan = await asyncio.to_thread(make_plan, mix, have, Surplus.KEEP if mix_spec.existing else spec.surplus)
    models = choose_models(spec, providers, settings)
    filled = spec.model_copy(
        update={
            "models": models,
            "questions_per_call": _fill_per_call(
                mix_spec, spec.questions_per_call, MOST_QUESTIONS_PER_CALL, TOKENS_PER_REPLY
            ),
            "judging": spec.judging.model_copy(
                update={
                    "questions_per_call": _fill_per_call(
                        mix_spec, spec.judging.questions_per_call, MOST_JUDGED_PER_CALL, TOKENS_JUDGED_PER_CALL
                    )
                }
            ),
            "answering": spec.answering.model_copy(
                update={
                    "questions_per_call": _fill_per_call(
                        mix_spec, spec.answering.questions_per_call, MOST_ANSWERED_PER_CALL, TOKENS_ANSWERED_PER_CALL
                    )
                }
            ),
            "gates": switch_gates(spec.gates),
        }
    )
    atlases = await read_atlases(conn, mix_spec.domains, spec.atlas)
    experience = await experience_of(conn, filled.model_dump(mode="json"), rehearsal=providers.rehearsal)
    forecaster = Forecaster(filled, settings, atlases, experience)
    dearest = max(forecaster.worst_calls().values())
    standing = {cell: Standing(int(row.validated), int(row.answered)) for cell, row in known.items()}
    forecast = forecaster.forecast(work_of_plan(filled, plan, standing))
    budget = spec.budget_usd
    if budget is None:
        budget = max(forecast.cost_usd * BUDGET_FACTOR, forecast.cost_usd + dearest * BUDGET_LEAST_CALLS)
        budget = budget.quantize(Decimal("0.0001"))
    planned_cells = {cell.cell for cell in plan.cells}
    outside = sum(count for cell, count in have.items() if cell not in planned_cells)
    used = {model for by_difficulty in models.values() for named in by_difficulty.values() for model in named}
    distinct = {each.cell: distinct_tuples(atlases[each.cell.domain], each.cell.difficulty) for each in plan.cells}
    warnings = [
        *model_warnings(sorted(used), settings.prices, datetime.now(UTC).date()),
        *mean_warnings(mix, _measured_means(mix, known), have),
        *rounding_warnings(mix, plan),
        *(_atlas_warnings(plan, atlases, distinct, filled.questions_per_call) if Stage.GENERATE in spec.stages else ()),
        *_other_warnings(spec, plan, outside=outside, mixed=mixed, budget=budget, forecast=forecast),
    ]
    digests = {domain: digest for domain, atlas in atlases.items() if (digest := atlas.digest) is not None}
    filled = filled.model_copy(update={"budget_usd": budget, "atlas": digests})
    return PlannedJob(filled, plan, forecast, tuple(warnings), providers.rehearsal, distinct)


def _measured_means(mix: Mix, known: Mapping[Cell, Any]) -> dict[Cell, float]:
    """Of the questions that are there, what the mix balances; answers that are not there cannot be measured."""
    if mix.measure is not Measure.PROMPT:
        return {}
    return {cell: float(row.prompt_tokens) / float(row.have) for cell, row in known.items()}


def _fill_per_call(mix: MixSpec, given: Mapping[str, int], most: int, tokens: int) -> dict[str, int]:
    """So many questions a call that their tokens come to about `tokens`, where the user has not said how many."""
    return {
        name: given.get(name) or max(1, min(most, int(tokens / each.mean_tokens)))
        for name, each in mix.difficulties.items()
    }


def _atlas_warnings(
    plan: Plan, atlases: Mapping[str, DomainAtlas], distinct: Mapping[Cell, int], per_call: Mapping[str, int]
) -> list[str]:
    """What makes prompts repeat themselves: a domain without an atlas, and one that is small for what is asked."""
    warnings = [
        f"{domain}: no atlas for this domain; prompts vary less, so expect more repeats (docs/atlas.md: bring your own)"
        for domain, atlas in atlases.items()
        if not atlas.known
    ]
    for each in plan.cells:
        calls = ceil(each.generate / per_call[each.cell.difficulty])
        if calls > distinct[each.cell]:
            warnings.append(
                f"{each.cell}: {calls:,} calls draw on {distinct[each.cell]:,} distinct prompts; more topics, forms or "
                "settings in its atlas would keep it from repeating itself"
            )
    return warnings


def _other_warnings(
    spec: JobSpec, plan: Plan, *, outside: int, mixed: bool, budget: Decimal, forecast: Forecast
) -> list[str]:
    warnings = []
    if plan.generate and Stage.GENERATE not in spec.stages:
        warnings.append(
            f"{plan.generate:,} questions of the mix are not there, and this job does not generate: it will fail; "
            "leave the mix out to take what is there"
        )
    if unused := _unused(spec):
        stages = ", ".join(spec.stages)
        warnings.append(f"the stages are only {stages}; not used, for it is of others: {', '.join(unused)}")
    if outside:
        warnings.append(f"{outside:,} existing questions lie outside the mix; they are kept but not selected")
    if mixed:
        warnings.append(f"dataset {spec.dataset} would hold both rehearsed and real questions")
    if budget < forecast.cost_usd:
        warnings.append(f"the budget of ${budget:f} is below the forecast of ${forecast.cost_usd:.4f}")
    return warnings


def _unused(spec: JobSpec) -> list[str]:
    """Settings that a user gave of stages that the job does not have."""
    nothing: dict[str, int] = {}
    given = {
        "judging": (Stage.VALIDATE, spec.judging.model_copy(update={"questions_per_call": nothing}) != Judging()),
        "answering": (Stage.ANSWER, spec.answering.model_copy(update={"questions_per_call": nothing}) != Answering()),
        **{f"models.{stage}": (stage, True) for stage, named in spec.models.items() if named},
    }
    in_bulk = [stage for stage, mode in spec.mode.items() if mode is Mode.BULK]
    if not set(in_bulk) & set(spec.stages):  # "mode: bulk" alone is that of every stage
        given |= {f"mode.{stage}": (stage, True) for stage in in_bulk}
    return [name for name, (stage, is_given) in given.items() if is_given and stage not in spec.stages]

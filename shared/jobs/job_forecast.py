"""What a job's work will cost, by stage: from the ledger where calls like its own were made, else from assumptions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.corpus.stages import terms_of
from shared.database.states import Stage
from shared.errors import FieldError, UnusableModel
from shared.jobs.estimates import StageCall, assume_call, stage_call
from shared.jobs.experience import Spent
from shared.jobs.spec import JobSpec, Mode
from shared.llm.prices import price_of, worst_case
from shared.llm.provider import Usage
from shared.planning.balance import Plan
from shared.planning.forecast import EXPECTED_PASS_RATE, Forecast, Load, make_forecast
from shared.planning.mix import Cell
from shared.questions.atlas import DomainAtlas
from shared.settings import Settings

# The forecast's guess of how long a model takes for a reply; a real run replaces it by what it measures.
SECONDS_PER_CALL = 6.0
# The forecast assumes the two worker processes of a default start.
WORKERS_ASSUMED = 2

# How many questions a stage has still to bring, to judge or to answer.
Work = Mapping[Cell, Mapping[Stage, Decimal]]


@dataclass(frozen=True, slots=True)
class Standing:
    """How many questions of a cell that are there have passed their judges, and are answered."""

    validated: int = 0
    answered: int = 0


def work_of_plan(spec: JobSpec, plan: Plan, standing: Mapping[Cell, Standing]) -> Work:
    """The work that a plan leads to. What judges will reject is generated, and judged, in its place."""
    work: dict[Cell, dict[Stage, Decimal]] = {}
    judged = Stage.VALIDATE in spec.stages
    passes = EXPECTED_PASS_RATE if judged else Decimal(1)
    for each in plan.cells:
        its = standing.get(each.cell, Standing())
        unseen = each.selected - min(each.selected, its.validated) if judged else 0
        more = (each.generate + unseen * (1 - passes)) / passes if Stage.GENERATE in spec.stages else Decimal(0)
        work[each.cell] = {
            Stage.GENERATE: more,
            Stage.VALIDATE: unseen + more,
            Stage.ANSWER: Decimal((each.target if more else each.selected) - min(each.selected, its.answered)),
        }
    return work


@dataclass(frozen=True, slots=True)
class Forecaster:
    """Knows what the calls of a job take; its spec has nothing left open."""

    spec: JobSpec
    settings: Settings
    atlases: Mapping[str, DomainAtlas]
    experience: Mapping[tuple[Stage, str], Spent]

    def forecast(self, work: Work) -> Forecast:
        """What so much work will take."""
        return make_forecast(
            self._loads(work),
            stages=self.spec.stages,
            cost_per_call=self._price,
            calls_in_flight=self.settings.calls_in_flight * WORKERS_ASSUMED,
            seconds_per_call=SECONDS_PER_CALL,
        )

    def worst_calls(self) -> dict[tuple[Stage, str, str], Decimal]:
        """The worst case of one call of each stage, difficulty and model. Raises UnusableModel if one has no price."""
        worst: dict[tuple[Stage, str, str], Decimal] = {}
        problems: list[FieldError] = []
        for (stage, difficulty), call in self._calls().items():
            for model in self.spec.models[stage][difficulty]:
                try:
                    bulk = self._is_bulk(stage)
                    usd = worst_case(model, call.prompt_bytes, call.room, self.settings.prices, bulk=bulk)
                except UnusableModel as error:
                    problems.append(FieldError(f"models.{stage}.{difficulty}", error.detail))
                else:
                    worst[stage, difficulty, model] = usd
        if problems:
            raise UnusableModel(problems[0].msg, problems)
        return worst

    def _price(self, stage: str, model: str, input_tokens: int, output_tokens: int) -> Decimal:
        bulk = self._is_bulk(Stage(stage))
        return price_of(model, Usage(input_tokens, output_tokens), self.settings.prices, bulk=bulk)

    def _is_bulk(self, stage: Stage) -> bool:
        return self.spec.mode.get(stage) is Mode.BULK

    def _calls(self) -> dict[tuple[Stage, str], StageCall]:
        per_call = {
            Stage.GENERATE: self.spec.questions_per_call,
            Stage.VALIDATE: self.spec.judging.questions_per_call,
            Stage.ANSWER: self.spec.answering.questions_per_call,
        }
        return {
            (stage, difficulty): stage_call(stage, difficulty, described, per_call[stage][difficulty])
            for stage in self.spec.stages
            for difficulty, described in self.spec.settled_mix.difficulties.items()
        }

    def _loads(self, work: Work) -> Iterator[Load]:
        calls, stored = self._calls(), self.spec.model_dump(mode="json")
        for cell, wanted in work.items():
            for stage in self.spec.stages:
                if not wanted[stage]:
                    continue
                if stage is Stage.GENERATE:
                    models = self.spec.models[stage][cell.difficulty]
                else:
                    models = tuple(slot.model for slot in terms_of(stored, stage, cell.difficulty).slots)
                spent = self.experience.get((stage, cell.difficulty))
                estimate = spent.estimate(len(models)) if spent is not None else None
                if estimate is None:
                    mean = self.spec.settled_mix.question_tokens(cell)
                    call = calls[stage, cell.difficulty]
                    estimate = assume_call(call, cell, mean, self.atlases[cell.domain], self.spec.seed)
                # A batch of this stage has whole calls; judges and answerers are shown only what is there.
                whole_calls = stage is Stage.GENERATE
                yield Load(stage, cell.difficulty, wanted[stage], models, estimate, whole_calls)

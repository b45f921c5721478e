"""The main answers of the API as types. They name what is used most; more keys are there, as /openapi.json tells."""

from typing import Any, TypedDict


class PlanCell(TypedDict):
    """One domain x one difficulty of a plan; counts of questions."""

    domain: str
    difficulty: str
    target: int
    have: int
    selected: int
    generate: int
    surplus: int


class Totals(TypedDict):
    """A plan's sums."""

    questions: int
    by_difficulty: dict[str, int]
    tokens_by_difficulty: dict[str, float]
    token_shares: dict[str, float]
    generate: int


class Forecast(TypedDict):
    """What a plan will take."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    seconds: float


class Plan(TypedDict):
    """What a job would do."""

    cells: list[PlanCell]
    totals: Totals
    forecast: Forecast
    warnings: list[str]
    rehearsal: bool
    spec: dict[str, Any]


class JobPlan(TypedDict):
    """The plan that a job follows now."""

    cells: list[PlanCell]
    totals: Totals


class Cell(TypedDict):
    """How far a cell is; `stopped` says why it yields no more."""

    domain: str
    difficulty: str
    target: int
    selected: int
    validated: int
    answered: int
    generated: int
    admitted: int
    stopped: str | None


class Calls(TypedDict):
    """The ledger, counted."""

    sent: int
    ok: int
    failed: int
    retried: int
    in_flight: int


class Progress(TypedDict):
    """How far a job is. Money is US dollars; `eta_seconds` is None while nothing can be said."""

    target: int
    selected: int
    validated: int
    answered: int
    admitted: int
    rejected: dict[str, int]
    cells: list[Cell]
    stages: list[dict[str, Any]]
    calls: Calls
    tokens: dict[str, int]
    token_shares: dict[str, dict[str, float]]
    cost_usd: float
    per_minute: float
    eta_seconds: int | None


class JobSummary(TypedDict):
    """A job in a list. Times are ISO 8601."""

    id: str
    dataset: str
    state: str
    reason: str | None
    rehearsal: bool
    created_at: str
    finished_at: str | None


class Job(JobSummary):
    """A job: running, paused, succeeded, cancelled or failed."""

    spec: dict[str, Any]
    plan: JobPlan
    budget_usd: float
    progress: Progress


class LineProblem(TypedDict):
    """A line that was not imported."""

    line: int
    error: str


class Import(TypedDict):
    """What became of a baseline; the first hundred problems are told."""

    read: int
    imported: int
    duplicates: int
    invalid: int
    near_duplicates: int
    problems: list[LineProblem]

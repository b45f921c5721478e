"""`./run demo`: a whole job on the whole system, from the baseline to the checked files."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cli.address import api_key
from cli.client import ApiProblem, Client, Json
from cli.tables import import_view, plan_view
from cli.watching import watch
from local.demo_report import DemoRun, check_export, print_report
from local.home import Home
from local.process import LocalProblem, free_port, is_port_free
from local.stack import Stack, StackPlan, has_key
from local.supervisor import Stopped
from shared.settings import Settings

BASELINE = Path(__file__).with_name("demo_baseline.jsonl")
JOB = Path(__file__).with_name("demo_job.yaml")
NO_KEY = "--real needs a key in OPENAI_API_KEY or ANTHROPIC_API_KEY; without --real the demo rehearses and needs none."
INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`questions` scales the mix; `real` uses the user's keys, after a question unless `yes`."""

    questions: int | None = None
    real: bool = False
    yes: bool = False
    workers: int = 2


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> int:
    """Start everything, run or continue the job, check and report, stop everything. The exit code is 0 for a success.

    Raises LocalProblem when this machine stands in the way.
    """
    if options.real and not has_key(settings):
        raise LocalProblem(NO_KEY)
    plan = StackPlan(
        api_port=_port(settings, "api_port"),
        flower_port=_port(settings, "flower_port"),
        workers=options.workers,
        rehearsal=not options.real,
    )
    stack = Stack(Home(settings.home), settings, plan, lambda line: console.print(line, style="dim", highlight=False))
    kind = "with your own keys" if options.real else "rehearsal: the models are simulated, nothing is paid"
    console.print(f"[bold]Questmill demo[/] ({kind})")
    try:
        with stack.running():
            console.print(f"dashboard {stack.api_url}/   Flower {stack.flower_url}/", highlight=False)
            demo = Demo(stack, settings, options, console)
            return stack.supervisor.run_beside(demo.run)
    except Stopped:
        console.print("Interrupted. All that was made is kept; the same command continues.")
        return INTERRUPTED_EXIT_CODE
    except ApiProblem as problem:
        raise LocalProblem(str(problem)) from problem


class Demo:
    """The client's side of the demo: it talks HTTP like anybody else."""

    def __init__(self, stack: Stack, settings: Settings, options: DemoOptions, console: Console) -> None:
        self.stack = stack
        self.settings = settings
        self.options = options
        self.console = console

    def run(self) -> int:
        """Do it all; the exit code."""
        with Client(self.stack.api_url, api_key(self.settings)) as client:
            job = self._find_or_submit(client)
            if job is None:
                return 1
            before, used_before, begun = job["progress"], self.stack.supervisor.usage(), time.monotonic()
            code = watch(client, job["id"], self.console, as_json=False)
            seconds = time.monotonic() - begun
            usage = {name: used - used_before[name] for name, used in self.stack.supervisor.usage().items()}
            job = client.job(job["id"])
            folder = self.stack.home.path / "exports"
            folder.mkdir(exist_ok=True)
            jsonl, parquet = (folder / f"{job['dataset']}.{kind}" for kind in ("jsonl", "parquet"))
            client.export(job["dataset"], "jsonl", jsonl)
            client.export(job["dataset"], "parquet", parquet)
            answered = "answer" in job["spec"]["stages"]
            check = check_export(jsonl, parquet, job["plan"]["cells"], answered=answered)
            run = DemoRun(job, before, seconds, usage, jsonl, parquet, rehearsal=not self.options.real)
            print_report(self.console, run, check)
            return code if code or not check.problems else 1

    def _find_or_submit(self, client: Client) -> Json | None:
        """The unfinished job of an earlier demo, or a new one; None when the person says no to its price."""
        # A rehearsal is never continued with real money, nor the other way round.
        prefix = "demo-real" if self.options.real else "demo"
        jobs = [job for job in client.jobs() if re.fullmatch(rf"{prefix}(-\d+)?", job["dataset"])]
        for job in jobs:
            if job["state"] in {"running", "paused"}:
                return self._continue(client, client.job(job["id"]))
        taken = {job["dataset"] for job in jobs}
        names = (prefix if number == 1 else f"{prefix}-{number}" for number in range(1, len(taken) + 2))
        name = next(name for name in names if name not in taken)
        spec = make_spec(name, self.options.questions)
        if self.options.real:
            _fit_to_keys(spec, self.settings)
        self.console.print(f"\nBaseline: {BASELINE.name} into the dataset [bold]{name}[/]")
        self.console.print(import_view(client.import_baseline(name, BASELINE)))
        planned = client.plan(spec)
        self.console.print("\nPlan")
        self.console.print(plan_view(planned))
        if self.options.real and not self.options.yes and not self._agrees():
            return None
        self.console.print()
        # One key per dataset: an interrupted submission, repeated, is the same job.
        return client.submit(spec, idempotency_key=f"demo-{name}")

    def _continue(self, client: Client, job: Json) -> Json | None:
        progress = job["progress"]
        self.console.print(
            f"\nContinuing the interrupted demo [bold]{job['dataset']}[/]: "
            f"{progress['selected']:,} of {progress['target']:,} questions are there."
        )
        if self.options.questions is not None:
            self.console.print("Its mix stays as it was: --questions is for a new one.")
        if job["state"] != "paused":
            return job
        if self.options.real and not self.options.yes and not self._agrees():
            return None
        return client.resume(job["id"])

    def _agrees(self) -> bool:
        self.console.print("\nThis calls real models and costs about what the forecast says.")
        try:
            answer = self.console.input("Go on? \\[y/N] ")
        except EOFError:
            self.console.print("\nNobody is there to answer; --yes goes on without asking.")
            return False
        if answer.strip().lower() in {"y", "yes"}:
            return True
        self.console.print("Nothing was sent to a model.")
        return False


def make_spec(dataset: str, questions: int | None) -> dict[str, Any]:
    """The demo's job; with `questions`, its domains are scaled to that sum, largest remainders first."""
    spec: dict[str, Any] = yaml.safe_load(JOB.read_text(encoding="utf-8"))
    spec["dataset"] = dataset
    if questions is not None:
        spec["mix"]["domains"] = scale(spec["mix"]["domains"], questions)
    return spec


def scale(totals: Mapping[str, int], questions: int) -> dict[str, int]:
    """Totals in the same proportions with the sum `questions`; a domain that gets none is left out."""
    whole = sum(totals.values())
    scaled = {name: total * questions // whole for name, total in totals.items()}
    by_remainder = sorted(totals, key=lambda name: -(totals[name] * questions % whole))
    for name in by_remainder[: questions - sum(scaled.values())]:
        scaled[name] += 1
    return {name: total for name, total in scaled.items() if total}


def _fit_to_keys(spec: dict[str, Any], settings: Settings) -> None:
    """Leave to the service what depends on the keys: its budget follows the forecast, its models the providers."""
    del spec["budget_usd"]
    if not (settings.openai_api_key and settings.anthropic_api_key):
        del spec["models"]


def _port(settings: Settings, name: str) -> int:
    """The port of the settings; when nobody asked for that one and it is taken, any free one."""
    port: int = getattr(settings, name)
    return port if name in settings.model_fields_set or is_port_free(port) else free_port()

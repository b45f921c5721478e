"""`Questmill`: the API for people who write Python, in a notebook or a script."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from pydantic import SecretStr

from cli.address import api_key as key_of
from cli.address import api_url
from cli.atlas_files import resolve_atlases
from cli.connection import Client
from cli.exchange import FileFormat, format_of
from cli.frames import import_package, to_dataset, to_pandas
from cli.plain_words import ApiProblem
from cli.progress_bar import Bar, open_bar
from cli.resolve import find_job
from cli.shapes import Import, Job, JobSummary, Plan, Progress
from cli.spec_file import read_spec
from cli.watching import until_rest
from shared.settings import load_settings

# A spec as a mapping, or the path of a YAML or JSON file.
Spec = Mapping[str, Any] | str | Path
# JSON Lines, plain or gzip, or the rows themselves.
Rows = str | Path | Iterable[Mapping[str, Any]]
POLL_SECONDS = 2.0


class Questmill:
    """A running Questmill; a context manager. `base_url`, `api_key`: by default those that the command line would find.

    A job is named by its id, the beginning of one, or its dataset. Every method raises ApiProblem, whose text is one
    sentence that says what to do, or BadArgument for a job that is not there.
    """

    def __init__(self, base_url: str | None = None, *, api_key: str | None = None) -> None:
        key = SecretStr(api_key) if api_key else key_of(load_settings())
        self.client = Client(base_url or api_url(load_settings()), key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Questmill({self.client.base_url!r})"

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def plan(self, spec: Spec) -> Plan:
        """What a job of this spec would do, take and cost; nothing is started."""
        return cast("Plan", self.client.plan(spec_of(spec)))

    def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> Job:
        """Start a job; the same key again finds the first one."""
        return cast("Job", self.client.submit(spec_of(spec), idempotency_key=idempotency_key))

    def jobs(self) -> list[JobSummary]:
        """All jobs, newest first."""
        return cast("list[JobSummary]", list(self.client.jobs()))

    def job(self, job: str) -> Job:
        """One job with its plan and progress."""
        return cast("Job", self.client.job(self._id(job)))

    def pause(self, job: str) -> Job:
        """Start nothing new; what is in flight is kept."""
        return cast("Job", self.client.pause(self._id(job)))

    def resume(self, job: str, *, budget_usd: float | str | None = None) -> Job:
        """Go on, perhaps with another budget."""
        budget = None if budget_usd is None else str(budget_usd)
        return cast("Job", self.client.resume(self._id(job), budget_usd=budget))

    def cancel(self, job: str) -> Job:
        """End a job; the questions that it made stay."""
        return cast("Job", self.client.cancel(self._id(job)))

    def events(self, job: str) -> Iterator[Progress]:
        """Progress whenever it changes, until the job ends; over lost connections and restarts of the API."""
        return (cast("Progress", event.data) for event in self.client.events(self._id(job)))

    def watch(self, job: str, *, bar: Bar | None = None) -> Job:
        """Show a progress bar until the job ends or pauses; then the job. Stopping it does not stop the job."""
        job_id, shown = self._id(job), bar or open_bar()
        try:
            for event in until_rest(self.client.events(job_id)):
                shown.show(event.data)
        finally:
            shown.close()
        return cast("Job", self.client.job(job_id))

    def wait(self, job: str, *, timeout_seconds: float | None = None, poll_seconds: float = POLL_SECONDS) -> Job:
        """The job as soon as it has ended or is paused; in silence. Raises TimeoutError; the job goes on then."""
        job_id, deadline = self._id(job), deadline_of(timeout_seconds)
        while True:
            try:
                found = self.client.job(job_id)
            except ApiProblem as problem:
                if not problem.may_pass or is_over(deadline):
                    raise
            else:
                if found["state"] != "running":
                    return cast("Job", found)
            if is_over(deadline):
                raise TimeoutError(f"job {job_id} still runs after {timeout_seconds} s; it goes on")
            time.sleep(poll_seconds)

    def import_baseline(self, dataset: str, rows: Rows) -> Import:
        """Import questions from a JSONL file, plain or gzip, or from rows with question, domain and difficulty."""
        with file_of(rows) as path:
            return cast("Import", self.client.import_baseline(dataset, path))

    def export(
        self,
        dataset: str,
        path: str | Path,
        *,
        file_format: FileFormat | None = None,
        seed: int | None = None,
        contaminated: bool = False,
        all_answers: bool = False,
    ) -> Path:
        """Write the selected questions to a file, Parquet if its name ends so, else JSONL; its path."""
        target = Path(path)
        kind = format_of(target, file_format)
        self.client.export(dataset, kind, target, seed=seed, contaminated=contaminated, all_answers=all_answers)
        return target

    def export_bundle(self, dataset: str, folder: str | Path, *, force: bool = False, **options: Any) -> Path:
        """Write the answered questions as a bundle to train on; its path. docs/bundle.md.

        Options are those of the command line: `test_share=0.1`, `hold_out=["topic=sets"]` ... Raises BadBundle too.
        """
        from cli.bundling import make_bundle

        target = Path(folder)
        make_bundle(self.client, dataset, target, options, force=force)
        return target

    def to_pandas(self, dataset: str, **options: Any) -> Any:
        """An export as a pandas.DataFrame; options as for `export`, no format. Raises MissingPackage without pandas."""
        import_package("pandas", "to_pandas()")
        return self._load(dataset, to_pandas, options)

    def to_dataset(self, dataset: str, **options: Any) -> Any:
        """A datasets.Dataset of an export; options as for `export`, no format. Raises MissingPackage without it."""
        import_package("datasets", "to_dataset()")
        return self._load(dataset, to_dataset, options)

    def _load(self, dataset: str, load: Callable[[Path], Any], options: Mapping[str, Any]) -> Any:
        with tempfile.TemporaryDirectory(prefix="questmill-") as folder:
            return load(self.export(dataset, Path(folder) / "export.parquet", file_format="parquet", **options))

    def _id(self, job: str) -> str:
        return find_job(self.client, job)


def spec_of(spec: Spec) -> dict[str, Any]:
    """A spec as the API takes it; atlas files that it names are read, beside the file that names them."""
    if isinstance(spec, Mapping):
        return resolve_atlases(dict(spec), Path())
    return resolve_atlases(read_spec(str(spec)), Path(spec).parent)


def deadline_of(timeout_seconds: float | None) -> float | None:
    """By the monotonic clock; None: never."""
    return None if timeout_seconds is None else time.monotonic() + timeout_seconds


def is_over(deadline: float | None) -> bool:
    """Whether the deadline has passed."""
    return deadline is not None and time.monotonic() >= deadline


@contextmanager
def file_of(rows: Rows) -> Iterator[Path]:
    """The path of rows: their own file, or one that is there for the time of the block."""
    if isinstance(rows, str | Path):
        yield Path(rows)
        return
    with tempfile.TemporaryDirectory(prefix="questmill-") as folder:
        path = Path(folder) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
        yield path

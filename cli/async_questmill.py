"""`AsyncQuestmill`: the same as `Questmill` for programs with an event loop."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast
from uuid import UUID

import httpx2
from pydantic import SecretStr

from cli.address import api_key as key_of
from cli.address import api_url
from cli.exchange import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    LINES,
    PARQUET,
    RECONNECT_SECONDS,
    STREAM_SILENCE_SECONDS,
    UPLOAD_CHUNK,
    Event,
    FileFormat,
    Json,
    bearing,
    dataset_path,
    event_of_end,
    export_params,
    format_of,
    needs_certificates,
    require_type,
    upload_headers,
)
from cli.frames import import_package, to_dataset, to_pandas
from cli.new_file import new_file
from cli.plain_words import ApiProblem, raise_problem, read_object, speaking_plainly
from cli.progress_bar import Bar, open_bar
from cli.questmill import POLL_SECONDS, Rows, Spec, deadline_of, file_of, is_over, spec_of
from cli.resolve import pick_job
from cli.shapes import Import, Job, JobSummary, Plan, Progress
from cli.watching import is_at_rest
from shared.settings import load_settings


class AsyncQuestmill:
    """A running Questmill; an async context manager. What each method does is told at `Questmill`."""

    def __init__(self, base_url: str | None = None, *, api_key: str | None = None) -> None:
        self.base_url = (base_url or api_url(load_settings())).rstrip("/")
        key = SecretStr(api_key) if api_key else key_of(load_settings())
        timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        with speaking_plainly(self.base_url):
            self._http = httpx2.AsyncClient(
                base_url=self.base_url,
                headers=bearing(key),
                timeout=timeout,
                trust_env=False,
                verify=needs_certificates(self.base_url),
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncQuestmill({self.base_url!r})"

    async def aclose(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def plan(self, spec: Spec) -> Plan:
        """What a job of this spec would do, take and cost; nothing is started."""
        return cast("Plan", await self._ask("POST", "/v1/plans", "cells", "warnings", json=spec_of(spec)))

    async def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> Job:
        """Start a job; the same key again finds the first one."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return cast("Job", await self._ask("POST", "/v1/jobs", "id", "state", json=spec_of(spec), headers=headers))

    async def jobs(self) -> list[JobSummary]:
        """All jobs, newest first."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            params = {"cursor": cursor} if cursor else {}
            page = await self._ask("GET", "/v1/jobs", "items", "next_cursor", params=params)
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return cast("list[JobSummary]", found)

    async def job(self, job: str) -> Job:
        """One job with its plan and progress."""
        return cast("Job", await self._job(await self._id(job)))

    async def pause(self, job: str) -> Job:
        """Start nothing new; what is in flight is kept."""
        return await self._steer(job, "pause")

    async def resume(self, job: str, *, budget_usd: float | str | None = None) -> Job:
        """Go on, perhaps with another budget."""
        return await self._steer(job, "resume", json={} if budget_usd is None else {"budget_usd": str(budget_usd)})

    async def cancel(self, job: str) -> Job:
        """End a job; the questions that it made stay."""
        return await self._steer(job, "cancel")

    async def events(self, job: str) -> AsyncIterator[Progress]:
        """Progress whenever it changes, until the job ends; over lost connections and restarts of the API."""
        async for event in self._events(await self._id(job)):
            yield cast("Progress", event.data)

    async def watch(self, job: str, *, bar: Bar | None = None) -> Job:
        """Show a progress bar until the job ends or pauses; then the job. Stopping it does not stop the job."""
        job_id, shown = await self._id(job), bar or open_bar()
        try:
            async for event in self._events(job_id):
                shown.show(event.data)
                if is_at_rest(event):
                    break
        finally:
            shown.close()
        return cast("Job", await self._job(job_id))

    async def wait(self, job: str, *, timeout_seconds: float | None = None, poll_seconds: float = POLL_SECONDS) -> Job:
        """The job as soon as it has ended or is paused; in silence. Raises TimeoutError; the job goes on then."""
        job_id, deadline = await self._id(job), deadline_of(timeout_seconds)
        while True:
            try:
                found = await self._job(job_id)
            except ApiProblem as problem:
                if not problem.may_pass or is_over(deadline):
                    raise
            else:
                if found["state"] != "running":
                    return cast("Job", found)
            if is_over(deadline):
                raise TimeoutError(f"job {job_id} still runs after {timeout_seconds} s; it goes on")
            await asyncio.sleep(poll_seconds)

    async def import_baseline(self, dataset: str, rows: Rows) -> Import:
        """Import questions from a JSONL file, plain or gzip, or from rows with question, domain and difficulty."""
        with file_of(rows) as path, path.open("rb") as file:
            head = await asyncio.to_thread(file.read, UPLOAD_CHUNK)
            # Unpacking and judging a big file goes on after its last byte has left.
            timeout = httpx2.Timeout(600, connect=CONNECT_SECONDS)
            options = {"content": _chunks_from(head, file), "headers": upload_headers(head), "timeout": timeout}
            return cast(
                "Import", await self._ask("POST", f"{dataset_path(dataset)}/baseline", "read", "imported", **options)
            )

    async def export(
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
        params = export_params(format_of(target, file_format), seed, contaminated, all_answers)
        async with self._stream("GET", f"{dataset_path(dataset)}/export", params=params) as answer:
            require_type(self.base_url, answer, LINES, PARQUET)
            with new_file(target) as file:
                async for chunk in answer.aiter_bytes():
                    file.write(chunk)
        return target

    async def to_pandas(self, dataset: str, **options: Any) -> Any:
        """An export as a pandas.DataFrame; options as for `export`, no format. Raises MissingPackage without pandas."""
        import_package("pandas", "to_pandas()")
        return await self._load(dataset, to_pandas, options)

    async def to_dataset(self, dataset: str, **options: Any) -> Any:
        """A datasets.Dataset of an export; options as for `export`, no format. Raises MissingPackage without it."""
        import_package("datasets", "to_dataset()")
        return await self._load(dataset, to_dataset, options)

    async def _load(self, dataset: str, load: Callable[[Path], Any], options: Mapping[str, Any]) -> Any:
        with tempfile.TemporaryDirectory(prefix="questmill-") as folder:
            path = await self.export(dataset, Path(folder) / "export.parquet", file_format="parquet", **options)
            return await asyncio.to_thread(load, path)

    async def _id(self, job: str) -> str:
        try:
            return str(UUID(job))
        except ValueError:
            return pick_job(await self.jobs(), job)

    async def _job(self, job_id: str) -> Json:
        return await self._ask("GET", f"/v1/jobs/{job_id}", "id", "state", "progress")

    async def _steer(self, job: str, action: str, **options: Any) -> Job:
        return cast("Job", await self._ask("POST", f"/v1/jobs/{await self._id(job)}/{action}", "id", **options))

    async def _events(self, job_id: str) -> AsyncIterator[Event]:
        last_id: str | None = None
        while True:
            try:
                async for event, event_id in self._connect_events(job_id, last_id):
                    last_id = event_id
                    yield event
                    if event.kind == "end":
                        return
            except ApiProblem as problem:
                if last_id is None or not problem.may_pass:
                    raise
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect_events(self, job_id: str, last_id: str | None) -> AsyncIterator[tuple[Event, str]]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = httpx2.Timeout(STREAM_SILENCE_SECONDS, connect=CONNECT_SECONDS)
        async with self._stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != 204:
                async for event in httpx2.EventSource(answer):
                    yield Event(event.event, json.loads(event.data)), event.id
                return
        yield event_of_end(await self._job(job_id)), ""

    async def _ask(self, method: str, path: str, *expected: str, **options: Any) -> Json:
        with speaking_plainly(self.base_url):
            answer = await self._http.request(method, path, **options)
            raise_problem(self.base_url, answer)
            body: Json = read_object(self.base_url, answer, *expected)
            return body

    @asynccontextmanager
    async def _stream(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx2.Response]:
        with speaking_plainly(self.base_url):
            async with self._http.stream(method, path, **options) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise_problem(self.base_url, answer)
                yield answer


async def _chunks_from(chunk: bytes, file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk:
        yield chunk
        chunk = await asyncio.to_thread(file.read, UPLOAD_CHUNK)

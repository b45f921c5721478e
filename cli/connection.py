"""The Questmill API as Python calls: every endpoint that the command line needs."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from cli.exchange import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    LINES,
    PARQUET,
    RECONNECT_SECONDS,
    STREAM_SILENCE_SECONDS,
    UPLOAD_CHUNK,
    Event,
    Json,
    bearing,
    dataset_path,
    event_of_end,
    export_params,
    needs_certificates,
    require_type,
    upload_headers,
)
from cli.new_file import new_file
from cli.plain_words import ApiProblem, not_questmill, raise_problem, read_object, speaking_plainly


class Client:
    """A connection to one API. Every method raises ApiProblem with a sentence that says what to do.

    `api_key` is sent with every request; None where the API needs none.
    """

    def __init__(self, base_url: str, api_key: SecretStr | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        with speaking_plainly(self.base_url):
            # No proxy of the environment: the API is on this machine or named on purpose.
            self._http = httpx2.Client(
                base_url=self.base_url,
                headers=bearing(api_key),
                timeout=timeout,
                trust_env=False,
                verify=needs_certificates(self.base_url),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def plan(self, spec: Mapping[str, Any]) -> Json:
        """What a job of this spec would do."""
        return self._json("POST", "/v1/plans", "cells", "warnings", json=spec)

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> Json:
        """Start a job; the same key again answers the first job."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._json("POST", "/v1/jobs", "id", "state", json=spec, headers=headers)

    def job(self, job_id: str) -> Json:
        """One job."""
        return self._json("GET", f"/v1/jobs/{job_id}", "id", "state", "progress")

    def jobs(self, *, summary: bool = False) -> Iterator[Json]:
        """All jobs in short, newest first; with a `summary`, each with how far it is."""
        return self._pages("/v1/jobs", {"summary": "true"} if summary else {})

    def newest_jobs(self, count: int = 100) -> list[Json]:
        """The newest jobs in short; one request."""
        items: list[Json] = self._json("GET", "/v1/jobs", "items", params={"limit": count})["items"]
        return items

    def batches(self, job_id: str) -> Iterator[Json]:
        """All batches of a job, oldest first."""
        return self._pages(f"/v1/jobs/{job_id}/batches")

    def calls(self, job_id: str) -> Iterator[Json]:
        """All calls of a job, oldest first."""
        return self._pages(f"/v1/jobs/{job_id}/calls")

    def submissions(self, job_id: str) -> Iterator[Json]:
        """All bulk submissions of a job, oldest first."""
        return self._pages(f"/v1/jobs/{job_id}/submissions")

    def rejections(self, job_id: str, *, reason: str | None = None) -> Iterator[Json]:
        """The candidates of a job that were refused, newest first, each with what it repeats."""
        return self._pages(f"/v1/jobs/{job_id}/rejections", {"reason": reason} if reason else {})

    def set_budget(self, job_id: str, budget_usd: str) -> Json:
        """Another budget for a running or paused job, which stays what it is."""
        return self._json("POST", f"/v1/jobs/{job_id}/budget", json={"budget_usd": budget_usd})

    def live(self, job_id: str) -> Json:
        """The batches that are worked on now, and the last questions."""
        return self._json("GET", f"/v1/jobs/{job_id}/live")

    def series(self, job_id: str, *, points: int = 120) -> Json:
        """A job over time, in at most so many steps."""
        return self._json("GET", f"/v1/jobs/{job_id}/series", params={"points": points})

    def distributions(self, name: str, *, domain: str | None = None, difficulty: str | None = None) -> Json:
        """Lengths, topics and models of a dataset's selected questions."""
        params = {key: value for key, value in (("domain", domain), ("difficulty", difficulty)) if value}
        return self._json("GET", f"{dataset_path(name)}/distributions", params=params)

    def limits(self) -> Json:
        """What each model may take a minute and took in the last one."""
        return self._json("GET", "/v1/limits")

    def settings(self) -> Json:
        """The service's version, whether it rehearses, where Flower is, and specs to begin with."""
        return self._json("GET", "/v1/settings/public")

    def novelty(self, job_id: str) -> Json:
        """How a job still finds new questions, cell by cell."""
        return self._json("GET", f"/v1/jobs/{job_id}/novelty", "cells")

    def topics(self, job_id: str, domain: str, difficulty: str) -> list[Json]:
        """The topics of one cell, those that yield least first."""
        params = {"domain": domain, "difficulty": difficulty}
        items: list[Json] = self._json("GET", f"/v1/jobs/{job_id}/topics", "items", params=params)["items"]
        return items

    def prompts(self, *, job_id: str | None = None) -> list[Json]:
        """The present version of every stage's prompts and those used before; or those that a job's calls have."""
        items: list[Json] = self._json("GET", "/v1/prompts", "items", params={"job": job_id} if job_id else {})["items"]
        return items

    def prompt(self, version: str) -> Json:
        """One version of a stage's prompts with the text of its files."""
        return self._json("GET", f"/v1/prompts/{quote(version, safe='')}")

    def verdicts(self, job_id: str, *, by_cell: bool = False) -> Json:
        """What a job's judges said, counted."""
        return self._json("GET", f"/v1/jobs/{job_id}/verdicts", "votes", params={"by": "cell"} if by_cell else {})

    def reparse(self, job_id: str, *, dry_run: bool = False) -> Json:
        """Read a job's stored replies again."""
        # Minutes for a job of a million questions; one that was broken off goes on at the next.
        timeout = httpx2.Timeout(3600, connect=CONNECT_SECONDS)
        return self._json("POST", f"/v1/jobs/{job_id}/reparse", "read", json={"dry_run": dry_run}, timeout=timeout)

    def pause(self, job_id: str) -> Json:
        """Start nothing new for this job."""
        return self._json("POST", f"/v1/jobs/{job_id}/pause", "id", "state")

    def resume(self, job_id: str, *, budget_usd: str | None = None) -> Json:
        """Go on, perhaps with another budget."""
        body = {} if budget_usd is None else {"budget_usd": budget_usd}
        return self._json("POST", f"/v1/jobs/{job_id}/resume", "id", "state", json=body)

    def cancel(self, job_id: str) -> Json:
        """End the job; what was admitted stays."""
        return self._json("POST", f"/v1/jobs/{job_id}/cancel", "id", "state")

    def datasets(self) -> list[Json]:
        """All datasets."""
        items: list[Json] = self._json("GET", "/v1/datasets", "items")["items"]
        return items

    def dataset(self, name: str) -> Json:
        """One dataset's counts."""
        return self._json("GET", dataset_path(name), "name", "contamination")

    def duplicates(self, name: str, texts: Sequence[str]) -> list[Json]:
        """Whether each text would be admitted."""
        with speaking_plainly(self.base_url):
            answer = self._http.post(f"{dataset_path(name)}/duplicates", json={"texts": list(texts)})
            raise_problem(self.base_url, answer)
            verdicts: Any = answer.json()
        if not isinstance(verdicts, list) or not all(isinstance(each, dict) for each in verdicts):
            raise not_questmill(self.base_url)
        return verdicts

    def near_duplicates(self, name: str, *, clusters: int) -> Iterator[Json]:
        """The lines of the report on a whole dataset as they come; the last one has `end`."""
        # Between two lines of a large dataset lies a sort on the server.
        timeout = httpx2.Timeout(600, connect=CONNECT_SECONDS)
        path, params = f"{dataset_path(name)}/near-duplicates", {"clusters": clusters}
        with self._stream("GET", path, params=params, timeout=timeout) as answer:
            require_type(self.base_url, answer, LINES)
            for line in answer.iter_lines():
                yield json.loads(line)

    def import_baseline(self, dataset: str, source: Path | BinaryIO) -> Json:
        """Upload JSONL, plain or gzip, as it is in a file, a pipe or a stream."""
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            head = file.read(UPLOAD_CHUNK)
            # Unpacking and judging a big file goes on after its last byte has left.
            timeout = httpx2.Timeout(600, connect=CONNECT_SECONDS)
            options = {"content": chain([head], _chunks(file)), "headers": upload_headers(head), "timeout": timeout}
            return self._json("POST", f"{dataset_path(dataset)}/baseline", "read", "imported", **options)

    def decontaminate(
        self, dataset: str, benchmark: str, content: bytes | Path, *, source: str | None = None, discard: bool = False
    ) -> Json:
        """Compare a dataset with a benchmark's questions, which guard it from then on."""
        raw = content.read_bytes() if isinstance(content, Path) else content
        params = {"benchmark": benchmark, "discard": "true" if discard else "false"}
        # A million questions take minutes.
        timeout = httpx2.Timeout(3600, connect=CONNECT_SECONDS)
        return self._json(
            "POST",
            f"{dataset_path(dataset)}/decontaminate",
            "read",
            params=params | ({"source": source} if source else {}),
            content=raw,
            headers=upload_headers(raw),
            timeout=timeout,
        )

    def contamination(self, dataset: str) -> Iterator[Json]:
        """The flagged questions of a dataset with what they are like."""
        return self._pages(f"{dataset_path(dataset)}/contamination")

    def sample(self, dataset: str, **wanted: str | int | None) -> Json:
        """Questions drawn at random: `n`, `domain`, `difficulty`, `state`, `seed`."""
        params = {name: value for name, value in wanted.items() if value is not None}
        return self._json("GET", f"{dataset_path(dataset)}/sample", "items", "among", params=params)

    def export(
        self,
        dataset: str,
        file_format: str,
        target: Path | BinaryIO,
        *,
        seed: int | None = None,
        contaminated: bool = False,
        all_answers: bool = False,
    ) -> int:
        """Write the export to a stream, or to a file that appears only when it is whole. Returns its size in bytes."""
        params, size = export_params(file_format, seed, contaminated, all_answers), 0
        with (
            self._stream("GET", f"{dataset_path(dataset)}/export", params=params) as answer,
            new_file(target) if isinstance(target, Path) else nullcontext(target) as file,
        ):
            require_type(self.base_url, answer, LINES, PARQUET)
            for chunk in answer.iter_bytes():
                file.write(chunk)
                size += len(chunk)
        return size

    def events(self, job_id: str, *, on_lost: Callable[[ApiProblem], None] | None = None) -> Iterator[Event]:
        """Progress until `end`, over lost connections and restarts of the API, each told to `on_lost`.

        Raises ApiProblem when the job does not exist or the API is not there at the first try.
        """
        last_id: str | None = None
        while True:
            try:
                for event, event_id in self._connect_events(job_id, last_id):
                    last_id = event_id
                    yield event
                    if event.kind == "end":
                        return
            except ApiProblem as problem:
                if last_id is None or not problem.may_pass:
                    raise
                if on_lost is not None:
                    on_lost(problem)
            time.sleep(RECONNECT_SECONDS)

    def prune(self, *, raw_days: int | None = None, ledger_days: int | None = None, dry_run: bool = False) -> Json:
        """Let go of what old jobs left behind, by the server's ages where none is given."""
        body = {"raw_days": raw_days, "ledger_days": ledger_days, "dry_run": dry_run}
        # Years of rows are deleted in many short transactions; a prune that was broken off goes on at the next.
        timeout = httpx2.Timeout(600, connect=CONNECT_SECONDS)
        return self._json("POST", "/v1/prune", "raw", "archived", "skipped", json=body, timeout=timeout)

    def session(self) -> Json:
        """Whether the API needs a key, and what the one that we send may. Raises ApiProblem for a wrong one."""
        return self._json("GET", "/v1/session", "required", "key")

    def readiness(self) -> Json:
        """What the API says of its database and broker, also when it is not ready."""
        with speaking_plainly(self.base_url):
            body: Json = read_object(self.base_url, self._http.get("/readyz"), "database", "broker")
            return body

    def server_time(self) -> datetime | None:
        """What the API's host takes the time to be, to the second; None when it does not say."""
        with speaking_plainly(self.base_url):
            told = self._http.get("/healthz").headers.get("Date")
        return parsedate_to_datetime(told) if told else None

    def _connect_events(self, job_id: str, last_id: str | None) -> Iterator[tuple[Event, str]]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = httpx2.Timeout(STREAM_SILENCE_SECONDS, connect=CONNECT_SECONDS)
        with self._stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != 204:
                for event in httpx2.EventSource(answer):
                    yield Event(event.event, json.loads(event.data)), event.id
                return
        yield event_of_end(self.job(job_id)), ""

    def _pages(self, path: str, params: Mapping[str, str] | None = None) -> Iterator[Json]:
        cursor: str | None = None
        while True:
            at = {"cursor": cursor} if cursor else {}
            page = self._json("GET", path, "items", "next_cursor", params={**(params or {}), **at})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _json(self, method: str, path: str, *expected: str, **options: Any) -> Json:
        with speaking_plainly(self.base_url):
            answer = self._http.request(method, path, **options)
            raise_problem(self.base_url, answer)
            body: Json = read_object(self.base_url, answer, *expected)
            return body

    @contextmanager
    def _stream(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        with speaking_plainly(self.base_url), self._http.stream(method, path, **options) as answer:
            if not answer.is_success:
                answer.read()
                raise_problem(self.base_url, answer)
            yield answer


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(UPLOAD_CHUNK):
        yield chunk

"""`Questmill` and `AsyncQuestmill` on the real API; what needs workers is in tests/service/system."""

import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, is_typeddict

import pytest
import yaml

from cli.client import ApiProblem, AsyncQuestmill, BadArgument, MissingPackage, Questmill
from cli.shapes import Import, Job, JobSummary, Plan, Progress

ROWS = [{"question": f"Who sailed boat number {n}?", "domain": "math", "difficulty": "easy"} for n in range(3)]
Spec = dict[str, Any]


@pytest.fixture
def mill(api_url: str) -> Iterator[Questmill]:
    with Questmill(api_url) as opened:
        yield opened


def check_shape(shape: Any, value: Any) -> None:
    """The keys that a TypedDict promises are there, inside as well."""
    assert is_typeddict(shape)
    for name, kind in shape.__annotations__.items():
        assert name in value, f"{shape.__name__} has no {name}"
        if is_typeddict(kind):
            check_shape(kind, value[name])
        elif getattr(kind, "__origin__", None) is list and is_typeddict(kind.__args__[0]):
            for each in value[name]:
                check_shape(kind.__args__[0], each)


class Seen:
    """A bar that remembers."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.closed = False

    def show(self, progress: Mapping[str, Any]) -> None:
        check_shape(Progress, progress)
        self.states.append(progress["state"])

    def close(self) -> None:
        self.closed = True


def test_a_job_is_planned_submitted_steered_and_watched(mill: Questmill, spec: Spec, tmp_path: Path) -> None:
    name, file = spec["dataset"], tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(spec))
    plan = mill.plan(file)
    check_shape(Plan, plan)
    assert plan["cells"] == mill.plan(spec)["cells"]
    job = mill.submit(spec, idempotency_key=name)
    check_shape(Job, job)
    assert mill.submit(str(file), idempotency_key=name)["id"] == job["id"]
    check_shape(JobSummary, mill.jobs()[0])
    with pytest.raises(TimeoutError, match=job["id"]):
        mill.wait(name, timeout_seconds=0)
    assert mill.pause(name)["state"] == "paused"
    assert mill.wait(name)["state"] == "paused"
    bar = Seen()
    assert mill.watch(name, bar=bar)["state"] == "paused"
    assert (bar.states, bar.closed) == (["paused"], True)
    resumed = mill.resume(job["id"][:-1], budget_usd=7.5)
    assert (resumed["state"], resumed["budget_usd"]) == ("running", 7.5)
    mill.cancel(name)
    assert [progress["selected"] for progress in mill.events(name)][-1] == 0
    assert mill.job(name)["state"] == "cancelled"


async def test_the_same_with_an_event_loop(api_url: str, spec: Spec, tmp_path: Path) -> None:
    name, file = spec["dataset"], tmp_path / "rows.jsonl"
    async with AsyncQuestmill(api_url) as mill:
        check_shape(Plan, await mill.plan(spec))
        job = await mill.submit(spec)
        check_shape(Job, job)
        with pytest.raises(TimeoutError):
            await mill.wait(name, timeout_seconds=0)
        assert (await mill.pause(name))["state"] == "paused"
        bar = Seen()
        assert (await mill.watch(job["id"], bar=bar))["state"] == "paused"
        assert (bar.states, bar.closed) == (["paused"], True)
        assert (await mill.resume(name, budget_usd="8"))["budget_usd"] == 8
        await mill.cancel(name)
        assert [progress["selected"] async for progress in mill.events(name)][-1] == 0
        assert (await mill.jobs())[0]["state"] == "cancelled"
        check_shape(Import, await mill.import_baseline(name, ROWS))
        path = await mill.export(name, tmp_path / "out.jsonl")
        assert len(path.read_text().splitlines()) == 3
        with pytest.raises(BadArgument, match="No job or dataset is called nobody"):
            await mill.job("nobody")
        with pytest.raises(ApiProblem, match="there is no dataset nobody"):
            await mill.export("nobody", file)
    assert not file.exists()


def test_rows_and_files_are_imported_and_exported_as_the_name_says(mill: Questmill, spec: Spec, tmp_path: Path) -> None:
    report = mill.import_baseline(spec["dataset"], (row for row in [*ROWS, {}]))
    check_shape(Import, report)
    assert (report["imported"], report["problems"][0]["line"]) == (3, 4)
    lines = mill.export(spec["dataset"], tmp_path / "out.jsonl")
    assert mill.import_baseline("again", lines)["imported"] == 3
    assert mill.export(spec["dataset"], tmp_path / "out.parquet").read_bytes()[:4] == b"PAR1"


async def test_what_comes_from_a_pipe_is_imported_from_its_first_line_on(
    mill: Questmill, api_url: str, spec: Spec, tmp_path: Path
) -> None:
    pipe, name = tmp_path / "pipe", spec["dataset"]
    os.mkfifo(pipe)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()

    def write(content: bytes) -> Thread:
        writer = Thread(target=pipe.write_bytes, args=(content,), daemon=True)
        writer.start()
        return writer

    writer = write(lines)
    report = mill.import_baseline(name, pipe)
    writer.join()
    assert (report["read"], report["imported"]) == (3, 3)
    writer = write(gzip.compress(lines))
    async with AsyncQuestmill(api_url) as other:
        report = await other.import_baseline(name, pipe)
    writer.join()
    assert (report["read"], report["duplicates"]) == (3, 3)


def test_tables_are_whole_when_the_file_is_gone(mill: Questmill, spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    mill.import_baseline(spec["dataset"], ROWS)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(Dataset=lambda table: table))
    table = mill.to_dataset(spec["dataset"])
    assert sorted(table.column("question").to_pylist()) == [row["question"] for row in ROWS]


@pytest.mark.parametrize(("name", "ask"), [("pandas", Questmill.to_pandas), ("datasets", Questmill.to_dataset)])
def test_a_package_that_is_missing_is_named(
    mill: Questmill, monkeypatch: pytest.MonkeyPatch, name: str, ask: Callable[[Questmill, str], Any]
) -> None:
    monkeypatch.setattr("cli.frames.import_module", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name=name)))
    with pytest.raises(MissingPackage, match=f"pip install {name}"):
        ask(mill, "any")

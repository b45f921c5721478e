"""The commands as a person runs them, against the real API."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from cli.client import ApiProblem, Client
from local.process import free_port
from tests.service.api.serving import ROOT

Spec = dict[str, Any]


class Shell:
    """Runs `questmill` with a spec file beside it."""

    def __init__(self, api_url: str, folder: Path, spec: Spec) -> None:
        self.spec = folder / "spec.yaml"
        self.spec.write_text(yaml.safe_dump(spec))
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
            "QUESTMILL_API_URL": api_url,
            "QUESTMILL_HOME": str(folder / "home"),
        }
        self.folder = folder

    def run(self, *arguments: object, stdin: str = "", status: int = 0) -> str:
        """The command's output (of stderr when it is to fail)."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *map(str, arguments)],
            env=self.environment, cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments: object, **options: Any) -> Any:
        return json.loads(self.run(*arguments, "--json", **options))


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    return Shell(api_url, tmp_path, spec)


def test_plan_shows_the_table_and_json_the_plan(shell: Shell) -> None:
    text = shell.run("plan", shell.spec)
    for expected in ("rehearsal", "reading", "100 questions", "forecast:", "generate: easy by openai/"):
        assert expected in text
    planned = shell.json("plan", "-", stdin=shell.spec.read_text())
    assert planned["totals"]["questions"] == 100


def test_an_atlas_file_beside_the_spec_is_submitted_with_it(shell: Shell, spec: Spec) -> None:
    domain = next(iter(spec["mix"]["domains"]))
    (shell.folder / "own.yaml").write_text(yaml.safe_dump({"domain": domain, "topics": {"knots": ["bowline", "reef"]}}))
    shell.spec.write_text(yaml.safe_dump({**spec, "atlas": "own.yaml"}))
    assert domain in shell.run("atlas", "own.yaml")
    job = shell.json("submit", shell.spec)
    assert set(job["spec"]["atlas"]) == {domain}
    cells = {f"{cell['domain']}/{cell['difficulty']}": cell for cell in shell.json("novelty", job["id"])["cells"]}
    name = next(each for each in cells if each.startswith(domain))
    assert cells[name]["topics"] == {"open": 1, "resting": 0, "dry": 0}
    assert "knots" in shell.run("novelty", job["id"], "--cell", name)
    assert name in shell.run("novelty", spec["dataset"])
    assert "write DOMAIN/DIFFICULTY" in shell.run("novelty", job["id"], "--cell", "math", status=1)


def test_a_job_is_submitted_steered_and_found_by_dataset_and_prefix(shell: Shell, spec: Spec) -> None:
    job = shell.json("submit", shell.spec, "--idempotency-key", spec["dataset"])
    again = shell.json("submit", shell.spec, "--idempotency-key", spec["dataset"])
    assert again["id"] == job["id"]
    assert "has an unfinished job" in shell.run("submit", shell.spec, status=1)
    assert "is paused" in shell.run("pause", spec["dataset"])
    assert "state=paused" in shell.run("watch", job["id"], status=3)
    assert shell.json("resume", job["id"], "--budget", "77")["budget_usd"] == 77
    assert "is cancelled" in shell.run("cancel", job["id"])
    *_, last = shell.run("watch", job["id"][:-1], status=1).splitlines()
    assert last.startswith(f"event=end job={job['id']} state=cancelled ")
    *_, last = shell.run("watch", job["id"], "--json", status=1).splitlines()
    assert json.loads(last)["event"] == "end"
    assert job["id"] in [each["id"] for each in shell.json("jobs")]


def test_all_jobs_are_paused_at_once_and_go_on_but_for_those_that_wait_for_something(
    shell: Shell, spec: Spec, database_url: str
) -> None:
    jobs = [shell.json("submit", "-", stdin=json.dumps({**spec, "dataset": f"at-once-{each}"})) for each in range(3)]
    ids = {job["id"] for job in jobs}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE job SET state = 'paused', reason = 'the budget is used up' WHERE id = %s", [jobs[0]["id"]]
        )
    paused = shell.run("pause", "--all")
    assert {each for each in ids if each in paused} == ids - {jobs[0]["id"]}
    assert "No job runs." in shell.run("pause", "--all")
    assert shell.json("pause", "--all") == []
    resumed = {job["id"] for job in shell.json("resume", "--all")}
    assert resumed & ids == ids - {jobs[0]["id"]}
    states = {job["id"]: job["state"] for job in shell.json("jobs")}
    assert [states[job["id"]] for job in jobs] == ["paused", "running", "running"]
    for job in jobs:
        shell.run("cancel", job["id"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("watch", "nothing"), "No job or dataset is called nothing"),
        (("plan", "missing.yaml"), "missing.yaml cannot be read: No such file or directory."),
        (("pause",), "Name either a job or --all."),
        (("pause", "mine", "--all"), "Name either a job or --all."),
        (("resume", "--all", "--budget", "5"), "A new budget is for one job"),
        (("cancel", "01a20522-28f0-76d0-8f24-787f8aa135cb"), "there is no job"),
    ],
)
def test_a_wrong_argument_is_one_sentence(shell: Shell, arguments: tuple[str, ...], sentence: str) -> None:
    said = shell.run(*arguments, status=1)
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_a_bad_spec_lists_every_wrong_field(shell: Shell, spec: Spec) -> None:
    spec["mix"]["domains"]["math"] = -1
    spec["colour"] = "red"
    said = shell.run("submit", "-", stdin=json.dumps(spec), status=1)
    assert "mix.domains.math" in said
    assert "colour: unknown key" in said


def test_an_absent_api_says_how_to_start_it(tmp_path: Path, spec: Spec) -> None:
    shell = Shell(f"http://127.0.0.1:{free_port()}", tmp_path, spec)
    said = shell.run("jobs", status=1)
    assert "./run up" in said
    assert len(said.splitlines()) == 1


def test_the_running_stack_is_found_by_what_it_wrote(shell: Shell, api_url: str) -> None:
    del shell.environment["QUESTMILL_API_URL"]
    home = Path(shell.environment["QUESTMILL_HOME"])
    home.mkdir()
    (home / "env.json").write_text(json.dumps({"api_url": api_url}))
    assert isinstance(shell.json("jobs"), list)


def test_doctor_is_content_with_a_whole_system_and_shows_no_key(shell: Shell) -> None:
    shell.environment["OPENAI_API_KEY"] = "sk-secret"
    shell.environment["DATABASE_URL"] = "postgresql://me:hidden@db.example/q"
    text = shell.run("doctor")
    assert "sk-secret" not in text
    assert "hidden" not in text
    verdicts = {each["name"]: each["verdict"] for each in shell.json("doctor")}
    for name in ("api", "database", "broker", "workers", "OPENAI_API_KEY", "DATABASE_URL"):
        assert verdicts[name] == "ok", text
    assert verdicts["ANTHROPIC_API_KEY"] == "note"


def test_doctor_fails_when_something_needed_is_missing(tmp_path: Path, spec: Spec) -> None:
    shell = Shell(f"http://127.0.0.1:{free_port()}", tmp_path, spec)
    shell.environment["REDIS_URL"] = f"redis://:hidden@127.0.0.1:{free_port()}/0"
    text = shell.run("doctor", status=1)
    assert "hidden" not in text
    assert "./run up" in text
    verdicts = {each["name"]: each["verdict"] for each in shell.json("doctor", status=1)}
    assert (verdicts["api"], verdicts["broker"]) == ("missing", "missing")


def test_what_is_not_questmill_is_told_so(tmp_path: Path) -> None:
    with Client("http://") as client, pytest.raises(ApiProblem) as caught:
        list(client.jobs())
    assert "http:" in str(caught.value)


def test_a_baseline_is_imported_checked_and_exported(shell: Shell, spec: Spec) -> None:
    rows = [{"question": f"Who wrote book number {n}?", "domain": "Reading", "difficulty": "easy"} for n in range(3)]
    source = shell.folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{}\n")
    said = shell.run("import", spec["dataset"], source)
    assert "4 read, 3 imported, 0 duplicates, 1 invalid" in said
    assert "line 4:" in said
    texts = shell.folder / "texts.txt"
    texts.write_text("who wrote book number 1?\n\nWhere is the library?\n")
    verdicts = shell.json("check", spec["dataset"], texts)
    assert [(each["line"], each["verdict"]) for each in verdicts] == [(1, "exact"), (3, "new")]
    out = shell.folder / "out.jsonl"
    shell.run("export", spec["dataset"], "--format", "jsonl", "--out", out)
    assert len(out.read_text().splitlines()) == 3
    assert "--force" in shell.run("export", spec["dataset"], "--out", out, status=1)
    shell.run("export", spec["dataset"], "--format", "parquet", "--out", out, "--force")
    assert out.read_bytes()[:4] == b"PAR1"
    said = shell.run("export", spec["dataset"], "--out", "out.parquet")
    assert said.startswith("wrote 3 rows to out.parquet (")
    assert (shell.folder / "out.parquet").read_bytes()[:4] == b"PAR1"
    assert "is not packed; leave .gz out" in shell.run("export", spec["dataset"], "--out", "out.jsonl.gz", status=1)


def test_questions_come_from_stdin_and_go_to_stdout(shell: Shell, spec: Spec) -> None:
    rows = [{"question": f"Who drew map number {n}?", "domain": "reading", "difficulty": "easy"} for n in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert shell.json("import", spec["dataset"], "-", stdin=lines)["imported"] == 3
    verdicts = shell.json("check", spec["dataset"], "-", stdin="Who drew map number 1?\n")
    assert [each["verdict"] for each in verdicts] == ["exact"]
    assert "stdin, line 1" in shell.run("check", spec["dataset"], "-", stdin="{}\n", status=1)
    written = shell.run("export", spec["dataset"], "--out", "-").splitlines()
    assert {json.loads(each)["question"] for each in written[:3]} == {row["question"] for row in rows}
    assert written[3].startswith("wrote 3 rows to stdout")
    assert "leave --json out" in shell.run("export", spec["dataset"], "--out", "-", "--json", status=1)
    assert "A bundle is a folder" in shell.run("export", spec["dataset"], "--out", "-", "--format", "bundle", status=1)
    assert not (shell.folder / "-").exists()


def test_a_failed_export_leaves_no_file(shell: Shell) -> None:
    out = shell.folder / "out.jsonl"
    assert "there is no dataset nowhere" in shell.run("export", "nowhere", "--out", out, status=1)
    assert [path.name for path in shell.folder.iterdir()] == ["spec.yaml"]

"""All jobs at once: what keeps one from being changed keeps the others from nothing."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from cli.plain_words import ApiProblem
from cli.steering import change_each

JOBS = [{"id": name, "dataset": name, "state": "running"} for name in ("a", "b", "c")]


def paused(name: str) -> Mapping[str, Any]:
    return {"id": name, "dataset": name, "state": "paused"}


def test_a_job_that_cannot_be_changed_is_named_and_the_others_are_changed(capsys: pytest.CaptureFixture[str]) -> None:
    def change(name: str) -> Mapping[str, Any]:
        if name == "a":
            raise ApiProblem("The database is busy.", 503)
        if name == "b":
            raise ApiProblem("It is over.", 409)
        return paused(name)

    with pytest.raises(ApiProblem, match=r"1 of 3 jobs were not changed\.\njob a: The database is busy\.$"):
        change_each(JOBS, change, "none", as_json=True)
    assert [each["id"] for each in json.loads(capsys.readouterr().out)] == ["c"]


def test_a_key_whose_minute_is_used_up_goes_on_in_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    def change(name: str) -> Mapping[str, Any]:
        if name == "b" and not slept:
            raise ApiProblem("The key may make 60 requests a minute; try again in 7 s.", 429, retry_after_seconds=7)
        return paused(name)

    change_each(JOBS, change, "none", as_json=True)
    told = capsys.readouterr()
    assert slept == [7]
    assert [each["id"] for each in json.loads(told.out)] == ["a", "b", "c"]
    assert "try again in 7 s. Waiting." in told.err

"""A bundle of what an API says, without one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from cli.bundling import make_bundle
from cli.connection import Client
from cli.plain_words import BadArgument
from shared.bundle.names import SPLITS
from shared.bundle.read import read_rows
from tests.unit.bundle.samples import Row, exported_row, exported_rows, write_export


class Told:
    """Answers as the API does of a dataset without jobs."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def dataset(self, _: str) -> dict[str, Any]:
        return {"jobs": [], "contamination": {"left_out": 0}}

    def export(self, _: str, __: str, path: Path) -> None:
        write_export(path, self._rows)


def made(rows: Sequence[Row], out: Path, **typed: Any) -> dict[str, Any]:
    return make_bundle(cast("Client", Told(rows)), "demo", out, typed, force=False)


def test_what_a_parent_held_out_need_not_be_there_any_more(tmp_path: Path) -> None:
    rows = exported_rows(40)
    held = exported_row(99, "What is held out?", tags=["held"])
    made([*rows, held], tmp_path / "a", hold_out=["topic=held"])
    manifest = made(rows, tmp_path / "b", parent=tmp_path / "a")
    assert (manifest["parent"]["removed"], manifest["options"]["splits"]["topics"]) == (1, {"held": "test"})
    again = made([*rows, held], tmp_path / "c", parent=str(tmp_path / "b"))
    assert again["held_out"]["test"]["topics"].count("held") == 1
    assert 99 in {row["id"] for row in read_rows(tmp_path / "c", "test")}


def test_a_name_that_no_row_has_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="No row is of the topic setz; look at how it is written"):
        made(exported_rows(40), tmp_path / "a", hold_out=["topic=setz"])
    assert list(tmp_path.iterdir()) == []


def test_a_topic_whose_rows_are_all_of_a_held_out_domain_is_held_out_with_it(tmp_path: Path) -> None:
    rows = exported_rows(200)
    manifest = made(rows, tmp_path / "a", hold_out=["domain=coding"], validation_topics=0.9, test_topics=0)
    topics = {split: {row["topic"] for row in read_rows(tmp_path / "a", split)} for split in SPLITS}
    assert {"trees", "loops", "strings"} <= topics["test"]
    for split in SPLITS[1:]:
        assert {*manifest["held_out"][split]["topics"]} <= topics[split]

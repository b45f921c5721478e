from pathlib import Path

import pytest

from cli.exchange import format_of
from cli.exporting import wrote_line
from cli.plain_words import BadArgument


def test_a_file_holds_what_is_asked_for_or_what_its_name_says() -> None:
    assert format_of(Path("x.parquet")) == "parquet"
    assert format_of(Path("x.jsonl")) == format_of(Path("-")) == format_of(Path("parquet")) == "jsonl"
    assert format_of(Path("x.parquet"), "jsonl") == "jsonl"
    for name in ("x.gz", "x.jsonl.gz", "x.parquet.gz"):
        with pytest.raises(BadArgument, match=r"an export is not packed; leave \.gz out"):
            format_of(Path(name), "jsonl")


def test_what_was_written_is_told_with_what_is_missing_in_it() -> None:
    def told(selected: int, validated: int, answered: int, *, left_out: int = 0) -> str:
        cells = [{"validated": validated, "answered": answered}, {"validated": 0, "answered": 0}]
        return wrote_line("x", 1000, {"questions": {"selected": selected}, "cells": cells}, left_out=left_out)

    assert told(1, 0, 0) == "wrote 1 row to x (1,000 bytes)"
    assert told(2000, 2000, 2000) == "wrote 2,000 rows to x (1,000 bytes)"
    assert told(10, 8, 1, left_out=2) == (
        "wrote 8 rows to x (1,000 bytes); 2 contaminated questions were left out (--include-contaminated); "
        "2 of 10 selected questions are not judged; 9 of 10 selected questions are not answered"
    )

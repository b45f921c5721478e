import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.client import ApiProblem, Client
from cli.near_page import near_page
from cli.near_report import check_targets, near_view, read_near_report, write_near_report
from cli.plain_words import BadArgument


def make_member(number: int, text: str) -> dict[str, Any]:
    about = {"domain": "tool <use>", "difficulty": "easy", "state": "selected", "source": "baseline"}
    return {"id": number, "similarity": 0.9, "text": text, **about}


def make_report(*texts: str, clusters: int = 1) -> dict[str, Any]:
    shown = [{"size": len(texts) + 7, "members": [make_member(at, text) for at, text in enumerate(texts)]}]
    return {
        "dataset": "mine",
        "questions": 5000,
        "pairs": {"compared": 12, "near": 4},
        "in_clusters": 9,
        "clusters": clusters,
        "largest": len(texts) + 7,
        "cells": [{"domain": "tool <use>", "difficulty": "easy", "questions": 9}],
        "sources": [{"source": "baseline", "questions": 9}],
        "told_apart": {"numbers": 3},
        "too_long": 0,
        "clusters_shown": shown if texts else [],
    }


class Page(HTMLParser):
    """What a browser would make of it: its tags, its text, and what it loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.marked: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"lang", "charset", "name", "content", "class"}, attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open[-1:] == ["mark"]:
            self.marked.append(data)


def test_the_page_is_whole_and_loads_nothing() -> None:
    page = near_page(make_report("Which hen flies?", "Which hen flies <b>now</b>?"))
    assert Page(page).open == []
    assert set(Page(page).tags).isdisjoint({"script", "link", "img", "iframe", "b2"})
    assert not re.search(r"https?:|url\(|@import", page)


def test_texts_are_shown_as_they_are_written() -> None:
    nasty = '<script>alert(1)</script> & "x" </article>'
    page = Page(near_page(make_report("What is it?", nasty)))
    assert nasty in page.text
    assert "tool <use>" in page.text
    assert page.open == []


def test_what_differs_from_the_first_is_marked() -> None:
    page = Page(near_page(make_report("Which grey hen flies?", "Which old grey hen flies?")))
    assert page.marked == ["old"]


def test_more_members_are_folded_and_the_missing_are_counted() -> None:
    page = Page(near_page(make_report(*(f"Which hen flies {n}?" for n in "abcdef"), clusters=1200)))
    assert "2 more, the first 6 of 13" in page.text
    assert "1,199 smaller clusters are not shown" in page.text


def test_no_cluster_is_said_in_words() -> None:
    report = {**make_report(clusters=0), "told_apart": {}}
    assert "No two questions are near-duplicates" in near_page(report)
    with (console := Console(width=200)).capture() as printed:
        console.print(near_view(report))
    assert "no near-duplicates among them" in printed.get()


class FakeClient(Client):
    """Answers with lines given beforehand."""

    def __init__(self, *lines: dict[str, Any]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.lines = lines

    def near_duplicates(self, name: str, *, clusters: int) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - as Client has it
        yield from self.lines


def test_a_report_without_its_end_is_no_report() -> None:
    report = {**make_report()}
    del report["clusters_shown"]
    lines = [{"progress": {"phase": "reading", "done": 1, "total": 2}}, {"report": report}]
    with pytest.raises(ApiProblem, match="broke off"):
        read_near_report(FakeClient(*lines), "mine", clusters=5)
    assert read_near_report(FakeClient(*lines, {"end": {"clusters": 0}}), "mine", clusters=5) == make_report()


def test_files_are_chosen_by_their_ending_and_never_overwritten_unasked(tmp_path: Path) -> None:
    page, data = tmp_path / "near.html", tmp_path / "near.json"
    check_targets([page, data], force=False)
    for path in (page, data):
        write_near_report(make_report("Which hen?"), path)
    assert json.loads(data.read_text()) == make_report("Which hen?")
    assert page.read_text().startswith("<!doctype html>")
    assert sorted(tmp_path.iterdir()) == [page, data]
    with pytest.raises(BadArgument, match="exists already"):
        check_targets([page], force=False)
    check_targets([page], force=True)
    with pytest.raises(BadArgument, match=r"\.json or \.html"):
        check_targets([tmp_path / "near.txt"], force=True)

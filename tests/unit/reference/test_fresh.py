"""docs/reference/ is what the code says now, on every machine."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from reference.__main__ import FOLDER, compare
from reference.markdown import slug
from reference.pages import ROOT, make_pages

NAMES = ("api.md", "commands.md", "job_spec.md", "settings.md")
pages = cache(make_pages)
# Prints the pages as a machine of another name makes them.
ON_ANOTHER_HOST = """
import json, platform, socket
socket.gethostname = socket.getfqdn = platform.node = lambda *_: "host-of-somebody"
from reference.pages import make_pages
print(json.dumps(make_pages()))
"""
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def test_the_committed_pages_are_what_the_code_makes() -> None:
    assert compare(pages(), FOLDER) == [], "./run reference writes them anew"


def test_every_page_is_looked_at() -> None:
    assert sorted(pages()) == list(NAMES)


def test_neither_terminal_nor_settings_nor_hashes_change_them() -> None:
    odd = {"COLUMNS": "37", "TERM": "dumb", "PYTHONHASHSEED": "7", "HOME": "/", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    ours = {"QUESTMILL_API_PORT": "1", "QUESTMILL_LOG_LEVEL": "DEBUG", "DATABASE_URL": "postgresql://elsewhere/x"}
    done = subprocess.run(
        [sys.executable, "-m", "reference", "--check"],
        cwd=ROOT,
        env={**os.environ, **odd, **ours},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_what_differs_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one\ntwo\n")
    (tmp_path / "left.md").write_text("nobody makes it\n")
    told = compare({"a.md": "one\nthree\n", "b.md": "new\n"}, tmp_path)
    assert told[0].startswith("left.md")
    assert {"-two\n", "+three\n", "+new\n"} <= set(told)


def test_they_are_the_same_in_another_folder_and_home_on_another_host(tmp_path: Path) -> None:
    clone = tmp_path / "clone-of-somebody"
    clone.symlink_to(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", ON_ANOTHER_HOST],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path / "home-of-somebody"), "PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pages()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_this_machine_is_in_them(name: str) -> None:
    assert re.search(r"/(home|root|tmp|usr|work|Users)/|\bqm_\w{8}|\bsk-\w{8}", pages()[name]) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", FENCED.sub("", pages()[name])):
        path = FOLDER / (target or name)
        text = pages()[target or name] if (target or name) in NAMES else path.read_text()
        headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
        assert not anchor or anchor in {slug(each) for each in headings}, (target, anchor)


@pytest.mark.parametrize("name", NAMES)
def test_anchors_are_unique_and_code_says_of_what_kind_it_is(name: str) -> None:
    anchors = [slug(each) for each in re.findall(r"^#+ (.*)$", FENCED.sub("", pages()[name]), re.MULTILINE)]
    assert sorted(set(anchors)) == sorted(anchors)
    opening = re.findall(r"^```(.*)$", pages()[name], re.MULTILINE)[::2]
    assert all(opening)

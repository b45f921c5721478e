"""Every page: its blocks say what they are, its links lead somewhere, and no sentence names what is not there."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from cli.atlas_files import read_atlas_file, resolve_atlases
from cli.spec_file import read_spec
from shared.jobs.spec import JobSpec, parse_spec
from shared.questions.atlas_content import AtlasContent
from tests.docs.pages import ROOT, Page, Piece, parse_page, read_pages
from tests.docs.run_words import Refused, mentioned_words, require_accepted, run_commands_of
from tests.docs.settings import named_in, read_elsewhere, settable
from tests.docs.shell import commands_of

PAGES = read_pages()
KINDS = frozenset({"sh", "text", "sql", "yaml", "python", "json", "ini", "http", "mermaid"})
# What may stand behind a kind: where it is typed, and what it does.
MORE = frozenset({"docker", "kubernetes", "writes", "destroys"})
# Made from the parsers: what is shown there are forms of commands.
SYNOPSES = "docs/reference/"
FILE_NAMED = re.compile(r"# ([\w-]+\.ya?ml)\b")
NOT_A_FILE = re.compile(r"[a-z][a-z0-9+.-]*:|//")
MIX = {"domains": {"a": 10}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}}
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


@each_page
def test_every_block_says_what_it_is(page: Page) -> None:
    known = ", ".join(sorted(KINDS))
    wrong = [f"{block.place}: {block.info!r} is none of {known}" for block in page.blocks if not is_known(block.info)]
    assert not wrong, "\n".join(wrong)


@each_page
def test_blocks_of_shell_hold_commands_and_blocks_of_text_hold_none(page: Page) -> None:
    commands = commands_of(page)
    wrong = [f"{each.place}: no command: {each.printed}" for each in commands if not begins_with_a_program(each.bare)]
    for block in page.blocks:
        for number, line in enumerate(block.text.splitlines(), start=block.line):
            is_output = block.language == "text" and not page.name.startswith(SYNOPSES)
            if line.startswith("$ ") or (is_output and is_command_of_ours(line)):
                wrong.append(f"{block.page}:{number}: a command belongs in a block of `sh`, without `$`: {line}")
    assert not wrong, "\n".join(wrong)


@each_page
def test_every_command_of_ours_is_one_that_run_takes(page: Page) -> None:
    wrong: list[str] = []
    for command in commands_of(page):
        for words in run_commands_of(command):
            wrong += refusal(command.place, words, mention=False)
    for code in page.codes:
        mentioned = mentioned_words(code.text)
        wrong += [] if mentioned is None else refusal(code.place, mentioned, mention=True)
    assert not wrong, "\n".join(wrong)


@each_page
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Page) -> None:
    anchors = {(ROOT / each.name).resolve(): each.anchors for each in PAGES}
    wrong = []
    for link in page.links:
        name, _, anchor = link.text.partition("#")
        if NOT_A_FILE.match(link.text):
            continue
        path = ((ROOT / page.name).parent / name).resolve() if name else (ROOT / page.name).resolve()
        if not path.exists():
            wrong.append(f"{link.place}: there is no {link.text}")
        elif anchor and anchor not in anchors.get(path, []):
            wrong.append(f"{link.place}: {name or page.name} has no heading #{anchor}")
    assert not wrong, "\n".join(wrong)


@each_page
def test_blocks_of_yaml_are_read_as_the_product_reads_them(page: Page, tmp_path: Path) -> None:
    blocks = [block for block in page.blocks if block.language == "yaml"]
    named = {found[1]: block for block in blocks if (found := FILE_NAMED.match(block.text))}
    for name, block in named.items():
        (tmp_path / name).write_text(block.text)
    for block in blocks:
        try:
            check_yaml(block, tmp_path)
        except Exception as error:
            raise AssertionError(f"{block.place}: {error}") from error


@each_page
def test_blocks_of_json_are_json_but_for_what_is_left_out(page: Page) -> None:
    for block in page.blocks:
        if block.language == "json":
            whole = re.sub(r",\s*\.\.\.(?=\s*[\]}])|\.\.\.(?=\s*[\]}])", "", block.text)
            try:
                json.loads(whole)
            except json.JSONDecodeError as error:
                raise AssertionError(f"{block.place}: {error}") from error


def test_every_setting_that_the_pages_name_is_one_and_every_setting_is_named() -> None:
    named = named_in((ROOT / page.name).read_text() for page in PAGES)
    assert sorted(named - settable() - read_elsewhere()) == [], "nothing reads these"
    assert sorted((settable() | read_elsewhere()) - named) == [], "no page documents these"


def is_known(info: str) -> bool:
    kind, *more = info.split() or [""]
    return kind in KINDS and MORE.issuperset(more)


def check_yaml(block: Piece, folder: Path) -> None:
    """It is YAML; and where it is a job spec, a part of one, or an atlas, it is a valid one."""
    content = yaml.safe_load(block.text)
    if not isinstance(content, dict):
        return
    if "topics" in content:
        (folder / "atlas.yaml").write_text(block.text)
        domain, atlas = read_atlas_file(folder / "atlas.yaml")
        AtlasContent.model_validate(atlas).to_atlas(domain)
    elif content.keys() <= JobSpec.model_fields.keys():
        (folder / "spec.yaml").write_text(block.text)
        spec = resolve_atlases(read_spec(str(folder / "spec.yaml")), folder)
        parse_spec(spec if "dataset" in spec else {"dataset": "a", "mix": MIX} | spec)


def begins_with_a_program(bare: str) -> bool:
    """Whether its first word, after assignments, may be the name of a program; a line of output seldom looks so."""
    words = shlex.split(re.sub(r"\$\([^)]*\)", "", bare), comments=True)
    first = next((word for word in words if not re.match(r"\w+=", word)), "export")
    is_program = re.fullmatch(r"[~.]{0,2}[\w./*-]*/[\w.*-]+|[a-z][a-z0-9_.-]*|[{(]", first)
    return is_program is not None and not re.search(r"\w[.:]$", bare)


def is_command_of_ours(line: str) -> bool:
    words = mentioned_words(line)
    return words is not None and not refusal("", words, mention=False)


def refusal(place: str, words: list[str], *, mention: bool) -> list[str]:
    try:
        require_accepted(words, mention=mention)
    except Refused as error:
        return [f"{place}: {error}"]
    return []


BROKEN = """\
# A page

```
./run up --wrkers 3
```

```sh
./run up --wrkers 3
wrote demo-bundle: 60,000 rows.
./run questmill export mine --format csv
```

```text
$ ./run up
./run keys list
```

```yaml
dataset: mine
stages: [answer, generate]
```

See `./run questmill nonsense`, [a file](nowhere.md) and [a heading](#nowhere).
"""


def test_what_is_wrong_with_a_page_is_said_with_its_line(tmp_path: Path) -> None:
    page = parse_page("README.md", BROKEN)
    with pytest.raises(AssertionError, match=r"README\.md:4: '' is none of"):
        test_every_block_says_what_it_is(page)
    with pytest.raises(AssertionError, match=r"(?s)README\.md:9: no command: wrote.*:14: a command.*:15: a command"):
        test_blocks_of_shell_hold_commands_and_blocks_of_text_hold_none(page)
    with pytest.raises(AssertionError, match=r"(?s)README\.md:8: .*--wrkers.*:10: .*'csv'.*:23: No such command"):
        test_every_command_of_ours_is_one_that_run_takes(page)
    with pytest.raises(AssertionError, match=r"(?s):23: there is no nowhere\.md.*:23: README\.md has no heading"):
        test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page)
    with pytest.raises(AssertionError, match=r"README\.md:19: stages: name each stage once"):
        test_blocks_of_yaml_are_read_as_the_product_reads_them(page, tmp_path)

"""How a schema stands to a release; a step that takes something away says so."""

import ast
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.schema import Verdict, in_words, verdict_of, why_refused
from shared.database.schema import ROOT, Standing, Step, judge, read_steps

# What went before was upgraded by starting all anew; its steps are what they are.
FIRST_RULED = "0015"
NARROWING = frozenset({"drop_column", "drop_table", "rename_table"})
UNIQUE_DROPS = frozenset({"drop_constraint", "drop_index"})
# SQL that does the same.
NARROWING_SQL = ("DROP COLUMN", "DROP TABLE", "DROP VIEW", "RENAME", "SET NOT NULL", "SET DATA TYPE")
NARROWING_ARGUMENTS = frozenset({"new_column_name", "type_"})


def step(revision: str, contract: str | None = None) -> Step:
    return Step(revision, f"what {revision} brings", contract)


STEPS = [step("0001"), step("0002", "release 1 reads column a"), step("0003")]


@pytest.mark.parametrize(
    ("current", "standing", "missing", "verdict"),
    [
        (None, Standing.EMPTY, 3, Verdict.OLDER),
        ("0001", Standing.OLDER, 2, Verdict.OLDER_AND_CONTRACTS),
        ("0002", Standing.OLDER, 1, Verdict.OLDER),
        ("0003", Standing.AGREES, 0, Verdict.FITS),
        ("0004", Standing.NEWER, 0, Verdict.FITS),
        ("abc", Standing.UNKNOWN, 0, Verdict.DIFFERENT),
        ("0000", Standing.UNKNOWN, 0, Verdict.DIFFERENT),
    ],
)
def test_a_release_knows_how_a_schema_stands_to_it(
    current: str | None, standing: Standing, missing: int, verdict: Verdict
) -> None:
    schema = judge(current, STEPS)
    assert (schema.standing, len(schema.missing), verdict_of(schema)) == (standing, missing, verdict)
    assert current is None or current in in_words(schema)


def test_what_would_break_the_release_before_is_taken_only_when_asked_for() -> None:
    schema = judge("0001", STEPS)
    told = why_refused(schema, contract=False)
    assert told is not None
    assert "release 1 reads column a" in told
    assert "--contract" in told
    assert why_refused(schema, contract=True) is None
    assert why_refused(judge("0002", STEPS), contract=False) is None
    assert why_refused(judge(None, STEPS), contract=False) is None
    assert why_refused(judge("abc", STEPS), contract=True) is not None


@given(contracts=st.lists(st.booleans(), min_size=1, max_size=8), at=st.integers(0, 7))
def test_the_missing_steps_are_those_after_the_current_one(contracts: list[bool], at: int) -> None:
    steps = [step(f"{number:04}", "why" if is_one else None) for number, is_one in enumerate(contracts)]
    at = min(at, len(steps) - 1)
    schema = judge(f"{at:04}", steps)
    assert schema.missing == tuple(steps[at + 1 :])
    assert len(schema.contracts) == sum(contracts[at + 1 :])


def narrowing(source: str) -> Iterator[str]:
    """What in a migration, downgrade left out, takes away or narrows what the release before may use."""
    module = ast.parse(source)
    module.body = [node for node in module.body if not (isinstance(node, ast.FunctionDef) and node.name == "downgrade")]
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in NARROWING:
                yield node.func.attr
            if node.func.attr in UNIQUE_DROPS and any(name in ast.unparse(node.args[0]) for name in ("pk_", "uq_")):
                # The release before may name its columns in ON CONFLICT.
                yield f"{node.func.attr} {ast.unparse(node.args[0])}"
            if node.func.attr == "alter_column":
                given_names = {each.arg for each in node.keywords}
                yield from (f"alter_column {name}" for name in NARROWING_ARGUMENTS & given_names)
                if any(each.arg == "nullable" and ast.unparse(each.value) == "False" for each in node.keywords):
                    yield "alter_column nullable=False"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (word for word in NARROWING_SQL if word in node.value.upper())


def test_every_step_that_narrows_says_why() -> None:
    reasons = {each.revision: each.contract for each in read_steps()}
    for path in sorted((ROOT / "migrations/versions").glob("*.py")):
        found = list(narrowing(path.read_text()))
        if path.name[:4] >= FIRST_RULED and found:
            assert reasons[path.name[:4]], f"{path.name} has {found}: it needs a CONTRACT"


def test_narrowing_is_seen() -> None:
    assert list(narrowing('def upgrade():\n    op.drop_column("question", "text")')) == ["drop_column"]
    assert list(narrowing('def upgrade():\n    op.execute("ALTER TABLE a DROP COLUMN b")')) == ["DROP COLUMN"]
    narrowed = 'def upgrade():\n    op.alter_column("a", "b", nullable=False)'
    assert list(narrowing(narrowed)) == ["alter_column nullable=False"]
    assert list(narrowing('def upgrade():\n    op.drop_constraint(op.f("pk_a"), "a")')) == [
        "drop_constraint op.f('pk_a')"
    ]
    assert list(narrowing('def upgrade():\n    op.drop_constraint(op.f("ck_a"), "a")')) == []
    back = 'def upgrade():\n    op.add_column("a", b)\n\ndef downgrade():\n    op.drop_column("a", "b")'
    assert list(narrowing(back)) == []

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.pages import IdPage, NumberPage, PageQuery
from shared.errors import InvalidInput


def next_cursor(row_id: UUID | int) -> str:
    page = PageQuery(limit=1).page([{"id": row_id}, {"id": row_id}])
    assert isinstance(page["next_cursor"], str)
    return page["next_cursor"]


@given(st.uuids())
def test_a_uuid_cursor_comes_back(row_id: UUID) -> None:
    assert IdPage(cursor=next_cursor(row_id)).after() == row_id


@given(st.integers(1, 2**63 - 1))
def test_a_number_cursor_comes_back(row_id: int) -> None:
    assert NumberPage(cursor=next_cursor(row_id)).after() == row_id


@pytest.mark.parametrize("written", ["5", "+5", "5.0", "005"])
def test_a_whole_number_may_be_written_in_these_ways(written: str) -> None:
    assert PageQuery.model_validate({"limit": written}).limit == 5


@pytest.mark.parametrize(
    "written", [" 5", "5\n", "1_0", "\xa07", "5\x0c", "\u0665", "5.", "5.5", "5e0", "0x5", "", "five"]
)
def test_what_the_document_does_not_call_a_whole_number_is_none(written: str) -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        PageQuery.model_validate({"limit": written})


def test_the_last_page_has_no_cursor() -> None:
    assert PageQuery(limit=2).page([{"id": 1}, {"id": 2}]) == {"items": [{"id": 1}, {"id": 2}], "next_cursor": None}


@given(st.text(max_size=40))
def test_a_foreign_cursor_is_refused_or_harmless(cursor: str) -> None:
    for query in (IdPage(cursor=cursor), NumberPage(cursor=cursor)):
        with suppress(InvalidInput):
            assert query.after() is not None


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidInput):
        IdPage(cursor=next_cursor(7)).after()
    with pytest.raises(InvalidInput):
        NumberPage(cursor=next_cursor(UUID(int=7))).after()

"""Files that are dropped: into the field that takes them, beside it, several at once, and such as nobody can use."""

import json

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage
from tests.browser.samples import Samples

REFUSED = r"status of 4\d\d .*/baseline"
# What the browser hands to a page when files of these names and texts are dropped on it.
DROPPED = """files => {
    const dropped = new DataTransfer()
    for (const [name, text] of files) dropped.items.add(new File([text], name))
    return dropped
}"""
# Whether the page keeps the browser from opening the file in its place.
KEEPS = """([kind, dropped]) => {
    const event = new DragEvent(kind, {dataTransfer: dropped, bubbles: true, cancelable: true})
    document.querySelector("h1").dispatchEvent(event)
    return event.defaultPrevented
}"""


def drop(page: Page, target: Locator, *files: tuple[str, str]) -> None:
    """Drag files over a place and let them fall."""
    dropped = page.evaluate_handle(DROPPED, [list(each) for each in files])
    for kind in ("dragenter", "dragover", "drop"):
        target.dispatch_event(kind, {"dataTransfer": dropped})


def lines(*questions: str) -> str:
    """A baseline file."""
    return "\n".join(json.dumps({"question": each, "domain": "math", "difficulty": "easy"}) for each in questions)


def test_dropped_file_is_imported_into_the_dataset_named_after_it(open_page: OpenPage) -> None:
    page = open_page("/#/datasets")
    drop(page, page.get_by_test_id("import"), ("dropped.jsonl", lines("How many wheels have two carts?")))
    expect(page.get_by_test_id("import-report")).to_contain_text("dropped: 1 read, 1 imported")
    expect(page.get_by_test_id("dataset-link").filter(has_text="dropped")).to_be_visible()


def test_dropped_file_goes_into_the_dataset_of_its_page(open_page: OpenPage) -> None:
    page = open_page("/#/datasets")
    drop(page, page.get_by_test_id("import"), ("own-page.jsonl", lines("How many wheels have three carts?")))
    page.get_by_test_id("dataset-link").filter(has_text="own-page").click()
    expect(page.get_by_test_id("count-selected")).to_have_text("1")
    drop(page, page.get_by_test_id("import"), ("else.jsonl", lines("How old is the oldest of four oaks?")))
    expect(page.get_by_test_id("import-report")).to_contain_text("own-page: 1 read, 1 imported")
    expect(page.get_by_test_id("count-selected")).to_have_text("2")
    expect(page.get_by_test_id("question-row")).to_have_count(2)


def test_field_shows_that_a_file_is_over_it(open_page: OpenPage) -> None:
    page = open_page("/#/datasets")
    field = page.get_by_test_id("import")
    dropped = page.evaluate_handle(DROPPED, [["any.jsonl", ""]])
    field.dispatch_event("dragover", {"dataTransfer": dropped})
    expect(field).to_have_class("drop over")
    field.dispatch_event("dragleave", {"dataTransfer": dropped})
    expect(field).to_have_class("drop ")


def test_several_files_at_once_are_not_taken_for_one(open_page: OpenPage) -> None:
    page = open_page("/#/datasets")
    drop(page, page.get_by_test_id("import"), ("first.jsonl", lines("Who was it?")), ("second.jsonl", lines("Why?")))
    expect(page.get_by_test_id("import-problem")).to_have_text("Drop one file at a time: these are 2.")
    expect(page.get_by_test_id("dataset-link").filter(has_text="first")).to_have_count(0)


def test_dragged_text_is_not_taken_for_a_file(open_page: OpenPage) -> None:
    page = open_page("/#/datasets")
    drop(page, page.get_by_test_id("import"))
    expect(page.get_by_test_id("import-problem")).to_have_text("That is not a file: drop a file of JSON lines.")


@pytest.mark.parametrize("kind", ["dragover", "drop"])
@pytest.mark.parametrize("path", ["/#/datasets", "/#/new"])
def test_file_beside_the_field_does_not_replace_the_page(open_page: OpenPage, path: str, kind: str) -> None:
    page = open_page(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    dropped = page.evaluate_handle(DROPPED, [["beside.jsonl", ""]])
    assert page.evaluate(KEEPS, [kind, dropped])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("My Questions (1).jsonl", lines("Who is it?"), "name"),
        ("not-gzip.jsonl.gz", "plain text", "none of the file's lines is a question"),
        ("no-lines.jsonl", "this is prose\nand no JSON", "none of the file's lines is a question"),
        ("empty.jsonl", "", "holds no lines"),
    ],
)
def test_unusable_file_is_said(open_page: OpenPage, complaints: Complaints, name: str, text: str, said: str) -> None:
    complaints.provoke(REFUSED)
    page = open_page("/#/datasets")
    drop(page, page.get_by_test_id("import"), (name, text))
    told = page.get_by_test_id("import").get_by_role("status")
    expect(told).to_contain_text(said)
    print(told.inner_text())


def test_choose_button_opens_the_files(open_page: OpenPage, samples: Samples) -> None:
    page = open_page(f"/#/datasets/{samples.dataset}")
    with page.expect_file_chooser():
        page.get_by_test_id("import-choose").click()

"""A dataset: found, filtered, searched, seen to the ground, corrected by hand, taken away."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.questions import choose_state, rows
from tests.browser.samples import Samples
from tests.faults.system import RunningSystem


@pytest.fixture
def page(open_page: OpenPage, samples: Samples) -> Page:
    """The page of the sampled dataset, with its first questions."""
    opened = open_page(f"/#/datasets/{samples.dataset}")
    expect(rows(opened).first).to_be_visible()
    return opened


def test_dataset_is_found_in_the_list(open_page: OpenPage, samples: Samples) -> None:
    page = open_page("/#/")
    page.get_by_test_id("nav-datasets").click()
    page.get_by_test_id("dataset-link").filter(has_text=samples.dataset).click()
    expect(page.get_by_test_id("dataset-name")).to_have_text(samples.dataset)
    expect(page.get_by_test_id("count-selected")).to_have_text("60")


def test_filters_and_search_narrow_the_list(page: Page, samples: Samples, system: RunningSystem) -> None:
    page.get_by_test_id("filter-domain").select_option("math")
    page.get_by_test_id("filter-difficulty").select_option("hard")
    page.get_by_test_id("filter-state").select_option("selected")
    wanted = system.value(
        "SELECT count(*) FROM question JOIN dataset ON dataset.id = dataset_id "
        "WHERE name = %s AND domain = 'math' AND difficulty = 'hard' AND state = 'selected'",
        [samples.dataset],
    )
    expect(rows(page)).to_have_count(wanted)
    for text in rows(page).all_inner_texts():
        assert "math / hard" in text
    page.get_by_test_id("filter-text").fill("no question holds this")
    expect(page.get_by_test_id("no-questions")).to_be_visible()
    word = system.value(
        "SELECT split_part(text, ' ', 2) FROM question JOIN dataset ON dataset.id = dataset_id "
        "WHERE name = %s AND domain = 'math' AND difficulty = 'hard' AND state = 'selected' LIMIT 1",
        [samples.dataset],
    )
    page.get_by_test_id("filter-text").fill(word)
    expect(rows(page).first).to_contain_text(re.compile(re.escape(word), re.IGNORECASE))
    page.reload()  # filters are in the address
    expect(page.get_by_test_id("filter-domain")).to_have_value("math")
    expect(page.get_by_test_id("filter-text")).to_have_value(word)


def test_cell_of_the_heat_map_leads_to_its_questions(page: Page) -> None:
    page.locator('[data-cell="coding/hard"] a').click()
    expect(page.get_by_test_id("filter-domain")).to_have_value("coding")
    expect(rows(page).first).to_contain_text("coding / hard")
    expect(rows(page).filter(has_text="math / ")).to_have_count(0)


def test_long_names_of_cells_fold_within_their_panel(
    open_page: OpenPage, system: RunningSystem, tmp_path: Path
) -> None:
    row = {"question": "How many names are there?", "domain": "d" * 64, "difficulty": "e" * 64}
    file = tmp_path / "long.jsonl"
    file.write_text(json.dumps(row))
    system.client.import_baseline("long-names", file)
    page = open_page("/#/datasets/long-names")
    panel, heat = (page.get_by_test_id(name).bounding_box() for name in ("panel-cells", "heat"))
    assert panel is not None
    assert heat is not None
    assert heat["x"] + heat["width"] <= panel["x"] + panel["width"]


def test_provenance_shows_prompt_reply_verdicts_answer_and_cost(
    page: Page, samples: Samples, system: RunningSystem
) -> None:
    choose_state(page, "selected")
    link = page.get_by_test_id("question-link").first
    text = link.inner_text()
    link.click()
    shown = page.get_by_test_id("question")
    expect(shown.get_by_test_id("question-text")).to_have_text(text)
    expect(shown.get_by_test_id("verdict").first).to_contain_text("accepted")
    expect(shown.get_by_test_id("answer").first).to_be_visible()
    [row] = system.query(
        "SELECT call.raw, call.model FROM question JOIN call ON call.id = call_id WHERE question.id = %s",
        [shown.get_attribute("data-question")],
    )
    expect(shown.get_by_test_id("call")).to_contain_text(row.model)
    expect(shown.get_by_test_id("call-cost")).to_have_text(re.compile(r"^\$0\.\d*[1-9]"))
    expect(shown.get_by_test_id("prompt")).to_contain_text("topic")
    assert json.loads(shown.get_by_test_id("raw").locator("pre").inner_text()) == json.loads(row.raw)
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    expect(link).to_be_focused()


def test_question_is_discarded_and_restored_by_hand(page: Page, system: RunningSystem) -> None:
    choose_state(page, "selected")
    page.get_by_test_id("question-link").first.click()
    question = page.get_by_test_id("question")
    expect(question.get_by_test_id("question-state")).to_have_text("selected")
    number = question.get_attribute("data-question")
    question.get_by_test_id("discard").click()
    expect(question.get_by_test_id("question-state")).to_have_text("discarded")
    expect(page.get_by_test_id("count-discarded")).to_have_text("1")
    assert system.value("SELECT state::text FROM question WHERE id = %s", [number]) == "discarded"
    question.get_by_test_id("restore").click()
    expect(question.get_by_test_id("question-state")).to_have_text(re.compile("selected|reserve"))
    expect(page.get_by_test_id("count-discarded")).to_have_text("0")


def test_export_is_the_selected_questions(page: Page, tmp_path: Path) -> None:
    selected = int(page.get_by_test_id("count-selected").inner_text())
    with page.expect_download() as coming:
        page.get_by_test_id("export-jsonl").click()
    coming.value.save_as(tmp_path / "questions.jsonl")
    lines = (tmp_path / "questions.jsonl").read_text().splitlines()
    assert len(lines) == selected
    assert all(json.loads(line)["question"] for line in lines)
    with page.expect_download() as coming:
        page.get_by_test_id("export-parquet").click()
    coming.value.save_as(tmp_path / "questions.parquet")
    assert (tmp_path / "questions.parquet").read_bytes()[:4] == b"PAR1"


def test_selected_questions_that_an_export_leaves_out_are_told(
    open_page: OpenPage, system: RunningSystem, tmp_path: Path
) -> None:
    asked = ["What is 3 + 400?", "Why do leaves turn red in autumn?", "How far is it to the moon?"]
    lines = [json.dumps({"question": each, "domain": "math", "difficulty": "easy"}) for each in asked]
    file = tmp_path / "asked.jsonl"
    file.write_text("\n".join(lines))
    system.client.import_baseline("guarded", file)
    page = open_page("/#/datasets/guarded")
    expect(page.get_by_test_id("count-selected")).to_have_text("3")
    expect(page.get_by_test_id("left-out")).to_have_count(0)
    system.client.decontaminate("guarded", "tests", json.dumps({"prompt": asked[0]}).encode())
    page.reload()
    expect(page.get_by_test_id("left-out")).to_have_text("1 of the selected is left out of exports: contaminated")
    with page.expect_download() as coming:
        page.get_by_test_id("export-jsonl").click()
    coming.value.save_as(tmp_path / "questions.jsonl")
    assert len((tmp_path / "questions.jsonl").read_text().splitlines()) == 2


def test_text_is_compared_with_the_dataset(page: Page) -> None:
    page.get_by_test_id("check-text").fill(page.get_by_test_id("question-link").first.inner_text())
    page.get_by_test_id("check").click()
    expect(page.get_by_test_id("check-result")).to_contain_text("there already")
    page.get_by_test_id("check-text").fill("Which colour had the third balloon of the baker's nephew?")
    page.get_by_test_id("check").click()
    expect(page.get_by_test_id("check-result")).to_contain_text("New")
    page.get_by_test_id("near").click()
    expect(page.get_by_test_id("near-report")).to_contain_text("compared")


def test_file_is_imported(open_page: OpenPage, tmp_path: Path) -> None:
    rows = [{"question": f"How many legs have {n} spiders?", "domain": "math", "difficulty": "easy"} for n in (3, 4)]
    file = tmp_path / "imported.jsonl"
    file.write_text("\n".join([*map(json.dumps, rows), json.dumps(rows[0]), "no JSON"]))
    page = open_page("/#/datasets")
    page.get_by_test_id("import-name").fill("imported")
    page.get_by_test_id("import-file").set_input_files(file)
    report = page.get_by_test_id("import-report")
    expect(report).to_contain_text("imported: 4 read, 2 imported, 1 duplicates, 1 invalid")
    expect(page.get_by_test_id("dataset-link").filter(has_text="imported")).to_be_visible()

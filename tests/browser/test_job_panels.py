"""What the panels of a job and of a dataset say is what the API says."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.samples import Samples
from tests.faults.system import RunningSystem, wait_until


@pytest.fixture
def page(open_page: OpenPage, samples: Samples) -> Page:
    """The page of the sampled job, which has ended."""
    opened = open_page(f"/#/jobs/{samples.job_id}")
    expect(opened.get_by_test_id("job-state")).to_have_text("succeeded")
    return opened


def number(text: str) -> int:
    """A count as the page writes it."""
    return int(text.replace(",", ""))


def counts(panel: Locator) -> dict[str, int]:
    """What a panel of counts says."""
    return {
        str(each.get_attribute("data-name")): number(each.inner_text().rpartition(":")[2])
        for each in panel.get_by_test_id("count").all()
    }


def test_stages_and_money(page: Page, samples: Samples, system: RunningSystem) -> None:
    progress = system.client.job(samples.job_id)["progress"]
    assert [each["stage"] for each in progress["stages"]] == ["generate", "validate", "answer"]
    for each in progress["stages"]:
        row = page.get_by_test_id("panel-stages").locator(f'[data-stage="{each["stage"]}"] td')
        shown = row.all_inner_texts()
        actual = each["actual"]
        wanted = [each["judged"], each["passed"], each["left"]["questions"], actual["calls"],
                  actual["input_tokens"], actual["output_tokens"]]  # fmt: skip
        assert [number(text) for text in shown[:6]] == wanted
        assert shown[7].startswith("$")
        assert float(shown[7].removeprefix("$")) == pytest.approx(float(actual["cost_usd"]), abs=0.0051)
    expect(page.get_by_test_id("readout-questions")).to_have_text("60 of 60")
    expect(page.get_by_test_id("readout-yield")).to_have_text(f"{progress['yield'] * 100:.1f} %")
    expect(page.get_by_test_id("readout-calls")).to_contain_text(f"{progress['calls']['sent']:,}")
    expect(page.get_by_test_id("readout-took")).to_have_text(re.compile(r"\d s$"))
    expect(page.get_by_test_id("progress")).to_have_attribute("aria-valuenow", "100")


def test_counts_by_name(page: Page, samples: Samples, system: RunningSystem) -> None:
    progress = system.client.job(samples.job_id)["progress"]
    for panel, wanted in {
        "rejected": progress["rejected"], "repaired": progress["repaired"], "outcomes": progress["calls"]["outcomes"],
    }.items():  # fmt: skip
        assert counts(page.get_by_test_id(f"panel-{panel}")) == wanted, panel


def test_cells_and_token_balance(page: Page, samples: Samples, system: RunningSystem) -> None:
    progress = system.client.job(samples.job_id)["progress"]
    cells = page.get_by_test_id("panel-cells").get_by_test_id("cell")
    expect(cells).to_have_count(len(progress["cells"]))
    for each in progress["cells"]:
        cell = page.locator(f'[data-cell="{each["domain"]}/{each["difficulty"]}"]')
        expect(cell).to_contain_text(f"{each['answered']} of {each['target']}")
    for name, planned in progress["token_shares"]["planned"].items():
        gauge = page.get_by_test_id("panel-balance").locator(f'[data-difficulty="{name}"]')
        expect(gauge).to_contain_text(f"planned {planned * 100:.2f} %")
        expect(gauge).to_contain_text(f"{progress['token_shares']['measured'][name] * 100:.2f} %")


def test_charts_are_read_by_keyboard(page: Page) -> None:
    for name in ("throughput", "latency", "spend"):
        chart = page.get_by_test_id(f"panel-{name}").get_by_test_id(f"chart-{name}")
        drawn = chart.get_by_role("img")
        expect(chart.locator("path").first).to_be_attached()
        drawn.focus()
        newest = str(drawn.get_attribute("aria-label"))
        drawn.press("Home")
        expect(drawn).not_to_have_attribute("aria-label", newest)
        drawn.press("End")
        expect(drawn).to_have_attribute("aria-label", newest)


def test_limits_name_the_jobs_models(page: Page, samples: Samples, system: RunningSystem) -> None:
    rows = page.get_by_test_id("panel-limits").get_by_test_id("limit")
    used = {"openai/gpt-6-luna", "anthropic/claude-sonnet-5-5"}
    known = {each["model"] for each in system.client.limits()["items"]} & used
    assert known
    expect(rows).to_have_count(len(known))
    assert {row.get_by_role("rowheader").inner_text() for row in rows.all()} == known


def test_last_questions_lead_to_their_provenance(page: Page, samples: Samples) -> None:
    newest = page.get_by_test_id("newest-question")
    expect(newest).to_have_count(20)
    text = newest.first.inner_text()
    newest.first.click()
    expect(page.get_by_test_id("question-text")).to_have_text(text)
    page.get_by_test_id("question").get_by_role("link", name="its job").click()
    expect(page).to_have_url(re.compile(f"#/jobs/{samples.job_id}"))


def test_refused_are_chosen_by_reason_and_lead_to_what_they_repeat(
    page: Page, samples: Samples, system: RunningSystem
) -> None:
    page.get_by_test_id("refused-show").click()
    page.get_by_test_id("refused-reason").select_option("exact")
    exact = list(system.client.rejections(samples.job_id, reason="exact"))
    assert exact, "no plant came twice"
    rows = page.get_by_test_id("refused-row")
    more = page.get_by_test_id("refused-more")
    expect(rows).to_have_count(min(20, len(exact)))
    while more.count():
        shown = rows.count()
        more.click()
        expect(rows).to_have_count(min(shown + 20, len(exact)))
    expect(rows).to_have_count(len(exact))
    expect(rows.filter(has_not_text="exact")).to_have_count(0)
    match = page.get_by_test_id("refused-match").first
    text = match.inner_text()
    match.click()
    expect(page.get_by_test_id("question-text")).to_have_text(text)


def test_distributions_follow_the_filters(open_page: OpenPage, samples: Samples, system: RunningSystem) -> None:
    page = open_page(f"/#/datasets/{samples.dataset}")
    panel = page.get_by_test_id("panel-distributions")
    for path in ("", "?domain=math", "?domain=math&difficulty=hard"):
        page.goto(f"/#/datasets/{samples.dataset}{path}")
        wanted = system.client.distributions(
            samples.dataset, domain="math" if path else None, difficulty="hard" if "hard" in path else None
        )
        expect(panel).to_contain_text(f"{wanted['questions']} selected")
        for name in ("prompt", "completion"):
            mean = f"mean {wanted[f'{name}_tokens']['mean']:.1f}"
            expect(panel.get_by_test_id(f"lengths-{name}")).to_contain_text(mean)


def test_batch_is_found_in_flower(open_page: OpenPage, long_job: str) -> None:
    page = open_page(f"/#/jobs/{long_job}")
    link = page.get_by_test_id("panel-batches").get_by_test_id("batch").first.locator("a")
    # In one look: the first batch may be another one a moment later.
    label, href = link.evaluate("link => [link.innerText, link.getAttribute('href')]")
    found = wait_until(lambda: (shown := page.request.get(href)).ok and shown, f"{href} in Flower")
    assert label in found.text()
    front = page.request.get(str(page.get_by_test_id("flower").get_attribute("href")))
    assert front.ok
    assert "Flower" in front.text()

"""The views of the dashboard: where each is, and what is there once it has its data."""

from dataclasses import dataclass

from playwright.sync_api import Page

from tests.browser.samples import Samples


@dataclass(frozen=True, slots=True)
class View:
    """`path` may hold {dataset}, {job_id}, {question}; `ready` are `data-test` names that must show."""

    name: str
    path: str
    ready: tuple[str, ...]


VIEWS = (
    View("jobs", "/#/", ("jobs", "job-row")),
    View("job", "/#/jobs/{job_id}", ("job-name", "heat", "gauge", "stages", "newest-question")),
    View("new", "/#/new?preset=seed", ("plan-cost",)),
    View("datasets", "/#/datasets", ("dataset-row",)),
    View("dataset", "/#/datasets/{dataset}", ("question-row", "heat")),
    View("question", "/#/datasets/{dataset}/questions/{question}", ("question-text", "answer", "verdict")),
)


def path_of(view: View, samples: Samples) -> str:
    """The view's path in this system."""
    return view.path.format(dataset=samples.dataset, job_id=samples.job_id, question=samples.question_id)


def wait_until_ready(page: Page, view: View) -> None:
    """Until the view shows its data."""
    for name in view.ready:
        page.get_by_test_id(name).first.wait_for()

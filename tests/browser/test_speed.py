"""The first paint comes at once."""

from statistics import median

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenPage
from tests.browser.samples import Samples
from tests.browser.views import VIEWS, View, path_of, wait_until_ready

RELOADS = 5
MOST_MILLISECONDS = 300
# What is slow because others use the machine is quick another time; what is slow in itself never is.
ROUNDS = 10
FIRST_PAINT = """() => new Promise(resolve => new PerformanceObserver(list => {
    for (const paint of list.getEntriesByName("first-contentful-paint")) resolve(paint.startTime)
}).observe({type: "paint", buffered: true}))"""


def paint_anew(page: Page) -> float:
    """Milliseconds from a reload to its first contentful paint."""
    page.reload()
    painted: float = page.evaluate(FIRST_PAINT)
    return painted


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_first_paint_is_quick(view: View, samples: Samples, open_page: OpenPage) -> None:
    page = open_page(path_of(view, samples))
    wait_until_ready(page, view)
    for _ in range(ROUNDS):
        taken = [paint_anew(page) for _ in range(RELOADS)]
        print(f"first contentful paint of {view.name}: {', '.join(f'{each:.0f}' for each in taken)} ms")
        if median(taken) < MOST_MILLISECONDS:
            return
    pytest.fail(f"the first paint of {view.name} takes {median(taken):.0f} ms")

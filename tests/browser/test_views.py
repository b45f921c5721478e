"""Every view in every look: no complaint of the browser, no serious finding of axe, nothing wider than the window."""

from pathlib import Path

import pytest

from tests.browser.accessibility import serious_findings
from tests.browser.conftest import OpenPage
from tests.browser.looks import LOOKS, Look
from tests.browser.samples import Samples
from tests.browser.views import VIEWS, View, path_of, wait_until_ready

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_view_is_sound(view: View, look: Look, samples: Samples, open_page: OpenPage, screenshots: Path | None) -> None:
    page = open_page(path_of(view, samples), look)
    wait_until_ready(page, view)
    assert serious_findings(page) == []
    assert page.evaluate(WIDER) == 0, "the page scrolls sideways"
    if screenshots:
        page.screenshot(path=screenshots / f"{view.name}-{look.name}.png", full_page=True)

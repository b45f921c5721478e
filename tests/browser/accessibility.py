"""What axe-core finds on a page."""

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
SERIOUS = frozenset({"serious", "critical"})
RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"


@cache
def _axe() -> str:
    return AXE.read_text()


def serious_findings(page: Page) -> list[str]:
    """Serious and critical findings, one line for each element: "color-contrast: ... at main > p: ..."."""
    # Evaluated by the debugger, which the page's content policy does not bind.
    page.evaluate(_axe())
    violations: list[dict[str, Any]] = page.evaluate(RUN)
    return [
        f"{violation['impact']} {violation['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for violation in violations
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]

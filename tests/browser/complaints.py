"""What a browser says against a page: errors on its console, failed requests, refusals by its content policy."""

import re
from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, Request

# Bindings are exempt from the page's content policy, and a page without scripts is listened to as well.
LISTEN_TO_POLICY = """
document.addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI, sourceFile, lineNumber}) =>
    questmillPolicyViolation(`${violatedDirective} refuses ${blockedURI} (${sourceFile}:${lineNumber})`))
"""
# The page itself gave the request up: it was left, or a newer one replaced it.
GIVEN_UP = "net::ERR_ABORTED"


@dataclass  # without slots: Playwright notes on the object what it called
class Complaints:
    """All that was said against the pages listened to, less what a test provokes."""

    heard: list[str] = field(default_factory=list)
    provoked: list[re.Pattern[str]] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """Hear everything about a page; call it before the page loads anything."""
        page.on("console", self._hear_console)
        page.on("pageerror", lambda error: self.heard.append(f"exception: {error}"))
        page.on("requestfailed", self._hear_failure)
        page.expose_function("questmillPolicyViolation", lambda text: self.heard.append(f"content policy: {text}"))
        page.add_init_script(LISTEN_TO_POLICY)

    def provoke(self, pattern: str) -> None:
        """Expect complaints that match the pattern: the test causes them."""
        self.provoked.append(re.compile(pattern))

    def check(self) -> None:
        """Fail with all complaints that were not provoked."""
        unexpected = [text for text in self.heard if not any(pattern.search(text) for pattern in self.provoked)]
        assert not unexpected, "the browser complained:\n" + "\n".join(unexpected)

    def _hear_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.heard.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _hear_failure(self, request: Request) -> None:
        if request.failure != GIVEN_UP:
            self.heard.append(f"request failed: {request.method} {request.url}: {request.failure}")

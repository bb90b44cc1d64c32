"""A Chromium with a service before it: what the tests of the pages share."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect, sync_playwright

from conftest import CHROMIUM_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) shifts.push(entry.value);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium that ends with the block."""
    path = next(path for path in map(shutil.which, CHROMIUM_NAMES) if path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page in a context of its own, with what the browser complained of and what it asked for."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        expect.set_options(20_000)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(_WATCH_SHIFTS)
        self.page.goto(url)

    def shift(self) -> float:
        """The layout shift so far that nobody caused, as browsers score it."""
        return float(self.page.evaluate("shifts.reduce((sum, shift) => sum + shift, 0)"))

    def transferred(self) -> int:
        """Bytes that came over the network, headers included."""
        return int(
            self.page.evaluate(
                "['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type))"
                ".reduce((sum, entry) => sum + entry.transferSize, 0)"
            )
        )

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def barriers(self) -> list[str]:
        """What axe-core finds, however small, with the element."""
        self.page.evaluate(_AXE)
        found = self.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        return [
            f"{violation['id']}: {node['html'][:120]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """A visit of a page, whose context ends with the block."""
    visit = Visit(browser, url, **options)
    try:
        yield visit
    finally:
        visit.context.close()

"""The report of a week in a real browser: on a desk, on a phone, dark, and on paper."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from beast_ml.operations.periodic_report.files import write_report
from beast_ml.operations.periodic_report.period import Period
from beast_ml.operations.periodic_report.report import Sources, periodic_report
from beast_ml.testing.costly_logs import COSTLY_START, costly_log

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    week = Period.ending("week", (COSTLY_START + timedelta(days=13)).date())
    report = periodic_report(Sources(costly_log(folder / "logs", 14, 20)), week)
    return write_report(report, folder / "out")[0]


def test_it_fetches_nothing_fits_every_screen_and_can_be_read_in_the_dark_and_on_paper(page_file) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        asked: list[str] = []
        papers: list[str] = []
        for scheme, width in (("light", 1200), ("dark", 1200), ("dark", 390)):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("request", lambda request: asked.append(request.url))
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 600)")
            papers.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the content"
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.get_by_role("navigation").is_visible()
        browser.close()
    assert papers[0] == "rgb(255, 255, 255)"
    assert papers[1] == papers[2] != papers[0]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}

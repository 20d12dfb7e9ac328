"""`beast dashboard` of two servers with API keys, in a real browser, once its reports are done."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.operations.keys.store import KeyStore

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]

ADMIN_KEY = "an admin key that only the operator knows"
SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "outcomes.parquet"
BEAST = [sys.executable, "-m", "beast_ml.cli"]


def ask(port, key):
    body = json.dumps({"prompt": "a poem, please"}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/route", body)
    request.add_header("content-type", "application/json")
    request.add_header("authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
        assert answer.status == 200


@pytest.fixture
def several(tmp_path, router_folder):
    """Return the page's address: of two servers, one with two workers, each asked, and a week of the log."""
    start = datetime.now(UTC) - timedelta(days=6)
    simulate = ["logs", "simulate", SAMPLE, "--out", "log", "--requests", "3000", "--days", "5", "--start"]
    simulate += [f"{start:%Y-%m-%dT%H:%M:%S}", "--epsilon", "0.3"]
    subprocess.run([*BEAST, *map(str, simulate)], cwd=tmp_path, env=os.environ | {"COLUMNS": "80"}, check=True)
    secret = {"BEAST_ADMIN_KEY": ADMIN_KEY}
    dashboard = ["dashboard", "--store", "log"]
    with ExitStack() as stack:
        for name, workers in (("one", 2), ("two", 1)):
            key, port = KeyStore.open(tmp_path / name).create("acme"), free_port()
            serve = ["serve", "--router", router_folder, "--port", port, "--state", name, "--workers", workers]
            server = ServerProcess.start(
                [*BEAST, *map(str, serve)], port, tmp_path / f"{name}.log", folder=tmp_path, environment=secret
            )
            stack.callback(server.kill)
            for _ in range(4):
                ask(port, key)
            dashboard += ["--server", f"http://127.0.0.1:{port}", "--state", name]
        port = free_port()
        command = [*BEAST, *map(str, dashboard), "--port", str(port)]
        page = ServerProcess.start(
            command, port, tmp_path / "dashboard.log", folder=tmp_path, environment=secret, ready="/"
        )
        stack.callback(page.kill)
        yield f"http://127.0.0.1:{port}/"


def test_the_operator_alone_sees_all_servers_and_what_the_reports_found(several):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))

        page.goto(several)
        page.get_by_label("admin key").fill("a guess")
        page.keyboard.press("Enter")
        page.get_by_text("That is not the admin key.").wait_for()
        assert page.locator("#tiles").count() == 0
        page.get_by_label("admin key").fill(ADMIN_KEY)
        page.keyboard.press("Enter")

        page.locator("#servers .tag", has_text="up").nth(1).wait_for()
        page.wait_for_function("() => document.querySelector('#f-requests').textContent === '8'")
        assert page.locator("#servers tbody tr td:nth-child(8)").all_text_contents() == ["2", "1"]  # workers

        page.locator("#selection table").wait_for()
        assert "3,000" in page.locator("#selection tbody tr").first.text_content()
        page.get_by_text("beast report drift --store log --since 7d, at").wait_for()
        assert page.locator("#drift p").count() >= 2
        for panel in ("selection", "drift"):
            assert "Error" not in page.locator(f"#{panel}").text_content()
        assert ADMIN_KEY not in page.content()
        assert wrong == []
        browser.close()

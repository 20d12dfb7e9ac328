"""What an analyst sees in the MLflow UI, in a real browser."""

import shutil
import socket

import pytest

from beast_ml.registry.evidence import Interval
from beast_ml.registry.models import register_router
from beast_ml.registry.promotion import promote
from beast_ml.registry.tracking import training_run
from beast_ml.registry.ui import training_page, ui_server
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    make_bundle,
    migrated_store,
    small_bundle,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]

CARDS = {part: f"# The {part}\n\nHow good it is." for part in ("router", "encoder", "quality", "cost")}
QUIET_BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def trained(config, make_bundle, small_bundle):  # noqa: F811 - the fixtures imported above
    """Return a store with one training that does not pay, one that does, and a champion of each."""
    unproven = make_evidence(quality_gain=Interval(-0.05, -0.08, -0.02), router_quality=0.7512)
    for name, evidence, verdict in (
        ("without task labels", unproven, "routing does not pay here"),
        ("with task labels", make_evidence(), "routing pays here"),
    ):
        with training_run(config, name, "", {"data": "made-up outcomes"}) as run:
            run.params({"uses_task": "with" in name})
            run.dataset("made-up outcomes", digest="ab" * 32, source="outcomes.parquet", context="training")
            with run.child("quality predictor", "Predicts quality.", {"target": "quality"}) as child:
                child.metrics({"calibration/ece": 0.02})
            register_router(run, make_bundle(name), evidence, CARDS, small_bundle.features)
            run.describe(f"**Verdict:** {verdict}")
        promote(config)
    return config


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET_BROWSER)
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def sees(page, *texts):
    for text in texts:
        page.get_by_text(text).first.wait_for(state="visible")


def test_an_analyst_finds_the_way_without_asking(trained, page):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ui_server(trained, port) as server:
        runs = training_page(server.url, trained.experiment)

        page.goto(runs)  # the experiment says how to read it, and lists the trainings, not their children
        sees(page, "Read a training's tag", "without task labels", "with task labels", "made-up outcomes")
        assert page.get_by_text("quality predictor").count() == 0

        page.get_by_role("link", name="with task labels", exact=True).first.click()  # one training
        sees(page, "routing pays here", "verdict", "passed", "quality predictor", "beast-router")
        sees(page, "evidence/quality_gain_low", "evidence/cost_saving_high")

        page.goto(runs)  # two trainings side by side
        sees(page, "without task labels")
        for name in ("without task labels", "with task labels"):
            page.get_by_role("row").filter(has_text=name).get_by_label("Press Space to toggle").first.check()
        page.get_by_role("button", name="Compare", exact=True).click()
        sees(page, "Comparing 2 Runs", "evidence/quality_gain_low", "uses_task", "refused: pays")

        page.goto(f"{server.url}/#/models/beast-router?workflowType=machine_learning")  # what serves, and why
        sees(page, "Decides which candidate model answers a prompt", "champion_history", "2 > 3", "Version 3")
        sees(page, "@ champion", "@ previous", "champion_since", "always answers with large", "refused: pays")

        page.get_by_role("link", name="Version 2").click()  # the champion of the time when routing did not pay
        sees(page, "Always large", "every request goes to", "stands_in_for")

        page.goto(runs)
        page.get_by_role("button", name="Views").click()  # verdict and evidence as columns, in one step
        page.get_by_text("Trainings by evidence", exact=True).last.click()
        sees(page, "You're viewing a shared view", "evidence/quality_gain", "refused: pays")

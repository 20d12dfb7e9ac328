"""`beast dashboard` in a real browser, beside a real server under requests."""

import http.client
import json
import shutil
import sys
from contextlib import ExitStack

import pytest

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.logs.segment_reader import rows_in_segments
from beast_ml.testing.fake_provider import FakeProvider, Outcome, ProviderScript
from beast_ml.testing.worlds import WORLD_MODELS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]

QUIET_BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SECRET_TEXT = "a prompt that nobody may read"
ONE_FAILS = ProviderScript({"*": (Outcome(), Outcome(), Outcome(fault="server_error"), *[Outcome()] * 50)})
PRICES = [{"name": name, "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0} for name in WORLD_MODELS]


class Deployment:
    """A server that withholds prompts, its provider, and a dashboard that was there first."""

    def __init__(self, stack, folder, router_folder):
        self.folder, self.stack = folder, stack
        self.provider = stack.enter_context(FakeProvider(ONE_FAILS))
        self.port = free_port()
        self.router = router_folder
        self.server = None
        port = free_port()
        command = ["dashboard", "--server", f"http://127.0.0.1:{self.port}", "--state", folder / "state"]
        command += ["--store", folder / "logs", "--port", port, "--reports-every", 0]
        self.dashboard = self._start(command, port, "dashboard", ready="/")
        self.url = f"http://127.0.0.1:{port}/"

    def serve(self):
        endpoints = [{"name": f"{m}-1", "model": m, "base_url": self.provider.base_url()} for m in WORLD_MODELS]
        environment = {
            "BEAST_ENDPOINTS": json.dumps(endpoints),
            "BEAST_CANDIDATES": json.dumps(PRICES),
            "BEAST_SERVING__PROMPTS": "withhold",
            "BEAST_SERVING__COMPACT_S": "0",
            "BEAST_BUDGETS": json.dumps([{"scope": "global", "period": "day", "limit_usd": 5.0}]),
        }
        command = ["serve", "--router", self.router, "--port", self.port, "--state", self.folder / "state"]
        self.server = self._start(command, self.port, "server", environment=environment)

    def serve_some(self):
        """Have a server that has answered something, whichever test comes first."""
        if self.server is None:
            self.serve()
            for i in range(3):
                assert self.post("/v1/route", {"prompt": f"{SECRET_TEXT} {i} poem"})[0] == 200

    def _start(self, command, port, name, **more):
        command = [sys.executable, "-m", "beast_ml.cli", *map(str, command)]
        started = ServerProcess.start(command, port, self.folder / f"{name}.log", folder=self.folder, **more)
        self.stack.callback(started.kill)
        return started

    def post(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
        return answer.status, json.loads(told)

    def rows(self):
        return list(rows_in_segments(self.folder / "state" / "segments"))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, router_folder):
    with ExitStack() as stack:
        yield Deployment(stack, tmp_path_factory.mktemp("dashboard"), router_folder)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET_BROWSER)
        yield browser
        browser.close()


@pytest.fixture
def busy(deployment):
    deployment.serve_some()
    return deployment


@pytest.fixture
def page(browser, deployment):
    """Return the page in light colours; what it asked for, and what went wrong in it, is kept."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 1000}, color_scheme="light", timezone_id="America/New_York"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.asked, page.wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    page.goto(deployment.url)
    page.locator("#tiles .tile").first.wait_for()
    yield page
    assert page.wrong == []
    assert [url for url in page.asked if not url.startswith(deployment.url)] == []
    context.close()


def shows(page, selector, text):
    page.wait_for_function(
        "([s, t]) => document.querySelector(s)?.textContent.includes(t)", arg=[selector, text], timeout=60_000
    )


def figure(page, name):
    return page.locator(f"#f-{name}").text_content()


def table(page, chart):
    """Return what stands in the cells of a chart's table: it is drawn a moment after it is asked for."""
    page.locator("summary", has_text=f"Table of {chart}").click()
    cells = page.locator(f"#chart-{chart} ~ details tbody td")
    cells.first.wait_for()
    return cells.all_text_contents()


def test_before_there_is_a_server_the_page_says_so(page, deployment):
    shows(page, "#notices", f"No server at http://127.0.0.1:{deployment.port} yet")
    shows(page, "#notices", "The log is empty")
    assert figure(page, "requests") == "0"
    shows(page, "#chart-requests", "none in this window")


def test_numbers_on_the_page_are_those_of_the_log(page, deployment):
    if deployment.server is None:
        deployment.serve()
    shows(page, "#servers", "up")
    for i in range(12):
        asked = [{"role": "user", "content": f"{SECRET_TEXT} {i} python loop compile"}]
        status, told = deployment.post("/v1/chat/completions", {"model": "beast", "messages": asked, "max_tokens": 50})
        assert status == 200
    for i in range(5):
        status, told = deployment.post("/v1/route", {"prompt": f"{SECRET_TEXT} {i} poem"})
        assert deployment.post("/v1/feedback", {"request_id": told["request_id"], "quality": 0.5, "source": "user"})
    asked = {"model": "no such model", "messages": [{"role": "user", "content": SECRET_TEXT}]}
    assert deployment.post("/v1/chat/completions", asked)[0] != 200

    rows = deployment.rows()
    failed = [row for row in rows if row["status"] in ("error", "timeout")]
    shows(page, "#f-requests", str(len(rows)))
    page.wait_for_function("() => document.querySelector('#f-quality').textContent === '0.5'")
    rescued = [row for row in rows if row["status"] == "ok" and "error" in [call["status"] for call in row["attempts"]]]
    assert rescued
    shows(page, "#tiles", f"{len(rescued)} more rescued by fallback")
    assert sum(map(int, table(page, "rescued"))) == len(rescued)
    n_ended = sum(row["status"] in ("ok", "error", "timeout") for row in rows) + 5  # what has a label was answered
    shows(page, "#tiles", f"{len(failed)} of {n_ended} requests; ")
    refused = [row for row in rows if row["status"] == "rejected"]
    assert refused
    assert figure(page, "refused") == f"{100 * len(refused) / len(rows):.2f}%"
    assert sum(map(int, table(page, "refused"))) == len(refused)
    paid = sum(row.get("cost_usd", row.get("predicted_cost_usd", 0.0)) for row in rows)
    assert float(figure(page, "cost").strip("$")) == pytest.approx(paid, rel=0.06)  # two digits are shown

    assert sum(map(int, table(page, "selection"))) == sum(row.get("chosen_model") is not None for row in rows)

    model = rows[0]["chosen_model"]
    page.select_option("[name=model]", model)
    n = sum((row.get("served_model") or row.get("chosen_model")) == model for row in rows)
    page.wait_for_function("n => document.querySelector('#f-requests').textContent === n", arg=str(n))

    page.select_option("[name=model]", "")
    page.select_option("[name=source]", "metrics")  # of all servers, counted since the dashboard looks
    page.wait_for_function("n => document.querySelector('#f-requests').textContent === n", arg=str(len(rows)))
    shows(page, "#tiles", f"{len(rescued)} more rescued by fallback")


def test_a_point_opens_the_requests_behind_it_by_keyboard_alone(busy, page):
    n = len(busy.rows())
    shows(page, "#f-requests", str(n))
    page.locator("#chart-requests").focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")  # over all that is empty, to where there are requests
    told = page.locator("#chart-requests").get_attribute("aria-valuetext")
    assert "answered or routed 0, from the cache 0, failed 0, refused 0" not in told
    moment = told.split(" UTC")[0]
    page.keyboard.press("Enter")
    page.locator("#drill-body table").wait_for()
    first = page.locator("#drill-body tbody th").last.text_content()  # of the log, in UTC, as is all that is shown
    assert first.startswith(moment[:2])
    assert page.evaluate("document.activeElement.id") == "h-drill"
    assert 0 < page.locator("#drill-body tbody tr").count() <= n
    assert page.locator("#drill-body em", has_text="withheld").count() == page.locator("#drill-body tbody tr").count()
    assert SECRET_TEXT not in page.content()
    page.keyboard.press("Escape")
    assert not page.locator("#drill").is_visible()
    assert page.evaluate("document.activeElement.id") == "chart-requests"


def test_a_server_that_is_gone_leaves_its_figures_and_comes_back(busy, page):
    n = len(busy.rows())
    shows(page, "#f-requests", str(n))
    busy.server.kill()
    shows(page, "#notices", "is down since")
    assert page.locator("#servers .tag", has_text="down").count() == 1
    assert figure(page, "requests") == str(n)
    assert "global:*:day" in page.locator("#budgets").text_content()
    busy.serve()
    page.wait_for_function("() => !document.querySelector('#notices').textContent.includes('is down')")
    assert busy.post("/v1/route", {"prompt": "again"})[0] == 200
    shows(page, "#f-requests", str(n + 1))


CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
    if (!own || !node.checkVisibility() || node.disabled) continue;
    const style = getComputedStyle(node);
    const front = light(rgb(node.closest("svg") ? style.fill : style.color)), back = light(behind(node));
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (contrast < 4.5) low.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 30)}: ${contrast}`);
  }
  return low;
}"""

FAULTS = """() => {
  const faults = [];
  const name = (node) => node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length ||
    document.getElementById(node.getAttribute("aria-labelledby"))?.textContent;
  for (const node of document.querySelectorAll("button, select, input, a, meter, [role=slider], [role=region]")) {
    if (!name(node)) faults.push(`no name: ${node.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of ids) if (ids.filter((each) => each === id).length > 1) faults.push(`twice: ${id}`);
  for (const node of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
    for (const what of ["aria-labelledby", "aria-describedby"]) {
      const id = node.getAttribute(what);
      if (id && !document.getElementById(id)) faults.push(`points nowhere: ${id}`);
    }
  }
  let level = 0;
  for (const node of document.querySelectorAll("h1, h2, h3, h4")) {
    const own = Number(node.tagName[1]);
    if (own > level + 1) faults.push(`skips a level: ${node.textContent}`);
    level = own;
  }
  for (const node of document.querySelectorAll("table")) {
    const heads = [...node.tHead.rows[0].cells];
    if (!node.caption || heads.some((cell) => cell.scope !== "col")) faults.push("a table without heads");
  }
  for (const node of document.querySelectorAll("[tabindex]")) if (node.tabIndex > 0) faults.push("tabindex above 0");
  for (const what of ["main", "header", "h1"]) {
    if (document.querySelectorAll(what).length !== 1) faults.push(`not one ${what}`);
  }
  if (!document.documentElement.lang || !document.title) faults.push("no language or title");
  return faults;
}"""


def test_it_can_be_read_in_light_and_dark_on_wide_and_narrow(busy, page):
    shows(page, "#connection", "live")
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true }")
    page.locator("#servers table").wait_for()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page.evaluate(FAULTS) == []
    assert page.evaluate(CONTRASTS) == []
    page.get_by_role("button", name="Switch to dark colours").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.evaluate(CONTRASTS) == []
    page.reload()  # the choice is kept
    page.get_by_role("button", name="Switch to light colours").wait_for()
    page.set_viewport_size({"width": 380, "height": 800})
    page.locator("#servers table").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 380  # only tables scroll sideways, on their own


def test_a_table_that_is_shown_anew_keeps_its_place_and_its_reader(busy, page):
    page.set_viewport_size({"width": 320, "height": 800})  # too narrow for it
    region = page.locator("#models .scroll")
    region.evaluate("each => { each.scrollLeft = 10; each.focus(); each.firstChild.dataset.old = '' }")
    assert region.evaluate("each => each.scrollLeft") == 10
    page.wait_for_function("() => !document.querySelector('#models table').dataset.hasOwnProperty('old')")
    assert region.evaluate("each => each.scrollLeft") == 10
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Models side by side"


def test_a_chart_in_focus_is_not_spoken_of_until_it_is_moved(busy, page):
    chart = page.locator("#chart-requests")
    shows(page, "#f-requests", str(len(busy.rows())))
    chart.focus()
    said = chart.get_attribute("aria-valuetext")
    chart.evaluate("each => { each.firstChild.dataset.old = '' }")
    page.wait_for_function("() => !document.querySelector('#chart-requests svg').dataset.hasOwnProperty('old')")
    assert busy.post("/v1/route", {"prompt": "one more"})[0] == 200
    shows(page, "#f-requests", str(len(busy.rows())))
    assert chart.get_attribute("aria-valuetext") == said
    page.keyboard.press("ArrowLeft")
    assert chart.get_attribute("aria-valuetext") != said


def test_metrics_say_that_they_do_not_tell_requests_apart(busy, page):
    page.select_option("[name=source]", "metrics")
    shows(page, "#models", "Metrics do not tell models apart")
    page.locator("#chart-requests").focus()
    page.keyboard.press("Enter")
    shows(page, "#drill-body", "Metrics do not tell requests apart")
    assert page.evaluate("document.activeElement.id") == "h-drill"
    assert "metrics do not tell" in page.locator("#tiles").text_content()


def test_all_that_can_be_used_is_reached_by_tab_and_the_page_can_be_paused(busy, page):
    shows(page, "#connection", "live")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    wanted = ["range", "tenant", "model", "kind", "source", "pause", "theme"]
    wanted += [
        f"chart-{name}"
        for name in ("requests", "latency", "errors", "refused", "rescued", "cost", "cache", "selection")
    ]
    assert [name for name in wanted if name not in reached] == []
    page.get_by_role("button", name="Pause").click()
    shows(page, "#connection", "paused")
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"

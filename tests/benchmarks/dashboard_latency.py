"""How long it takes from a request that was answered to its number on the dashboard's page, in a real browser.

    python tests/benchmarks/dashboard_latency.py                      # 300 requests at 10/s, 200,000 more in memory
    python tests/benchmarks/dashboard_latency.py --requests 20 --rows 0 --router BUNDLE    # tiny

A server, the dashboard and a Chromium run as processes of their own. Requests come at random moments; the page notes
when its count of requests changes. Prints milliseconds (median, p95, largest), for the log and for metrics, and what
the dashboard's process takes meanwhile: CPU of one core, and memory.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.benchmarks.serving.router_bundle import quickstart_bundle
from beast_ml.serving.request_log import RequestRow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

WATCH = """() => {
  window.seen = [];
  const note = () => {
    const shown = Number(document.querySelector("#f-requests").textContent.replaceAll(",", ""));
    const now = (performance.timeOrigin + performance.now()) / 1000;
    if (shown !== window.seen.at(-1)?.[0]) window.seen.push([shown, now]);
  };
  note();
  new MutationObserver(note).observe(document.querySelector("#tiles"), { childList: true, subtree: true });
}"""


def fill(state: Path, n_rows: int) -> None:
    """Write a segment of earlier requests, of the last quarter of an hour."""
    rng, now = np.random.default_rng(0), time.time()
    models = ("small", "medium", "large")
    (state / "segments").mkdir(parents=True)
    with (state / "segments" / f"{time.time_ns():020d}-1-filled.jsonl").open("wb") as file:
        for i, ago_s in enumerate(np.sort(rng.random(n_rows) * 800)[::-1]):
            model = models[rng.integers(3)]
            row = RequestRow(
                request_id=f"earlier-{i}",
                received_at=datetime.fromtimestamp(now - ago_s, UTC),
                tenant_id=f"tenant-{rng.integers(10)}",
                candidates=models,
                status="ok",
                chosen_model=model,
                served_model=model,
                request_kind="code",
                cache_result="miss",
                latency_s=float(rng.exponential(0.5)),
                cost_usd=float(rng.exponential(0.001)),
                predicted_cost_usd=0.001,
            )
            file.write(msgspec.json.encode(row) + b"\n")


def measure(page, source: str, port: int, n_requests: int, rate: float) -> tuple[np.ndarray, float]:
    """Return (n,) seconds from answer to page, and how long it went on."""
    page.select_option("[name=range]", "1h")  # so that nothing leaves the window meanwhile
    page.select_option("[name=source]", source)
    page.wait_for_timeout(2000)
    page.evaluate(WATCH)
    before = page.evaluate("window.seen.at(-1)[0]")
    rng, answered = np.random.default_rng(1), []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.monotonic()
    for i in range(n_requests):
        connection.request("POST", "/v1/route", json.dumps({"prompt": f"What is {i} times {i}?"}))
        connection.getresponse().read()
        answered.append(time.time())
        time.sleep(rng.exponential(1 / rate))
    page.wait_for_function("n => window.seen.at(-1)[0] >= n", arg=before + n_requests, timeout=30_000)
    took = time.monotonic() - began
    counts, at_s = np.array(page.evaluate("window.seen")).T
    first = np.searchsorted(np.maximum.accumulate(counts), before + 1 + np.arange(n_requests))
    return at_s[first] - np.array(answered), took


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second")
    parser.add_argument("--rows", type=int, default=199_000, help="requests in memory before")
    parser.add_argument("--router", type=Path, help="bundle folder; default: one fitted on the quickstart set")
    asked = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        router = asked.router or quickstart_bundle(Path("beast-out/bench-serving"))
        fill(folder / "state", asked.rows)
        port, shown_at = free_port(), free_port()
        run = [sys.executable, "-m", "beast_ml.cli"]
        serve = [*run, "serve", "--router", str(router.resolve()), "--port", str(port), "--state", "state"]
        show = [*run, "dashboard", "--server", f"http://127.0.0.1:{port}", "--state", "state", "--store", "logs"]
        show += ["--port", str(shown_at), "--reports-every", "0"]
        environment = {"BEAST_SERVING__COMPACT_S": "0"}
        with (
            ServerProcess.start(serve, port, folder / "serve.log", environment=environment, folder=folder),
            ServerProcess.start(show, shown_at, folder / "show.log", ready="/", folder=folder) as dashboard,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(f"http://127.0.0.1:{shown_at}/")
            page.wait_for_function(
                "n => Number(document.querySelector('#f-requests')?.textContent.replaceAll(',', '')) >= n",
                arg=int(0.99 * asked.rows),
                timeout=120_000,
            )
            print(f"{asked.requests} requests at {asked.rate:g}/s, {asked.rows:,} in memory before; one page open")
            print("source    median ms   p95 ms   most ms   CPU of a core   memory MB")
            for source in ("log", "metrics"):
                used = dashboard.usage()[dashboard.process.pid].cpu_s
                seconds, took = measure(page, source, port, asked.requests, asked.rate)
                now = dashboard.usage()[dashboard.process.pid]
                median, p95, most = 1000 * np.quantile(seconds, (0.5, 0.95, 1.0))
                share = (now.cpu_s - used) / took
                print(f"{source:8}{median:11.0f}{p95:9.0f}{most:10.0f}{share:16.0%}{now.rss_bytes / 1e6:12.0f}")
            browser.close()


if __name__ == "__main__":
    main()

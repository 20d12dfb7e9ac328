"""What a worker counts, and how all workers' counts are shown to Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from beast_ml.cache.neighbours.frames import Figures
from beast_ml.logs.endings import REFUSED
from beast_ml.logs.schema import Status
from beast_ml.serving.cache_tier_metrics import CacheTierMetrics
from beast_ml.serving.learning_figures import LearningFigures
from beast_ml.serving.learning_metrics import LearningMetrics
from beast_ml.serving.metric_cells import CellFiles, Counters, Gauges, Histograms
from beast_ml.serving.region_metrics import RegionMetrics

__all__ = ["CONTENT_TYPE", "ServingMetrics", "clear_metrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Of Prometheus' text format."""

_ANSWER_S: Final = (0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0)
"""Close together: a p95 read from them is off by at most half of it."""
_REQUEST_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, *_ANSWER_S)
_DECISION_S: Final = (25e-6, 50e-6, 1e-4, 1.5e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2)
_PROVIDER_S: Final = (0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.035, 0.05, 0.07, *_ANSWER_S, 120.0)

_STATES: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


class _Decided(Protocol):
    """What is counted of a decision."""

    @property
    def model(self) -> str:
        """The chosen one."""
        ...

    @property
    def decision_us(self) -> float:
        """Time it took to choose."""
        ...


class ServingMetrics:
    """The metrics of one worker; `render` shows those of all.

    Counts are in a file as soon as they are made and survive the worker. Call it from the worker's one thread; `render`
    may run in another, and should: it takes milliseconds.

    Parameters
    ----------
    folder
        Of all workers' counts; the supervisor empties it with `clear_metrics` before the first one starts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = files = CellFiles(folder)

        def counters(name: str, text: str, *labels: str) -> Counters:
            return Counters(files, f"beast_{name}", text, labels)

        def seconds(name: str, text: str, bounds: Sequence[float], *labels: str) -> Histograms:
            return Histograms(files, f"beast_{name}_seconds", text, bounds, labels)

        def gauges(name: str, text: str, over_workers: str, *labels: str) -> Gauges:
            return Gauges(files, f"beast_{name}", text, over_workers, labels)

        self._requests = counters("requests", "HTTP requests answered.", "route", "status")
        self._tenants = counters("tenant_requests", "HTTP requests by tenant.", "tenant")
        self._errors = counters("errors", "Requests that failed, by kind of failure.", "error_kind")
        self._refusals = counters("refusals", "Requests that a rule refused, by what it was.", "error_kind")
        self._request_s = seconds("request", "Time from request to answer.", _REQUEST_S, "route")
        self._decisions = counters("decisions", "Requests for which a model was chosen.", "model")
        self._decision_s = seconds("decision", "Time to choose a model.", _DECISION_S)
        self._cache = counters("cache_results", "Requests by what the cache said.", "result")
        self._cache_hits = counters("cache_hits", "Requests answered by the cache.", "kind", "tier")
        self._cache_bypasses = counters("cache_bypasses", "Why the cache was left out.", "reason")
        self._cache_kept = counters("cache_kept", "Answers that were kept, by what they are.", "kind")
        self._cache_audits = counters("cache_audits", "Hits that were verified by new answers.", "kind", "verdict")
        self._cache_warmed = counters("cache_warmed", "Answers that were made in advance.")
        self._cache_saved_usd = counters("cache_saved_usd", "What hits would have cost.")
        self._cache_saved_s = counters("cache_saved_seconds", "Time that hits would have taken.")
        self.cache_tiers = CacheTierMetrics(files)
        self._calls = counters("provider_calls", "Calls of endpoints; result is ok or a kind.", "endpoint", "result")
        self._call_s = seconds("provider_call", "Time that a call of an endpoint took.", _PROVIDER_S, "endpoint")
        self._fallbacks = counters("fallbacks", "Second and later attempts, by who failed.", "model", "error_kind")
        self._rescued = counters("rescued", "Requests answered although a call failed, by why the first.", "error_kind")
        self._spent = counters("spent_usd", "What answers cost.", "model")
        self._endpoints = gauges(
            "endpoint_state", "Breaker: 0 closed, 1 half-open, 2 open; of workers the worst.", "livemax", "endpoint"
        )
        self._budget_left = gauges("budget_left_usd", "Left of a budget.", "livemostrecent", "budget")
        self._budget_limit = gauges("budget_limit_usd", "A budget's limit.", "livemostrecent", "budget")
        self._ledger = gauges("budget_ledger_info", "Who has the same one shares budgets.", "livemostrecent", "ledger")
        self._swaps = counters("swaps", "Routers that came up: swapped, refused or rolled_back.", "result")
        self._bundle = gauges("bundle_info", "Workers that decide with a bundle.", "livesum", "version", "digest")
        self._log_rows = counters("log_rows", "Rows written to the request log.", "table")
        self._log_failed = counters("log_failures", "Rows that the request log could not take.")
        self._log_lag_s = gauges("log_lag_seconds", "Age of the oldest row not in the store yet.", "livemax")
        self._feedback = counters("feedback", "Feedback that came in, by what it was.", "kind")
        self._up = gauges("dependency_up", "1 while a dependency answers all workers.", "livemin", "dependency")
        self._learning = LearningMetrics(files)
        self.region = RegionMetrics(files)
        self._near_up = gauges("cache_process_up", "1 while the process of the semantic cache answers.", "livemin")
        self._near_start_s = gauges("cache_process_start_seconds", "Time it took to start.", "livemostrecent")
        self._near_bytes = gauges("cache_process_memory_bytes", "Its resident memory.", "livemostrecent", "of")
        self._near_entries = gauges(
            "cache_index_entries", "Entries, by whether they are found yet.", "livemostrecent", "is"
        )
        self._near_threshold = gauges(
            "cache_threshold", "Score from which on alike requests hit, all partitions together.", "livemostrecent"
        )
        self._near_alarms = gauges("cache_alarms", "Times that verified hits were too often wrong.", "livemostrecent")
        self._near_lookups = gauges("cache_index_lookups", "Its lookups since its start.", "livemostrecent", "result")
        self._bundle_now: tuple[str, str] | None = None

    def request(self, route: str, status: int, seconds: float, tenant: str | None = None) -> None:
        """Count an answered HTTP request; the route is its pattern, not its path."""
        self._requests.add((route, str(status)))
        self._request_s.observe((route,), seconds)
        if tenant is not None:
            self._tenants.add((tenant,))

    def decided(self, decision: _Decided, cache_result: str | None = None) -> None:
        """Count a decision that is logged; of a request that was looked up, what the cache said, too."""
        self._decisions.add((decision.model,))
        self._decision_s.observe((), 1e-6 * decision.decision_us)
        if cache_result is not None:
            self._cache.add((cache_result,))
        self._log_rows.add(("requests",))

    def unanswered(self, status: Status, error_kind: str) -> None:
        """Count a request that got no answer: refused by a rule, or failed."""
        counts = self._refusals if status in REFUSED else self._errors
        counts.add((error_kind,))

    def outcomes_told(self, n: int = 1) -> None:
        """Count outcomes that are logged."""
        self._log_rows.add(("outcomes",), n)

    def feedback_told(self, n: int = 1) -> None:
        """Count feedback that is logged."""
        self._feedback.add(("explicit",), n)
        self._log_rows.add(("feedback",), n)

    def signal(self, kind: str) -> None:
        """Count weak feedback that is logged: a retry, a regeneration, an abandonment."""
        self._feedback.add((kind,))
        self._log_rows.add(("signals",))

    def cache_result(self, result: str) -> None:
        """Count what the cache said to a request that needed no decision."""
        self._cache.add((result,))

    def cache_hit(self, result: str, kind: str, tier: str, saved_usd: float, saved_s: float) -> None:
        """Count a request that the cache answered, which is logged."""
        self.cache_found(result, kind, tier, saved_usd, saved_s)
        self._log_rows.add(("requests",))

    def cache_found(self, result: str, kind: str, tier: str, saved_usd: float, saved_s: float) -> None:
        """Count a hit, and what it saves."""
        self._cache.add((result,))
        self._cache_hits.add((kind, tier))
        if saved_usd > 0:
            self._cache_saved_usd.add((), saved_usd)
        if saved_s > 0:
            self._cache_saved_s.add((), saved_s)

    def cache_bypassed(self, reason: str) -> None:
        """Count why the cache was left out of a request; several reasons may hold."""
        self._cache_bypasses.add((reason,))

    def cache_audited(self, kind: str, verdict: str) -> None:
        """Count a hit, or near miss, of a kind that was verified: ``right``, ``wrong`` or ``unknown``."""
        self._cache_audits.add((kind, verdict))

    def cache_warmed(self, n: int) -> None:
        """Count answers that were made in advance."""
        self._cache_warmed.add((), n)

    def cache_kept(self, kind: str) -> None:
        """Count an answer that was kept: an answer, a refusal or an error."""
        self._cache_kept.add((kind,))

    def provider_call(self, endpoint: str, error_kind: str | None, seconds: float | None) -> None:
        """Count a call of an endpoint; None: it went well."""
        self._calls.add((endpoint, error_kind or "ok"))
        if seconds is not None:
            self._call_s.observe((endpoint,), seconds)

    def fallback(self, model: str, error_kind: str) -> None:
        """Count that a request went on to another model or endpoint, since one failed."""
        self._fallbacks.add((model, error_kind))

    def rescued(self, error_kind: str) -> None:
        """Count a request that was answered although a call for it failed, by how the first one did."""
        self._rescued.add((error_kind,))

    def spent(self, model: str, cost_usd: float) -> None:
        """Count what an answer cost."""
        self._spent.add((model,), cost_usd)

    def log_rows(self, table: str, n: int = 1) -> None:
        """Count rows that are in the request log, beside those that `decided` and the like count."""
        self._log_rows.add((table,), n)

    def log_failed(self, n: int = 1) -> None:
        """Count rows that the request log could not take."""
        self._log_failed.add((), n)

    def swap(self, result: Literal["swapped", "refused", "rolled_back"]) -> None:
        """Count what became of a router that came up."""
        self._swaps.add((result,))

    def set_bundle(self, version: str, digest: str) -> None:
        """Say which bundle this worker decides with."""
        now = (version, digest[:12])
        if self._bundle_now not in (None, now):
            self._bundle.set(self._bundle_now or now, 0.0)
        self._bundle.set(now, 1.0)
        self._bundle_now = now

    def set_endpoint(self, endpoint: str, state: Literal["closed", "half_open", "open"]) -> None:
        """Say what this worker's breaker of an endpoint is."""
        self._endpoints.set((endpoint,), _STATES[state])

    def set_budget(self, budget: str, limit_usd: float, left_usd: float) -> None:
        """Say what a budget is, and what is left of it, as far as this worker knows."""
        self._budget_limit.set((budget,), limit_usd)
        self._budget_left.set((budget,), left_usd)

    def set_ledger(self, ledger: str) -> None:
        """Say where this host's budgets are kept; see `beast_ml.operations.budgets.open_ledger.ledger_name`."""
        self._ledger.set((ledger,), 1.0)

    def set_log_lag(self, seconds: float) -> None:
        """Say how old the oldest row is that is not in the store yet."""
        self._log_lag_s.set((), seconds)

    def set_up(self, dependency: str, is_up: bool) -> None:
        """Say whether a dependency (registry, keys, log, budgets) answered this worker the last time."""
        self._up.set((dependency,), float(is_up))

    def set_learning(self, figures: LearningFigures) -> None:
        """Say where the learning loop stands, and what has drifted."""
        self._learning.tell(figures)

    def set_cache_process(self, figures: Figures | None) -> None:
        """Say how the process of the semantic cache is doing; None: it does not answer this worker."""
        self._near_up.set((), float(figures is not None))
        if figures is None:
            return
        self._near_start_s.set((), figures.start_s)
        self._near_bytes.set(("all",), figures.memory_bytes)
        self._near_bytes.set(("index",), figures.index_bytes)
        self._near_entries.set(("found",), figures.entries)
        self._near_entries.set(("waiting",), figures.waiting)
        self._near_lookups.set(("all",), figures.lookups)
        for result in ("gated", "embedded", "late", "overloaded"):
            self._near_lookups.set((result,), getattr(figures, result))
        # No score is above 1: that is what "none may be served" looks like on a plot.
        self._near_threshold.set((), 1.0 if figures.threshold is None else figures.threshold)
        self._near_alarms.set((), figures.alarms)

    def render(self) -> bytes:
        """Return the metrics of all workers, in Prometheus' text format; of dead ones what they had counted."""
        registry = CollectorRegistry()
        registry.register(_WithCoverage(self._of_all_workers()))
        return bytes(generate_latest(registry))

    def counted(self, prefix: str) -> list[Sample]:
        """Return the numbers of all workers, of metrics whose names begin like this; takes milliseconds, too."""
        found = self._of_all_workers().collect()  # type: ignore[no-untyped-call]
        return [sample for metric in found if metric.name.startswith(prefix) for sample in metric.samples]

    def close(self) -> None:
        """Count no more: the next worker may go on from here."""
        self._files.close()

    def _of_all_workers(self) -> MultiProcessCollector:
        self._files.forget_dead()
        return MultiProcessCollector(None, path=str(self._folder))  # type: ignore[no-untyped-call]


class _WithCoverage(Collector):
    """All workers' metrics, and what follows from several: the share of decisions that feedback was told of."""

    def __init__(self, workers: MultiProcessCollector) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        told = decided = 0.0
        for metric in self._workers.collect():  # type: ignore[no-untyped-call]
            yield metric
            if metric.name == "beast_feedback":
                told = sum(each.value for each in metric.samples if each.labels.get("kind") == "explicit")
            elif metric.name == "beast_decisions":
                decided = sum(each.value for each in metric.samples)
        if decided:
            text = "Feedback told a decision; above 1 where several say something of one."
            yield GaugeMetricFamily("beast_feedback_coverage", text, value=told / decided)


def clear_metrics(folder: Path) -> None:
    """Forget what workers of an earlier server counted."""
    for path in folder.glob("*.db"):
        path.unlink(missing_ok=True)

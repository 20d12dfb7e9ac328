import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from beast_ml.cache.neighbours.frames import Figures
from beast_ml.cache.tier_stats import CacheStats, TierStats
from beast_ml.operations.budgets.region_figures import RegionFigures
from beast_ml.serving import metric_cells
from beast_ml.serving.copy_figures import CopyFigures
from beast_ml.serving.dashboard.metric_history import quantile_from_buckets
from beast_ml.serving.metrics import ServingMetrics, clear_metrics


def shown(metrics):
    """Return what is rendered: (sample, labels) -> value."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def decision(model="large", seconds=1e-4):
    return SimpleNamespace(model=model, decision_us=1e6 * seconds)


@pytest.fixture
def metrics(tmp_path):
    metrics = ServingMetrics(tmp_path)
    yield metrics
    metrics.close()


@pytest.fixture
def other(tmp_path, metrics):
    """Another worker of the host."""
    other = ServingMetrics(tmp_path)
    yield other
    other.close()


def test_nothing_happened_yet(metrics):
    assert metrics.render() == b""


def test_a_request_and_its_decision_are_counted(metrics):
    metrics.request("/v1/route", 200, 0.0012, "acme")
    metrics.decided(decision("large", 0.00012))
    metrics.request("/v1/route", 429, 0.0001, "acme")
    metrics.unanswered("rejected", "rate_limit")
    metrics.log_rows("requests")
    values = shown(metrics)
    assert values["beast_requests_total", ("route", "/v1/route"), ("status", "200")] == 1
    assert values["beast_requests_total", ("route", "/v1/route"), ("status", "429")] == 1
    assert values["beast_tenant_requests_total", ("tenant", "acme")] == 2
    assert values["beast_refusals_total", ("error_kind", "rate_limit")] == 1
    assert not [name for name, *_ in values if name.startswith("beast_errors")]
    assert values["beast_decisions_total", ("model", "large")] == 1
    assert not [name for name, *_ in values if name.startswith("beast_cache_")]  # nobody had asked it
    assert values["beast_log_rows_total", ("table", "requests")] == 2
    assert values["beast_request_seconds_count", ("route", "/v1/route")] == 2
    assert values["beast_request_seconds_sum", ("route", "/v1/route")] == pytest.approx(0.0013)


def test_histograms_count_what_is_at_most_each_bound(metrics):
    for seconds in (0.0001, 0.00012, 0.00015, 1.0):
        metrics.decided(decision("large", seconds))
    values = shown(metrics)
    buckets = {labels[0][1]: n for (name, *labels), n in values.items() if name == "beast_decision_seconds_bucket"}
    assert buckets["5e-05"] == 0
    assert buckets["0.0001"] == 1
    assert buckets["0.00015"] == 3
    assert buckets["0.05"] == 3
    assert buckets["+Inf"] == 4 == values["beast_decision_seconds_count",]


def test_workers_are_added_up(metrics, other):
    for worker, n in ((metrics, 3), (other, 4)):
        worker.set_up("registry", worker is metrics)
        worker.set_endpoint("eu-1", "closed" if worker is metrics else "open")
        for _ in range(n):
            worker.request("/v1/route", 200, 0.001)
    assert shown(metrics) == shown(other)
    values = shown(other)
    assert values["beast_requests_total", ("route", "/v1/route"), ("status", "200")] == 7
    assert values["beast_request_seconds_count", ("route", "/v1/route")] == 7
    assert values["beast_dependency_up", ("dependency", "registry")] == 0
    assert values["beast_endpoint_state", ("endpoint", "eu-1")] == 2


def test_of_a_dead_worker_counts_stay_and_states_go(tmp_path, metrics):
    dead = ServingMetrics(tmp_path)
    for worker in (metrics, dead):
        worker.set_bundle("3", "abc")
        worker.request("/v1/route", 200, 0.001)
    dead.close()
    values = shown(metrics)
    assert values["beast_requests_total", ("route", "/v1/route"), ("status", "200")] == 2
    assert values["beast_bundle_info", ("digest", "abc"), ("version", "3")] == 1


def test_the_next_worker_counts_on_and_files_do_not_become_more(tmp_path, metrics):
    for i in range(20):
        worker = ServingMetrics(tmp_path)
        worker.decided(decision())
        worker.request("/v1/route", 200, 0.001)
        worker.set_up("registry", True)
        values = shown(metrics)
        assert values["beast_decisions_total", ("model", "large")] == i + 1
        assert values["beast_request_seconds_count", ("route", "/v1/route")] == i + 1
        worker.close()
    assert len(list(tmp_path.glob("*.db"))) == 3
    worker = ServingMetrics(tmp_path)
    worker.close()


def test_counts_of_a_killed_worker_are_complete(tmp_path, metrics):
    code = (
        "import sys; from pathlib import Path; from beast_ml.serving.metrics import ServingMetrics\n"
        "class Decision: model, decision_us = 'large', 100.0\n"
        "metrics = ServingMetrics(Path(sys.argv[1]))\n"
        "n = 0\n"
        "while True:\n"
        "    metrics.decided(Decision()); n += 1\n"
        "    if n == 1000: print('counted', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    with child:
        assert child.stdout.readline() == b"counted\n"
        child.send_signal(signal.SIGKILL)
    assert shown(metrics)["beast_decisions_total", ("model", "large")] == 1000


def test_a_swap_moves_the_worker_to_the_new_bundle(metrics):
    metrics.set_bundle("3", "aaaa")
    metrics.set_bundle("3", "aaaa")
    metrics.set_bundle("4", "bbbb")
    metrics.swap("swapped")
    values = shown(metrics)
    assert values["beast_bundle_info", ("digest", "aaaa"), ("version", "3")] == 0
    assert values["beast_bundle_info", ("digest", "bbbb"), ("version", "4")] == 1
    assert values["beast_swaps_total", ("result", "swapped")] == 1


def test_the_budget_shown_is_what_was_said_last(metrics, other):
    other.set_budget("tenant:acme:day", 10.0, 9.0)
    metrics.set_budget("tenant:acme:day", 10.0, 4.5)
    assert shown(other)["beast_budget_left_usd", ("budget", "tenant:acme:day")] == 4.5
    other.set_budget("tenant:acme:day", 10.0, 8.0)
    assert shown(other)["beast_budget_left_usd", ("budget", "tenant:acme:day")] == 8.0


def test_endpoints_that_answer_in_milliseconds_are_told_apart(metrics):
    seconds = {"quick-1": 0.008, "slower-1": 0.017, "slow-1": 0.04}
    for endpoint, each in seconds.items():
        for _ in range(10):
            metrics.provider_call(endpoint, None, each)
    told = shown(metrics)
    for endpoint, each in seconds.items():
        buckets = {
            float(dict(labels)["le"]): value
            for (name, *labels), value in told.items()
            if name == "beast_provider_call_seconds_bucket" and ("endpoint", endpoint) in labels
        }
        median = quantile_from_buckets(buckets, 0.5)
        assert each / 1.6 < median < 1.6 * each


def test_all_else_that_is_counted(metrics):
    metrics.cache_result("exact")
    metrics.provider_call("eu-1", None, 0.3)
    metrics.provider_call("eu-1", "timeout", None)
    metrics.fallback("large", "timeout")
    metrics.spent("large", 0.25)
    metrics.spent("large", 0.5)
    metrics.log_rows("requests", 3)
    metrics.log_failed()
    metrics.outcomes_told(4)
    metrics.feedback_told(2)
    metrics.signal("retry")
    metrics.unanswered("timeout", "timeout")
    metrics.rescued("rate_limit")
    metrics.set_ledger("postgresql:ab")
    metrics.set_log_lag(12.5)
    assert {key: value for key, value in shown(metrics).items() if "_bucket" not in key[0]} == {
        ("beast_cache_results_total", ("result", "exact")): 1,
        ("beast_provider_calls_total", ("endpoint", "eu-1"), ("result", "ok")): 1,
        ("beast_provider_calls_total", ("endpoint", "eu-1"), ("result", "timeout")): 1,
        ("beast_provider_call_seconds_sum", ("endpoint", "eu-1")): 0.3,
        ("beast_provider_call_seconds_count", ("endpoint", "eu-1")): 1,
        ("beast_fallbacks_total", ("error_kind", "timeout"), ("model", "large")): 1,
        ("beast_spent_usd_total", ("model", "large")): 0.75,
        ("beast_log_rows_total", ("table", "requests")): 3,
        ("beast_log_failures_total",): 1,
        ("beast_log_rows_total", ("table", "outcomes")): 4,
        ("beast_log_rows_total", ("table", "feedback")): 2,
        ("beast_log_rows_total", ("table", "signals")): 1,
        ("beast_feedback_total", ("kind", "explicit")): 2,
        ("beast_feedback_total", ("kind", "retry")): 1,
        ("beast_errors_total", ("error_kind", "timeout")): 1,
        ("beast_rescued_total", ("error_kind", "rate_limit")): 1,
        ("beast_budget_ledger_info", ("ledger", "postgresql:ab")): 1,
        ("beast_log_lag_seconds",): 12.5,
    }


def test_the_process_of_the_cache_is_shown_and_that_it_is_away(metrics):
    figures = Figures(
        id=1,
        start_s=1.5,
        memory_bytes=200_000_000,
        index_bytes=3_000_000,
        entries=1000,
        partitions=2,
        waiting=7,
        lookups=50,
        gated=30,
        embedded=15,
        late=2,
        overloaded=3,
    )
    metrics.set_cache_process(figures)
    values = shown(metrics)
    assert values["beast_cache_process_up",] == 1
    assert values["beast_cache_process_start_seconds",] == 1.5
    assert values["beast_cache_process_memory_bytes", ("of", "all")] == 200_000_000
    assert values["beast_cache_process_memory_bytes", ("of", "index")] == 3_000_000
    assert values["beast_cache_index_entries", ("is", "found")] == 1000
    assert values["beast_cache_index_entries", ("is", "waiting")] == 7
    counted = {result: values["beast_cache_index_lookups", ("result", result)] for result in ("all", "gated", "late")}
    assert counted == {"all": 50, "gated": 30, "late": 2}
    metrics.set_cache_process(None)
    assert shown(metrics)["beast_cache_process_up",] == 0


def test_tiers_of_all_workers_are_added_up_and_go_on_after_a_restart(metrics, tmp_path):
    def tell(worker, **counts):
        worker.cache_tiers.tell(CacheStats((TierStats(tier="memory"), TierStats(tier="sql", **counts))))

    tell(metrics, written=3, waiting=2)
    tell(metrics, written=5, waiting=1, dropped=1)
    dead = ServingMetrics(tmp_path)
    tell(dead, written=10, waiting=4, failures=2, skipped=7)
    dead.close()
    successor = ServingMetrics(tmp_path)
    tell(successor, written=1)
    values = shown(metrics)
    named = ("written_total", "waiting", "dropped_total", "failures_total", "skipped_total")
    of_sql = {name: values[f"beast_cache_tier_{name}", ("tier", "sql")] for name in named}
    assert of_sql == dict(zip(named, (16, 1, 1, 2, 7), strict=True))
    successor.close()


def test_labels_are_shown_as_they_are(metrics):
    strange = 'a "quoted"\\ {ü}\nline'
    metrics.decided(decision(strange, 1e-4))
    assert shown(metrics)["beast_decisions_total", ("model", strange)] == 1


def test_endless_label_values_end_in_one_series(metrics, monkeypatch):
    monkeypatch.setattr(metric_cells, "_MAX_SERIES", 3)
    for i in range(10):
        metrics.decided(decision(f"model-{i}", 1e-4))
    values = {labels[0][1]: n for (name, *labels), n in shown(metrics).items() if name == "beast_decisions_total"}
    assert values == {"model-0": 1, "model-1": 1, "model-2": 1, "other": 7}


def test_files_grow_and_keep_what_was_counted(metrics, tmp_path):
    for again in range(2):
        for i in range(40):
            metrics.request(f"/a/rather/long/route/{i:04}" + "x" * 2000, 200, 0.001)
        assert again or max(path.stat().st_size for path in tmp_path.iterdir()) > 1 << 20
    values = [n for (name, *_), n in shown(metrics).items() if name in ("beast_requests_total",)]
    assert values == [2] * 40
    counts = [n for (name, *_), n in shown(metrics).items() if name == "beast_request_seconds_count"]
    assert counts == [2] * 40


def test_a_full_disk_fails_no_request_and_counts_go_on_afterwards(metrics, monkeypatch):
    metrics.decided(decision("known", 1e-4))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        patched.setattr(Path, "open", full)
        metrics.decided(decision("known", 1e-4))
        metrics.decided(decision("new", 1e-4))
        metrics.request("/v1/route", 200, 0.001)
    metrics.decided(decision("new", 1e-4))
    values = shown(metrics)
    assert values["beast_decisions_total", ("model", "known")] == 2
    assert values["beast_decisions_total", ("model", "new")] == 1


def test_a_full_disk_is_said_once_until_it_takes_counts_again(metrics, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    caplog.set_level("INFO", logger="beast_ml")
    for outage in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_bytes", full)
            patched.setattr(Path, "open", full)
            for i in range(5):
                metrics.decided(decision(f"model {outage} {i}", 1e-4))
        metrics.decided(decision(f"new {outage}", 1e-4))
    assert [record.getMessage().count("metrics.not_written") for record in caplog.records] == [1, 1]


def test_a_server_starts_counting_anew(tmp_path, metrics):
    metrics.decided(decision())
    clear_metrics(tmp_path)
    assert metrics.render() == b""


def test_the_coverage_of_feedback_is_of_all_workers(metrics, other):
    for _ in range(6):
        metrics.decided(decision("small", 1e-4))
    for _ in range(2):
        other.decided(decision("large", 1e-4))
    metrics.signal("retry")  # a weak signal is no feedback
    other.feedback_told(2)
    assert shown(metrics)[("beast_feedback_coverage",)] == 0.25


def test_what_a_region_holds_no_more_is_shown_as_nothing(metrics):
    held = {"tenant:a:day": 2_000_000_000, "tenant:b:day": 10**9}
    metrics.region.tell(RegionFigures(away=False, silent_s=0.5, lives_s=3599.5, held=held))
    metrics.region.tell(RegionFigures(away=True, silent_s=9.0, lives_s=3591.0, held={"tenant:a:day": 10**9}))
    found = shown(metrics)
    assert found["beast_region_held_usd", ("budget", "tenant:a:day")] == 1.0
    assert found["beast_region_held_usd", ("budget", "tenant:b:day")] == 0.0
    assert found["beast_region_home_up",] == 0.0


def test_the_others_cached_answers_are_counted_and_their_home_is_seen(metrics):
    metrics.region.copied(CopyFigures(away=False, silent_s=0.0, n_kept=3, n_left_out=1, n_waiting=7))
    metrics.region.copied(CopyFigures(away=True, silent_s=4.0))
    found = shown(metrics)
    assert found["beast_region_copies_total", ("result", "kept")] == 3
    assert found["beast_region_copies_total", ("result", "left_out")] == 1
    assert (found["beast_region_copies_up",], found["beast_region_copies_lag_seconds",]) == (0, 4)

"""Every target of the roadmap: its exact definition, and where its figure is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from beast_ml.benchmarks.learning.tuning_part import TUNED_SETS
from beast_ml.benchmarks.scorecard.bench_readings import (
    adopted_changes,
    availability,
    budget_overrun,
    cache_rate,
    figure,
    gain_over,
    lowest_accuracy,
    recovery_of,
    serving_target,
    throughput,
    tuning_gain,
)
from beast_ml.benchmarks.scorecard.log_readings import (
    cost_of_a_request,
    feedback_coverage,
    log_share,
    satisfaction,
    spend_accuracy,
    worst_imbalance,
)
from beast_ml.benchmarks.scorecard.score import Goal, Reading, Target
from beast_ml.errors import NotEnoughDataError

__all__ = ["SOURCES", "targets"]

SOURCES: Final = (
    "serving",
    "routing",
    "kinds",
    "cache",
    "context",
    "tuning",
    "budgets",
    "log",
    "selection",
    "changes",
    "coverage",
)
"""What targets are read from; see `beast_ml.benchmarks.scorecard.sources`."""

_P95: Final = "unseen prompts at half capacity: p95, ms"
_PER_S: Final = "unseen prompts, 1 worker: requests/s"
_SETTINGS: Final = ("ordinary", "hostile")


def targets(baseline: Mapping[str, Any] | None = None) -> tuple[Target, ...]:
    """Return every target; with the report of an earlier release, what was gained over it, too."""
    return (*_serving(), *_gains(baseline), *_cache(), *_prediction(), *_money(), *_deployment(), *_learning())


def _serving() -> Iterator[Target]:
    yield Target(
        "decision latency, p95",
        "ms",
        Goal("below", 100.0),
        "From when a request was due to its answer, /v1/route, prompts never seen, one worker at half of its capacity.",
        "serving",
        serving_target(_P95),
    )
    yield Target(
        "what the gateway adds to a call, median",
        "ms",
        Goal("below", 1.5),
        "Latency through the gateway less that of the same calls sent to the provider, at 200 requests a second.",
        "serving",
        serving_target("gateway: added to the median, ms"),
    )
    yield Target(
        "throughput of one host",
        "number",
        Goal("at least", 10_000.0),
        "Prompts never seen that are decided a second by as many workers as the host has cores, closed loop.",
        "serving",
        throughput,
    )
    yield Target(
        "uptime while things break",
        "share",
        Goal("at least", 0.9999),
        "Decisions answered of all that were due while a worker is killed, a version swapped, the registry, Valkey and "
        "PostgreSQL taken away and given back.",
        "serving",
        availability,
    )
    yield Target(
        "recovery",
        "s",
        Goal("at most", 30.0),
        "From a fault, or from its mending, until no request fails any more: the slowest of all faults.",
        "serving",
        recovery_of(),
    )
    yield Target(
        "deployment time",
        "s",
        Goal("at most", 300.0),
        "From a promotion to when every worker decides by the new router, under load.",
        "serving",
        recovery_of("hot swap"),
    )
    yield Target(
        "failed decisions during a deployment",
        "number",
        Goal("at most", 0.0),
        "Requests that failed while a new router was swapped in.",
        "serving",
        serving_target("hot swap: failed decisions"),
    )


def _gains(baseline: Mapping[str, Any] | None) -> Iterator[Target]:
    for name, what, less in (("latency", _P95, True), ("throughput", _PER_S, False)):

        def nothing(_: Mapping[str, Any]) -> Reading | None:
            raise NotEnoughDataError(
                "there is nothing to compare with: give the report.json of an earlier `beast bench serving` of this "
                "machine by --baseline"
            )

        yield Target(
            f"{name} gained over a recorded baseline",
            "share",
            Goal("at least", 0.0, ours=True),
            f"By which share {what!r} is better than in the report given as --baseline.",
            "serving",
            nothing if baseline is None else gain_over(baseline, what, less_is_better=less),
        )


def _cache() -> Iterator[Target]:
    for setting in _SETTINGS:
        yield Target(
            f"cache hits on common requests, {setting} stream",
            "share",
            Goal("at least", 0.99),
            "Requests answered by the cache, of those whose canonical form, or a paraphrase that it verified, was "
            "asked before within its life.",
            "cache",
            cache_rate(setting, "known_served_rate", "known_share"),
        )
        yield Target(
            f"wrong answers served by the cache, {setting} stream",
            "share",
            Goal("at most", 0.01),
            "Requests answered with the answer to another question, of all requests; the promise was at most 1%.",
            "cache",
            cache_rate(setting, "false_hit_rate"),
        )
        yield Target(
            f"cache hits on all requests, {setting} stream",
            "share",
            None,
            "Requests answered by the cache, of all; the ceiling is the share whose question their tenant asked "
            "before, in whatever words, within the answer's life: the rest can never hit.",
            "cache",
            cache_rate(setting, "hit_rate", ceiling="common_share"),
        )


def _prediction() -> Iterator[Target]:
    for name in ("quickstart", "mmlu", "mmlu_pro"):
        yield Target(
            f"quality prediction, {name}",
            "share",
            Goal("at most", 0.03),
            "Expected calibration error of the predicted quality, out of fold: said less come true, in the mean; the "
            "ceiling is what chance in the labels leaves to a perfectly calibrated one.",
            "routing",
            figure("calibration", name, "ece", best=("beast", "ece_floor")),
        )
    yield Target(
        "cost prediction",
        "share",
        Goal("at least", 0.95),
        "1 - |predicted - true| / true spend over all queries and models, out of fold, on the set where it is worst.",
        "routing",
        lowest_accuracy,
    )
    yield Target(
        "recognition of request kinds",
        "share",
        Goal("at least", 0.85),
        "Macro-F1 of the request kind, out of fold, on the sets whose kinds are known.",
        "kinds",
        figure("kinds", "all sets", "macro_f1"),
    )


def _money() -> Iterator[Target]:
    for name in ("quickstart", "mmlu_pro", "mmlu"):
        yield Target(
            f"savings against the dearest model, {name}",
            "share",
            Goal("at least", 0.98),
            "Cost saved against sending everything to the dearest model, at the quality of the best single model, the "
            "operating point chosen on training folds; the ceiling is the oracle's, who knows every answer.",
            "routing",
            figure("savings", name, "saving_vs_dearest_100", best=("oracle", "saving_vs_dearest_100")),
        )
        yield Target(
            f"savings against the best single model, {name}",
            "share",
            Goal("at least", {"quickstart": 0.45, "mmlu_pro": 0.35, "mmlu": 0.18}[name], ours=True),
            "Cost saved against the best single model at its quality, chosen and bounded in the same way.",
            "routing",
            figure("savings", name, "saving_100", best=("oracle", "saving_100")),
        )
        yield Target(
            f"quality gained, {name}",
            "share",
            Goal("at least", 0.20),
            "Quality at the operating point less that of the best single model, in parts of 1; the ceiling is what who "
            "knows every answer gains, at any price.",
            "routing",
            figure("savings", name, "quality_gain_100", best=("oracle", "quality_gain_100")),
        )
    yield Target(
        "cost of a request, quickstart",
        "USD",
        None,
        "Mean cost of a request at the quality of the best single model, the operating point chosen on training folds; "
        "the ceiling is the least at which the oracle, who knows every answer, buys that quality.",
        "routing",
        figure("savings", "quickstart", "cost_100", best=("oracle", "cost_100")),
    )
    yield Target(
        "budget overrun",
        "USD",
        Goal("at most", 0.0),
        "Dollars truly spent beyond a hard limit by 64 workers (16 with --quick) that share it, use it up and are "
        "killed at random.",
        "budgets",
        budget_overrun,
    )


def _deployment() -> Iterator[Target]:
    yield Target(
        "cost of a request of the log",
        "USD",
        None,
        "Mean cost of an answer that a model gave, as the provider's usage was settled.",
        "log",
        cost_of_a_request,
    )
    yield Target(
        "cost prediction of the log",
        "share",
        Goal("at least", 0.95),
        "1 - |predicted - settled| / settled spend over all answers of the log.",
        "log",
        spend_accuracy,
    )
    yield Target(
        "error rate",
        "share",
        Goal("below", 0.001),
        "Requests that ended in an error or a timeout, of all that were not refused by a rule or given up.",
        "log",
        log_share("failed", "ended"),
    )
    yield Target(
        "fallback rate",
        "share",
        Goal("below", 0.05),
        "Answers that took more than one call, of all that a model gave.",
        "log",
        log_share("fallen_back", "answered"),
    )
    yield Target(
        "imbalance of equal endpoints",
        "share",
        Goal("below", 0.05),
        "(max - mean) / mean of calls by endpoint, over any thousand calls of one model.",
        "log",
        worst_imbalance,
    )
    yield Target(
        "feedback coverage",
        "share",
        Goal("at least", 0.80, ours=True),
        "Answers whose quality somebody, or a test, told, of all that a model gave.",
        "log",
        feedback_coverage,
    )
    yield Target(
        "satisfaction",
        "share",
        Goal("at least", 0.95),
        "Mean grade, 0 to 1, that users gave, of the answers they rated.",
        "log",
        satisfaction,
    )
    yield Target(
        "selection accuracy of the log",
        "share",
        Goal("at least", 0.95, ours=True),
        "Choices within two points of the quality of the best model for the request, by later evidence.",
        "selection",
        _selection,
    )


def _learning() -> Iterator[Target]:
    for name in ("routerbench3", "mmlu_pro"):
        yield Target(
            f"selection accuracy, {name}",
            "share",
            Goal("at least", 0.95, ours=True),
            "Choices within two points of the quality of the best model for the question, by the truth, out of fold, "
            "routing by the text alone; the ceiling is the oracle's, who knows which answers come out right by luck.",
            "context",
            figure("savings", name, "share_of_choices_near_the_best", "text", best=1.0),
        )
    for name in ("routerbench3", "mmlu_pro"):
        yield Target(
            f"what knowing the task adds to routing by text, {name}",
            "share",
            Goal("at least", 0.30),
            "Quality gained at equal cost by reading the task, as a share of what routing by the text alone gains.",
            "context",
            figure("savings", name, "of_what_routing_by_text_gains", "task"),
        )
    for name in TUNED_SETS:
        yield Target(
            f"what tuning gains over the defaults, {name}",
            "share",
            Goal("at least", 0.15),
            "Gain of the tuned router over the defaults' on questions that no trial saw, as a share of theirs; the "
            "ceiling is what the oracle, who knows every answer, gains over them.",
            "tuning",
            tuning_gain(name),
        )
    yield Target(
        "self-improvement",
        "share",
        None,
        "Changes of configuration (routers, settings, switches) that learning, tuning and recommendations proposed and "
        "evidence adopted and kept, of all that were judged.",
        "changes",
        adopted_changes,
    )
    yield Target(
        "test coverage",
        "share",
        Goal("at least", 0.90),
        "Branches and lines that the last run of the tests went through.",
        "coverage",
        lambda report: Reading(report["value"] / 100.0),
    )


def _selection(report: Mapping[str, Any]) -> Reading | None:
    for each in report["accuracy"]:
        if each["field"] == "all":
            return Reading(
                each["accuracy"], each["accuracy_low"], each["accuracy_high"], None, f"{each['n']:,} requests"
            )
    return None

"""Readings of the reports that benchmarks write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, Final

from beast_ml.benchmarks.scorecard.score import Reading
from beast_ml.errors import NotEnoughDataError

__all__ = [
    "adopted_changes",
    "availability",
    "budget_overrun",
    "cache_rate",
    "figure",
    "gain_over",
    "lowest_accuracy",
    "recovery_of",
    "serving_target",
    "throughput",
    "tuning_gain",
]

Report = Mapping[str, Any]
Read = Callable[[Report], Reading | None]

_OVER_REPEATS: Final = "median, and range over repetitions"
_UNSEEN: Final = "unseen prompts, 1 worker: requests/s"
_SCALED: Final = re.compile(r"unseen prompts, (\d+) workers: times one")


def serving_target(name: str) -> Read:
    """Return what reads a figure of `beast bench serving` by its name."""

    def read(report: Report) -> Reading | None:
        return _serving(report, name)

    return read


def throughput(report: Report) -> Reading | None:
    """Return unseen prompts decided a second by the most workers that were measured."""
    one = _serving(report, _UNSEEN)
    if one is None:
        return None
    found, workers = one, 1
    for each in report["targets"]:
        scaled = _SCALED.fullmatch(each["name"])
        if scaled and each["measured"] is not None and int(scaled[1]) > workers:
            workers = int(scaled[1])
            ends = (each["measured"], each["low"], each["high"])
            found = Reading(*(one.value * times for times in ends))
    cores = report["machine"]["cores"]
    note = f"{workers} workers on {cores} cores that the load generator shares; workers share nothing, so hosts add up"
    return Reading(found.value, found.low, found.high, None, f"{note}; {_OVER_REPEATS}")


def availability(report: Report) -> Reading | None:
    """Return the share of decisions that were answered while things broke, in-flight ones of a kill counted as lost."""
    faults = report["faults"]
    sent = sum(each["sent"] - each["after_end"] for each in faults)
    lost = sum(sum(each["failures"].values()) + each["in_flight"] for each in faults)
    return Reading.of_share(
        sent - lost, sent, f"{lost} of {sent:,} decisions under {len(faults)} faults, one after another"
    )


def recovery_of(*names: str) -> Read:
    """Return what reads the slowest recovery of some faults; of all where none is named."""

    def read(report: Report) -> Reading | None:
        faults = [each for each in report["faults"] if not names or each["name"] in names]
        if not faults:
            return None
        times = [float("inf") if each["recovery_s"] is None else each["recovery_s"] for each in faults]
        worst = max(range(len(faults)), key=times.__getitem__)
        never = "" if isfinite(times[worst]) else ", which it never did"
        return Reading(times[worst], note=f"the slowest of {len(faults)}: {faults[worst]['name']}{never}")

    return read


def cache_rate(setting: str, rate: str, of: str = "", ceiling: str = "") -> Read:
    """Return what reads a rate of the whole cache from the replay.

    Parameters
    ----------
    setting, rate
        Which.
    of
        The share of requests it is a rate of; empty: all.
    ceiling
        The share of requests that no cache could exceed; empty: none is known.
    """

    def read(report: Report) -> Reading | None:
        replayed = report["sets"].get("replay")
        if replayed is None:
            return None
        top: Report = list(replayed["settings"][setting]["ladder"].values())[-1]
        n = round(top["requests"] * (top[of] if of else 1.0))
        found = Reading.of_share(round(top[rate] * n), n, f"simulated stream {setting!r}, {top['requests']:,} requests")
        return found if found is None or not ceiling else replace(found, ceiling=top[ceiling])

    return read


def figure(
    part: str, dataset: str, name: str, router: str = "beast", *, best: float | tuple[str, str] | None = None
) -> Read:
    """Return what reads a figure of `beast bench routing` or `learning`.

    Parameters
    ----------
    part, dataset, name, router
        Which.
    best
        The best that the data allow: a value, or the router and the name of the figure that tells it.
    """

    def read(report: Report) -> Reading | None:
        found = _figure(report, part, dataset, name, router)
        if found is None:
            return None
        if isinstance(best, tuple):
            told = _figure(report, part, dataset, best[1], best[0])
            top = None if told is None else float(told["value"])
        else:
            top = best
        return Reading(found["value"], found["low"], found["high"], top, dataset)

    return read


def lowest_accuracy(report: Report) -> Reading | None:
    """Return how near predicted spend is to the true one, on the set where it is farthest."""
    found = [
        each
        for each in report["figures"]
        if (each["part"], each["router"], each["name"]) == ("cost", "beast", "spend_accuracy")
        and each["value"] is not None
    ]
    if not found:
        return None
    worst = min(found, key=lambda each: each["value"])
    error = _figure(report, "cost", worst["dataset"], "median_ratio_error", "beast")
    of_a_call = "" if error is None else f"; a single call is off by {error['value']:.0%} in the median"
    note = f"{worst['dataset']}, the worst of {len(found)} sets{of_a_call}"
    return Reading(worst["value"], worst["low"], worst["high"], None, note)


def gain_over(baseline: Report, name: str, *, less_is_better: bool) -> Read:
    """Return what reads by which share a figure of `beast bench serving` is better than in an earlier report."""

    def read(report: Report) -> Reading | None:
        now, before = _serving(report, name), _serving(baseline, name)
        if now is None or before is None or not before.value:
            return None
        gain = 1.0 - now.value / before.value if less_is_better else now.value / before.value - 1.0
        machines = {each["machine"]["cpu"] for each in (report, baseline)}
        return Reading(gain, note="" if len(machines) == 1 else f"on different machines: {', '.join(sorted(machines))}")

    return read


def budget_overrun(report: Report) -> Reading | None:
    """Return what was spent beyond a hard limit by many workers that were killed at random, in USD.

    It raises where the limit was not reached: then nothing was there to hold it.
    """
    spent = report["truly_settled"] + report["truly_in_doubt"]
    if not report["refused"] and spent <= report["limit"]:
        raise NotEnoughDataError(
            f"no request was refused: {report['workers']} workers spent {spent:,} of {report['limit']:,} nano-dollars, "
            "so the limit was not put to the test"
        )
    note = (
        f"{spent:,} of {report['limit']:,} nano-dollars by {report['requests']:,} requests of {report['workers']} "
        f"workers, {report['refused']:,} requests refused, {report['kills']} workers killed; the ledger holds "
        f"{report['settled'] + report['lost']:,}"
    )
    return Reading(max(spent - report["limit"], 0) / 1e9, note=note)


def adopted_changes(report: Report) -> Reading | None:
    """Return the share of the changes that the system proposed itself which evidence adopted, and that stayed."""
    judged = [each for each in report["changes"] if each["outcome"] != "open"]
    told = []
    for origin in dict.fromkeys(each["origin"] for each in report["changes"]):
        own = [each["outcome"] for each in judged if each["origin"] == origin]
        told.append(f"{origin}: {own.count('adopted')} of {len(own)}")
    n_open = len(report["changes"]) - len(judged)
    taken_back = sum(each["outcome"] == "taken back" for each in judged)
    note = f"{', '.join(told)}; {taken_back} taken back, {n_open} open"
    return Reading.of_share(sum(each["outcome"] == "adopted" for each in judged), len(judged), note)


def tuning_gain(dataset: str) -> Read:
    """Return what reads what a search of settings gained, as a share of what the defaults reach on a set.

    Both are shares of the gap to the oracle, so the ceiling is what it gains over the defaults. It raises where the
    defaults reach nothing of the gap.
    """

    def read(report: Report) -> Reading | None:
        gain = _figure(report, "tuning", dataset, "share_of_gap", "gain")
        before = _figure(report, "tuning", dataset, "share_of_gap", "defaults")
        if gain is None or before is None:
            return None
        if before["value"] <= 0.0:
            raise NotEnoughDataError(
                f"the defaults reach {before['value']:.3g} of the gap to the oracle on {dataset}, of which no gain is "
                f"a share; tuning gained {gain['value']:.3g} of the gap"
            )
        low, high = (None if gain[end] is None else gain[end] / before["value"] for end in ("low", "high"))
        ceiling = (1.0 - before["value"]) / before["value"]
        return Reading(gain["value"] / before["value"], low, high, ceiling, dataset)

    return read


def _serving(report: Report, name: str) -> Reading | None:
    for each in report["targets"]:
        if each["name"] == name and each["measured"] is not None:
            return Reading(each["measured"], each["low"], each["high"], None, _OVER_REPEATS)
    return None


def _figure(report: Report, part: str, dataset: str, name: str, router: str) -> Report | None:
    wanted = (part, dataset, router, name)
    for each in report["figures"]:
        if (each["part"], each["dataset"], each["router"], each["name"]) == wanted and each["value"] is not None:
            return dict(each)
    return None

"""What every figure must reach, in one table, and when it does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from beast_ml.benchmarks.figures import Figure

__all__ = ["FLOORS", "Floor", "Verdict", "judge", "judge_all", "summary"]

Rule = Literal["at least", "at most", "not below", "upper bound at most"]


@dataclass(frozen=True)
class Floor:
    """A floor under a figure of the router ``beast``.

    Parameters
    ----------
    part, dataset, name
        The figure.
    rule
        ``at least`` and ``at most``: the mean over seeds reaches the value, or misses it by no more than one standard
        error. ``not below``: the 95% interval does not lie below the value; for sets too small to resolve more.
        ``upper bound at most``: the whole interval lies below it.
    value
        The floor.
    encoder
        The encoder for which it is meant; None: for all.
    """

    part: str
    dataset: str
    name: str
    rule: Rule
    value: float
    encoder: str | None = None

    @property
    def sentence(self) -> str:
        """The floor in words."""
        return f"{self.rule} {self.value:g}"


@dataclass(frozen=True)
class Verdict:
    """A floor beside its figure.

    Parameters
    ----------
    floor
        The floor.
    figure
        What was measured, or None.
    met
        Whether the figure reaches the floor; None when it was not measured.
    """

    floor: Floor
    figure: Figure | None
    met: bool | None


_BIG: Final = ("mmlu", "mmlu_pro", "messplus", "routerdc7")  # more than 5,000 queries
_SMALL: Final = ("bfcl", "zeroeval", "routerbench3")
_PRICED: Final = ("routerbench3", "bfcl", "mmlu_pro")
_LOGS: Final = tuple(
    f"{name}, {policy}"
    for name in ("routerbench3", "mmlu_pro", "bfcl")
    for policy in ("uniform", "softmax", "epsilon-0.2", "epsilon-0.05")
)
_ROUTERS: Final = ("quickstart router, 3 models", "wide router, 30 models")
_MEDIANS_US: Final = {20: 120.0, 50: 250.0, 330: 550.0}

FLOORS: Final = (
    Floor("shares", "mmlu", "share_of_gap", "at least", 0.28, "static"),
    Floor("shares", "mmlu", "share_of_gap", "at least", 0.31, "minilm"),
    Floor("shares", "quickstart", "share_of_gap", "at least", 0.17, "static"),
    Floor("shares", "quickstart", "share_of_gap", "at least", 0.18, "minilm"),
    Floor("shares", "mmlu_pro", "share_over_knn", "at least", 1.1, "static"),
    Floor("shares", "messplus", "share_of_gap", "at least", 0.13, "static"),
    *(Floor("shares", name, "share_of_gap", "not below", 0.0) for name in _SMALL),
    *(Floor("savings", name, "quality_gain_100", "not below", 0.0) for name in _SMALL),
    Floor("strong_calls", "mmlu", "apgr", "at least", 0.69),
    Floor("strong_calls", "mmlu", "cpt50", "at most", 0.26),
    Floor("strong_calls", "mmlu", "cpt80", "at most", 0.56),
    Floor("strong_calls", "gsm8k", "apgr", "at least", 0.645),
    Floor("strong_calls", "mmlu, leave task out", "apgr", "at least", 0.60),
    Floor("savings", "quickstart", "saving_100", "at least", 0.45),
    Floor("savings", "mmlu_pro", "saving_100", "at least", 0.35),
    Floor("savings", "mmlu", "saving_100", "at least", 0.18),
    *(Floor("calibration", name, "ece", "at most", 0.03) for name in _BIG),
    *(Floor("cost", name, "log_r2", "at least", 0.78) for name in _PRICED),
    *(Floor("cost", name, "median_ratio_error", "at most", 0.10) for name in _PRICED),
    *(Floor("cost", name, "coverage", "at least", 0.87) for name in _PRICED),
    *(Floor("cost", name, "coverage", "at most", 0.93) for name in _PRICED),
    Floor("amounts", "bfcl, latency_s", "log_r2", "at least", 0.36),
    *(Floor("logs", cell, "loss", "upper bound at most", 0.005) for cell in _LOGS),
    *(Floor("logs", cell, "intervals_below_excess", "at most", 0.0) for cell in _LOGS),
    Floor("logs", "routerbench3, uniform", "share_kept", "at least", 0.70),
    *(
        Floor("speed", f"{router}, {tokens} tokens", "median_us", "at most", most, "static")
        for router in _ROUTERS
        for tokens, most in _MEDIANS_US.items()
    ),
    *(
        Floor("speed", f"{router}, {tokens} tokens", "p99_to_median", "at most", 4.0, "static")
        for router in _ROUTERS
        for tokens in _MEDIANS_US
    ),
    *(Floor("speed", f"{router}, features given", "median_us", "at most", 25.0, "static") for router in _ROUTERS),
    *(Floor("speed", f"{router}, batches", "decisions_per_s", "at least", 5000.0, "static") for router in _ROUTERS),
    Floor("kinds", "all sets", "macro_f1", "at least", 0.85),
    Floor("scale", "100,000 requests", "seconds", "at most", 600.0),  # "in minutes"
    Floor("scale", "100,000 requests", "peak_memory_mb", "at most", 4096.0),
    Floor("scale", "all sizes", "growth_exponent", "at most", 1.15),  # "near-linear"
)
"""Every floor."""


def judge(floor: Floor, figure: Figure | None) -> Verdict:
    """Return whether a figure reaches its floor.

    Examples
    --------
    >>> floor = Floor("shares", "s", "share_of_gap", "at least", 0.28)
    >>> judge(floor, Figure("shares", "s", "beast", "share_of_gap", 0.275, standard_error=0.006)).met
    True
    >>> judge(floor, Figure("shares", "s", "beast", "share_of_gap", 0.275, standard_error=0.004)).met
    False
    """
    if figure is None or figure.value is None:
        return Verdict(floor, figure, None)
    if floor.rule == "not below":
        return Verdict(floor, figure, (figure.value if figure.high is None else figure.high) >= floor.value)
    if floor.rule == "upper bound at most":
        return Verdict(floor, figure, (figure.value if figure.high is None else figure.high) <= floor.value)
    within = figure.standard_error or 0.0
    missed_by = floor.value - figure.value if floor.rule == "at least" else figure.value - floor.value
    return Verdict(floor, figure, missed_by <= within)


def judge_all(figures: Iterable[Figure], encoder: str, router: str = "beast") -> tuple[Verdict, ...]:
    """Return the verdict on every floor that is meant for this encoder."""
    found = {(one.part, one.dataset, one.name): one for one in figures if one.router == router}
    return tuple(
        judge(floor, found.get((floor.part, floor.dataset, floor.name)))
        for floor in FLOORS
        if floor.encoder in (None, encoder)
    )


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return how many floors are met, in a sentence.

    Examples
    --------
    >>> summary(judge_all([], "static")).endswith("0 met, 0 not met")
    True
    """
    met = [verdict.met for verdict in verdicts]
    return f"of {len(met)} floors {met.count(None)} not measured, {met.count(True)} met, {met.count(False)} not met"

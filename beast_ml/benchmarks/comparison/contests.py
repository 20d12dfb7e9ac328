"""The contests in what the benchmarks of routing, cache and service have measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from beast_ml.benchmarks.comparison.contest import Contest, Entry
from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.serving.cases import CaseResult, Spread
from beast_ml.benchmarks.serving.serving_bench import LITELLM

__all__ = ["cache_contests", "routing_contests", "service_contests"]

_OURS: Final = "beast"
_ROUTERS: Final = {
    "knn": "nearest neighbours, tuned",
    "routellm_mf": "RouteLLM's matrix factorisation",
    "paretobandit": "ParetoBandit",
    "llmrouter_knn_cheap_first": "LLMRouter kNN, cheap rows first",
    "llmrouter_knn_dear_first": "LLMRouter kNN, dear rows first",
    "llmrouter_mlp_cheap_first": "LLMRouter MLP, cheap rows first",
    "llmrouter_mlp_dear_first": "LLMRouter MLP, dear rows first",
    "llmrouter_mf_cheap_first": "LLMRouter MF, cheap rows first",
    "llmrouter_mf_dear_first": "LLMRouter MF, dear rows first",
}
_TIMED: Final = {
    "paretobandit": "ParetoBandit",
    **{f"llmrouter_{family}": f"LLMRouter {words}" for family, words in (("knn", "kNN"), ("mlp", "MLP"), ("mf", "MF"))},
}
_FIGURES: Final[Mapping[tuple[str, str], tuple[str, str, Literal["share", "us"], Literal["more", "less"]]]] = {
    ("shares", "share_of_gap"): ("routing", "share of the zero-router-to-oracle gap", "share", "more"),
    ("strong_calls", "apgr"): ("routing", "APGR", "share", "more"),
    ("strong_calls", "cpt50"): ("routing", "strong calls for half of the gap (CPT50)", "share", "less"),
    ("strong_calls", "cpt80"): ("routing", "strong calls for 80% of the gap (CPT80)", "share", "less"),
}
_TIME: Final = ("speed", "median_us")
_TIMED_ROUTER: Final = "quickstart router, 3 models, features given"
_CACHE_RATE: Final = "0.01"
_MOCK_RIGHT: Final = "804"
_COSINE: Final = "a fixed cosine, which is GPTCache's rule"
_VCACHE: Final = "vCache's rule"


def routing_contests(figures: Iterable[Figure]) -> Iterator[Contest]:
    """Yield the contests among the figures of `beast bench routing --peers`."""
    by_contest: dict[tuple[str, str, str], dict[str, Figure]] = {}
    for figure in figures:
        by_contest.setdefault((figure.part, figure.name, figure.dataset), {})[figure.router] = figure
    for (part, name, dataset), by_router in by_contest.items():
        kind = _FIGURES.get((part, name))
        if kind is None or _OURS not in by_router:
            continue
        field, words, unit, wanted = kind
        ours = _entry("beast-ml", by_router[_OURS])
        others = (_entry(said, by_router[router]) for router, said in _ROUTERS.items() if router in by_router)
        if ours is not None:
            yield Contest(field, f"{words}, {dataset}", unit, wanted, ours, tuple(each for each in others if each))
    yield from _decision_times(by_contest)


def _decision_times(by_contest: Mapping[tuple[str, str, str], Mapping[str, Figure]]) -> Iterator[Contest]:
    """Yield the time of a decision on a vector that is there: what a text's own embedding takes comes on top.

    Ours is of the router of the quickstart set, which the peers were fitted on, too.
    """
    medians = {dataset: by for (part, name, dataset), by in by_contest.items() if (part, name) == _TIME}
    ours = [by[_OURS] for dataset, by in medians.items() if _OURS in by and dataset.startswith(_TIMED_ROUTER)]
    theirs = {router: figure for by in medians.values() for router, figure in by.items() if router in _TIMED}
    mine = _entry("beast-ml", ours[0]) if ours else None
    if mine is not None and theirs:
        others = (_entry(said, theirs[router]) for router, said in _TIMED.items() if router in theirs)
        figure = "CPU of a decision on a vector that is there, median"
        yield Contest("decision time", figure, "us", "less", mine, tuple(each for each in others if each))


def cache_contests(found: Mapping[str, Any]) -> Iterator[Contest]:
    """Yield the contests in what `beast bench cache --peers` has found."""
    for name, figures in found["sets"].items():
        at = figures.get("hits_at_equal_rates", {}).get(_CACHE_RATE)
        if at is not None:
            pooled = Entry(f"{_VCACHE}, pooled", at["vcache_pooled"])
            yield _hits(f"{name} pairs", at["verifier"], (_of_interval(_COSINE, at["cosine"]), pooled))
        at = figures.get("hits_at_equal_entries", {}).get(_CACHE_RATE)
        if at is not None:
            theirs = (_of_interval(_COSINE, at["cosine"]), _of_interval(_VCACHE, at["vcache"]))
            yield _hits(f"{figures['entries']:,} bank questions stored", at["verifier"], theirs)
    mock = found["sets"].get("mock")
    if mock is not None:
        yield _mock(mock)


def _hits(what: str, ours: Mapping[str, Any], others: tuple[Entry | None, ...]) -> Contest:
    mine = Entry("beast-ml's verifier", ours["value"], ours["low"], ours["high"])
    figure = f"hit rate at a false-hit rate of 1%, {what}"
    return Contest("cache", figure, "share", "more", mine, tuple(each for each in others if each))


def _mock(figures: Mapping[str, Any]) -> Contest:
    """Return how many wrong hits at least as many right hits cost as GPTCache's middle setting had."""
    wrong = {who: by_right[_MOCK_RIGHT] for who, by_right in figures["wrong_with_at_least_right"].items()}
    others = [Entry(_COSINE, wrong["cosine"])] if wrong["cosine"] is not None else []
    for at, (right, n_wrong, _) in figures["published_gptcache"].items():
        if right >= int(_MOCK_RIGHT):
            others.append(Entry(f"GPTCache as published, threshold {at}", n_wrong))
    for at, counts in (figures.get("gptcache_here") or {}).items():
        if at != "default_threshold" and counts[0] >= int(_MOCK_RIGHT):
            others.append(Entry(f"GPTCache on our embeddings, threshold {at}", counts[1]))
    figure = f"wrong hits for {_MOCK_RIGHT} right ones, GPTCache's own {figures['lookups']} lookups"
    return Contest("cache", figure, "count", "less", Entry("beast-ml's verifier", wrong["verifier"]), tuple(others))


def service_contests(cases: Sequence[CaseResult]) -> Iterator[Contest]:
    """Yield the contests among the cases of `beast bench serving --litellm PYTHON`."""
    by_name = {case.name: case for case in cases if case.workers == 1}
    if "unseen" not in by_name or LITELLM not in by_name:
        return
    ours = _of_spread("beast-ml, /v1/route, unseen prompts", _cpu_us(by_name["unseen"]))
    others = (_of_spread(LITELLM, _cpu_us(by_name[LITELLM])),)
    yield Contest("service", "CPU of a request, one worker", "us", "less", ours, others)


def _entry(name: str, figure: Figure) -> Entry | None:
    return None if figure.value is None else Entry(name, figure.value, figure.low, figure.high)


def _of_interval(name: str, figure: Mapping[str, float | None]) -> Entry | None:
    value = figure["value"]
    return None if value is None else Entry(name, value, figure["low"], figure["high"])


def _cpu_us(case: CaseResult) -> Spread:
    return case.of(lambda each: each.full.worker_cpu_us)


def _of_spread(name: str, spread: Spread) -> Entry:
    return Entry(name, spread.median, spread.low, spread.high)

"""Runs the benchmarks that the public comparison is made of, each as its own command would, with the peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beast_ml.benchmarks.cache.pairs_bench import PairsBench, PairsConfig
from beast_ml.benchmarks.cache.replay_part import QUICK_REPLAY
from beast_ml.benchmarks.comparison.contest import Contest
from beast_ml.benchmarks.comparison.contests import cache_contests, routing_contests, service_contests
from beast_ml.benchmarks.routing_bench import BenchConfig, run_bench
from beast_ml.benchmarks.serving.cases import Effort
from beast_ml.benchmarks.serving.faults import Timing
from beast_ml.benchmarks.serving.serving_bench import ServingBench, ServingConfig
from beast_ml.benchmarks.serving.wrk import wrk_version
from beast_ml.benchmarks.sets import BenchmarkSet
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
from beast_ml.errors import BeastError
from beast_ml.features.distill import static_encoder

__all__ = ["FIELDS", "ComparisonConfig", "compare"]

FIELDS: Final = ("routing", "cache", "service")
"""What ours is compared in."""

_ROUTING_PARTS: Final = ("shares", "strong_calls", "speed")
_CACHE_SETS: Final = ("qqp", "mrpc", "mock", "entries")

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ComparisonConfig:
    """What to compare.

    Parameters
    ----------
    fields
        Of `FIELDS`.
    sets
        Of outcomes, for routers.
    n_folds, n_seeds, n_resamples
        Of their cross-validation.
    n_splits, most_pairs
        Of the pairs for caches.
    effort
        Of the load on servers.
    litellm
        A Python that has LiteLLM; None: its router is left out.
    data
        Folder of the public sets.
    out
        Folder for results, and for what an interrupted run finds again.
    quick
        Whether a rough look will do.
    """

    fields: tuple[str, ...]
    sets: tuple[BenchmarkSet, ...]
    n_folds: int
    n_seeds: int
    n_resamples: int
    n_splits: int
    most_pairs: int
    effort: Effort
    litellm: Path | None
    data: Path
    out: Path
    quick: bool = False


def compare(
    config: ComparisonConfig,
    say: Say = lambda _: None,
    progress: Progress = lambda _what, _done, _total: None,
) -> tuple[tuple[Contest, ...], dict[str, str]]:
    """Return the contests, and what was left out and why; one field that fails does not take the others along."""
    measures = {"routing": _routing, "cache": _cache, "service": _service}
    contests: list[Contest] = []
    left_out: dict[str, str] = {}
    for field in config.fields:
        try:
            contests += measures[field](config, say, progress, left_out)
        except BeastError as error:
            left_out[field] = str(error)
            say(f"warning: {field} is left out: {error}")
    return tuple(contests), left_out


def _routing(config: ComparisonConfig, say: Say, progress: Progress, left_out: dict[str, str]) -> Iterator[Contest]:
    bench = BenchConfig(
        sets=config.sets,
        parts=_ROUTING_PARTS,
        n_folds=config.n_folds,
        n_seeds=config.n_seeds,
        encoder="static",
        data=config.data,
        out=config.out / "routing",
        peers=True,
        n_resamples=config.n_resamples,
        quick=config.quick,
    )
    found = run_bench(bench, say, progress)
    left_out |= found.left_out
    return routing_contests(found.figures)


def _cache(config: ComparisonConfig, say: Say, progress: Progress, left_out: dict[str, str]) -> Iterator[Contest]:
    bench = PairsConfig(
        sets=_CACHE_SETS,
        n_splits=config.n_splits,
        most_pairs=config.most_pairs,
        data=config.data,
        out=config.out / "cache",
        peers=True,
        replay=QUICK_REPLAY,  # no part of this comparison is a replay
    )
    found = PairsBench(bench, OnnxEncoder.minilm(), static_encoder(), say, progress).run()
    left_out |= found["left_out"]
    return cache_contests(found)


def _service(config: ComparisonConfig, say: Say, progress: Progress, left_out: dict[str, str]) -> Iterator[Contest]:
    if config.litellm is None:
        left_out["service"] = "name a Python that has LiteLLM and uvicorn with --litellm, to run its router beside ours"
        return iter(())
    bench = ServingConfig(
        parts=("capacity",),
        effort=config.effort,
        workers=1,
        wrk=wrk_version() is not None,
        litellm=config.litellm,
        soak_minutes=0.0,
        soak_rate=0.0,
        faults=(),
        timing=Timing(1.0, 1.0, 1.0, 1.0),
        data=config.data,
        out=(config.out / "service").absolute(),
    )
    found = ServingBench(bench, say, progress).run()
    left_out |= found.left_out
    return service_contests(found.cases)

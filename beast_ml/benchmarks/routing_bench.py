"""One run of the routing benchmark: set after set, part after part, each kept as soon as it is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.cached_encoder import CachedEncoder, CachingLearner
from beast_ml.benchmarks.cross_validation import CrossValidation, cross_validate
from beast_ml.benchmarks.curves import Picture, draw_curves
from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.parts import OWN_PARTS, SCORED_PARTS
from beast_ml.benchmarks.peers.installed import peers_here
from beast_ml.benchmarks.results import code_digest, result_key, write_bytes
from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.benchmarks.sets import BenchmarkSet, load_set
from beast_ml.evaluation.learner import Learner
from beast_ml.evaluation.pool import choose_pool
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import Groups
from beast_ml.policy.learner import EncoderName, get_encoder

__all__ = ["LEAVE_TASK_OUT", "BenchConfig", "BenchResult", "SetResult", "run_bench"]

LEAVE_TASK_OUT: Final = ("mmlu", "mmlu_pro")
"""Sets that are measured a second time with whole tasks left out of training."""

Progress = Callable[[str, int, int], None]
MakeLearner = Callable[[EncoderName, CachedEncoder, Groups], Learner]


def _our_learner(name: EncoderName, encoder: CachedEncoder, groups: Groups) -> Learner:
    return CachingLearner(name, remembering=encoder, groups=groups)


@dataclass(frozen=True)
class BenchConfig:
    """What to run.

    Parameters
    ----------
    sets, parts
        Which.
    n_folds, n_seeds
        Of the cross-validation.
    encoder
        Name of the encoder.
    data
        Folder of the public sets, or None.
    out
        Folder for results and for what an interrupted run finds again.
    peers
        Whether to run other people's routers beside.
    n_resamples
        Bootstrap resamples behind each interval.
    quick
        Whether a rough look will do.
    """

    sets: tuple[BenchmarkSet, ...]
    parts: tuple[str, ...]
    n_folds: int
    n_seeds: int
    encoder: EncoderName
    data: Path | None
    out: Path
    peers: bool = False
    n_resamples: int = 1000
    quick: bool = False


class SetResult(msgspec.Struct, frozen=True):
    """What was measured on one set.

    Parameters
    ----------
    name
        The set, and the protocol where it is not the usual one.
    about
        What is in it.
    cost
        What plays the part of cost.
    models, queries, scored
        Its size, and on how many queries all models were observed.
    parts
        What each part found.
    picture
        Curves to draw.
    seconds
        Router -> seconds to fit it and decide a fold.
    """

    name: str
    about: str
    cost: str
    models: tuple[str, ...]
    queries: int
    scored: int
    parts: tuple[PartResult, ...]
    picture: Picture
    seconds: dict[str, float]


@dataclass(frozen=True)
class BenchResult:
    """All of a run.

    Parameters
    ----------
    sets
        Results by set, in the order of reports.
    own
        Results of the parts that are bound to no set.
    left_out
        Set -> why it was not measured.
    seconds
        How long the run took; results that were found again took none.
    """

    sets: tuple[SetResult, ...]
    own: tuple[PartResult, ...]
    left_out: dict[str, str]
    seconds: float

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure."""
        parts = [part for one in self.sets for part in one.parts]
        return tuple(figure for part in (*parts, *self.own) for figure in part.figures)


def run_bench(
    config: BenchConfig,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda _what, _done, _total: None,
    make_learner: MakeLearner | None = None,
) -> BenchResult:
    """Run the benchmark, and return what was measured.

    Parameters
    ----------
    say
        Called with what is being done.
    progress
        Called with (what, steps done, steps in all).
    make_learner
        Makes what learns the router named ``beast``, given the name of the encoder and the encoder; default: ours.

    Raises
    ------
    DataError, MissingExtraError
        If a set that is there cannot be used.
    """
    start = time.perf_counter()
    scored_parts = tuple(part for part in config.parts if part in SCORED_PARTS)
    sets: list[SetResult] = []
    left_out: dict[str, str] = {}
    for one in config.sets if scored_parts else ():
        outcomes = load_set(one, config.data)
        if outcomes is None:
            hint = f"`beast data describe {one.folder}` says how to get it"
            left_out[one.name] = f"no {one.folder}/outcomes.parquet in {config.data}: {hint}"
            say(f"{one.name} is left out: {left_out[one.name]}")
            continue
        sets += _measure_set(config, one, outcomes, scored_parts, say, progress, make_learner or _our_learner)
    own = tuple(_measure_own(config, name, say) for name in config.parts if name in OWN_PARTS)
    return BenchResult(tuple(sets), own, left_out, time.perf_counter() - start)


def _measure_set(
    config: BenchConfig,
    one: BenchmarkSet,
    outcomes: OutcomeMatrix,
    parts: tuple[str, ...],
    say: Callable[[str], None],
    progress: Progress,
    make_learner: MakeLearner,
) -> Iterator[SetResult]:
    outcomes = outcomes.pool(choose_pool(outcomes, cost=one.cost).models)
    encoder = CachedEncoder(
        get_encoder(config.encoder, lambda done, total: progress("distilling the encoder", done, total)),
        # Static vectors are quicker made than read.
        None if config.encoder == "static" else config.out / "embeddings" / f"{one.name}-{config.encoder}.npz",
    )
    peers, missing = peers_here(encoder) if config.peers else ({}, {})
    for sentence in sorted(set(missing.values())):
        say(f"warning: {sentence}")
    protocols = [(one.name, CrossValidation(config.n_folds, config.n_seeds))]
    if one.name in LEAVE_TASK_OUT:
        protocols.append((f"{one.name}, leave task out", CrossValidation(config.n_folds, config.n_seeds, "task")))
    for name, protocol in protocols:
        settings = {
            "data": outcomes.digest(),
            "protocol": [protocol.groups, protocol.n_folds, protocol.n_seeds],
            "parts": parts,
            "encoder": encoder.hash,
            "peers": sorted(peers),
            "resamples": config.n_resamples,
            "code": code_digest(),
        }
        path = config.out / "sets" / f"{name.replace(', ', '-').replace(' ', '-')}-{result_key(settings)}.json"
        if path.is_file():
            say(f"{name}: found in {path}")
            yield msgspec.json.decode(path.read_bytes(), type=SetResult)
            continue
        say(f"{name}: {outcomes.n_queries} queries, {len(outcomes.models)} models")
        learner = make_learner(config.encoder, encoder, protocol.groups)
        folds = config.out / "folds" / one.name
        seeds = tuple(
            cross_validate(
                outcomes, one.cost, protocol, learner, encoder, peers, folds,
                partial(progress, f"{name}, folds"),
            )
        )  # fmt: skip
        encoder.save()
        scored = ScoredSet.of(name, outcomes, one.cost, seeds, config.n_resamples)
        result = SetResult(
            name=name,
            about=one.about,
            cost=one.cost,
            models=outcomes.models,
            queries=outcomes.n_queries,
            scored=int(scored.scored.sum()),
            parts=tuple(_timed(SCORED_PARTS[part], scored) for part in parts),
            picture=draw_curves(scored),
            seconds=seeds[0].seconds,
        )
        write_bytes(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
        yield result


def _measure_own(config: BenchConfig, name: str, say: Callable[[str], None]) -> PartResult:
    settings: dict[str, Any] = {
        "encoder": config.encoder,
        "seeds": config.n_seeds,
        "quick": config.quick,
        "peers": config.peers,
        "data": str(config.data),
        "code": code_digest(),
    }
    path = config.out / "parts" / f"{name}-{result_key(settings)}.json"
    if path.is_file():
        say(f"{name}: found in {path}")
        return msgspec.json.decode(path.read_bytes(), type=PartResult)
    say(f"{name}: measuring")
    context = PartContext(
        config.data, config.encoder, config.n_seeds, config.quick, config.peers, config.out / "parts" / name, say
    )
    result = _timed(OWN_PARTS[name], context)
    write_bytes(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result


def _timed(measure: Callable[[Any], PartResult], what: Any) -> PartResult:
    start = time.perf_counter()
    return msgspec.structs.replace(measure(what), seconds=time.perf_counter() - start)

"""Evaluate a learned router: train on one set of outcomes, decide on another, compare with everything it must beat."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.decisions import RouterDecisions, write_decisions
from beast_ml.evaluation.frontier_plot import draw_frontier
from beast_ml.evaluation.learner import Learner
from beast_ml.evaluation.overlap import Overlap, find_overlap
from beast_ml.evaluation.pool import Pool, choose_pool, outcomes_of_pool, scored_queries, why_nothing_is_scored
from beast_ml.evaluation.report import describe_routers, describe_run, package_versions
from beast_ml.evaluation.routers import ROUTER, Contest, Entrants, embed_prompts
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.evaluation.scores import RouterScore, score_oracle, score_router, score_zero_router
from beast_ml.evaluation.verdict import Verdict, no_verdict, reach_verdict
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.operating_point import best_single_model
from beast_ml.policy.utility import CostKind

__all__ = ["RoutingConfig", "RoutingEvaluation", "evaluate_routing"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class RoutingConfig:
    """How to evaluate.

    Parameters
    ----------
    pool
        Models to choose from; None: all of the training data that can be compared on cost.
    cost
        Kind of cost; None: dollars where there are any, else seconds, else none.
    seed
        Seed of everything that is drawn.
    n_resamples
        Bootstrap resamples behind each interval.
    quality_target
        Share of the best single model's quality that operating points must reach, (0, 1].
    """

    pool: tuple[str, ...] | None = None
    cost: CostKind | None = None
    seed: int = 0
    n_resamples: int = 1000
    quality_target: float = 1.0


@dataclass(frozen=True)
class RoutingEvaluation:
    """The outcome of an evaluation.

    Parameters
    ----------
    verdict
        Does routing pay?
    pool
        Who competed.
    overlap
        How much of the test data was trained on.
    decisions
        Every router that has a trade-off to make, on every test query.
    scores
        Every router's metrics on the scored queries, references included, by name; empty when none could be scored.
    board
        What they were scored by, or None.
    query_ids
        (n,) the test queries.
    scored
        (n,) which of them were scored: all models of the pool observed.
    report
        Everything above as plain values; what ``report.json`` holds.
    """

    verdict: Verdict
    pool: Pool
    overlap: Overlap
    decisions: tuple[RouterDecisions, ...]
    scores: Mapping[str, RouterScore]
    board: Scoreboard | None = field(repr=False)
    query_ids: NDArray[np.str_] = field(repr=False)
    scored: NDArray[np.bool_] = field(repr=False)
    report: dict[str, Any] = field(repr=False)

    def write(self, folder: Path) -> None:
        """Write ``decisions.parquet``, ``frontier.png`` and ``report.json`` into a folder, creating it.

        There is no picture when nothing was scored; one of an earlier run is removed.

        Raises
        ------
        DataError
            If the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_decisions(folder / "decisions.parquet", self.query_ids.tolist(), self.decisions, self.pool.cost)
            if self.board is None:
                (folder / "frontier.png").unlink(missing_ok=True)
            else:
                draw_frontier(folder / "frontier.png", self.scores, self.board, self.pool, self.verdict)
            text = json.dumps(self.report, indent=2, allow_nan=False)
            (folder / "report.json").write_text(text + "\n", "utf-8")
        except OSError as error:
            raise DataError(f"cannot write the evaluation to {folder}: {error}") from error


def evaluate_routing(
    train: OutcomeMatrix,
    test: OutcomeMatrix,
    learner: Learner,
    encoder: Encoder,
    config: RoutingConfig | None = None,
    *,
    peers: Mapping[str, Learner] | None = None,
    provenance: Mapping[str, Any] | None = None,
    say: Say = lambda _: None,
    must_score: bool = True,
) -> RoutingEvaluation:
    """Return how a learner's router fares on test outcomes, beside its baselines and references.

    Everything is learned and chosen on the training outcomes. Of the test outcomes, routers read query ids and
    prompts (and what the learner reads of their contexts); decisions cover every test query, scores those on which
    every model of the pool was observed. Where quality is missing on a query no router is scored on it.

    Parameters
    ----------
    learner
        Learns the router named ``beast``.
    encoder
        Turns prompts into vectors for the nearest-neighbour router and for guessing tasks.
    peers
        Other learners to run beside it, by name.
    provenance
        What to say in the report about where the data are from.
    say
        Called with what is being done.
    must_score
        Whether it is an error when no test query can be scored. If not, there are decisions without scores then, and
        a verdict that says why.

    Raises
    ------
    DataError, NotEnoughDataError, UnknownModelError
        If the data cannot be evaluated; see `choose_pool`.
    """
    config = config or RoutingConfig()
    clock = _Stopwatch()
    pool = choose_pool(train, config.pool, config.cost)
    train, test = _of_pool(train, pool), outcomes_of_pool(test, pool.models)
    scored = scored_queries(test, pool.cost)
    if must_score and not scored.any():
        raise NotEnoughDataError(f"nothing could be scored: {why_nothing_is_scored(test, pool.cost)}")
    overlap = find_overlap(train, test)
    if overlap.warning():
        say(f"warning: {overlap.warning()}")
    clock.lap("reading")

    say(f"learning to predict {len(pool.models)} models from {train.n_queries} queries")
    fitted = learner.fit(train, pool.cost, config.seed)
    clock.lap("learning")
    others = {name: peer.fit(train, pool.cost, config.seed) for name, peer in sorted((peers or {}).items())}
    clock.lap("learning peers")
    say(f"deciding {test.n_queries} queries with every router")
    vectors = embed_prompts(encoder, train.prompts, test.prompts)
    contest = Contest(train, test, *vectors, pool.cost, config.seed, learner.context, config.quality_target)
    entrants = contest.run(fitted, others)
    clock.lap("deciding")
    board: Scoreboard | None = None
    scores: dict[str, RouterScore] = {}
    if scored.any():
        say(f"scoring on {scored.sum()} queries")
        board = _scoreboard(train, test.rows(scored), pool, entrants.ours, config)
        scores = _score_all(board, entrants, scored, pool, np.random.default_rng([config.seed, 3]))
        verdict = _verdict(entrants.ours, scores[ROUTER], int(scored.sum()))
    else:
        assert entrants.ours.point is not None  # noqa: S101  learned routers have one
        verdict = no_verdict(entrants.ours.point, why_nothing_is_scored(test, pool.cost))
        say(f"warning: {verdict.sentence}")
    clock.lap("scoring")
    report = {
        **describe_run(verdict, pool, board),
        "data": {
            "train": {"digest": train.digest(), "queries": train.n_queries},
            "test": {"digest": test.digest(), "queries": test.n_queries, "scored": int(scored.sum())},
            "overlap": overlap.to_dict(),
            **(provenance or {}),
        },
        "settings": {
            "seed": config.seed,
            "context": list(learner.context),
            "encoder": {"name": encoder.name, "hash": encoder.hash},
            "resamples": config.n_resamples,
        },
        "notes": list(entrants.notes),
        "routers": describe_routers(scores, entrants),
        "versions": package_versions(),
        "seconds": clock.seconds,
    }
    return RoutingEvaluation(verdict, pool, overlap, entrants.deciding, scores, board, test.query_ids, scored, report)


def _scoreboard(
    train: OutcomeMatrix, scored: OutcomeMatrix, pool: Pool, ours: RouterDecisions, config: RoutingConfig
) -> Scoreboard:
    rng = np.random.default_rng([config.seed, 2])
    return Scoreboard(
        quality=scored.quality,
        cost=realised_cost(scored, pool.cost),
        reference=best_single_model(train.quality, realised_cost(train, pool.cost)),
        willingness=_regret_willingness(ours),
        bootstrap=QueryBootstrap.draw(rng, scored.n_queries, config.n_resamples),
    )


def _score_all(
    board: Scoreboard, entrants: Entrants, scored: NDArray[np.bool_], pool: Pool, rng: np.random.Generator
) -> dict[str, RouterScore]:
    costs = pool.cost != "none"
    scores = {}
    for router in (*entrants.learned, *entrants.references):
        scores[router.name] = score_router(board, router, scored, rng, predicts=True, costs=costs)
    for router in entrants.unlearned:
        scores[router.name] = score_router(board, router, scored, rng, predicts=False, costs=costs)
    scores["zero_router"], scores["oracle"] = score_zero_router(board), score_oracle(board, pool.models)
    return scores


def _verdict(ours: RouterDecisions, score: RouterScore, n_queries: int) -> Verdict:
    assert ours.point is not None  # noqa: S101  learned routers have one
    return reach_verdict(ours.point, score.operating["quality_gain"], score.operating["saving"], n_queries)


def _of_pool(train: OutcomeMatrix, pool: Pool) -> OutcomeMatrix:
    pooled = train.pool(pool.models)
    return pooled.rows(np.isfinite(pooled.quality).sum(axis=1) > 0)


def _regret_willingness(router: RouterDecisions) -> float:
    """Return the operating point's willingness to pay; quality at any price where one model always answers."""
    assert router.point is not None  # noqa: S101  learned routers have one
    chosen = router.point.willingness_to_pay
    if chosen is None:
        return float("inf")
    # Regret is in units of quality, which have no price when nothing is paid for them: take the least that is.
    return chosen if chosen > 0 else float(router.willingness[router.willingness > 0][0])


class _Stopwatch:
    """Seconds spent on each part of a run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._start, 3)
        self._start = now

"""Whether knowledge of other deployments' outcomes helps one with models of its own, by how many queries it has.

The target learns from n of its own queries, once from their features alone, once with the activations of a trunk that
was pre-trained on all other sets. Both see the same rows, folds and predicted costs; both are ridge and kernel ridge
with their stack, and keep the models' means unless these are beaten out of fold (`select_family`). No networks: they
take minutes where these take seconds. The kernel is there so that a trunk does not win by being curved.

On made-up deployments that share what makes a request hard, a trunk helps from few queries on. On the public sets it
does not help to choose: of 25 gains in share of the gap (five sets, five sizes, three seeds) no interval lies above
zero. Up to 500 own queries of mmlu and messplus, and 200 of mmlu_pro, the models' means are kept with it as without.
A little of how hard a question is for all models is shared: beyond its interval that shows in the Brier score of
mmlu_pro (.0015 less, from 500 queries) and of the quickstart set (.0001 less, from 1,000 or all), nowhere else. The
units in place of the features were tried and did worse at nearly every size; 16 units for 64 made no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.labelled_questions import question_stem
from beast_ml.benchmarks.shared_text import asked_within
from beast_ml.errors import InputError
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.pool import choose_pool, scored_queries
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.features.encoder import Encoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import holdout_mask, query_fold
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.operating_point import best_single_model
from beast_ml.policy.utility import CostKind, Predictions, choose, willingness_grid
from beast_ml.predictors.amounts import fit_amounts
from beast_ml.predictors.contract import Fitted, Floats, Rows, TrainingSet
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pooling import SourceSet, Trunk, TrunkConfig, fit_trunk
from beast_ml.predictors.quality import fit_quality

__all__ = ["PoolingPoint", "PoolingResult", "pooling_curves", "sources_of"]

_TEST_FRACTION: Final = 0.3
_N_FOLDS: Final = 5
_SOURCE_QUERIES: Final = 2500
# What is compared is never served: the student, which `select_family` makes of every winner, is as small as can be.
_STUDENT: Final = NetworkConfig(hidden=(), epochs=1, task_weight=0.0)
_QUALITY: Final = FamiliesConfig(("ridge", "kernel"), NetworkConfig(), student=_STUDENT)
_COST: Final = FamiliesConfig(("ridge",), NetworkConfig(), student=_STUDENT)


@dataclass(frozen=True)
class PoolingPoint:
    """One target at one number of its own queries; a value a seed.

    Parameters
    ----------
    target
        The set.
    size
        Own queries that were asked for, None for all.
    n_queries
        Mean number of own queries that were learnt from.
    share_means, share_alone, share_pooled
        Share of the zero-router-to-oracle gap on held-out queries: with the models' mean qualities on its own queries,
        with what was learnt from them, and with the trunk as well. The predicted costs are the same in all three; they
        alone route a little.
    brier_means, brier_alone, brier_pooled
        Mean squared error of predicted quality on held-out queries.
    kept_alone, kept_pooled
        1.0 where nothing that was learnt beat the models' means, so that these were kept.
    skill_alone, skill_pooled
        What the best that was learnt, kept or not, takes off the routing error (`FamilyScore`) of the models' means,
        as a share of it, out of fold on its own queries: how near the trunk brings learning to being kept.
    """

    target: str
    size: int | None
    n_queries: float
    share_means: tuple[float, ...]
    share_alone: tuple[float, ...]
    share_pooled: tuple[float, ...]
    brier_means: tuple[float, ...]
    brier_alone: tuple[float, ...]
    brier_pooled: tuple[float, ...]
    kept_alone: tuple[float, ...]
    kept_pooled: tuple[float, ...]
    skill_alone: tuple[float, ...]
    skill_pooled: tuple[float, ...]

    @property
    def share_gain(self) -> Estimate:
        """What pooling adds to the share of the gap."""
        return mean_over_seeds(np.subtract(self.share_pooled, self.share_alone))

    @property
    def brier_gain(self) -> Estimate:
        """What pooling takes off the Brier score: positive is better."""
        return mean_over_seeds(np.subtract(self.brier_alone, self.brier_pooled))

    @property
    def skill_gain(self) -> Estimate:
        """What pooling adds to the skill out of fold."""
        return mean_over_seeds(np.subtract(self.skill_pooled, self.skill_alone))


@dataclass(frozen=True)
class PoolingResult:
    """Curves of all targets.

    Parameters
    ----------
    points
        Target by target, in increasing number of queries.
    sources
        Target -> the sets its trunks were learnt from.
    shared_questions
        Target -> questions that were taken out of its sources because the target asks them too.
    """

    points: tuple[PoolingPoint, ...]
    sources: Mapping[str, tuple[str, ...]]
    shared_questions: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, with the gain of pooling and its interval at each point."""
        return {
            "points": [
                {
                    **asdict(one),
                    **{f"{what}_gain": getattr(one, f"{what}_gain").to_dict() for what in ("share", "brier", "skill")},
                }
                for one in self.points
            ],
            "sources": dict(self.sources),
            "shared_questions": dict(self.shared_questions),
        }


def mean_over_seeds(values: Sequence[float] | Floats) -> Estimate:
    """Return the mean of a value a seed, with the 95% interval of Student's t; no interval with one seed.

    Seeds differ in what is held out, in what is learnt from and in every draw, but share the set: the interval says
    what another draw would give, not what another set would.
    """
    from scipy.stats import t

    value = float(np.mean(values))
    n = len(values)
    if n < 2:
        return Estimate(value)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Estimate(value, value - half, value + half)


def pooling_curves(
    sets: Mapping[str, OutcomeMatrix],
    targets: Sequence[str],
    sizes: Sequence[int | None],
    seeds: Sequence[int],
    encoder: Encoder,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    config: TrunkConfig | None = None,
) -> PoolingResult:
    """Return what each target learns from n of its own queries, alone and with a trunk of all other sets.

    Each seed holds out 30% of the target's questions, and draws the order in which its others come. Lines of
    boilerplate are found in all prompts of a set, held-out ones included: texts alone, and the same for both.

    Parameters
    ----------
    sets
        Outcome sets by name; every one but the target is a source.
    targets
        Which of them are targets.
    sizes
        Numbers of own queries; None: all. Those that a target has not got are left out.
    seeds
        One repetition each.
    encoder
        Of the features.
    progress
        Called with (what, steps done, steps in all).
    config
        Of the trunk.

    Raises
    ------
    InputError
        If a target is not among the sets, or no other set is there.
    """
    unknown = [name for name in targets if name not in sets]
    if unknown:
        raise InputError(f"no set {unknown[0]!r} among {', '.join(sets)}")
    if len(sets) < 2:
        raise InputError(f"only {', '.join(sets) or 'no set'}: give at least two, one is the target")
    ready = {name: _Prepared.of(outcomes, encoder) for name, outcomes in sets.items()}
    points, shared = [], {}
    for i, target in enumerate(targets):
        others = {name: one.source for name, one in ready.items() if name != target}
        sources = sources_of(ready[target].source.prompts, others)
        shared[target] = sum(len(others[name].prompts) - len(one.prompts) for name, one in sources.items())
        found: dict[int | None, list[_Cell]] = {size: [] for size in sizes}
        for j, seed in enumerate(seeds):
            progress(f"pooling for {target}", i * len(seeds) + j, len(targets) * len(seeds))
            trunk = _learn_trunk(tuple(sources.values()), seed, config)
            for size, cell in _measure(ready[target], trunk, sizes, seed):
                found[size].append(cell)
        points += [_point(target, size, cells) for size, cells in found.items() if cells]
    progress("pooling", len(targets) * len(seeds), len(targets) * len(seeds))
    return PoolingResult(
        tuple(points), {target: tuple(name for name in sets if name != target) for target in targets}, shared
    )


def sources_of(prompts: Sequence[str], others: Mapping[str, SourceSet]) -> dict[str, SourceSet]:
    """Return the other sets without the questions of the target, be they in another frame or behind examples."""

    def fresh(one: SourceSet) -> SourceSet:
        rest = one.without_questions(prompts).without_questions(prompts, lambda text: question_stem(text) or text)
        return rest.take(np.flatnonzero(~asked_within(rest.prompts, prompts)))

    return {name: fresh(one) for name, one in others.items()}


@dataclass(frozen=True)
class _Prepared:
    outcomes: OutcomeMatrix
    cost: CostKind
    rows: Rows

    @classmethod
    def of(cls, outcomes: OutcomeMatrix, encoder: Encoder) -> _Prepared:
        pool = choose_pool(outcomes)
        spec = FeatureSpec.learn(encoder, outcomes.prompts)
        return cls(outcomes.pool(pool.models), pool.cost, FeatureBuilder(spec, encoder).matrix(outcomes.prompts))

    @property
    def source(self) -> SourceSet:
        return SourceSet(self.outcomes.prompts, self.rows, self.outcomes.quality)


@dataclass(frozen=True)
class _Cell:
    n_queries: int
    shares: tuple[float, float, float]
    briers: tuple[float, float, float]
    kept: tuple[float, float]
    skills: tuple[float, float]


def _learn_trunk(sources: Sequence[SourceSet], seed: int, config: TrunkConfig | None) -> Trunk:
    rng = np.random.default_rng([seed, 0])
    drawn = [one.take(rng.permutation(len(one.prompts))[:_SOURCE_QUERIES]) for one in sources if one.prompts]
    return fit_trunk(drawn, rng, config)


def _measure(
    target: _Prepared, trunk: Trunk, sizes: Sequence[int | None], seed: int
) -> Iterator[tuple[int | None, _Cell]]:
    held = holdout_mask(target.outcomes.prompts, _TEST_FRACTION, seed)
    order = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(~held))
    test = target.outcomes.rows(held)
    scored = scored_queries(test, target.cost)
    for size in sizes:
        if size is not None and size > len(order):
            continue
        chosen = order[:size]
        train = target.outcomes.rows(chosen)
        folds = query_fold(train.prompts, _N_FOLDS, seed)
        board = Scoreboard(
            test.quality[scored],
            realised_cost(test.rows(scored), target.cost),
            best_single_model(train.quality, realised_cost(train, target.cost)),
            np.inf,
            QueryBootstrap.draw(np.random.default_rng(0), int(scored.sum()), 0),
        )
        cost = _costs(target, chosen, held, folds, seed)
        means = np.tile(np.nanmean(train.quality, axis=0), (test.n_queries, 1))
        predicted, kept, skills = [means], [], []
        for rows in (target.rows, trunk.centred_on(target.rows[chosen]).extend(target.rows)):
            fitted = fit_quality(TrainingSet(rows[chosen], train, folds), np.random.default_rng([seed, 2]), _QUALITY)
            predicted.append(_undistilled(fitted, rows[held]))
            prior = next(one for one in fitted.families if one.name == "prior")
            learnt = min(one.routing_error for one in fitted.families if one.name != "prior")
            kept.append(float(prior.chosen))
            skills.append(1.0 - learnt / prior.routing_error if prior.routing_error else 0.0)
        shares = [_share(board, Predictions(train.models, quality, cost), scored) for quality in predicted]
        briers = [float(np.nanmean((quality - test.quality) ** 2)) for quality in predicted]
        yield (
            size,
            _Cell(
                len(chosen),
                (shares[0], shares[1], shares[2]),
                (briers[0], briers[1], briers[2]),
                (kept[0], kept[1]),
                (skills[0], skills[1]),
            ),
        )


def _costs(
    target: _Prepared, chosen: NDArray[np.intp], held: NDArray[np.bool_], folds: NDArray[np.intp], seed: int
) -> Floats:
    """Return (q, m) predicted costs of the held-out queries, by what the chosen ones tell; no trunk helps."""
    train = target.outcomes.rows(chosen)
    if target.cost == "none":
        return np.zeros((int(held.sum()), len(train.models)))
    data = TrainingSet(target.rows[chosen], train, folds)
    amounts = realised_cost(train, target.cost)
    fitted = fit_amounts(data, amounts, target.cost, np.random.default_rng([seed, 3]), _COST)
    return _undistilled(fitted, target.rows[held])


def _undistilled(fitted: Fitted[Any], rows: Rows) -> Floats:
    assert fitted.undistilled is not None  # noqa: S101  quality and amounts always keep the winner
    return fitted.undistilled(rows)


def _share(board: Scoreboard, predictions: Predictions, scored: NDArray[np.bool_]) -> float:
    choices = np.stack([choose(predictions, w) for w in willingness_grid(predictions)]).astype(np.int16)
    return float(board.curve_metrics(board.points(choices[:, scored]))["share_of_gap"][0])


def _point(target: str, size: int | None, cells: Sequence[_Cell]) -> PoolingPoint:
    shares, briers, kept, skills = (
        [tuple(float(value) for value in column) for column in zip(*rows, strict=True)]
        for rows in zip(*((cell.shares, cell.briers, cell.kept, cell.skills) for cell in cells), strict=True)
    )
    n_queries = float(np.mean([cell.n_queries for cell in cells]))
    return PoolingPoint(target, size, n_queries, *shares, *briers, *kept, *skills)

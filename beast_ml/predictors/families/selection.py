"""Fit the families of one target, compare them by cross-validation, and serve the winner as one dense head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np

from beast_ml.errors import InputError
from beast_ml.predictors.calibration_choice import CalibrationName
from beast_ml.predictors.contract import FamilyScore, Floats
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.families.distil import distil
from beast_ml.predictors.families.kernel import fit_kernel
from beast_ml.predictors.families.linear import fit_low_rank, fit_ridge
from beast_ml.predictors.families.neighbours import fit_neighbours
from beast_ml.predictors.families.networks import NetworkFit, fit_networks
from beast_ml.predictors.families.prior import fit_kind_means, fit_prior, fit_task_means
from beast_ml.predictors.families.stack import fit_stack, routing_errors
from beast_ml.predictors.families.trees import fit_trees
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.shrinkage import PRIOR_QUERIES

__all__ = ["FAMILIES", "FamiliesConfig", "FamilyName", "Selection", "select_family"]

FamilyName = Literal[
    "prior", "task_means", "kind_means", "neighbours", "ridge", "low_rank", "kernel", "trees", "network"
]
"""Families that can be named."""

FAMILIES: Final[tuple[FamilyName, ...]] = get_args(FamilyName)
"""All of `FamilyName`."""

_MANY_CELLS: Final = 100_000
"""Outcomes from which on a single network is fitted: averaging several gains little there, and costs minutes."""

_STUDENT: Final = NetworkConfig(hidden=(256, 96), dropout=0.1, epochs=30, task_weight=0.0)


@dataclass(frozen=True)
class FamiliesConfig:
    """Which families compete for a target, and how they are made.

    Parameters
    ----------
    members
        Names of families; the prior is always among them, and their stack competes too where there are two or more
        besides it.
    network, n_networks
        Shape and number of the networks that are averaged; a single one where outcomes are many.
    student
        Shape of the network that is served; None where nothing is, and families are but compared: no student is taught,
        and the head knows nothing.
    prior_queries
        Means of few rows are shrunk as if by so many more.
    calibration
        Of probabilities; None: what is best on rows it did not see.

    Raises
    ------
    InputError
        If a name is no family.
    """

    members: tuple[FamilyName, ...]
    network: NetworkConfig
    n_networks: int = 1
    student: NetworkConfig | None = field(default=_STUDENT)
    prior_queries: float = PRIOR_QUERIES
    calibration: CalibrationName | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.members) - set(FAMILIES))
        if unknown:
            raise InputError(f"no family {unknown[0]!r} of predictors, must be among {', '.join(FAMILIES)}")


@dataclass(frozen=True)
class Selection:
    """The winner among the families of one target.

    Parameters
    ----------
    winner
        The family that was chosen: the teacher of what is served. Its ``out_of_fold`` is honest.
    head
        What is served, m outputs: logits for probabilities, values for amounts.
    scores
        Every family that competed, best first.
    report
        What the distillation lost.
    learning_curve
        Of the winner where it is a network, else of the student.
    """

    winner: FamilyFit
    head: DenseHead
    scores: tuple[FamilyScore, ...]
    report: Mapping[str, float]
    learning_curve: tuple[tuple[float, float], ...]


def select_family(problem: Problem, rng: np.random.Generator, config: FamiliesConfig) -> Selection:
    """Fit every family of the configuration and their stack, and return the best by cross-validation, distilled.

    The winner has the least out-of-fold error where decisions look (`routing_errors`); but unless it beats the prior by
    more than one standard error of the paired difference, the prior is kept, so that little data never make routing
    worse than knowing the candidates' means.
    """
    n_networks = config.n_networks if problem.targets.size < _MANY_CELLS else 1
    network = _networks(problem, rng, config.network, n_networks) if _needs_network(config) else None
    fits = _fit_members(problem, rng, config, network)
    members = tuple(fits.values())
    if len(members) > 2:
        members = (*members, fit_stack(problem, members))
    errors = {member.name: routing_errors(problem, member.out_of_fold) for member in members}
    best = min(members, key=lambda member: float(errors[member.name].mean()))
    prior = fits["prior"]
    if not _is_better(errors[best.name], errors[prior.name]):
        best = prior
    scores = sorted(
        (
            FamilyScore(
                name=member.name,
                routing_error=float(errors[member.name].mean()),
                squared_error=float(np.nanmean((member.out_of_fold - problem.targets) ** 2)),
                chosen=member is best,
                settings=member.settings,
            )
            for member in members
        ),
        key=lambda score: score.routing_error,
    )
    if network is not None and best is network.fit and len(network.heads) == 1:
        head = _first_outputs(network.heads[0], problem.targets.shape[1])
        return Selection(best, head, tuple(scores), {}, best.learning_curve)
    if config.student is None:
        return Selection(best, _blank_head(problem), tuple(scores), {}, best.learning_curve)
    student = distil(problem, best, rng, config.student)
    report = {"distillation_rmse": student.rmse, "distillation_r2": student.r2}
    return Selection(best, student.head, tuple(scores), report, best.learning_curve or student.learning_curve)


def _networks(problem: Problem, rng: np.random.Generator, config: NetworkConfig, n_networks: int) -> NetworkFit:
    key = (problem.targets_digest, "networks", problem.loss, config, n_networks)
    return problem.memo.of(key, lambda: fit_networks(problem, rng, config, n_networks), rng)


def _blank_head(problem: Problem) -> DenseHead:
    m = problem.targets.shape[1]
    weights, biases = np.zeros((problem.rows.shape[1], m), dtype=np.float32), np.zeros(m, dtype=np.float32)
    return DenseHead(*problem.standardisation, (weights,), (biases,))


def _needs_network(config: FamiliesConfig) -> bool:
    return "network" in config.members or "task_means" in config.members


def _fit_members(
    problem: Problem, rng: np.random.Generator, config: FamiliesConfig, network: NetworkFit | None
) -> dict[str, FamilyFit]:
    wanted = set(config.members)
    fits: dict[str, FamilyFit] = {"prior": fit_prior(problem)}
    base = fits["prior"]
    if network is not None and network.n_tasks > 1:
        base = fit_task_means(problem, network.posterior, network.predict_posterior)
        if "task_means" in wanted:
            fits["task_means"] = base
    if problem.kinds is not None and "kind_means" in wanted:
        fits["kind_means"] = fit_kind_means(problem, problem.kinds)
    if network is not None and "network" in wanted:
        fits["network"] = network.fit
    if "neighbours" in wanted:
        fits["neighbours"] = problem.memo.of((problem.targets_digest, "neighbours"), lambda: fit_neighbours(problem))
    if "ridge" in wanted:
        fits["ridge"] = fit_ridge(problem)
    if "low_rank" in wanted and problem.targets.shape[1] > 2:
        fits["low_rank"] = problem.memo.of((problem.targets_digest, "low_rank"), lambda: fit_low_rank(problem))
    if "kernel" in wanted:
        fits["kernel"] = fit_kernel(problem, base, rng)
    if "trees" in wanted:
        fits["trees"] = fit_trees(problem, int(rng.integers(2**31)))
    return fits


def _is_better(errors: Floats, reference: Floats) -> bool:
    gain = reference - errors
    if len(gain) < 2:
        return False
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def _first_outputs(head: DenseHead, m: int) -> DenseHead:
    """Return the head without its other outputs, such as those that guess the task."""
    return DenseHead(
        head.center,
        head.scale,
        (*head.weights[:-1], np.ascontiguousarray(head.weights[-1][:, :m])),
        (*head.biases[:-1], np.ascontiguousarray(head.biases[-1][:m])),
    )

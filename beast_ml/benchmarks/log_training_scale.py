"""Training from logs of growing size, start to finish: seconds, peak memory, and how both grow."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from beast_ml.errors import InputError
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate import simulate
from beast_ml.logs.simulate.config import LabelConfig, PolicyConfig, SimulationConfig, TrafficConfig
from beast_ml.operations.log_training import train_from_log
from beast_ml.policy.learner import RouterLearner
from beast_ml.registry.config import TrackingConfig

__all__ = ["LogTrainingScale", "ScalePoint", "log_training_scale"]

_POLICY: Final = PolicyConfig(kind="epsilon-greedy", epsilon=0.2)


@dataclass(frozen=True)
class ScalePoint:
    """One size.

    Parameters
    ----------
    n_requests, n_prompts
        Requests learnt from and held out, and how many different prompts they have.
    seconds
        From the log in memory to the registered router.
    peak_memory_mb
        Of the process so far, everything imported included.
    """

    n_requests: int
    n_prompts: int
    seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class LogTrainingScale:
    """All sizes, in increasing order.

    Parameters
    ----------
    points
        What each took.
    growth
        Exponent of the seconds between the first size and the last: 1 is linear.
    """

    points: tuple[ScalePoint, ...]
    growth: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self)


def log_training_scale(
    outcomes: OutcomeMatrix,
    sizes: Sequence[int],
    seed: int,
    learner: RouterLearner | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> LogTrainingScale:
    """Return what training takes on simulated logs of these sizes, every request labelled, each in a new MLflow store.

    Sizes are run in increasing order in one process, so that the peak memory is that of the size.

    Raises
    ------
    InputError
        If there are fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise InputError(f"`sizes` == {list(sizes)}, give at least two: growth is between sizes")
    points = []
    for size in sorted(set(sizes)):
        config = SimulationConfig(
            requests=size, policy=_POLICY, traffic=TrafficConfig(repeat_zipf=0.0), labels=LabelConfig(share=1.0)
        )
        tables = list(simulate(outcomes, config, np.random.default_rng([seed, size])))
        logged = LoggedOutcomes.from_table(pa.concat_tables(tables))
        del tables
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            store = TrackingConfig(uri=f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder / "artifacts")
            start = time.perf_counter()
            train_from_log(logged, tracking=store, learner=learner, seed=seed, name=f"{size} requests")
            seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        point = ScalePoint(size, len(set(logged.matrix.prompts)), seconds, peak)
        points.append(point)
        say(f"{size:,} requests: {seconds:.0f} s, peak {peak:,.0f} MB")
    first, last = points[0], points[-1]
    growth = np.log(last.seconds / first.seconds) / np.log(last.n_requests / first.n_requests)
    return LogTrainingScale(tuple(points), float(growth))

"""Play a routed-request log through a `History`: the rows each request would have had when it was received."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.features.history import By, History, HistorySpec, HistoryState, Statistic

if TYPE_CHECKING:
    from beast_ml.logs.logged import LoggedOutcomes

__all__ = ["LoggedHistory", "Observation", "Received", "learn_history_spec", "logged_history", "replay"]

_ASSUMED_DELAY_S: Final = 600.0


class Observation(NamedTuple):
    """What became known of one model's answer at one time; None is what did not.

    Parameters
    ----------
    known_us
        When it became known, microseconds since 1970.
    tenant, kind
        Of the request.
    quality, failed, latency_s
        Of the answer.
    """

    known_us: int
    model: str
    tenant: str
    kind: str | None = None
    quality: float | None = None
    failed: bool | None = None
    latency_s: float | None = None


class Received(NamedTuple):
    """A request: when it was received (microseconds since 1970), whose it is, and its kind.

    Parameters
    ----------
    at_us, tenant
        When, and whose.
    """

    at_us: int
    tenant: str
    kind: str | None = None


@dataclass(frozen=True)
class LoggedHistory:
    """What training on a log needs of its history.

    Parameters
    ----------
    spec
        What is followed.
    rows
        (n, k) float32 features, a row for each request of the log, in the log's order.
    end
        All that was known when the log ended: where a router that was trained on it goes on from.
    """

    spec: HistorySpec
    rows: NDArray[np.float32]
    end: HistoryState

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape[1] != self.spec.dim:
            raise InputError(f"`rows` has shape {self.rows.shape}, must be (n, {self.spec.dim}) as the spec says")

    def select(self, index: NDArray[np.bool_]) -> LoggedHistory:
        """Return the rows of the requests that a boolean mask selects, still made of all that was known before each."""
        return replace(self, rows=self.rows[index])


def replay(history: History, observations: Iterable[Observation], requests: Sequence[Received]) -> NDArray[np.float32]:
    """Return the (n, k) features of each request, made of what was known strictly before it.

    Neither the order of the observations nor that of the requests matters. The history is left knowing all
    observations, those that became known after the last request too.
    """
    rows = np.empty((len(requests), history.spec.dim), dtype=np.float32)
    order = np.argsort([request.at_us for request in requests], kind="stable").tolist()
    waiting = sorted(observations, key=itemgetter(0))
    told = 0
    for i in order:
        request = requests[i]
        while told < len(waiting) and waiting[told].known_us < request.at_us:
            _observe(history, waiting[told])
            told += 1
        rows[i] = history.features(request.tenant, request.kind, at_us=request.at_us)
    for observation in waiting[told:]:
        _observe(history, observation)
    return rows


def logged_history(
    logged: LoggedOutcomes,
    spec: HistorySpec,
    *,
    start: HistoryState | None = None,
    assumed_delay_s: float = _ASSUMED_DELAY_S,
) -> LoggedHistory:
    """Return the history features of a log's requests, and all that was known at its end.

    Failures and latencies count as known when the last attempt had ended, quality at its feedback time (with the
    answer, where the log has no such time). Models the spec does not name are passed over.

    Parameters
    ----------
    logged
        The log.
    spec
        What to follow; `learn_history_spec` finds what this log can tell.
    start
        What was known before; the ``end`` of an earlier part of the log, say.
    assumed_delay_s
        Where the log does not tell how long a request took, its outcome counts as known after so many seconds.

    Raises
    ------
    InputError
        If the delay is negative.
    """
    if not assumed_delay_s >= 0:
        raise InputError(f"`assumed_delay_s` == {assumed_delay_s}, must be >= 0")
    kinds = [context.get("task") for context in logged.context]
    received_us = logged.received_at.astype("datetime64[us]").astype(np.int64).tolist()
    requests = [Received(*request) for request in zip(received_us, logged.tenant, kinds, strict=True)]
    history = History(spec, start)
    rows = replay(history, _observations(logged, spec.models, kinds, assumed_delay_s), requests)
    return LoggedHistory(spec, rows, history.state())


def learn_history_spec(
    logged: LoggedOutcomes,
    models: Sequence[str] | None = None,
    *,
    use_task: bool = False,
    half_life_s: float = 86_400.0,
) -> HistorySpec | None:
    """Return a spec of what varies in this log, or None if nothing does.

    What was never observed gets no feature, since no weight could be learnt for it: no failure rates without
    failures, no means by tenant where there is but one.

    Parameters
    ----------
    logged
        The log.
    models
        The models to follow; default: all that were ever a candidate.
    use_task
        Whether the task may be read when deciding.
    half_life_s
        After this many seconds an observation weighs half.
    """
    names = logged.matrix.models
    followed = (
        sorted(set(models)) if models is not None else [names[j] for j in np.flatnonzero(logged.candidates.any(axis=0))]
    )
    columns = [names.index(name) for name in followed if name in names]
    statistics: list[Statistic] = []
    if np.isfinite(logged.matrix.quality[:, columns]).any():
        statistics.append("quality")
    if logged.failed.any():
        statistics.append("failure")
    if np.isfinite(logged.matrix.latency_s[:, columns]).any():
        statistics.append("log_latency")
    by: list[By] = ["tenant"] if len(set(logged.tenant)) > 1 else []
    if use_task and len({context.get("task") for context in logged.context}) > 1:
        by.append("kind")
    if not statistics:
        return None
    return HistorySpec(tuple(followed), tuple(statistics), tuple(by), half_life_s)


def _observations(
    logged: LoggedOutcomes, followed: Sequence[str], kinds: Sequence[str | None], assumed_delay_s: float
) -> list[Observation]:
    matrix = logged.matrix
    received = logged.received_at.astype("datetime64[us]")
    assumed = received + np.timedelta64(round(assumed_delay_s * 1e6), "us")
    answered = np.where(np.isnat(logged.answered_at), assumed, logged.answered_at)
    # fmax passes over NaT; a label is no earlier than what it judges, whatever a skewed clock says
    answered_us, labelled_us = (
        times.astype("datetime64[us]").astype(np.int64).tolist()
        for times in (answered, np.fmax(answered, logged.feedback_at))
    )
    names = set(followed)
    found = []
    for i in range(matrix.n_queries):
        about = (logged.tenant[i], kinds[i])
        model = matrix.models[logged.served[i]]
        if logged.served[i] >= 0 and model in names:
            latency_s, quality = (float(of[i, logged.served[i]]) for of in (matrix.latency_s, matrix.quality))
            known = None if np.isnan(latency_s) else latency_s
            found.append(Observation(answered_us[i], model, *about, failed=False, latency_s=known))
            if not np.isnan(quality):
                found.append(Observation(labelled_us[i], model, *about, quality=quality))
    for i in logged.failed.nonzero()[0].tolist():
        model = matrix.models[logged.chosen[i]]
        if model in names:
            found.append(Observation(answered_us[i], model, logged.tenant[i], kinds[i], failed=True))
    return found


def _observe(history: History, seen: Observation) -> None:
    history.observe(
        seen.model,
        known_us=seen.known_us,
        tenant=seen.tenant,
        kind=seen.kind,
        quality=seen.quality,
        failed=seen.failed,
        latency_s=seen.latency_s,
    )

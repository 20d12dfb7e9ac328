"""As much of a log as there is memory to learn from: whole questions, drawn by a hash, the same ones each time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from beast_ml.errors import InputError
from beast_ml.executors import Executor
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.store import LogStore

__all__ = ["MOST_REQUESTS", "LogSample", "sample_log"]

MOST_REQUESTS: Final = 100_000
"""How many requests are learnt from by default."""

_STEPS: Final = 1_000_000
_USABLE: Final = "chosen_model IS NOT NULL AND prompt IS NOT NULL"


@dataclass(frozen=True)
class LogSample:
    """What was drawn.

    Parameters
    ----------
    logged
        The requests.
    n_usable
        How many the log has that can be learnt from; of these they were drawn.
    """

    logged: LoggedOutcomes
    n_usable: int

    def warning(self) -> str | None:
        """Return what to tell the user where not all were taken, or None."""
        n = self.logged.matrix.n_queries
        if n == self.n_usable:
            return None
        return (
            f"learning from {n:,} of {self.n_usable:,} requests, whole questions drawn by a hash: --requests takes "
            "more, or 0 for all"
        )


def sample_log(
    store: LogStore,
    at_most: int = MOST_REQUESTS,
    since: datetime | None = None,
    until: datetime | None = None,
    executor: Executor | None = None,
) -> LogSample:
    """Return about so many of the requests that can be learnt from, or all where they are no more.

    Requests with the same prompt are taken together or not at all, whatever became of them: a sample of questions says
    of a policy what the whole log says, with a wider interval.

    Parameters
    ----------
    store
        The log.
    at_most
        How many; 0: all.
    since, until, executor
        As of `LogStore.requests`.

    Raises
    ------
    InputError
        If the number is negative.
    NotEnoughDataError
        If none can be learnt from.
    """
    if at_most < 0:
        raise InputError(f"`requests` == {at_most}, must be >= 0; 0 means all")
    n_usable = store.count(since, until, _USABLE)
    where = None
    if 0 < at_most < n_usable:
        # Of MD5, since DuckDB's own hash may be another in its next release.
        share = max(1, _STEPS * at_most // n_usable)
        where = f"md5_number_lower(prompt) % {_STEPS} < {share} AND chosen_model IS NOT NULL"
    return LogSample(store.logged_outcomes(since, until, where, executor), n_usable)

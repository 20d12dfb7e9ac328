"""As much of a log as there is memory to learn from: whole questions, drawn by a hash, the same ones each time.

Questions, not requests, are drawn, since evaluation counts every question once: a sample of questions says of a policy
what the whole log says, with a wider interval. Which are drawn depends on their text alone, never on what was chosen or
came of it, so propensities stay what they are, and weights need no correction within a stratum. Strata (the requests of
one policy, and the others, say) may be drawn at different rates: estimates are to stay within one of them, or within
some that differ in time alone, and then what was asked at the time that is drawn from more counts for more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from beast_ml.errors import InputError
from beast_ml.executors import Executor
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.sql_values import text_sql, time_sql
from beast_ml.logs.store import LogStore

__all__ = ["MOST_REQUESTS", "LogSample", "sample_log"]

MOST_REQUESTS: Final = 100_000
"""How many requests are learnt from by default."""

_BUCKETS: Final = 1_000_000
_HOT_SHARE: Final = 100
_LEAST_HOT: Final = 100
_USABLE: Final = "chosen_model IS NOT NULL AND prompt IS NOT NULL"
# As far as SQL can, what `normalise_question` levels out: those are the questions that evaluation counts.
_QUESTION: Final = r"lower(trim(regexp_replace(prompt, '\s+', ' ', 'g')))"


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

    def warning(self, setting: str = "--requests") -> str | None:
        """Return what to tell the user where not all were taken, or None.

        Parameters
        ----------
        setting
            What says how many are taken.
        """
        n = self.logged.matrix.n_queries
        if n == self.n_usable:
            return None
        return (
            f"learning from {n:,} of {self.n_usable:,} requests, whole questions drawn by a hash: {setting} takes "
            "more, or 0 for all"
        )


def sample_log(
    store: LogStore,
    at_most: int = MOST_REQUESTS,
    since: datetime | None = None,
    until: datetime | None = None,
    executor: Executor | None = None,
    *,
    strata: Sequence[str] = ("true",),
    salt: str = "",
) -> LogSample:
    """Return at most so many of the requests that can be learnt from, or all where they are no more.

    Requests that ask the same question are taken together or not at all, whatever became of them; of a question that
    was asked more often than a hundredth of ``at_most`` (and than a hundred times), so many are taken by their ids.
    Each stratum may fill an equal part, and what one leaves over goes to the others.

    Parameters
    ----------
    store
        The log.
    at_most
        How many; 0: all.
    since, until, executor
        As of `LogStore.requests`.
    strata
        Conditions in DuckDB's SQL, of which no request meets two; one that meets none is not taken.
    salt
        Another one draws other questions.

    Raises
    ------
    InputError
        If the number is negative.
    NotEnoughDataError
        If none can be learnt from.
    """
    if at_most < 0:
        raise InputError(f"`requests` == {at_most}, must be >= 0; 0 means all")
    usable = [f"({stratum}) AND {_USABLE}" for stratum in strata]
    sizes = [store.count(since, until, condition) for condition in usable]
    read = list(strata)
    if 0 < at_most < sum(sizes):
        hashes = _Hashes(salt)
        for i, part in enumerate(_parts(sizes, at_most)):
            if part < sizes[i]:
                read[i] = _drawn(store, usable[i], part, since, until, hashes)
    where = " OR ".join(f"({condition})" for condition in read)
    return LogSample(store.logged_outcomes(since, until, where, executor), sum(sizes))


class _Hashes:
    """SQL that gives the bucket of a request's question, and a number of the request's own.

    Of MD5, since DuckDB's own hash may be another in its next release.
    """

    def __init__(self, salt: str) -> None:
        self.bucket = f"(md5_number_lower({text_sql(salt)} || {_QUESTION}) % {_BUCKETS})"
        self.own = f"md5_number_lower({text_sql(salt)} || request_id)"


def _parts(sizes: Sequence[int], at_most: int) -> list[int]:
    """Return how many of each stratum are taken: equal parts, or all of it where it has less."""
    parts, left = [0] * len(sizes), at_most
    for done, i in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        parts[i] = min(sizes[i], left // (len(sizes) - done))
        left -= parts[i]
    return parts


def _drawn(
    store: LogStore, condition: str, at_most: int, since: datetime | None, until: datetime | None, hashes: _Hashes
) -> str:
    """Return the condition of at most so many of a stratum's requests: those of the first buckets.

    A bucket is about one question of a log of a million. Of one with too many requests, those with the least numbers of
    their own are taken.
    """
    if at_most == 0:
        return "false"
    hot = min(at_most, max(_LEAST_HOT, at_most // _HOT_SHARE))
    within = " AND ".join([condition, *_bounds(since, until)])
    found = store.sql(
        f"SELECT {hashes.bucket} AS bucket, count(*) AS n FROM log "  # noqa: S608 - the caller's own conditions, digits and constants
        f"WHERE {within} GROUP BY bucket ORDER BY bucket"
    )
    buckets, counts = (found[name].to_numpy() for name in ("bucket", "n"))
    n_taken = int(np.searchsorted(np.minimum(counts, hot).cumsum(), at_most, side="right"))
    end = _BUCKETS if n_taken == len(buckets) else int(buckets[n_taken])
    taken = f"{condition} AND {hashes.bucket} < {end}"
    full = ", ".join(str(bucket) for bucket in buckets[:n_taken][counts[:n_taken] > hot])
    if not full:
        return taken
    last = store.sql(
        f"SELECT {hashes.bucket} AS bucket, list_max(min({hashes.own}, {hot})) AS own FROM log "  # noqa: S608 - as above
        f"WHERE {within} AND {hashes.bucket} IN ({full}) GROUP BY bucket"
    ).to_pylist()
    cases = " ".join(f"WHEN {each['bucket']} THEN {hashes.own} <= {each['own']}" for each in last)
    return f"{taken} AND CASE {hashes.bucket} {cases} ELSE true END"


def _bounds(since: datetime | None, until: datetime | None) -> list[str]:
    return [
        f"received_at {sign} {time_sql(bound)}" for bound, sign in ((since, ">="), (until, "<")) if bound is not None
    ]

"""What the loop reads from a log store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.sample import LogSample, sample_log
from beast_ml.logs.sql_values import text_sql, time_sql
from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop.compare import compare_units, telling
from beast_ml.operations.learning_loop.surroundings import Collected, Compared, Shadowed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Apart", "Served", "broken_rows", "compared_in", "count_new", "learnable_in", "shadowed_in", "without_stale"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Served:
    """n requests that one of two policies decided, and their texts are known.

    Parameters
    ----------
    prompts, contexts, tenants, chosen
        Length n; the choice of one that an earlier answer was given for is None.
    propensity
        (n,) as logged; NaN where it was not.
    by_candidate
        (n,) whether the candidate decided; else the other policy.
    """

    prompts: Sequence[str]
    contexts: Sequence[Mapping[str, str]]
    tenants: Sequence[str]
    chosen: Sequence[str | None]
    propensity: Floats
    by_candidate: NDArray[np.bool_]


Apart = Callable[[Served], tuple[Floats, Floats]]
"""Of requests, (n,) `share_apart` of each choice, and (n,) quality that is expected whoever decides."""

_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_LOADS: Final = timedelta(minutes=10)
"""How long servers may take to load a candidate beside what they serve by; seconds, mostly."""

_MOST_MORE_ERRORS: Final = 0.02
_MOST_COMPARED: Final = 100_000
_UNIT: Final = "tenant_id || ' ' || coalesce('user ' || user_id, 'request ' || request_id)"


def count_new(
    store: LogStore,
    since: datetime | None,
    until: datetime,
    now: datetime,
    policy: str | None,
    true_from: datetime | None = None,
) -> Collected:
    """Return counts of the requests received after a time and before another, decided by a policy (None: any).

    Labels count where they are of requests received from ``true_from`` on: what was known before is no longer so.
    """
    conditions = [f"received_at < {time_sql(until)}"]
    if since is not None:
        conditions.append(f"received_at >= {time_sql(since)}")
    others = {} if policy is None else _labelled_of_others(store, conditions, policy)
    if policy is not None:
        conditions.append(f"policy_version = {text_sql(policy)}")
    still_true = "" if true_from is None else f" FILTER (WHERE received_at >= {time_sql(true_from)})"
    skew_s = _CLOCKS_DIFFER.total_seconds()
    found = store.sql(
        f"SELECT count(*) AS n, count(quality){still_true} AS n_labelled, "  # noqa: S608 - times, digits and constants only
        f"count(*) FILTER (WHERE feedback_at < received_at - INTERVAL {skew_s:.0f} SECOND) AS n_told_before, "
        "count(*) FILTER (WHERE chosen_model IS NOT NULL AND NOT coalesce(propensity > 0 AND propensity <= 1, false)) "
        "AS n_without_propensity "
        f"FROM log WHERE {' AND '.join(conditions)}"
    ).to_pylist()[0]
    # Their own times say that they are not there yet: counted whoever decided.
    ahead = store.sql(f"SELECT count(*) AS n FROM log WHERE received_at > {time_sql(now + _CLOCKS_DIFFER)}")  # noqa: S608
    return Collected(
        until,
        int(found["n"]) + ahead["n"][0].as_py(),
        int(found["n_labelled"]),
        others,
        n_in_future=ahead["n"][0].as_py(),
        n_told_before=int(found["n_told_before"]),
        n_without_propensity=int(found["n_without_propensity"]),
    )


def _labelled_of_others(store: LogStore, conditions: Sequence[str], policy: str) -> dict[str, int]:
    """Return how many labelled requests each other policy decided, the most first."""
    rows = store.sql(
        "SELECT coalesce(policy_version, '') AS version, count(quality) AS n FROM log "  # noqa: S608 - as below
        f"WHERE {' AND '.join(conditions)} AND coalesce(policy_version, '') <> {text_sql(policy)} "
        "AND quality IS NOT NULL GROUP BY 1 ORDER BY n DESC, version"
    ).to_pylist()
    return {row["version"]: int(row["n"]) for row in rows}


def learnable_in(
    store: LogStore,
    until: datetime | None,
    policy: str | None,
    models: Sequence[str] | None,
    at_most: int,
    *,
    salt: str,
    true_from: datetime | None = None,
) -> LogSample:
    """Return at most so many of the requests that a candidate may learn from; without a policy, of all.

    Those of the policy that is to be beaten and those that others decided are drawn apart, so that neither crowds the
    other out: evidence is of the former alone, and the latter know models that the policy has no need to try. What came
    lately is not preferred: the evidence is of the policy's whole time, and an old outcome tells as much of a model as
    a new one until the model changes. Then the drift monitor takes the old labels away (`without_stale`), and what came
    since is drawn apart from what came before, or hardly any label of that model would be left; evidence is still
    right for either time, and what was asked since counts for more.

    Parameters
    ----------
    until
        They were received before.
    policy
        The version that is to be beaten; of others, only requests with a propensity are taken.
    models
        Which may have been chosen; None: any.
    salt
        Which of them are drawn, where there are more.
    true_from
        When the last model changed; None: none has.
    """
    if policy is None:
        strata = ["true"]
    else:
        own = f"policy_version = {text_sql(policy)}"
        strata = [own, f"NOT coalesce({own}, false) AND propensity IS NOT NULL"]
    if models is not None:
        chosen = f"chosen_model IN ({', '.join(map(text_sql, models))})"
        strata = [f"{stratum} AND {chosen}" for stratum in strata]
    if true_from is not None:
        lately = f"received_at >= {time_sql(true_from)}"
        strata = [f"{stratum} AND {when}" for stratum in strata for when in (lately, f"NOT ({lately})")]
    return sample_log(store, at_most, until=until, strata=strata, salt=salt)


def broken_rows(quarantine: Path, since: datetime | None) -> int:
    """Return how many rows were put into quarantine after a time."""
    after_s = 0.0 if since is None else since.timestamp()
    n = 0
    for path in quarantine.rglob("*.jsonl") if quarantine.is_dir() else ():
        if path.stat().st_mtime >= after_s:
            with path.open("rb") as lines:
                n += sum(1 for _ in lines)
    return n


def without_stale(logged: LoggedOutcomes, stale: Mapping[str, datetime]) -> LoggedOutcomes:
    """Return a log without the labels of models that have become other ones since; what was chosen stays."""
    quality = logged.matrix.quality.copy()
    for model, at in stale.items():
        if model in logged.matrix.models:
            before = logged.received_at < np.datetime64(at.replace(tzinfo=None), "us")
            quality[before, logged.matrix.models.index(model)] = np.nan
    return replace(logged, matrix=replace(logged.matrix, quality=quality))


def shadowed_in(store: LogStore, since: datetime, policy: str) -> Shadowed:
    """Return what a policy did unserved; requests before its first decision came before it was loaded.

    Of one that never decided, those count that came when it should long have been loaded.
    """
    decided = f"context['shadow_policy_version'] = {text_sql(policy)}"
    found = store.sql(
        f"WITH recent AS (SELECT received_at, coalesce({decided}, false) AS decided FROM log "  # noqa: S608 - as above
        f"WHERE received_at >= {time_sql(since)} AND chosen_model IS NOT NULL) "
        "SELECT count(*) AS n_asked, count(*) FILTER (WHERE decided) AS n_decided FROM recent "
        "WHERE received_at >= coalesce((SELECT min(received_at) FROM recent WHERE decided), "
        f"{time_sql(since + _LOADS)})"
    ).to_pylist()[0]
    return Shadowed(int(found["n_asked"]), int(found["n_decided"]))


def compared_in(store: LogStore, experiment: str, candidate: str, other: str, apart: Apart) -> Compared:
    """Return how a variant of an experiment does against another one: quality, with errors as the guardrail.

    Units are users where the log knows them, else requests: as they were drawn. What both would have decided alike
    counts as no difference in quality; of prompts that were withheld nobody knows, and all counts. Errors count from
    all requests, quality from the first hundred thousand that are labelled: which those are follows from when they were
    received, whatever came of them, so the interval holds as if the experiment had been stopped there.

    Parameters
    ----------
    apart
        Tells of requests how far the two policies would have decided differently.
    """
    of_experiment = f"FROM log WHERE experiment_id = {text_sql(experiment)}"
    rows = store.sql(
        f"SELECT variant, {_UNIT} AS unit, tenant_id, prompt, map_entries(context) AS context, chosen_model, "
        f"propensity, quality {of_experiment} AND quality IS NOT NULL ORDER BY received_at, request_id "
        f"LIMIT {_MOST_COMPARED}"
    )
    units = rows.select(["variant", "unit"]).to_pandas()
    units["told"] = _told(rows, _numbers(rows, "quality"), candidate, apart)
    told = units.groupby(["variant", "unit"])["told"].mean().reset_index()
    failed = store.sql(
        "SELECT variant, avg(CASE WHEN status = 'ok' THEN 0.0 ELSE 1.0 END) AS failed "
        f"{of_experiment} AND status IN ('ok', 'error', 'timeout') GROUP BY variant, {_UNIT}"
    ).to_pandas()
    errors = compare_units(_of_variant(failed, candidate, "failed"), _of_variant(failed, other, "failed"))
    harm = f"errors {errors.effect:+.3f}, at least {errors.low:+.3f}" if errors.low > _MOST_MORE_ERRORS else None
    return compare_units(_of_variant(told, candidate, "told"), _of_variant(told, other, "told"), harm)


def _told(rows: pa.Table, quality: Floats, candidate: str, apart: Apart) -> Floats:
    """Return (n,) what the qualities tell."""
    expected = np.full(len(quality), float(quality.mean()) if len(quality) else 0.0)
    share = np.ones(len(quality))
    read = np.flatnonzero(rows["prompt"].is_valid().to_numpy())
    if len(read):
        there = rows.take(pa.array(read))
        served = Served(
            there["prompt"].to_pylist(),
            [{each["key"]: each["value"] for each in pairs or ()} for pairs in there["context"].to_pylist()],
            there["tenant_id"].to_pylist(),
            there["chosen_model"].to_pylist(),
            _numbers(there, "propensity"),
            np.array([name == candidate for name in there["variant"].to_pylist()], dtype=bool),
        )
        share[read], expected[read] = apart(served)
    return telling(quality, expected, share)


def _numbers(rows: pa.Table, name: str) -> Floats:
    return np.asarray(rows[name].to_numpy(), dtype=np.float64)


def _of_variant(units: pd.DataFrame, variant: str, column: str) -> Floats:
    values = units.loc[units["variant"] == variant, column].to_numpy(dtype=float, na_value=np.nan)
    return np.asarray(values[np.isfinite(values)])

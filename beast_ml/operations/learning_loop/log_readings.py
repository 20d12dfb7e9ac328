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
from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop.compare import compare_units, telling
from beast_ml.operations.learning_loop.surroundings import Collected, Compared, Shadowed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Apart", "Served", "broken_rows", "compared_in", "count_new", "shadowed_in", "without_stale"]

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
_MOST_MORE_ERRORS: Final = 0.02


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
    conditions = [f"received_at < {_literal(until)}"]
    if since is not None:
        conditions.append(f"received_at >= {_literal(since)}")
    if policy is not None:
        conditions.append(f"policy_version = '{policy}'")
    still_true = "" if true_from is None else f" FILTER (WHERE received_at >= {_literal(true_from)})"
    skew_s = _CLOCKS_DIFFER.total_seconds()
    found = store.sql(
        f"SELECT count(*) AS n, count(quality){still_true} AS n_labelled, "  # noqa: S608 - times, digits and constants only
        f"count(*) FILTER (WHERE feedback_at < received_at - INTERVAL {skew_s:.0f} SECOND) AS n_told_before, "
        "count(*) FILTER (WHERE chosen_model IS NOT NULL AND NOT coalesce(propensity > 0 AND propensity <= 1, false)) "
        "AS n_without_propensity "
        f"FROM log WHERE {' AND '.join(conditions)}"
    ).to_pylist()[0]
    # Their own times say that they are not there yet: counted whoever decided.
    ahead = store.sql(f"SELECT count(*) AS n FROM log WHERE received_at > {_literal(now + _CLOCKS_DIFFER)}")  # noqa: S608
    return Collected(
        until,
        int(found["n"]) + ahead["n"][0].as_py(),
        int(found["n_labelled"]),
        n_in_future=ahead["n"][0].as_py(),
        n_told_before=int(found["n_told_before"]),
        n_without_propensity=int(found["n_without_propensity"]),
    )


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
    """Return what a policy did unserved; requests before its first decision came before it was loaded."""
    decided = f"context['shadow_policy_version'] = '{policy}'"
    found = store.sql(
        f"WITH recent AS (SELECT received_at, coalesce({decided}, false) AS decided FROM log "  # noqa: S608 - as above
        f"WHERE received_at >= {_literal(since)} AND chosen_model IS NOT NULL) "
        "SELECT count(*) AS n_asked, count(*) FILTER (WHERE decided) AS n_decided FROM recent "
        "WHERE received_at >= (SELECT min(received_at) FROM recent WHERE decided)"
    ).to_pylist()[0]
    return Shadowed(int(found["n_asked"]), int(found["n_decided"]))


def compared_in(store: LogStore, experiment: str, candidate: str, other: str, apart: Apart) -> Compared:
    """Return how a variant of an experiment does against another one: quality, with errors as the guardrail.

    Units are users where the log knows them, else requests: as they were drawn. What both would have decided alike
    counts as no difference in quality; of prompts that were withheld nobody knows, and all counts. Errors count from
    all requests.

    Parameters
    ----------
    apart
        Tells of requests how far the two policies would have decided differently.
    """
    rows = store.sql(
        "SELECT variant, tenant_id || ' ' || coalesce('user ' || user_id, 'request ' || request_id) AS unit, "  # noqa: S608 - as above
        "tenant_id, prompt, map_entries(context) AS context, chosen_model, propensity, quality, "
        "CASE WHEN status IN ('error', 'timeout') THEN 1.0 WHEN status = 'ok' THEN 0.0 END AS failed "
        f"FROM log WHERE experiment_id = '{experiment}' ORDER BY received_at, request_id"
    )
    units = rows.select(["variant", "unit", "failed"]).to_pandas()
    quality = _numbers(rows, "quality")
    units["told"] = np.where(np.isfinite(quality), _told(rows, quality, candidate, apart), np.nan)
    means = units.groupby(["variant", "unit"])[["told", "failed"]].mean().reset_index()
    told, failed = ([_of_variant(means, name, column) for name in (candidate, other)] for column in ("told", "failed"))
    errors = compare_units(failed[0], failed[1])
    harm = f"errors {errors.effect:+.3f}, at least {errors.low:+.3f}" if errors.low > _MOST_MORE_ERRORS else None
    return compare_units(told[0], told[1], harm)


def _told(rows: pa.Table, quality: Floats, candidate: str, apart: Apart) -> Floats:
    """Return (n,) what the qualities that are known tell."""
    known = np.isfinite(quality)
    expected = np.full(len(quality), float(quality[known].mean()) if known.any() else 0.0)
    share = np.ones(len(quality))
    prompts = rows["prompt"].to_pylist()
    read = np.flatnonzero(known & np.array([prompt is not None for prompt in prompts], dtype=bool))
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


def _literal(time: datetime) -> str:
    return f"TIMESTAMPTZ '{time.isoformat()}'"

"""The two files of an off-policy evaluation as arrays; what cannot be used is counted by reason, never lost silently.

A round can be used when it has one choice among its candidates with a propensity in (0, 1], and the target policy says
what it would do there: probabilities of its candidates that sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.evaluation.off_policy.rounds import Floats

__all__ = ["METRICS", "Metric", "PolicyData", "Usage", "read_policy_data"]

Metric = Literal["quality", "cost_usd"]
"""What of an outcome is averaged."""

METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
"""All of `Metric`."""

_LOG: Final = ("request_id", "chosen_model", "propensity", "candidates", "prompt")
_OPTIONAL: Final = ("received_at", "served_model")
_TARGET: Final = ("request_id", "model", "probability")
_TOLERANCE: Final = 1e-3
_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_MOST_USD: Final = 1e100  # variances of more are no numbers any longer

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Usage:
    """What became of the rows.

    Parameters
    ----------
    log_rows, target_rows
        Rows read.
    used
        Requests that the estimates rest on.
    duplicates
        Exact copies of a request, of which one was kept.
    no_choice
        Requests without a choice, as cache hits are: nothing is wrong with them.
    refused
        Reason -> requests that could not be used.
    unknown_target_rows
        Target rows of requests that are not in the log.
    waiting
        Reason -> requests that cannot be used yet: nothing is wrong with them.
    notes
        What -> requests that are used, but not as they are.
    """

    log_rows: int
    target_rows: int
    used: int
    duplicates: int
    no_choice: int
    refused: dict[str, int]
    unknown_target_rows: int
    waiting: dict[str, int]
    notes: dict[str, int]

    @property
    def refused_share(self) -> float:
        """Share of the requests with a choice that could not be used."""
        bad = sum(self.refused.values())
        return bad / max(bad + self.used, 1)

    def warning(self) -> str | None:
        """Return what to tell the user of what was left out, and of what is used otherwise than it is; or None."""
        left_out = [f"{reason}: {n:,}" for reason, n in (*self.refused.items(), *self.waiting.items())]
        if self.unknown_target_rows:
            left_out.append(f"target rows of requests that are not in the log: {self.unknown_target_rows:,}")
        told = [f"left out: {'; '.join(left_out)}"] if left_out else []
        told += [f"used, but {what}: {n:,}" for what, n in self.notes.items()]
        return "; ".join(told) if told else None


@dataclass(frozen=True)
class PolicyData:
    """The usable rounds of a log, and a target policy on them.

    Parameters
    ----------
    models
        Every model named as a candidate, a choice or a target, sorted.
    request_ids, prompts
        Length n; a withheld prompt is None.
    chosen
        (n,) index of the logged choice.
    propensity
        (n,) in (0, 1].
    candidates
        (n, m) which models could be chosen.
    reward
        (n,) NaN where it is not known.
    target
        (n, m) the target policy's probabilities; rows sum to one.
    received_at
        (n,) seconds, NaN where not known; None where the log does not have it.
    metric
        What the reward is.
    usage
        What became of the rows.
    """

    models: tuple[str, ...]
    request_ids: tuple[str, ...]
    prompts: tuple[str | None, ...]
    chosen: NDArray[np.intp]
    propensity: Floats
    candidates: Mask
    reward: Floats
    target: Floats
    received_at: Floats | None
    metric: Metric
    usage: Usage


def read_policy_data(log: Path, target: Path, metric: Metric = "quality", now: datetime | None = None) -> PolicyData:
    """Return the usable rounds of a Parquet log with a target policy.

    Parameters
    ----------
    log
        Has ``request_id, chosen_model, propensity, candidates, prompt`` and the metric; ``received_at`` and
        ``served_model`` are read where they are there.
    target
        Has ``request_id, model, probability``; models that it does not name for a request have probability 0.
    now
        Aware; requests received later come from a clock that is ahead: they are used as the newest ones. None: all
        times are taken as they are.

    Raises
    ------
    DataError
        If a file cannot be read or lacks a column.
    NotEnoughDataError
        If no request can be used.
    """
    rows = _table(log, "log", (*_LOG, metric), _OPTIONAL)
    wanted = _table(target, "target", _TARGET)
    if rows.num_rows == 0 or wanted.num_rows == 0:
        empty = log if rows.num_rows == 0 else target
        raise NotEnoughDataError(f"{empty} has no rows: there is nothing to evaluate")
    n_read = rows.num_rows
    rows = rows.filter(pc.is_valid(rows["request_id"]))
    unnamed = n_read - rows.num_rows
    rows, duplicates, conflicting = _one_row_each(rows, metric)
    choice = pc.is_valid(rows["chosen_model"]).to_numpy()
    no_choice = int((~choice).sum())
    rows = rows.filter(pa.array(choice)).combine_chunks()
    names = sorted(
        {
            *pc.unique(rows["chosen_model"]).to_pylist(),
            *pc.unique(pc.list_flatten(rows["candidates"])).to_pylist(),
            *pc.unique(wanted["model"]).to_pylist(),
        }
        - {None}
    )
    chosen = _positions(rows["chosen_model"], names)
    propensity, reward = _floats(rows["propensity"]), _floats(rows[metric])
    candidates = _candidates(rows, names)
    probabilities, told, unknown = _probabilities(rows, wanted, names)
    no_candidate = ~np.take_along_axis(candidates, chosen[:, None], axis=1)[:, 0]
    reasons: list[tuple[str, Mask]] = [
        ("no propensity", np.isnan(propensity)),
        ("a propensity of 0 or less", propensity <= 0),
        ("a propensity above 1", propensity > 1),
        ("a chosen model that was no candidate", no_candidate),
        (f"a {metric} that is none", _impossible(reward, metric)),
        *told,
        *_never_candidates(probabilities, candidates, names),
        ("a target that chooses a model that was no candidate", ((probabilities > 0) & ~candidates).max(axis=1)),
    ]
    usable, refused = np.ones(len(chosen), dtype=bool), {}
    if unnamed:
        refused["no request_id"] = unnamed
    if conflicting:
        refused["several different rows of one request"] = conflicting
    for reason, bad in reasons:
        if (usable & bad).any():
            refused[reason] = int((usable & bad).sum())
        usable &= ~bad
    if not usable.any():
        told_why = "; ".join(f"{reason}: {count}" for reason, count in refused.items()) or "no request has a choice"
        raise NotEnoughDataError(f"none of {n_read} requests of {log} can be evaluated ({told_why}): mend the files")
    waiting, notes = {}, {}
    if "served_model" in rows.column_names:
        stood_in = usable & pc.fill_null(pc.not_equal(rows["served_model"], rows["chosen_model"]), False).to_numpy()
        if stood_in.any():  # a fallback's outcome says nothing of the chosen model
            notes[f"answered by another model than the chosen one, {metric} not counted"] = int(stood_in.sum())
            reward = np.where(stood_in, np.nan, reward)
    received_at = _seconds(rows)
    ahead = _ahead(received_at, now, len(usable))
    if received_at is not None and (usable & ahead).any():
        notes["received in the future by this machine's clock (set the clocks), taken as the newest"] = int(
            (usable & ahead).sum()
        )
        if not ahead.all():
            received_at = np.minimum(received_at, received_at[~ahead].max())
    if received_at is not None and (labelled := usable & ~ahead & ~np.isnan(reward)).any():
        # Of requests as new as these, nothing but what is predicted could be told.
        too_new = usable & ~ahead & (received_at > received_at[labelled].max())
        if too_new.any():
            waiting[f"newer than any that has a {metric}"] = int(too_new.sum())
            usable &= ~too_new
    kept = rows.filter(pa.array(usable))
    return PolicyData(
        models=tuple(names),
        request_ids=tuple(kept["request_id"].to_pylist()),
        prompts=tuple(kept["prompt"].to_pylist()),
        chosen=chosen[usable],
        propensity=propensity[usable],
        candidates=candidates[usable],
        reward=reward[usable],
        target=probabilities[usable] / probabilities[usable].sum(axis=1, keepdims=True),
        received_at=None if received_at is None else received_at[usable],
        metric=metric,
        usage=Usage(
            n_read, wanted.num_rows, int(usable.sum()), duplicates, no_choice, refused, unknown, waiting, notes
        ),
    )


def _table(path: Path, what: str, required: Sequence[str], optional: Sequence[str] = ()) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        missing = [name for name in required if name not in file.schema_arrow.names]
        if missing:
            raise DataError(
                f"the {what} {path} has no column {', '.join(missing)}; it needs {', '.join(required)} and has "
                f"{', '.join(file.schema_arrow.names)}"
            )
        there = [name for name in (*required, *optional) if name in file.schema_arrow.names]
        table = file.read(columns=there)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read the {what} {path} as Parquet: {error}") from error
    types: dict[str, Any] = {"propensity": pa.float64(), "probability": pa.float64()}
    types |= dict.fromkeys(METRICS, pa.float64()) | {"candidates": pa.list_(pa.string())}
    for i, name in enumerate(table.column_names):
        if name == "received_at":
            continue
        needed = types.get(name, pa.string())
        try:
            table = table.set_column(i, name, table[name].cast(needed))
        except pa.ArrowException as error:
            raise DataError(
                f"column {name} of the {what} {path} holds {table[name].type}, must be {needed}: {error}"
            ) from error
    return table


def _one_row_each(rows: pa.Table, metric: str) -> tuple[pa.Table, int, int]:
    """Return the table with one row a request, how many copies were dropped, and how many requests contradict."""
    ids = rows["request_id"].combine_chunks().dictionary_encode()
    ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    code = ids.indices.to_numpy()
    if len(ids.dictionary) == len(code):
        return rows, 0, 0
    first = np.full(len(ids.dictionary), len(code))
    np.minimum.at(first, code, np.arange(len(code)))
    chosen = np.array(rows["chosen_model"].to_pylist(), dtype=object)
    differs = chosen != chosen[first[code]]
    for name in ("propensity", metric):
        value = _floats(rows[name])
        before = value[first[code]]
        differs |= (value != before) & ~(np.isnan(value) & np.isnan(before))
    contradicted = np.zeros(len(first), dtype=bool)
    contradicted[code[differs]] = True
    is_first = first[code] == np.arange(len(code))
    keep = is_first & ~contradicted[code]
    copies = int((~is_first & ~contradicted[code]).sum())
    return rows.filter(pa.array(keep)), copies, int(contradicted.sum())


def _candidates(rows: pa.Table, names: Sequence[str]) -> Mask:
    """Return (n, m) candidates; a request that does not list any may have had all."""
    lists = rows["candidates"].combine_chunks()
    out = np.zeros((rows.num_rows, len(names)), dtype=bool)
    parent, column = pc.list_parent_indices(lists).to_numpy(), _positions(pc.list_flatten(lists), names)
    out[parent[column >= 0], column[column >= 0]] = True
    out[~pc.is_valid(lists).to_numpy(zero_copy_only=False)] = True
    return out


def _probabilities(
    rows: pa.Table, wanted: pa.Table, names: Sequence[str]
) -> tuple[Floats, list[tuple[str, Mask]], int]:
    """Return (n, m) probabilities, what is wrong with which request's, and the rows of requests not in the log."""
    row = _positions(wanted["request_id"], rows["request_id"].combine_chunks())
    column, probability = _positions(wanted["model"], names), _floats(wanted["probability"])
    n, m = rows.num_rows, len(names)
    known = row >= 0
    impossible = known & ~((probability >= 0) & (probability <= 1 + _TOLERANCE) & (column >= 0))
    clean = known & ~impossible
    out, cells = np.zeros((n, m)), np.zeros((n, m), dtype=np.intp)
    np.add.at(out, (row[clean], column[clean]), probability[clean])
    np.add.at(cells, (row[clean], column[clean]), 1)
    bad, told = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    bad[row[impossible]], told[row[known]] = True, True
    return (
        out,
        [
            ("no target probabilities", ~told),
            ("a target probability that is none", bad),
            ("a model twice in the target", (cells > 1).any(axis=1)),
            ("target probabilities that do not sum to 1", np.abs(out.sum(axis=1) - 1) > _TOLERANCE),
        ],
        int((~known).sum()),
    )


def _never_candidates(probabilities: Floats, candidates: Mask, names: Sequence[str]) -> list[tuple[str, Mask]]:
    """Return which requests' targets take a model that no request could have, one reason a model."""
    strange = np.flatnonzero((probabilities > 0).any(axis=0) & ~candidates.any(axis=0))
    return [
        (f"a target that chooses {names[j]!r}, which was no candidate of any request", probabilities[:, j] > 0)
        for j in strange.tolist()
    ]


def _ahead(received_at: Floats | None, now: datetime | None, n: int) -> Mask:
    """Return (n,) which requests come from a clock that is ahead."""
    if received_at is None or now is None:
        return np.zeros(n, dtype=bool)
    return np.asarray(received_at > (now + _CLOCKS_DIFFER).timestamp())


def _impossible(reward: Floats, metric: Metric) -> Mask:
    highest = 1.0 if metric == "quality" else _MOST_USD
    return np.asarray((reward < 0) | (reward > highest))


def _positions(names: Any, among: Any) -> NDArray[np.intp]:
    """Return each name's position, -1 where it has none."""
    index = pc.index_in(names, among if isinstance(among, pa.Array) else pa.array(among, pa.string()))
    return np.array(pc.fill_null(index, -1), dtype=np.intp)


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.fill_null(column, np.nan).to_numpy(), dtype=np.float64)


def _seconds(rows: pa.Table) -> Floats | None:
    if "received_at" not in rows.column_names or not pa.types.is_timestamp(rows["received_at"].type):
        return None
    times = rows["received_at"].cast(pa.timestamp("us", rows["received_at"].type.tz))
    seconds = _floats(times.cast(pa.int64()).cast(pa.float64())) / 1e6
    return seconds if np.isfinite(seconds).all() else None

"""The contract of the routed-request log, row by row: types, ranges, and what may be null when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.logs.ingest_rules import (
    amount,
    broken_rules,
    identifier,
    nan_faults,
    one_of,
    prompt_size,
    required,
    share,
)
from beast_ml.logs.schema import CACHE_RESULTS, QUALITY_SOURCES, REQUEST_COLUMNS, STATUSES
from beast_ml.logs.sources.external import EXTERNAL_PREFIX

__all__ = ["request_faults"]

_NESTED: Final = ("candidates", "context", "attempts")
_NUMBERS: Final = tuple(name for name, (kind, _) in REQUEST_COLUMNS.items() if kind == "float")
_SHARES: Final = ("quality", "predicted_quality")
_FREE: Final = ("predicted_cost_usd", "predicted_latency_s", "cache_similarity")  # a regression may go below zero
_IDS: Final = ("request_id", "tenant_id", "chosen_model", "served_model")
_CHOICES: Final = {"status": STATUSES, "cache_result": CACHE_RESULTS, "quality_source": QUALITY_SOURCES}


def request_faults(table: pa.Table) -> dict[int, str]:
    """Return row -> the first reason why it breaks the contract, for rows in the columns of `REQUEST_SCHEMA`.

    Beside types and ranges: the chosen model is among the candidates; a cache hit and a rejected request have none;
    an answered request has one and names who served it; a choice has a propensity and nothing else has one. Only logs
    of other systems, whose policy version begins with ``external:``, may have a choice of unknown propensity.
    """
    faults = nan_faults(table, _NUMBERS)
    frame = _frame(table)
    for position, reason in broken_rules(_SCHEMA, frame, np.arange(len(frame))):
        faults.setdefault(position, reason)
    for position in _nameless_candidates(table).tolist():
        faults.setdefault(position, "candidates hold an empty name")
    for position in _chosen_elsewhere(table).tolist():
        faults.setdefault(position, "chosen_model is not among the candidates")
    for reason, holds in _ROW_RULES:  # pandera would list every cell of a row that breaks a rule on several columns
        for position in np.flatnonzero(~holds(frame).to_numpy(dtype=bool)).tolist():
            faults.setdefault(position, reason)
    return faults


def _frame(table: pa.Table) -> pd.DataFrame:
    """Return the flat columns, and of the candidates whether there are any at all."""
    flat = table.drop_columns(list(_NESTED))
    times = [name for name, (kind, _) in REQUEST_COLUMNS.items() if kind == "time"]
    frame: pd.DataFrame = flat.drop_columns(times).to_pandas()
    for name in times:  # whether it is there is all that is asked, and pandas' own times end in 2262
        frame[name] = pc.if_else(pc.is_valid(flat[name]), 1.0, None).to_numpy()
    frame["candidates"] = pc.if_else(pc.is_valid(table["candidates"]), 1.0, None).to_numpy()
    return frame[[name for name in REQUEST_COLUMNS if name in frame]]


def _nameless_candidates(table: pa.Table) -> NDArray[np.intp]:
    """Return the rows that have a candidate without a name."""
    candidates = table["candidates"].combine_chunks()
    nameless = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(pc.list_flatten(candidates)), ""), True)
    rows: NDArray[np.intp] = pc.list_parent_indices(candidates).filter(nameless).to_numpy()
    return rows


def _chosen_elsewhere(table: pa.Table) -> NDArray[np.intp]:
    """Return the rows whose chosen model is none of the candidates."""
    candidates = table["candidates"].combine_chunks()
    rows = pc.list_parent_indices(candidates)
    chosen = table["chosen_model"].combine_chunks()
    same = pc.equal(pc.list_flatten(candidates), chosen.take(rows)).fill_null(False)
    found = np.zeros(table.num_rows, dtype=bool)
    found[rows.filter(same).to_numpy()] = True
    return np.flatnonzero(~found & chosen.is_valid().to_numpy(zero_copy_only=False))


def _checks(name: str) -> list[pandera.Check]:
    kind, is_required = REQUEST_COLUMNS[name]
    checks = required(name) if is_required else []
    if name in _IDS:
        checks += identifier(name)
    elif name == "prompt":
        checks += prompt_size()
    elif name == "propensity":
        checks += share(name, zero=False)
    elif name in _SHARES:
        checks += share(name)
    elif name in _CHOICES:
        checks += one_of(name, _CHOICES[name])
    elif name in _FREE:
        checks += amount(name)[:1]
    elif kind in ("float", "int"):
        checks += amount(name)
    return checks


def _is_hit(frame: pd.DataFrame) -> Any:
    return frame["cache_result"].isin(["exact", "semantic"])


def _is_external(frame: pd.DataFrame) -> Any:
    return frame["policy_version"].fillna("").str.startswith(EXTERNAL_PREFIX)


_ROW_RULES: Final[tuple[tuple[str, Callable[[pd.DataFrame], Any]], ...]] = (
    ("a cache hit has a chosen_model", lambda f: ~_is_hit(f) | f["chosen_model"].isna()),
    (
        "a rejected request has a chosen_model",
        lambda f: (f["status"] != "rejected") | f["chosen_model"].isna(),
    ),
    (
        "chosen_model is missing, yet the request was answered and not from the cache",
        lambda f: f["chosen_model"].notna() | _is_hit(f) | (f["status"] != "ok"),
    ),
    (
        "served_model is missing, yet the request was answered and not from the cache",
        lambda f: f["served_model"].notna() | _is_hit(f) | (f["status"] != "ok"),
    ),
    (
        "propensity is missing, yet a model was chosen (external logs have policy_version external:...)",
        lambda f: f["propensity"].notna() | f["chosen_model"].isna() | _is_external(f),
    ),
    ("propensity is given, yet no model was chosen", lambda f: f["propensity"].isna() | f["chosen_model"].notna()),
)

_SCHEMA: Final = pandera.DataFrameSchema(
    {
        name: pandera.Column(None, _checks(name), nullable=True)
        for name in REQUEST_COLUMNS
        if name not in _NESTED or name == "candidates"
    },
    strict=True,
)

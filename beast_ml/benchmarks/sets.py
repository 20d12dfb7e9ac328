"""The outcome sets that figures are published on, each with the rows and models that count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa

from beast_ml.errors import DataError, InputError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.policy.utility import CostKind

__all__ = ["BFCL_POOL", "SETS", "BenchmarkSet", "choose_sets", "load_set"]

BFCL_POOL: Final = (
    "claude-3-5-sonnet-20240620",
    "claude-3-haiku-20240307",
    "claude-3-opus-20240229",
    "command-r-plus",
    "gemini-1.5-flash-preview-0514",
    "gemini-1.5-pro-preview-0514",
    "gpt-3.5-turbo-0125",
    "gpt-4-turbo-2024-04-09",
    "gpt-4o-2024-05-13",
    "gpt-4o-mini-2024-07-18",
    "open-mixtral-8x22b",
    "yi-large-fc",
)
"""One entry per model: its prompt mode, but for three that were run through function calling alone."""

_MOSTLY: Final = 0.95  # share of the queries that a model must have answered to compete
_PRICED: Final = 0.99  # share of a model's answers whose cost must be known
_UNFINISHED: Final = "DeepSeek-Coder-V2"  # misses a seventh of mmlu_pro


@dataclass(frozen=True)
class BenchmarkSet:
    """One set.

    Parameters
    ----------
    name
        What it is called in commands and reports.
    folder
        The folder of its ``outcomes.parquet`` within the data folder; None: it comes with a package.
    cost
        What plays the part of cost.
    about
        What was left out of the published rows and models, in words.
    prepare
        Leaves it out.
    """

    name: str
    folder: str | None
    cost: CostKind
    about: str
    prepare: Callable[[pd.DataFrame], pd.DataFrame]


def _everything(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def _clean_rows_of(prefix: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame[~frame["contaminated"].astype(bool) & frame["task"].str.startswith(prefix)]


def _bfcl_pool(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["model"].isin(BFCL_POOL)]


def _finished_models(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["model"] != _UNFINISHED]


def _priced_models_of_all_tasks(frame: pd.DataFrame) -> pd.DataFrame:
    by_model = frame.groupby("model")
    whole = (by_model.size() >= _MOSTLY * frame["query_id"].nunique()) & (
        by_model["cost_usd"].count() / by_model.size() > _PRICED
    )
    return frame[frame["model"].isin(whole.index[whole])]


SETS: Final = {
    one.name: one
    for one in (
        BenchmarkSet("quickstart", None, "cost_usd", "its training half", _everything),
        BenchmarkSet("mmlu", "routellm_pair", "cost_usd", "MMLU, contaminated rows dropped", _clean_rows_of("mmlu")),
        BenchmarkSet("gsm8k", "routellm_pair", "cost_usd", "GSM8K, contaminated rows dropped", _clean_rows_of("gsm8k")),
        BenchmarkSet("mmlu_pro", "mmlu_pro", "cost_usd", f"all models but {_UNFINISHED}", _finished_models),
        BenchmarkSet("messplus", "messplus", "latency_s", "all; cost is latency", _everything),
        BenchmarkSet("routerbench3", "routerbench3", "cost_usd", "all", _everything),
        BenchmarkSet("bfcl", "bfcl_2024_08", "cost_usd", f"{len(BFCL_POOL)} models, one entry each", _bfcl_pool),
        BenchmarkSet(
            "zeroeval",
            "zeroeval",
            "cost_usd",
            "models that ran all tasks and whose cost is known",
            _priced_models_of_all_tasks,
        ),
        BenchmarkSet("routerdc7", "routerdc7", "none", "all; quality only", _everything),
    )
}
"""Every set by name, in the order of reports."""


def choose_sets(names: str | None) -> tuple[BenchmarkSet, ...]:
    """Return the sets of a comma-separated list, in the order of reports; all for None.

    Raises
    ------
    InputError
        If a set is not known.
    """
    if names is None:
        return tuple(SETS.values())
    asked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in SETS]
    if unknown or not asked:
        raise InputError(f"`sets` == {names!r}: no set {unknown[0] if unknown else ''!r}, there are {', '.join(SETS)}")
    return tuple(one for one in SETS.values() if one.name in asked)


def load_set(benchmark: BenchmarkSet, folder: Path | None) -> OutcomeMatrix | None:
    """Return the outcomes of a set, or None when they are not there.

    Parameters
    ----------
    folder
        Where the sets' folders are.

    Raises
    ------
    DataError
        If the file is there and cannot be read.
    MissingExtraError
        If the set comes with a package that is not installed.
    """
    if benchmark.folder is None:
        return OutcomeMatrix.from_frame(benchmark.prepare(load_quickstart()[0]))
    path = folder / benchmark.folder / "outcomes.parquet" if folder else None
    if path is None or not path.is_file():
        return None
    try:
        frame = benchmark.prepare(pd.read_parquet(path))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise DataError(f"cannot read {path} as the set {benchmark.name}: {error}; pull it again") from error
    return OutcomeMatrix.from_frame(frame)

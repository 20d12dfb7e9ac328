"""Files of prompts, of probes to answer, and of answers: outcome tables, as everywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from beast_ml.bundle.add_candidate import ProbeResults
    from beast_ml.logs.store import LogStore

__all__ = [
    "PromptFile",
    "logged_prompts",
    "read_answers",
    "read_prompts",
    "read_references",
    "write_probes",
    "write_table",
]

_MEASURES: Final = ("quality", "input_tokens", "output_tokens", "cost_usd", "latency_s", "ttft_s")
_MOST_LOGGED: Final = 2_000


@dataclass(frozen=True)
class PromptFile:
    """Prompts with their ids.

    Parameters
    ----------
    prompts
        Their texts.
    tasks
        What each is for, "" where that is not known.
    """

    ids: tuple[str, ...]
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]


def read_prompts(path: Path) -> PromptFile:
    """Return the different prompts of an outcome table, of a table of `query_id` and `prompt`, or of a text file.

    Raises
    ------
    DataError
        If the table cannot be read.
    InputError
        If there is no prompt in it.
    """
    if path.suffix == ".txt":
        texts = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
        rows = [(f"line-{i:06d}", text, "") for i, text in enumerate(texts, 1)]
    else:
        from beast_ml.evaluation.outcome_files import read_outcome_set

        matrix = read_outcome_set(path, keep_every_query=True).matrix
        rows = list(zip(matrix.query_ids.tolist(), matrix.prompts, matrix.tasks.tolist(), strict=True))
    first = {text: key for key, text, _ in reversed(rows) if text}
    if not first:
        raise InputError(f"no prompt in {path}: give a table with `query_id` and `prompt`, or a text file")
    different = [row for row in rows if first.get(row[1]) == row[0]]
    return PromptFile(*(tuple(row[i] for row in different) for i in range(3)))


def logged_prompts(store: LogStore, most: int = _MOST_LOGGED) -> PromptFile:
    """Return the different prompts that a log had last, the latest first.

    Raises
    ------
    InputError
        If it holds none.
    """
    if not store.days():
        raise InputError(f"no `--prompts`, and no log at {store.path}: give a file with prompts such as yours")
    rows = store.sql(
        f"""
        SELECT min(request_id) AS id, prompt, any_value(context['task']) AS task FROM log
        WHERE prompt IS NOT NULL AND prompt <> '' GROUP BY prompt ORDER BY max(received_at) DESC LIMIT {most}
        """  # noqa: S608  a number
    )
    if not rows.num_rows:
        raise InputError(
            f"no `--prompts`, and the log at {store.path} holds none: the candidates are compared on prompts such as "
            "your router sees, give a file"
        )
    tasks = tuple(task or "" for task in rows["task"].to_pylist())
    return PromptFile(tuple(rows["id"].to_pylist()), tuple(rows["prompt"].to_pylist()), tasks)


def read_references(path: Path) -> dict[str, str]:
    """Return answers that are known to be right, by query id: the column ``reference`` of a table that has one."""
    if path.suffix == ".txt":
        return {}
    frame = _read_table(path)
    if "reference" not in frame or "query_id" not in frame:
        return {}
    known = frame.dropna(subset=["query_id", "reference"])
    return dict(zip(known["query_id"].astype(str), known["reference"].astype(str), strict=True))


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    from beast_ml.logs.sources.raw_rows import detect_format

    if (kind := detect_format(path)) == "parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str) if kind == "csv" else pd.read_json(path, lines=True, dtype=False)


def write_probes(path: Path, model: str, ids: list[str], prompts: list[str]) -> None:
    """Write a table of prompts to answer, with empty columns for what is to be filled in.

    Raises
    ------
    InputError
        If the name ends in none of .parquet, .csv and .jsonl.
    """
    empty = dict.fromkeys(_MEASURES)
    write_table(
        path, [{"query_id": i, "model": model, "prompt": text, **empty} for i, text in zip(ids, prompts, strict=True)]
    )


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as a table; measures are numbers, also where all are missing.

    Raises
    ------
    InputError
        If the name ends in none of .parquet, .csv and .jsonl.
    """
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    for name in set(_MEASURES) & set(frame.columns):
        frame[name] = frame[name].astype("Float64")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        raise InputError(f"cannot write probes to {path}: name a .parquet, .csv or .jsonl file")


def read_answers(path: Path, model: str) -> ProbeResults:
    """Return the judged answers of a model in an outcome table; rows without a quality are left out.

    Raises
    ------
    DataError
        If the table cannot be read.
    InputError
        If it holds no judged answer of the model.
    """
    import numpy as np

    from beast_ml.bundle.add_candidate import ProbeResults
    from beast_ml.cli.output import say
    from beast_ml.evaluation.outcome_files import read_outcome_set

    found = read_outcome_set(path, keep_every_query=True)
    if model not in found.matrix.models:
        there = found.unusable or f"it has those of {', '.join(found.matrix.models)}"
        raise InputError(f"no judged answer of {model!r} in {path} ({there}): fill in `quality`, 0..1, in its rows")
    if found.refused:
        say(f"warning: {found.warning()}")
    column = found.matrix.models.index(model)
    judged = np.flatnonzero(np.isfinite(found.matrix.quality[:, column]))
    values = {name: getattr(found.matrix, name)[judged, column] for name in _MEASURES}
    return ProbeResults(tuple(found.matrix.prompts[i] for i in judged), **values)

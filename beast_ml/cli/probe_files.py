"""Files of prompts, of probes to answer, and of answers: outcome tables, as everywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.bundle.add_candidate import ProbeResults

__all__ = ["PromptFile", "read_answers", "read_prompts", "write_probes"]

_MEASURES: Final = ("quality", "input_tokens", "output_tokens", "cost_usd", "latency_s", "ttft_s")


@dataclass(frozen=True)
class PromptFile:
    """Prompts with their ids.

    Parameters
    ----------
    prompts
        Their texts.
    """

    ids: tuple[str, ...]
    prompts: tuple[str, ...]


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
        pairs = [(f"line-{i:06d}", text) for i, text in enumerate(texts, 1)]
    else:
        from beast_ml.evaluation.outcome_files import read_outcome_set

        matrix = read_outcome_set(path, keep_every_query=True).matrix
        pairs = list(zip(matrix.query_ids.tolist(), matrix.prompts, strict=True))
    first = {text: key for key, text in reversed(pairs) if text}
    if not first:
        raise InputError(f"no prompt in {path}: give a table with `query_id` and `prompt`, or a text file")
    different = [(key, text) for key, text in pairs if first.get(text) == key]
    return PromptFile(tuple(key for key, _ in different), tuple(text for _, text in different))


def write_probes(path: Path, model: str, ids: list[str], prompts: list[str]) -> None:
    """Write a table of prompts to answer, with empty columns for what is to be filled in.

    Raises
    ------
    InputError
        If the name ends in none of .parquet, .csv and .jsonl.
    """
    import pandas as pd

    frame = pd.DataFrame({"query_id": ids, "model": model, "prompt": prompts})
    for name in _MEASURES:
        frame[name] = pd.Series([None] * len(ids), dtype="Float64")
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

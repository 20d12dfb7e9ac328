"""RouterBench as shuhao02/RouterDC keeps it: one wide CSV per benchmark and split.

Per model there is a column of its name with the score, ``NAME|total_cost`` in USD and ``NAME|model_response``. The
prompt is the Python literal of a list with one string.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from beast_ml.errors import DataError
from beast_ml.logs.public.identity import content_id

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["convert_routerbench"]

_COST: Final = "|total_cost"
_RESPONSE: Final = "|model_response"
_SUFFIX_LENGTH: Final = 6


def convert_routerbench(files: Mapping[str, Path]) -> pd.DataFrame:
    """Return the outcomes of ``BENCHMARK_SPLIT.csv`` files; scores that are missing are left out.

    Raises
    ------
    DataError
        If a file is not in RouterBench's form.
    """
    import pandas as pd

    tables = []
    for name, path in sorted(files.items()):
        wide = pd.read_csv(path, usecols=lambda column: not column.endswith(_RESPONSE))
        models = [column.removesuffix(_COST) for column in wide.columns if column.endswith(_COST)]
        missing = {"sample_id", "prompt", "eval_name", *models} - set(wide.columns)
        if missing or not models:
            raise DataError(f"{name} is no RouterBench table: it lacks {', '.join(sorted(missing)) or 'cost columns'}")
        prompts = [_text(prompt) for prompt in wide["prompt"]]
        shared = pd.DataFrame(
            {
                "query_id": [
                    f"routerbench:{sample}:{content_id(prompt)[-_SUFFIX_LENGTH:]}"
                    for sample, prompt in zip(wide["sample_id"], prompts, strict=True)
                ],
                "task": wide["eval_name"].astype(str).str.replace("-", "_", regex=False),
                "prompt": prompts,
                "split": Path(name).stem.rpartition("_")[2],
            }
        )
        tables += [
            shared.assign(model=model, quality=wide[model], cost_usd=wide[f"{model}{_COST}"]) for model in models
        ]
    rows = pd.concat(tables, ignore_index=True)
    return rows[rows["quality"].notna()]


def _text(cell: object) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in prompts
            value = ast.literal_eval(str(cell))
    except (ValueError, SyntaxError):
        return str(cell)
    return "\n".join(map(str, value)) if isinstance(value, list) else str(cell)
